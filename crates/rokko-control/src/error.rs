//! Why the control plane refuses.

use rokko_mirror::MirrorError;
use rokko_model::{KeyId, Refusal};
use rokko_store::StoreError;
use rokko_wire::{Name, Rtype};
use rokko_zone::check::Finding;
use rokko_zone::{EditError, Revision};

/// Why a request was refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such zone.
    #[error("there is no zone {zone}")]
    NotFound {
        /// The zone asked for.
        zone: Name,
    },
    /// The zone to be made is there already.
    #[error("the zone {zone} exists already")]
    Exists {
        /// The zone.
        zone: Name,
    },
    /// The request was made against another version than the current one.
    #[error("{}", stale_text(zone, *current))]
    Stale {
        /// The zone.
        zone: Name,
        /// Its current version; `None` if it does not exist.
        current: Option<Revision>,
    },
    /// The zone would not be one.
    #[error("the zone {zone} would not be valid: {}", first_message(findings))]
    Invalid {
        /// The zone.
        zone: Name,
        /// What is wrong; at least one error.
        findings: Vec<Finding>,
    },
    /// The edits cannot be carried out.
    #[error("the zone {zone} can't be changed so: {source}")]
    Edit {
        /// The zone.
        zone: Name,
        /// Why.
        source: EditError,
    },
    /// The key may not do this.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The key is unknown, revoked or has expired.
    #[error("the API key is unknown, revoked or has expired")]
    BadKey,
    /// The log has no such revision.
    #[error("there is no revision {revision}")]
    NoSuchRevision {
        /// The revision asked for.
        revision: Revision,
    },
    /// There is no such key.
    #[error("there is no key with the id {id}")]
    NoSuchKey {
        /// The id asked for.
        id: KeyId,
    },
    /// There is no such PoP.
    #[error("there is no PoP {name} in the fleet")]
    NoSuchPop {
        /// The name asked for.
        name: String,
    },
    /// A PoP cannot have this name.
    #[error("{name:?} cannot be the name of a PoP: use up to 63 lower-case letters, digits and hyphens, such as fra-1")]
    BadPopName {
        /// The name.
        name: String,
    },
    /// The zone did not exist at the revision to go back to.
    #[error("the zone {zone} did not exist at revision {revision}: choose one from its history")]
    NothingToRestore {
        /// The zone.
        zone: Name,
        /// The revision asked for.
        revision: Revision,
    },
    /// The record is made by signing, and so is nobody's to write.
    #[error(
        "{owner} {rtype} is made by signing the zone {zone}: it can't be written; `rokko dnssec` changes how the zone is signed"
    )]
    MadeBySigning {
        /// The zone.
        zone: Name,
        /// Whose RRset.
        owner: Name,
        /// Of which type.
        rtype: Rtype,
    },
    /// The zone cannot be signed.
    #[error("the zone {zone} can't be signed so: {what}")]
    Signing {
        /// The zone.
        zone: Name,
        /// Why, and what to do.
        what: String,
    },
    /// What would be published would not validate.
    #[error("the change of {zone} was refused, because a validator would refuse what it leads to: {what}")]
    Gate {
        /// The zone.
        zone: Name,
        /// The first thing that is wrong.
        what: String,
    },
    /// There is no such policy.
    #[error("there is no DNSSEC policy {policy:?} in the configuration of this node")]
    NoSuchPolicy {
        /// The name asked for.
        policy: String,
    },
    /// A limit would be passed.
    #[error("{what} would be more than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// How much is allowed.
        limit: u64,
    },
    /// More is queued than the writer can take.
    #[error("too many changes are waiting: try again in a second")]
    Overloaded,
    /// The node is stopping.
    #[error("the node is stopping: try again when it is back")]
    Stopping,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mirror refused.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The operating system refused what the control plane needs.
    #[error("{doing} failed")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

fn stale_text(zone: &Name, current: Option<Revision>) -> String {
    match current {
        Some(current) => {
            format!(
                "the zone {zone} has changed meanwhile and is at version {current}: read it again and repeat the change"
            )
        }
        None => format!("the zone {zone} does not exist any more"),
    }
}

fn first_message(findings: &[Finding]) -> String {
    let Some(first) = findings.iter().find(|finding| finding.severity == rokko_zone::file::Severity::Error) else {
        return "no reason was given".to_owned();
    };
    let rtype = first.rtype.map_or_else(String::new, |rtype| format!(" {rtype}"));
    format!("{}{rtype}: {}", first.owner, first.message)
}

/// An error and all its causes in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
