//! What can be asked of the control plane.

use rokko_dnssec::Conformed;
use rokko_wire::Name;
use rokko_zone::{Edit, Revision, Rrset};
use serde::{Deserialize, Serialize};

use crate::{Annotation, Dnssec, ZoneMeta};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

/// Who made a change, for the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The key's name and id, or `local` for the command line on a stopped node.
    pub name: String,
    /// The address that the request came from; empty for the command line.
    pub address: String,
}

/// What sort of change a revision is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A zone came into being.
    Create,
    /// RRsets changed one by one.
    Edit,
    /// A zone's whole contents were replaced.
    Import,
    /// Metadata changed, and no record.
    Meta,
    /// A zone went back to what it was at an earlier revision.
    Rollback,
    /// A zone was removed.
    Delete,
    /// Keys, signatures or proofs of absence changed, and nothing that a user wrote.
    Sign,
}

/// Which version of a zone a request was made against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Whichever is current.
    #[default]
    Any,
    /// The one that this revision made; another one refuses the request.
    Version(Revision),
}

/// Whether the control plane is to sign a new zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// As the configuration says; not if the contents were signed elsewhere.
    #[default]
    Default,
    /// No.
    Off,
    /// Yes, by the policy of this name.
    Policy(String),
}

/// What the signer worked out for a zone.
#[derive(Clone, Debug)]
pub enum SignStep {
    /// How the zone is signed from now on; `None`: not any more. What stands at the apex follows from it.
    State(Option<Box<Dnssec>>),
    /// Signatures and proofs of absence for a part of the zone's names.
    Walk(Box<Conformed>),
}

/// One change asked for. It is carried out wholly or not at all.
#[derive(Clone, Debug)]
pub enum Request {
    /// Make a zone. It is an error if it exists.
    Create {
        /// The zone's name.
        zone: Name,
        /// Its metadata.
        meta: ZoneMeta,
        /// Its records. Without SOA or NS at the apex the configured defaults are added.
        contents: Vec<Rrset>,
        /// Whether it is to be signed.
        signing: Signing,
    },
    /// Edit RRsets.
    Edit {
        /// The zone's name.
        zone: Name,
        /// The version that the edits were made against.
        expect: Expect,
        /// The edits, in order.
        edits: Vec<Edit>,
        /// New annotations by RRset (key as in [`ZoneMeta::annotations`]); an empty one removes.
        annotations: Vec<(String, Annotation)>,
    },
    /// Replace a zone's whole contents, or make the zone if it does not exist.
    Import {
        /// The zone's name.
        zone: Name,
        /// The version that the contents are to replace.
        expect: Expect,
        /// All records.
        contents: Vec<Rrset>,
    },
    /// Replace a zone's metadata.
    SetMeta {
        /// The zone's name.
        zone: Name,
        /// The version that the metadata was read at.
        expect: Expect,
        /// The new metadata.
        meta: ZoneMeta,
    },
    /// Make a zone again what it was right after an earlier revision. Brings back a deleted zone too.
    Rollback {
        /// The zone's name.
        zone: Name,
        /// The version that the rollback was decided at.
        expect: Expect,
        /// The revision to go back to.
        to: Revision,
    },
    /// Change how a zone is signed.
    Sign {
        /// The zone's name.
        zone: Name,
        /// The version that the step was worked out on.
        expect: Expect,
        /// The step.
        step: SignStep,
    },
    /// Remove a zone. Its history stays.
    Delete {
        /// The zone's name.
        zone: Name,
        /// The version that the decision was made at.
        expect: Expect,
    },
}

impl Request {
    /// The zone that the request is about.
    pub fn zone(&self) -> &Name {
        match self {
            Request::Create { zone, .. }
            | Request::Edit { zone, .. }
            | Request::Import { zone, .. }
            | Request::SetMeta { zone, .. }
            | Request::Rollback { zone, .. }
            | Request::Sign { zone, .. }
            | Request::Delete { zone, .. } => zone,
        }
    }

    /// The version that the request was made against.
    pub fn expect(&self) -> Expect {
        match self {
            Request::Create { .. } => Expect::Any,
            Request::Edit { expect, .. }
            | Request::Import { expect, .. }
            | Request::SetMeta { expect, .. }
            | Request::Rollback { expect, .. }
            | Request::Sign { expect, .. }
            | Request::Delete { expect, .. } => *expect,
        }
    }
}
