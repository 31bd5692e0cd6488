//! A zone file as a checked set of RRsets.

use std::borrow::Cow;
use std::sync::Arc;

use rokko_wire::key::KeyBuf;
use rokko_wire::name::Labels;
use rokko_wire::{Name, Rtype};

use super::diagnostic::{Collector, Diagnostic, Position, Severity};
use super::reader::{self, Place};
use super::writer::signature_ttl;
use super::{Options, Outcome};
use crate::check::{self, SortedRrsets};
use crate::rdata;
use crate::{Record, Rrset, Ttl};

/// What a zone file holds.
#[derive(Debug)]
pub struct Loaded {
    /// The zone's apex: the origin given, else the SOA's owner, else the first `$ORIGIN`.
    pub apex: Option<Name>,
    /// The RRsets in canonical order of owner names and rising type; their data sorted by octets, without repetitions.
    pub rrsets: Vec<Rrset>,
    /// What reading and checking had to say, in the order of the file; what has no line comes last.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether any diagnostic is an error, so that the zone must be refused.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Reads a zone file, groups its records into RRsets and checks them with [`crate::check::check_zone`].
///
/// Of records with different TTLs in one RRset the first one's TTL counts (RFC 2181 §5.2 forbids them); of repeated
/// records the first counts; records outside the zone are left out. Each gives a warning. If reading gave errors,
/// findings that something is missing are left out, since the lines in error may have held it. `options.errors_max` is the
/// limit of reading and of checking, each.
pub fn load(text: &[u8], options: Options<'_>) -> Loaded {
    let errors_max = options.errors_max;
    let mut records = Records::default();
    let (outcome, files) = reader::read(text, options, &mut |record, place| records.push(record, place));
    let Outcome { origin, mut diagnostics, errors, .. } = outcome;
    let mut notes = Notes { files: &files, collector: Collector::new(errors_max) };
    let mut rrsets = Vec::new();
    if let Some(apex) = &origin {
        let places;
        (rrsets, places) = records.into_rrsets(apex, &mut notes);
        for finding in check::check_zone(apex, &SortedRrsets(&rrsets)) {
            if errors > 0 && finding.is_incomplete() {
                continue;
            }
            let place = place_of(&rrsets, &places, &finding.owner, finding.rtype);
            notes.note(finding.severity, place, (&finding.owner, finding.rtype), finding.code, finding.message);
        }
    } else if errors == 0 {
        let message = "found no SOA record and no origin, expected a SOA record: this is not a whole zone".to_owned();
        notes.note(Severity::Error, None, (&Name::root(), Some(Rtype::SOA)), "no-soa", message);
    }
    diagnostics.extend(notes.collector.finish());
    sort_by_line(&mut diagnostics, &files);
    Loaded { apex: origin, rrsets, diagnostics }
}

/// Files keep the order in which they were opened; a file's own lines count within it.
fn sort_by_line(diagnostics: &mut [Diagnostic], files: &[Arc<str>]) {
    diagnostics.sort_by_cached_key(|diagnostic| match &diagnostic.position {
        Some(place) => {
            (files.iter().position(|file| *file == place.file).unwrap_or(files.len()), place.line, place.column)
        }
        None => (usize::MAX, 0, 0),
    });
}

fn place_of(rrsets: &[Rrset], places: &[Place], owner: &Name, rtype: Option<Rtype>) -> Option<Place> {
    let at = match rtype {
        Some(rtype) => rrsets.partition_point(|rrset| (&rrset.owner, rrset.rtype) < (owner, rtype)),
        None => rrsets.partition_point(|rrset| rrset.owner < *owner),
    };
    let found = rrsets.get(at)?;
    (found.owner == *owner && rtype.is_none_or(|rtype| rtype == found.rtype)).then(|| places[at])
}

/// Diagnostics about records that have been read.
struct Notes<'a> {
    files: &'a [Arc<str>],
    collector: Collector,
}

impl Notes<'_> {
    fn note(
        &mut self,
        severity: Severity,
        place: Option<Place>,
        (owner, rtype): (&Name, Option<Rtype>),
        code: &'static str,
        message: String,
    ) {
        let position = place.map(|place| Position { file: self.file(place), line: place.line, column: 0 });
        self.collector.push(Diagnostic { severity, position, owner: Some(owner.clone()), rtype, code, message });
    }

    /// Warns about a record; words the message only if there is still room for it.
    fn warn(
        &mut self,
        place: Place,
        (owner, rtype): (&Name, Rtype),
        code: &'static str,
        message: impl FnOnce(&Self) -> String,
    ) {
        if !self.collector.is_over(Severity::Warning) {
            let message = message(self);
            self.note(Severity::Warning, Some(place), (owner, Some(rtype)), code, message);
        }
    }

    fn file(&self, place: Place) -> Arc<str> {
        Arc::clone(&self.files[usize::from(place.file)])
    }

    /// Names `place` for a message about `near`.
    fn line_of(&self, place: Place, near: Place) -> String {
        if place.file == near.file {
            format!("line {}", place.line)
        } else {
            format!("{}:{}", self.file(place), place.line)
        }
    }
}

/// One record: its owner's index at first, later the rank of its owner's name.
struct Entry {
    owner: u32,
    rtype: Rtype,
    ttl: Ttl,
    place: Place,
    rdata: Box<[u8]>,
}

/// Records as they come, with the owner kept once for neighbours that share it.
#[derive(Default)]
struct Records {
    owners: Vec<Name>,
    entries: Vec<Entry>,
}

impl Records {
    fn push(&mut self, record: Record, place: Place) {
        let Record { owner, rtype, ttl, rdata } = record;
        if self.owners.last() != Some(&owner) {
            self.owners.push(owner);
        }
        let owner = u32::try_from(self.owners.len() - 1).expect("a zone file has fewer than 2^32 lines");
        self.entries.push(Entry { owner, rtype, ttl, place, rdata });
    }

    /// The RRsets in order, and the place of the first record of each.
    fn into_rrsets(mut self, apex: &Name, notes: &mut Notes<'_>) -> (Vec<Rrset>, Vec<Place>) {
        self.drop_out_of_zone(apex, notes);
        let names = self.sort(apex);
        // The sort is stable: within an RRset the records are still in the order of the file.
        self.entries.sort_by_key(|entry| (entry.owner, entry.rtype));
        let (mut rrsets, mut places) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
        let mut entries = self.entries.into_iter().peekable();
        let (mut group, mut signatures, mut node_start) = (Vec::new(), Vec::new(), 0);
        while let Some(first) = entries.next() {
            let (rank, rtype, ttl) = (first.owner, first.rtype, first.ttl);
            let owner = &names[rank as usize];
            places.push(first.place);
            group.push(first);
            while let Some(next) = entries.next_if(|next| (next.owner, next.rtype) == (rank, rtype)) {
                group.push(next);
            }
            if rtype == Rtype::RRSIG {
                signatures.extend(group.iter().map(Signature::of));
            }
            let rdatas = rdatas(owner, &mut group, notes);
            rrsets.push(Rrset { owner: owner.clone(), rtype, ttl, rdatas });
            if entries.peek().is_none_or(|next| next.owner != rank) {
                signature_ttls(owner, signatures.drain(..), &mut rrsets[node_start..], notes);
                node_start = rrsets.len();
            }
        }
        (rrsets, places)
    }

    fn drop_out_of_zone(&mut self, apex: &Name, notes: &mut Notes<'_>) {
        if apex.is_root() || self.owners.iter().all(|owner| owner.is_in(apex)) {
            return;
        }
        let owners = &self.owners;
        self.entries.retain(|entry| {
            let owner = &owners[entry.owner as usize];
            let inside = owner.is_in(apex);
            if !inside {
                let message = |_: &Notes<'_>| format!("{owner} is not in the zone {apex}: the record is left out");
                notes.warn(entry.place, (owner, entry.rtype), "out-of-zone", message);
            }
            inside
        });
    }

    /// The names of the zone sorted and each once; the entries get their ranks among them.
    fn sort(&mut self, apex: &Name) -> Vec<Name> {
        let mut keys = Vec::new();
        let mut order: Vec<(u64, u32, u32)> = Vec::with_capacity(self.owners.len());
        let apex_labels = apex.label_count();
        // Names that are not in the zone have no entries left, and no key below the apex.
        for (index, owner) in (0_u32..).zip(&self.owners).filter(|(_, owner)| owner.is_in(apex)) {
            let count = owner.label_count() - apex_labels;
            let key = KeyBuf::from_labels(Labels::of(owner.as_bytes()), count);
            let key = key.as_bytes();
            let mut head = [0; 8];
            head[..key.len().min(8)].copy_from_slice(&key[..key.len().min(8)]);
            order.push((u64::from_be_bytes(head), u32::try_from(keys.len()).unwrap_or(u32::MAX), index));
            keys.extend_from_slice(key);
        }
        order.push((0, u32::try_from(keys.len()).unwrap_or(u32::MAX), u32::MAX));
        let mut starts = vec![(0, 0); self.owners.len()];
        for pair in order.windows(2) {
            starts[pair[0].2 as usize] = (pair[0].1 as usize, pair[1].1 as usize);
        }
        order.pop();
        let key_of = |index: u32| {
            let (start, end) = starts[index as usize];
            &keys[start..end]
        };
        order.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| key_of(a.2).cmp(key_of(b.2))));
        let mut ranks = vec![0; self.owners.len()];
        let mut names: Vec<Name> = Vec::with_capacity(order.len());
        for &(_, _, index) in &order {
            let name = &mut self.owners[index as usize];
            if names.last() != Some(name) {
                names.push(std::mem::replace(name, Name::root()));
            }
            ranks[index as usize] = u32::try_from(names.len() - 1).unwrap_or(u32::MAX);
        }
        for entry in &mut self.entries {
            entry.owner = ranks[entry.owner as usize];
        }
        names
    }
}

/// Empties `group`, the records of one RRset in the order of the file: sorts their data and drops repetitions.
fn rdatas(owner: &Name, group: &mut Vec<Entry>, notes: &mut Notes<'_>) -> Vec<Box<[u8]>> {
    if group.len() > 1 {
        if group[0].rtype != Rtype::RRSIG {
            ttl_differences(owner, group, notes);
        }
        drop_repeated(owner, group, notes);
    }
    let mut rdatas: Vec<Box<[u8]>> = group.drain(..).map(|entry| entry.rdata).collect();
    rdatas.sort_unstable();
    rdatas
}

fn ttl_differences(owner: &Name, group: &[Entry], notes: &mut Notes<'_>) {
    let first = &group[0];
    for entry in group.iter().filter(|entry| entry.ttl != first.ttl) {
        notes.warn(entry.place, (owner, entry.rtype), "ttl-differs", |notes| {
            let (rtype, line) = (first.rtype, notes.line_of(first.place, entry.place));
            let (found, taken) = (entry.ttl, first.ttl);
            format!("found TTL {found} in the {rtype} RRset of {owner}, expected {taken} as in {line}, which is taken")
        });
    }
}

/// Keeps the first of records whose canonical data are equal.
fn drop_repeated(owner: &Name, group: &mut Vec<Entry>, notes: &mut Notes<'_>) {
    let rtype = group[0].rtype;
    let mut forms: Vec<(Cow<'_, [u8]>, usize)> =
        group.iter().enumerate().map(|(index, entry)| (rdata::canonical(rtype, &entry.rdata), index)).collect();
    forms.sort_unstable();
    let mut repeated = vec![None; group.len()];
    let mut any = false;
    for same in forms.chunk_by(|a, b| a.0 == b.0) {
        for (_, index) in &same[1..] {
            repeated[*index] = Some(same[0].1);
            any = true;
        }
    }
    if !any {
        return;
    }
    for (entry, first) in group.iter().zip(&repeated) {
        if let Some(first) = *first {
            let first = group[first].place;
            notes.warn(entry.place, (owner, rtype), "duplicate-record", |notes| {
                let line = notes.line_of(first, entry.place);
                format!("found the {rtype} record of {owner} again, first in {line}: remove one of them")
            });
        }
    }
    let mut repeated = repeated.into_iter();
    group.retain(|_| repeated.next().is_some_and(|first| first.is_none()));
}

/// A signature as the check of its TTL needs it.
struct Signature {
    covered: Option<Rtype>,
    ttl: Ttl,
    place: Place,
}

impl Signature {
    fn of(entry: &Entry) -> Self {
        let covered = entry.rdata.first_chunk::<2>().map(|octets| Rtype(u16::from_be_bytes(*octets)));
        Self { covered, ttl: entry.ttl, place: entry.place }
    }
}

/// Holds the TTLs of signatures against those of the RRsets of the same name that they cover (RFC 4034 §3), and gives
/// the RRSIG RRset the TTL of its first signature, so that it does not depend on the order of the file.
fn signature_ttls(
    owner: &Name,
    signatures: impl Iterator<Item = Signature>,
    node: &mut [Rrset],
    notes: &mut Notes<'_>,
) {
    let set = |rtype| node.binary_search_by_key(&rtype, |rrset: &Rrset| rrset.rtype).ok();
    for signature in signatures {
        let covered = signature.covered.filter(|&rtype| rtype != Rtype::RRSIG).and_then(set).map(|at| &node[at]);
        if let Some(covered) = covered.filter(|covered| covered.ttl != signature.ttl) {
            notes.warn(signature.place, (owner, Rtype::RRSIG), "rrsig-ttl-differs", |_| {
                let (found, rtype, expected) = (signature.ttl, covered.rtype, covered.ttl);
                format!("found TTL {found} on the signature of {rtype}, expected {expected} as on what it signs, which is taken")
            });
        }
    }
    if let Some(at) = set(Rtype::RRSIG) {
        let first = &node[at].rdatas[0];
        if let Some(ttl) = signature_ttl(first, |rtype| set(rtype).map(|at| node[at].ttl)) {
            node[at].ttl = ttl;
        }
    }
}
