//! A control plane in small: zones that change at random, and all that they ever were.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rokko_feed::SetId;
use rokko_feed::frame::FrameWriter;
use rokko_mirror::sim::SimDisk;
use rokko_mirror::{Durability, Mirror, Next, OpenReport, Options};
use rokko_wire::{Name, Rtype};
use rokko_zone::image::image;
use rokko_zone::{Catalog, CatalogReader, Delta, Digest, Revision, Rrset, ShortDigest, Ttl, Zone, ZoneMark, ZoneRef};

pub(crate) const SET: SetId = SetId([7; 16]);

/// The one truth.
pub(crate) struct Origin {
    random: u64,
    pub(crate) zones: BTreeMap<Name, Zone>,
    pub(crate) digest: Digest,
    pub(crate) frames: Vec<Arc<[u8]>>,
    /// What there was at each revision, from 0 on.
    pub(crate) states: Vec<(BTreeMap<Name, Zone>, ShortDigest)>,
    names: u64,
    /// One zone in so many is large.
    large: u64,
}

impl Origin {
    pub(crate) fn new(seed: u64, names: u64, large: u64) -> Self {
        let digest = Digest::default();
        let states = vec![(BTreeMap::new(), digest.short())];
        Self { random: seed, zones: BTreeMap::new(), digest, frames: Vec::new(), states, names, large }
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision(self.states.len() as u64 - 1)
    }

    /// A frame of so many changes.
    pub(crate) fn frame(&mut self, changes: u64) -> Arc<[u8]> {
        let mut writer = FrameWriter::new(SET, self.revision());
        for _ in 0..changes {
            let number = self.below(self.names);
            let name: Name = format!("z{number}.example.").parse().unwrap();
            self.change(&mut writer, &name, number.is_multiple_of(self.large));
        }
        let bytes: Arc<[u8]> = writer.finish(1_000 + self.revision().0, self.digest.short()).into();
        self.frames.push(Arc::clone(&bytes));
        bytes
    }

    fn change(&mut self, writer: &mut FrameWriter, name: &Name, is_large: bool) {
        let revision = self.revision().next();
        let old = self.zones.get(name).cloned();
        let before = old.as_ref().map(Zone::revision);
        if old.is_some() && self.below(5) == 0 {
            writer.push(name, before, None).unwrap();
            self.digest.replace(old.as_ref(), None, &Delta::default());
            self.zones.remove(name);
        } else {
            let contents = self.contents(name, is_large);
            let start = old.clone().unwrap_or_else(|| Zone::empty(name));
            let delta = start.resolve_whole(contents).unwrap();
            let (zone, _) = start.apply(&delta, revision).unwrap();
            writer.push(name, before, Some(&delta)).unwrap();
            self.digest.replace(old.as_ref(), Some(&zone), &delta);
            self.zones.insert(name.clone(), zone);
        }
        self.states.push((self.zones.clone(), self.digest.short()));
    }

    fn contents(&mut self, name: &Name, is_large: bool) -> Vec<Rrset> {
        let count = if is_large { 100 + self.below(100) } else { 1 + self.below(4) };
        let mut rrset = |label: String, rtype, len: usize| {
            let owner = format!("{label}{name}").parse().unwrap();
            let octet = u8::try_from(self.below(250)).unwrap();
            Rrset { owner, rtype, ttl: Ttl::from_wire(300), rdatas: vec![vec![octet; len].into()] }
        };
        let mut rrsets = vec![rrset(String::new(), Rtype::A, 4)];
        rrsets
            .extend((0..count).map(|number| rrset(format!("n{number}."), Rtype::TXT, if is_large { 200 } else { 9 })));
        rrsets
    }

    /// Whether what the mirror serves is exactly what there was at its revision.
    pub(crate) fn check(&self, mirror: &Mirror) {
        let revision = mirror.revision();
        let (zones, digest) = &self.states[usize::try_from(revision.0).unwrap()];
        assert!(same(zones, &served(mirror)), "at {revision} other zones are served");
        let (at, _, expected, own) = mirror.position();
        assert_eq!((at, expected, own), (revision, *digest, *digest));
        assert!(mirror.suspects().is_empty());
        let verified = verify(mirror);
        assert!(verified.matches && verified.matches_kept);
    }

    /// Whether each zone that is served is one that there was.
    pub(crate) fn check_each(&self, mirror: &Mirror) {
        let names: BTreeSet<&Name> = self.states.iter().flat_map(|(zones, _)| zones.keys()).collect();
        let mut count = 0;
        for name in names {
            let Some(zone) = mirror.catalog().zone(name) else { continue };
            let was = |(zones, _): &(BTreeMap<Name, Zone>, _)| {
                zones.get(name).is_some_and(|other| image(other.view()) == image(zone.view()))
            };
            assert!(self.states.iter().any(was), "{name} never was as it is served");
            count += 1;
        }
        assert_eq!(mirror.catalog().len(), count);
    }

    /// Does what the feed does: sends what is missing, and then puts right what differs.
    pub(crate) fn bring_up(&self, mirror: &Arc<Mirror>) {
        while mirror.revision() < self.revision() {
            let revision = mirror.revision();
            let next = self.frames.iter().find(|bytes| {
                let head = rokko_feed::frame::Frame::peek(bytes).unwrap();
                head.after <= revision && revision < head.last
            });
            mirror.apply(&[Arc::clone(next.unwrap())]).unwrap();
        }
        let mut own = BTreeMap::new();
        for zone in self.zones.values() {
            *own.entry(bucket(zone)).or_insert(0_u128) =
                own.get(&bucket(zone)).copied().unwrap_or(0).wrapping_add(ZoneMark::of(zone.view()).digest);
        }
        let view = mirror.view();
        let sums = view.sums();
        let differ: BTreeSet<u16> = (0..=u16::MAX)
            .filter(|&number| sums[usize::from(number)] != own.get(&number).copied().unwrap_or(0))
            .collect();
        if !differ.is_empty() {
            let marks = view.marks(&differ);
            let is_right = |zone: &Zone| marks.contains(&ZoneMark::of(zone.view()));
            let zones = self.zones.values().filter(|zone| differ.contains(&bucket(zone)));
            let known: BTreeSet<u64> = zones.clone().map(|zone| ZoneMark::of(zone.view()).name).collect();
            let mut repair: Vec<_> =
                zones.filter(|zone| !is_right(zone)).map(|zone| (zone.apex(), Some(zone.clone()))).collect();
            let too_many = marks.iter().map(|mark| mark.name).filter(|name| !known.contains(name)).collect();
            repair.extend(view.names(&too_many).into_iter().map(|name| (name, None)));
            assert!(mirror.repair(view.revision(), repair).unwrap().matches);
        }
        self.check(mirror);
    }
}

pub(crate) fn verify(mirror: &Mirror) -> rokko_mirror::Verified {
    let mut verify = mirror.verify();
    loop {
        if let Some(verified) = verify.step(3) {
            return verified;
        }
    }
}

fn bucket(zone: &Zone) -> u16 {
    u16::try_from(ZoneMark::of(zone.view()).name >> 48).unwrap()
}

pub(crate) fn served(mirror: &Mirror) -> BTreeMap<Name, Zone> {
    let reader = CatalogReader::new(Arc::clone(mirror.catalog()));
    let names: Vec<Name> =
        (0..CatalogReader::PARTS).flat_map(|part| reader.zones_in(part)).map(ZoneRef::apex).collect();
    names.into_iter().map(|name| (name.clone(), mirror.catalog().zone(&name).unwrap())).collect()
}

pub(crate) fn same(a: &BTreeMap<Name, Zone>, b: &BTreeMap<Name, Zone>) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((_, a), (_, b))| {
            // Versions that share all their pages are the common case.
            a.revision() == b.revision() && image(a.view()) == image(b.view())
        })
}

pub(crate) fn options() -> Options {
    Options {
        threads: 1,
        seed: 5,
        compaction_octets_min: 1 << 20,
        durability: Durability::Synced,
        ..Options::default()
    }
}

pub(crate) fn open(disk: &SimDisk) -> (Arc<Mirror>, OpenReport) {
    open_with(disk, options())
}

pub(crate) fn open_with(disk: &SimDisk, options: Options) -> (Arc<Mirror>, OpenReport) {
    let (mirror, report) = Mirror::open(Arc::new(disk.clone()), Arc::new(Catalog::new(3)), options).unwrap();
    assert_eq!((report.revision, report.zones), (mirror.revision(), mirror.catalog().len()));
    (Arc::new(mirror), report)
}

pub(crate) fn compact(mirror: &Arc<Mirror>) {
    let mut compaction = mirror.start_compaction().unwrap().unwrap();
    while !compaction.step(1).unwrap() {}
}

/// All frames that the mirror has after `revision`.
pub(crate) fn frames_after(mirror: &Mirror, mut revision: Revision) -> Option<Vec<Arc<[u8]>>> {
    let mut frames = Vec::new();
    loop {
        match mirror.frame_after(revision) {
            Next::Frame { last, bytes } => {
                assert!(last > revision);
                revision = last;
                frames.push(bytes);
            }
            Next::Nothing => return Some(frames),
            Next::TooOld => return None,
        }
    }
}
