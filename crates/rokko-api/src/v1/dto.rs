//! What goes over the wire of `/v1`, both ways. The command line speaks with these types too.
//!
//! Names are in presentation format: absolute, with the trailing dot, on the way out. On the way in a name
//! without trailing dot is relative to the zone (`@` is the apex), but for zone names, which are always absolute.
//! Versions are revisions. Times are RFC 3339 in UTC with milliseconds. Unknown fields are refused on the way in.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How a zone gets its contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// From this control plane.
    #[default]
    Native,
    /// From this control plane, which also is primary for other servers.
    Master,
    /// From a primary elsewhere.
    Slave,
}

/// What happens to the SOA serial when a change does not set it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
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

/// A zone without its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// The revision of its last change; also its entity tag.
    pub version: u64,
    /// The SOA serial.
    pub serial: u32,
    /// How many records it has.
    pub records: u64,
    /// When it last changed.
    pub changed_at: String,
    /// How it gets its contents.
    pub kind: Kind,
    /// The customer whom it belongs to; may be empty.
    pub account: String,
    /// What happens to the serial.
    pub soa_edit: SoaEdit,
}

/// One page of zones in canonical order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ZonePage {
    /// The zones.
    pub zones: Vec<Zone>,
    /// Give this as `cursor` to get the next page; null: there is none.
    pub next_cursor: Option<String>,
}

/// Which zones a listing gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ZoneQuery {
    /// How many at most, 1 to 1,000; 100 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Where the last page ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only zones of this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Only zones with this text in their name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Only this name and those below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<String>,
}

/// A zone to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewZone {
    /// Its name.
    pub name: String,
    /// How it gets its contents; `native` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The customer whom it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What happens to the serial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soa_edit: Option<SoaEdit>,
    /// Names for the NS records at the apex; the configured ones if absent and no NS record is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nameservers: Option<Vec<String>>,
    /// Its RRsets. Without a SOA record a default one is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrsets: Option<Vec<Rrset>>,
    /// Its contents as a zone file; not together with `rrsets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_file: Option<String>,
    /// Whether it is signed; as the node's configuration says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnssec: Option<bool>,
    /// The DNSSEC policy that it is signed by; `default` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnssec_policy: Option<String>,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Changes of a zone's metadata; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZonePatch {
    /// How it gets its contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The customer whom it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What happens to the serial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soa_edit: Option<SoaEdit>,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The records of one owner name and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rrset {
    /// The owner name.
    pub name: String,
    /// The type's mnemonic, or `TYPE` and its number.
    #[serde(rename = "type")]
    pub rtype: String,
    /// The time to live in seconds, 0 to 2147483647.
    pub ttl: u32,
    /// The data of each record in presentation format.
    pub records: Vec<String>,
}

/// TTL and records, where the path names the RRset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RrsetContents {
    /// The time to live in seconds, 0 to 2147483647.
    pub ttl: u32,
    /// The data of each record in presentation format.
    pub records: Vec<String>,
}

/// One page of RRsets in canonical order of owner names, then of type numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RrsetPage {
    /// The RRsets.
    pub rrsets: Vec<Rrset>,
    /// Give this as `cursor` to get the next page; null: there is none.
    pub next_cursor: Option<String>,
    /// The zone's version that this page is of. It may differ from the previous page's.
    pub version: u64,
}

/// Which RRsets a listing gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RrsetQuery {
    /// How many at most, 1 to 1,000; 100 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Where the last page ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only those of this owner name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only those of this type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub rtype: Option<String>,
}

/// What an edit does to its RRset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EditOp {
    /// The RRset is to be exactly this.
    Replace,
    /// The RRset is to be absent.
    Delete,
    /// These records are to be in it; the others stay.
    Add,
    /// These records are to be absent from it; the others stay.
    Remove,
}

/// One edit of one RRset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// What is done.
    pub op: EditOp,
    /// The owner name.
    pub name: String,
    /// The type's mnemonic, or `TYPE` and its number.
    #[serde(rename = "type")]
    pub rtype: String,
    /// The time to live in seconds; `replace` and `add` need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// The records; all operations but `delete` need them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<String>>,
}

/// Edits of one zone, carried out in their order, all or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Edits {
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The edits.
    pub edits: Vec<Edit>,
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is durable.
    Committed,
    /// It is durable, and this node's answers show it.
    Applied,
    /// All PoPs' answers show it, too, but those that are drained or not heard of.
    Insync,
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The zone.
    pub zone: String,
    /// The zone's version now. After a deletion: the revision that deleted it.
    pub revision: u64,
    /// The SOA serial now; null after a deletion.
    pub serial: Option<u32>,
    /// False: the zone was already as asked for, and no revision was made.
    pub changed: bool,
    /// How far it has come.
    pub state: State,
    /// What a person should look at.
    pub warnings: Vec<Finding>,
}

/// Something about a record that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The owner name.
    pub name: String,
    /// The type, if it is about one.
    #[serde(rename = "type")]
    pub rtype: Option<String>,
    /// What it is, in short and stable words.
    pub code: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Several changes, carried out all or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The changes, carried out in their order.
    pub changes: Vec<BatchChange>,
}

/// What a change of a batch does to its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchOp {
    /// Edits RRsets; needs `edits`.
    Edit,
    /// Makes a zone; may have `rrsets` or `zone_file`, `account`, `kind`, `soa_edit`.
    Create,
    /// Replaces the whole contents or makes the zone; needs `rrsets` or `zone_file`.
    Import,
    /// Removes the zone.
    Delete,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchChange {
    /// The zone.
    pub zone: String,
    /// What is done.
    pub op: BatchOp,
    /// The version that the zone must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<u64>,
    /// For `edit`: the edits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edits: Option<Vec<Edit>>,
    /// For `create` and `import`: the contents as a zone file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_file: Option<String>,
    /// For `create` and `import`: the contents as RRsets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrsets: Option<Vec<Rrset>>,
    /// For `create`: the customer whom the zone belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// For `create`: how the zone gets its contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// For `create`: what happens to the serial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soa_edit: Option<SoaEdit>,
}

/// What came of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchDone {
    /// One for each change asked for, in their order.
    pub changes: Vec<Change>,
}

/// What sort of change a revision is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
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

/// One revision of a zone's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Its number.
    pub revision: u64,
    /// The zone.
    pub zone: String,
    /// When it was made.
    pub at: String,
    /// Who made it: a key's name and id.
    pub actor: String,
    /// The address that the request came from; empty if it came from the machine itself.
    pub address: String,
    /// Why; may be empty.
    pub reason: String,
    /// What sort of change it is.
    pub kind: ChangeKind,
    /// The SOA serial afterwards; null if it removed the zone.
    pub serial: Option<u32>,
    /// How many RRsets changed.
    pub rrsets_changed: u64,
    /// The zone's version before; null if the zone did not exist.
    pub previous_version: Option<u64>,
}

/// One page of a zone's history, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPage {
    /// The revisions.
    pub entries: Vec<Entry>,
    /// Give this as `before` to get the next page; null: there is none.
    pub next_before: Option<u64>,
}

/// Which part of a zone's history a listing gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// How many at most, 1 to 1,000; 100 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only revisions below this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// One revision with what it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntryDetail {
    /// The revision.
    #[serde(flatten)]
    pub entry: Entry,
    /// What changed, by RRset.
    pub changes: Vec<RrsetChange>,
}

/// How one RRset changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RrsetChange {
    /// The owner name.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub rtype: String,
    /// What was there; null if nothing.
    pub before: Option<RrsetContents>,
    /// What is there afterwards; null if nothing.
    pub after: Option<RrsetContents>,
}

/// Where a zone is to go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The revision after which the zone was as it is to be again.
    pub to: u64,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far a revision has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeStatus {
    /// Its number.
    pub revision: u64,
    /// The zone.
    pub zone: String,
    /// How far it has come.
    pub state: State,
    /// When it became durable.
    pub committed_at: String,
    /// When answers began to show it; null: not yet, or before this process started.
    pub applied_at: Option<String>,
    /// What each PoP has of it, by name.
    pub pops: Vec<super::fleet_dto::PopChange>,
}

/// How long to wait for a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    /// Wait so many milliseconds until all PoPs have it, 0 to 60,000; 0 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Why something is done, where the body is a zone file or there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReasonQuery {
    /// Why, for the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A key without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its public id.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Whether it may do everything.
    pub administrator: bool,
    /// The zones that it reaches, `*.NAME` for all below a name; empty: all.
    pub zones: Vec<String>,
    /// The record types that it may change; empty: all.
    pub types: Vec<String>,
    /// Whether it may only read.
    pub read_only: bool,
    /// When it was made.
    pub created_at: String,
    /// When it stops working; null: never by itself.
    pub expires_at: Option<String>,
    /// When it was revoked; null: it was not.
    pub revoked_at: Option<String>,
}

/// All keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyList {
    /// The keys, revoked and expired ones too.
    pub keys: Vec<Key>,
}

/// A key to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What its owner calls it.
    pub name: String,
    /// Whether it may do everything; not together with a limit.
    #[serde(default)]
    pub administrator: bool,
    /// The zones that it reaches, `*.NAME` for all below a name; empty: all.
    #[serde(default)]
    pub zones: Vec<String>,
    /// The record types that it may change; empty: all.
    #[serde(default)]
    pub types: Vec<String>,
    /// Whether it may only read.
    #[serde(default)]
    pub read_only: bool,
    /// When it stops working, in RFC 3339; absent: never by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A new key with its text, which is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// The key.
    #[serde(flatten)]
    pub info: Key,
    /// What to send as `X-API-Key`.
    pub key: String,
}

/// A backup to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {
    /// A new file's name in the node's backup folder.
    pub path: String,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    /// The file on the node.
    pub path: String,
    /// Its size in octets.
    pub bytes: u64,
}

/// That the node works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The program's version.
    pub version: String,
    /// The last revision.
    pub revision: u64,
    /// How many zones there are.
    pub zones: u64,
}

/// An error (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemDocument {
    /// The kind of problem, as a URI: `about:blank`, or `urn:rokko:problem:` and a stable word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong this time, and what to do.
    pub detail: String,
    /// After a stale `If-Match`: the zone's current version; 0 if the zone does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<u64>,
    /// What is wrong with each record concerned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemItem>,
}

/// What is wrong with one record, RRset or line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemItem {
    /// The zone.
    pub zone: String,
    /// The owner name, as far as it was understood as the client wrote it.
    pub name: String,
    /// The type, if it is about one.
    #[serde(rename = "type")]
    pub rtype: Option<String>,
    /// The record as the client wrote it, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The line of a zone file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column of a zone file in octets, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What it is, in short and stable words.
    pub code: String,
    /// What is wrong, and what to do.
    pub message: String,
}
