//! What is known of a zone beside its records.

use std::collections::BTreeMap;

use rokko_dnssec::life::State;
use serde::{Deserialize, Serialize};

/// How a zone gets its contents. The names are those that clients of the PowerDNS API know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZoneKind {
    /// From this control plane, distributed by it.
    #[default]
    Native,
    /// From this control plane, which also is primary for other servers.
    Master,
    /// From a primary elsewhere.
    Slave,
}

/// What happens to the SOA serial when a change does not set it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SoaEdit {
    /// `YYYYMMDD01` of today (UTC), or one more than before if that is not ahead.
    #[default]
    Default,
    /// One more than before.
    Increase,
    /// The Unix time in seconds, or one more than before if that is not ahead.
    Epoch,
    /// It stays, and so secondaries elsewhere do not notice the change.
    Off,
}

/// A zone's metadata. Part of the log like the records: a change of it is a revision too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZoneMeta {
    /// How the zone gets its contents.
    pub kind: ZoneKind,
    /// The customer whom the zone belongs to; free text of the operator, may be empty.
    pub account: String,
    /// What happens to the serial.
    pub soa_edit: SoaEdit,
    /// What a client of the PowerDNS API asked for in `soa_edit_api`, to give it back as it was.
    pub soa_edit_api: String,
    /// Comments and disabled records by RRset; the key is the owner name and the type with a space between.
    pub annotations: BTreeMap<String, Annotation>,
    /// Free metadata by kind (the PowerDNS API's `metadata`).
    pub extra: BTreeMap<String, Vec<String>>,
    /// How the control plane signs the zone, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnssec: Option<Box<Dnssec>>,
}

/// How the control plane signs a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dnssec {
    /// The name of the policy in the configuration.
    pub policy: String,
    /// The keys and what is to be published.
    pub state: State,
    /// The last of the state's plans that all of the zone's contents follow.
    pub done: u32,
    /// The revision that it was done with.
    pub done_at: u64,
    /// The last plan with which the whole zone was verified.
    pub verified: u32,
}

/// What is kept of an RRset and never answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Annotation {
    /// Comments, the oldest first.
    pub comments: Vec<Comment>,
    /// Records that are switched off.
    pub disabled: Vec<DisabledRecord>,
}

impl Annotation {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.comments.is_empty() && self.disabled.is_empty()
    }
}

/// A comment on an RRset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// The text.
    pub content: String,
    /// Who wrote it.
    pub account: String,
    /// When, in Unix seconds.
    pub modified_at: u64,
}

/// A record that is switched off: it is in the zone's data for those who edit it, and is not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisabledRecord {
    /// The time to live in seconds that its RRset had.
    pub ttl: u32,
    /// The record data in presentation format.
    pub content: String,
}
