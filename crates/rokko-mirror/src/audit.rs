//! Proofs of what is really served: the digest anew from every zone, and sums that show where two mirrors differ.

use std::collections::BTreeSet;
use std::sync::Arc;

use rokko_feed::message::BUCKETS;
use rokko_zone::image::{Piece, pieces};
use rokko_zone::{CatalogReader, Digest, Revision, ShortDigest, ZoneMark, ZoneRef};

use crate::mirror::Mirror;
use crate::work::Position;

/// All zones at one revision, as they are served.
pub struct View {
    reader: CatalogReader,
    revision: Revision,
    expected: ShortDigest,
    /// The digest that the mirror had worked out.
    kept: ShortDigest,
}

/// A pass over every octet that is served.
pub struct Verify {
    view: View,
    part: usize,
    zones: u64,
    octets: u64,
    digest: Digest,
}

/// What such a pass came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The revision of what was read.
    pub revision: Revision,
    /// How many zones were read.
    pub zones: u64,
    /// How many octets of pages were read.
    pub octets: u64,
    /// The digest of what was read.
    pub digest: ShortDigest,
    /// Whether it is what the control plane has at this revision.
    pub matches: bool,
    /// Whether it is what the mirror had worked out change by change.
    pub matches_kept: bool,
}

impl Mirror {
    /// What is served now, to be read while changes go on. What they replace is kept in memory as long as the view.
    pub fn view(&self) -> View {
        let state = self.state();
        let reader = CatalogReader::new(Arc::clone(&self.catalog));
        let Position { revision, expected, digest, .. } = &state.position;
        View { reader, revision: *revision, expected: *expected, kept: digest.short() }
    }

    /// Begins a pass over every octet that is served.
    pub fn verify(&self) -> Verify {
        Verify { view: self.view(), part: 0, zones: 0, octets: 0, digest: Digest::default() }
    }
}

impl Verified {
    fn new(view: &View, (zones, octets): (u64, u64), digest: ShortDigest) -> Self {
        let (matches, matches_kept) = (digest == view.expected, digest == view.kept);
        Self { revision: view.revision, zones, octets, digest, matches, matches_kept }
    }
}

impl View {
    /// The revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The sum of the digests of each bucket's zones, modulo 2^128; [`BUCKETS`] of them.
    pub fn sums(&self) -> Vec<u128> {
        let mut sums = vec![0_u128; BUCKETS];
        self.each_mark(|mark| {
            let sum = &mut sums[bucket_of(&mark)];
            *sum = sum.wrapping_add(mark.digest);
        });
        sums
    }

    /// The marks of all zones in some buckets, by bucket and name.
    pub fn marks(&self, buckets: &BTreeSet<u16>) -> Vec<ZoneMark> {
        let mut marks = Vec::new();
        let zones = (0..CatalogReader::PARTS).flat_map(|part| self.reader.zones_in(part));
        for zone in zones {
            let bucket = ZoneMark::name_of(zone.apex_bytes()) >> 48;
            if u16::try_from(bucket).is_ok_and(|bucket| buckets.contains(&bucket)) {
                marks.push(ZoneMark::of(zone));
            }
        }
        marks.sort_by_key(|mark| mark.name);
        marks
    }

    /// The names of the zones that have these hashes.
    pub fn names(&self, hashes: &BTreeSet<u64>) -> Vec<rokko_wire::Name> {
        let zones = (0..CatalogReader::PARTS).flat_map(|part| self.reader.zones_in(part));
        let wanted = zones.filter(|zone| hashes.contains(&ZoneMark::name_of(zone.apex_bytes())));
        wanted.map(ZoneRef::apex).collect()
    }

    /// Reads every octet.
    pub fn verify(&self) -> Verified {
        let (mut digest, mut zones, mut octets) = (Digest::default(), 0, 0);
        for zone in (0..CatalogReader::PARTS).flat_map(|part| self.reader.zones_in(part)) {
            digest.add_zone(zone);
            zones += 1;
            octets += octets_of(zone);
        }
        Verified::new(self, (zones, octets), digest.short())
    }

    fn each_mark(&self, mut each: impl FnMut(ZoneMark)) {
        for part in 0..CatalogReader::PARTS {
            self.reader.zones_in(part).for_each(|zone| each(ZoneMark::of(zone)));
        }
    }
}

/// Which bucket a zone falls into.
fn bucket_of(mark: &ZoneMark) -> usize {
    usize::try_from(mark.name >> 48).unwrap_or(0)
}

fn octets_of(zone: ZoneRef<'_>) -> u64 {
    let octets = |piece| if let Piece::Page(bytes) = piece { bytes.len() as u64 } else { 0 };
    pieces(zone).map(octets).sum()
}

impl Verify {
    /// Reads at least so many zones more; at the end says what all came to.
    pub fn step(&mut self, zones: u64) -> Option<Verified> {
        let goal = self.zones + zones;
        while self.part < CatalogReader::PARTS && self.zones < goal {
            for zone in self.view.reader.zones_in(self.part) {
                self.digest.add_zone(zone);
                self.zones += 1;
                self.octets += octets_of(zone);
            }
            self.view.reader.let_go(self.part);
            self.part += 1;
        }
        let is_done = self.part == CatalogReader::PARTS;
        is_done.then(|| Verified::new(&self.view, (self.zones, self.octets), self.digest.short()))
    }
}
