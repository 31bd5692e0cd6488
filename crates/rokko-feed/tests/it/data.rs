//! Data in memory: what a control node has, and the copy of a follower.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rokko_feed::SetId;
use rokko_feed::audit::View;
use rokko_feed::follow::{Applied, Local, Position, Trouble};
use rokko_feed::frame::{Frame, FrameWriter};
use rokko_feed::message::{BUCKETS, Partial, SnapshotStart, Verified};
use rokko_feed::serve::{History, Next, Snapshot};
use rokko_wire::{Name, Rtype};
use rokko_zone::image::image;
use rokko_zone::{Digest, ImageReader, Revision, Rrset, ShortDigest, Ttl, Zone, ZoneMark};

pub(crate) const SET: SetId = SetId(*b"0123456789abcdef");

pub(crate) type Zones = BTreeMap<Name, Zone>;

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn digest_of(zones: &Zones) -> ShortDigest {
    let mut digest = Digest::default();
    for zone in zones.values() {
        digest.add_zone(zone.view());
    }
    digest.short()
}

/// A zone with an address at its apex.
pub(crate) fn zone(apex: &str, revision: u64, octet: u8) -> Zone {
    let rdatas = vec![Box::from([192, 0, 2, octet])];
    let rrset = Rrset { owner: name(apex), rtype: Rtype::A, ttl: Ttl::from_wire(60), rdatas };
    Zone::build(&name(apex), Revision(revision), [rrset]).unwrap()
}

/// What a control node has.
pub(crate) struct Origin {
    pub(crate) set: SetId,
    pub(crate) zones: Zones,
    frames: Vec<Arc<[u8]>>,
    digests: Vec<ShortDigest>,
    /// Frames up to it are not kept.
    pub(crate) floor: Revision,
    pub(crate) snapshot: Option<(SnapshotStart, Vec<Vec<u8>>)>,
}

impl Origin {
    pub(crate) fn new() -> Self {
        let (zones, frames) = (Zones::new(), Vec::new());
        let digests = vec![digest_of(&zones)];
        Self { set: SET, zones, frames, digests, floor: Revision(0), snapshot: None }
    }

    pub(crate) fn head(&self) -> Revision {
        Revision(self.digests.len() as u64 - 1)
    }

    /// Commits a revision in a frame of its own: the zone gets an address record with this octet, or goes.
    pub(crate) fn commit(&mut self, zone: &str, octet: Option<u8>) {
        let (apex, revision) = (name(zone), self.head().next());
        let old = self.zones.remove(&apex);
        let mut writer = FrameWriter::new(self.set, self.head());
        let before = old.as_ref().map(Zone::revision);
        if let Some(octet) = octet {
            let start = old.unwrap_or_else(|| Zone::empty(&apex));
            let rdatas = vec![Box::from([192, 0, 2, octet])];
            let rrset = Rrset { owner: apex.clone(), rtype: Rtype::A, ttl: Ttl::from_wire(60), rdatas };
            let delta = start.resolve_whole([rrset]).unwrap();
            writer.push(&apex, before, Some(&delta)).unwrap();
            self.zones.insert(apex, start.apply(&delta, revision).unwrap().0);
        } else {
            writer.push(&apex, before, None).unwrap();
        }
        let digest = digest_of(&self.zones);
        self.digests.push(digest);
        self.frames.push(writer.finish(1_000 + revision.0, digest).into());
    }

    /// Takes a snapshot, a zone a block.
    pub(crate) fn take_snapshot(&mut self) {
        let blocks: Vec<Vec<u8>> = self.zones.values().map(|zone| image(zone.view())).collect();
        let (zones, octets) = (blocks.len() as u64, blocks.iter().map(|block| block.len() as u64).sum());
        let (revision, digest) = (self.head(), digest_of(&self.zones));
        let start = SnapshotStart { revision, at_ms: 7, digest, zones, blocks: zones, octets, from_block: 0 };
        self.snapshot = Some((start, blocks));
    }
}

impl History for Origin {
    fn set(&self) -> Option<SetId> {
        Some(self.set)
    }

    fn head(&self) -> Revision {
        Origin::head(self)
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn digest_at(&self, revision: Revision) -> Option<ShortDigest> {
        self.digests.get(usize::try_from(revision.0).unwrap()).copied()
    }

    fn frame_after(&self, revision: Revision) -> Next {
        match self.frames.get(usize::try_from(revision.0).unwrap()) {
            None => Next::Nothing,
            Some(_) if revision < self.floor => Next::TooOld,
            Some(bytes) => Next::Frame { last: revision.next(), bytes: Arc::clone(bytes) },
        }
    }

    fn snapshot(&self) -> Option<Box<dyn Snapshot>> {
        let (start, blocks) = self.snapshot.clone()?;
        Some(Box::new(Blocks { start, blocks }))
    }

    fn snapshot_at(&self, revision: Revision) -> Option<Box<dyn Snapshot>> {
        self.snapshot().filter(|snapshot| snapshot.start().revision == revision)
    }

    fn zones(&self, names: &[Name]) -> (Revision, Vec<(Name, Option<Zone>)>) {
        (self.head(), names.iter().map(|name| (name.clone(), self.zones.get(name).cloned())).collect())
    }
}

struct Blocks {
    start: SnapshotStart,
    blocks: Vec<Vec<u8>>,
}

impl Snapshot for Blocks {
    fn start(&self) -> SnapshotStart {
        self.start
    }

    fn block(&self, index: u64) -> Option<Vec<u8>> {
        self.blocks.get(usize::try_from(index).unwrap()).cloned()
    }
}

/// A follower's copy.
#[derive(Default)]
pub(crate) struct Replica {
    pub(crate) set: Option<SetId>,
    pub(crate) zones: Zones,
    pub(crate) revision: Revision,
    pub(crate) expected: Option<ShortDigest>,
    pub(crate) suspects: BTreeSet<Name>,
    pub(crate) receiving: Option<(SnapshotStart, Vec<Vec<u8>>)>,
    /// What to say instead of applying.
    pub(crate) trouble: Option<Trouble>,
    pub(crate) now_ms: u64,
}

impl Replica {
    fn applied(&mut self, suspects: Vec<Name>) -> Applied {
        self.suspects.extend(suspects.iter().cloned());
        Applied { position: self.position(), at_ms: self.now_ms, suspects }
    }
}

impl Local for Replica {
    fn set(&self) -> Option<SetId> {
        self.set
    }

    fn claim(&mut self, set: SetId) -> Result<(), Trouble> {
        self.set = Some(set);
        Ok(())
    }

    fn position(&self) -> Position {
        let digest = digest_of(&self.zones);
        Position { revision: self.revision, expected: self.expected.unwrap_or(digest), digest }
    }

    fn partial(&mut self) -> Option<Partial> {
        let (start, blocks) = self.receiving.as_ref()?;
        Some(Partial { revision: start.revision, digest: start.digest, blocks: blocks.len() as u64 })
    }

    fn suspects(&self) -> Vec<Name> {
        self.suspects.iter().cloned().collect()
    }

    fn apply(&mut self, frames: &[Arc<[u8]>]) -> Result<Applied, Trouble> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.clone());
        }
        let mut suspects = Vec::new();
        for bytes in frames {
            let frame = Frame::decode(bytes).unwrap();
            assert_eq!(frame.after, self.revision);
            for entry in frame.entries {
                self.revision = self.revision.next();
                let old = self.zones.get(&entry.zone).cloned();
                if !entry.exists {
                    self.zones.remove(&entry.zone);
                } else if old.as_ref().map(Zone::revision) == entry.before {
                    let start = old.unwrap_or_else(|| Zone::empty(&entry.zone));
                    self.zones.insert(entry.zone, start.apply(&entry.delta, self.revision).unwrap().0);
                } else {
                    suspects.push(entry.zone);
                }
            }
            self.expected = Some(frame.digest);
        }
        Ok(self.applied(suspects))
    }

    fn repair(&mut self, revision: Revision, zones: Vec<(Name, Option<Zone>)>) -> Result<Applied, Trouble> {
        assert_eq!(revision, self.revision);
        for (name, zone) in zones {
            self.suspects.remove(&name);
            self.zones.remove(&name);
            self.zones.extend(zone.map(|zone| (name, zone)));
        }
        Ok(self.applied(Vec::new()))
    }

    fn begin(&mut self, _: SetId, start: &SnapshotStart) -> Result<u64, Trouble> {
        let goes_on = |(old, _): &(SnapshotStart, _)| old.digest == start.digest;
        let blocks = self.receiving.take().filter(goes_on).map_or(Vec::new(), |(_, blocks)| blocks);
        let next = blocks.len() as u64;
        self.receiving = Some((*start, blocks));
        Ok(next)
    }

    fn block(&mut self, index: u64, bytes: &[u8]) -> Result<(), Trouble> {
        let (_, blocks) = self.receiving.as_mut().unwrap();
        if index != blocks.len() as u64 {
            return Err(Trouble::Never("another block".to_owned()));
        }
        blocks.push(bytes.to_vec());
        Ok(())
    }

    fn finish(&mut self) -> Result<Applied, Trouble> {
        let (start, blocks) = self.receiving.take().unwrap();
        let (mut zones, mut reader) = (Zones::new(), ImageReader::default());
        for block in blocks {
            reader.read(&block, &mut |zone| drop(zones.insert(zone.apex(), zone))).unwrap();
        }
        if digest_of(&zones) != start.digest {
            return Err(Trouble::Never("another digest".to_owned()));
        }
        (self.zones, self.revision, self.expected) = (zones, start.revision, Some(start.digest));
        Ok(self.applied(Vec::new()))
    }

    fn give_up(&mut self) {}
}

/// All zones of one side.
pub(crate) struct Seen<'a>(pub(crate) &'a Zones, pub(crate) Revision);

impl View for Seen<'_> {
    fn revision(&self) -> Revision {
        self.1
    }

    fn sums(&self) -> Vec<u128> {
        let mut sums = vec![0_u128; BUCKETS];
        for mark in self.0.values().map(|zone| ZoneMark::of(zone.view())) {
            let sum = &mut sums[usize::try_from(mark.name >> 48).unwrap()];
            *sum = sum.wrapping_add(mark.digest);
        }
        sums
    }

    fn marks(&self, buckets: &BTreeSet<u16>) -> Vec<ZoneMark> {
        let marks = self.0.values().map(|zone| ZoneMark::of(zone.view()));
        marks.filter(|mark| buckets.contains(&u16::try_from(mark.name >> 48).unwrap())).collect()
    }

    fn names(&self, hashes: &BTreeSet<u64>) -> Vec<Name> {
        let found = self.0.keys().filter(|name| hashes.contains(&ZoneMark::name_of(name.as_bytes())));
        found.cloned().collect()
    }

    fn verify(&self) -> Verified {
        let zones = self.0.len() as u64;
        Verified { revision: self.1, at_ms: 0, zones, octets: 0, digest: digest_of(self.0) }
    }
}
