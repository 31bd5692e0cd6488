//! Opening a mirror: the newest good snapshot, and the log on top of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use rokko_feed::SetId;
use rokko_feed::frame::Frame;
use rokko_wire::Name;
use rokko_zone::{Catalog, CatalogReader, Digest, Fill, ImageReader, Revision, ShortDigest, Zone};

use crate::disk::{Disk, DiskFile, read};
use crate::error::{Damages, Fault, MirrorError, failed};
use crate::load::{Sink, SnapshotFile};
use crate::log::{Chain, Log, Segment, Tip, revision_in};
use crate::mirror::{End, Mirror, Options, State};
use crate::segment::{HEADER_LEN, Header, Item, Kind, Records};
use crate::work::{Position, SUSPECTS_MAX, Work};

/// How many octets at the end of the log are written again at a start: more than one write has.
const REWRITTEN_OCTETS: u64 = 8 << 20;
/// So many zones are worked out before they are published.
const PUBLISH_ZONES: usize = 50_000;

/// What a start came upon.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// The last revision that is served.
    pub revision: Revision,
    /// How many zones there are.
    pub zones: usize,
    /// The revision of the snapshot that was read; `None`: there was none.
    pub snapshot: Option<Revision>,
    /// How many frames of the log were applied to it.
    pub frames: u64,
    /// What was damaged.
    pub damages: Damages,
    /// Whether the zones come to the digest that they should have at that revision.
    pub is_whole: bool,
}

/// The files of a folder.
#[derive(Default)]
struct Files {
    /// Oldest first.
    snapshots: Vec<(Revision, String)>,
    /// Oldest first.
    segments: Vec<(Revision, String)>,
    unfinished: Vec<String>,
}

impl Mirror {
    /// Opens the mirror in a folder, which may be empty, and publishes what it has in `catalog`, which is empty. Damage is no
    /// error: it is in the report, and what can be served is.
    pub fn open(
        disk: Arc<dyn Disk>,
        catalog: Arc<Catalog>,
        options: Options,
    ) -> Result<(Self, OpenReport), MirrorError> {
        let files = Files::list(&*disk)?;
        for name in &files.unfinished {
            disk.remove(name).map_err(failed("removing", name))?;
        }
        let mut opening = Opening {
            disk: &*disk,
            catalog: &catalog,
            threads: options.threads.max(1),
            report: OpenReport::default(),
            set: None,
            position: Position::default(),
            snapshots: Vec::new(),
            junk: Vec::new(),
            suspects: BTreeSet::new(),
            chain: Chain::default(),
            needs_new_segment: false,
            digests: Vec::new(),
        };
        opening.snapshot(&files.snapshots)?;
        opening.segments(&files.segments)?;
        let Opening { mut report, set, position, snapshots, junk, suspects, chain, needs_new_segment, digests, .. } =
            opening;
        report.revision = position.revision;
        report.zones = catalog.len();
        report.is_whole = position.matches();
        let (log, tip) = finish_log(&disk, &options, chain, &mut report)?;
        let state = State {
            set,
            position,
            tip,
            snapshots,
            junk,
            suspects,
            is_stale: !report.damages.is_empty(),
            end: if needs_new_segment { End::Closed } else { End::Open },
            is_compacting: false,
        };
        let mirror = Self::assemble(disk, catalog, options, log, state);
        for (revision, digest) in digests {
            mirror.recent().note(revision, digest);
        }
        Ok((mirror, report))
    }
}

/// Cuts what does not count off the last segment and makes sure of the rest.
fn finish_log(
    disk: &Arc<dyn Disk>,
    options: &Options,
    chain: Chain,
    report: &mut OpenReport,
) -> Result<(Log, Tip), MirrorError> {
    let mut tip = Tip::default();
    if let Some(last) = chain.segments.last() {
        let size = last.file.size().map_err(failed("reading", &last.name))?;
        // A full disk or a broken one must not keep the node from answering: then it is done before the next append.
        let cut = if size > last.len { last.file.set_len(last.len) } else { Ok(()) };
        if cut.and_then(|()| rewrite_end(&*last.file, last.len)).and_then(|()| last.file.sync()).is_ok() {
            tip = Tip::at(last.len);
        } else {
            tip.mark_rest();
            report.damages.push(&last.name, last.len, Fault::Unreadable);
        }
    }
    Ok((Log::new(Arc::clone(disk), options.seed, options.segment_octets_max, chain), tip))
}

/// Writes the last octets of a segment once more. After a sync that failed they can be read and count as written, and yet are
/// gone when the power fails; what was answered with them would be, too.
fn rewrite_end(file: &dyn DiskFile, len: u64) -> std::io::Result<()> {
    let from = len.saturating_sub(REWRITTEN_OCTETS);
    let end = read(file, from, usize::try_from(len - from).unwrap_or(0))?;
    file.write_at(&end, from)
}

impl Files {
    fn list(disk: &dyn Disk) -> Result<Self, MirrorError> {
        let mut files = Self::default();
        for name in disk.list().map_err(failed("listing", "the folder"))? {
            if let Some(revision) = revision_in(&name, "snapshot-", ".rks") {
                files.snapshots.push((revision, name));
            } else if let Some(revision) = revision_in(&name, "log-", ".rkl") {
                files.segments.push((revision, name));
            } else if name.starts_with("compaction-") && name.ends_with(".partial") {
                files.unfinished.push(name);
            }
        }
        files.snapshots.sort();
        files.segments.sort();
        Ok(files)
    }
}

struct Opening<'a> {
    disk: &'a dyn Disk,
    catalog: &'a Arc<Catalog>,
    threads: usize,
    report: OpenReport,
    set: Option<SetId>,
    position: Position,
    snapshots: Vec<SnapshotFile>,
    junk: Vec<String>,
    suspects: BTreeSet<Name>,
    chain: Chain,
    needs_new_segment: bool,
    /// What the digest was to be at past revisions.
    digests: Vec<(Revision, ShortDigest)>,
}

struct Filling<'c>(Fill<'c>);

impl Sink for Filling<'_> {
    fn zone(&mut self, zone: Zone) {
        self.0.push(zone);
    }
}

impl Opening<'_> {
    /// Fills the catalog from the newest snapshot that is undamaged; if there is none, from what is left of the newest.
    fn snapshot(&mut self, names: &[(Revision, String)]) -> Result<(), MirrorError> {
        let mut files = Vec::new();
        for (revision, name) in names.iter().rev() {
            match SnapshotFile::open(self.disk, name, *revision, &mut self.report.damages)? {
                Some(file) => {
                    self.check_set(file.header.set)?;
                    files.push(file);
                }
                None => self.junk.push(name.clone()),
            }
        }
        let count = files.len();
        for (index, file) in files.iter_mut().enumerate() {
            let (fills, damages) = read_zones(self.catalog, self.threads, file);
            let is_good = damages.is_empty();
            file.is_good &= is_good;
            self.report.damages.extend(damages);
            if is_good || count == 1 {
                self.fill(file, fills, is_good);
                break;
            }
            drop(fills);
            if index + 1 == count {
                let (fills, _) = read_zones(self.catalog, self.threads, &files[0]);
                self.fill(&files[0], fills, false);
                break;
            }
        }
        files.reverse();
        self.snapshots = files;
        Ok(())
    }

    fn fill(&mut self, file: &SnapshotFile, fills: Vec<Filling<'_>>, is_good: bool) {
        self.catalog.fill(fills.into_iter().map(|filling| filling.0).collect());
        let header = &file.header;
        let digest = if is_good { header.digest.clone() } else { digest_of(self.catalog) };
        self.position = Position { revision: header.revision, at_ms: header.at_ms, digest, expected: header.expected };
        self.report.snapshot = Some(header.revision);
        self.digests.push((header.revision, header.expected));
    }

    /// Applies the log, oldest segment first.
    fn segments(&mut self, names: &[(Revision, String)]) -> Result<(), MirrorError> {
        let has_base = self.report.snapshot.is_some() || names.first().is_some_and(|(after, _)| after.0 == 0);
        if !has_base {
            // Changes without what they change are of no use.
            for (_, name) in names {
                self.report.damages.push(name, 0, Fault::Gap);
                self.disk.remove(name).map_err(failed("removing", name))?;
            }
            return Ok(());
        }
        let base = self.position.revision;
        self.chain.floor = names.first().map_or(base, |&(after, _)| after);
        for (index, (after, name)) in names.iter().enumerate() {
            let next = names.get(index + 1).map(|&(after, _)| after);
            let file: Arc<dyn DiskFile> = self.disk.open(name).map_err(failed("opening", name))?.into();
            let is_needed = next.is_none_or(|next| next > base);
            self.segment(*after, name, file, next, is_needed)?;
        }
        Ok(())
    }

    fn segment(
        &mut self,
        after: Revision,
        name: &str,
        file: Arc<dyn DiskFile>,
        next: Option<Revision>,
        is_needed: bool,
    ) -> Result<(), MirrorError> {
        let size = file.size().map_err(failed("reading", name))?;
        let len = if is_needed { size } else { HEADER_LEN as u64 };
        let len = usize::try_from(len).map_err(|error| failed("reading", name)(std::io::Error::other(error)))?;
        let mut bytes = self.read_segment(&*file, name, len);
        let version = |source| MirrorError::Version { file: name.to_owned(), source };
        let is_right = |header: &Header| header.after == after;
        let mut found = Header::decode(&bytes).map_err(version)?.filter(is_right);
        if found.is_none() {
            bytes = self.read_segment(&*file, name, usize::try_from(size).unwrap_or(len));
            found = self.recover_header(after, name, &bytes, next.is_none());
            // A full or broken disk leaves it as it is, to be found out again at the next start.
            let _ = found.map(|header| file.write_at(&header.encode(), 0).and_then(|()| file.sync()));
        }
        let Some(header) = found else {
            // Its name may be wanted for the next segment. A file that can't be removed is overwritten then.
            let _ = self.disk.remove(name);
            self.chain.floor = next.unwrap_or(self.position.revision);
            self.needs_new_segment |= next.is_none();
            return Ok(());
        };
        self.check_set(header.set)?;
        let mut segment = Segment::new(name.to_owned(), header, file);
        if is_needed {
            self.replay(&mut segment, &bytes, next.is_none())?;
        } else {
            segment.leave_out(next.unwrap_or(after), size);
        }
        self.chain.segments.push(segment);
        Ok(())
    }

    fn read_segment(&mut self, file: &dyn DiskFile, name: &str, len: usize) -> Vec<u8> {
        read(file, 0, len).unwrap_or_else(|_| {
            self.report.damages.push(name, 0, Fault::Unreadable);
            Vec::new()
        })
    }

    fn recover_header(&mut self, after: Revision, name: &str, bytes: &[u8], is_last: bool) -> Option<Header> {
        let recovered = Header::recover(bytes, self.set, after);
        // A segment is made durable before its first record, so one without any may be unfinished.
        let is_unfinished = is_last && bytes.len() <= HEADER_LEN;
        let fault = match recovered {
            Some(_) => Fault::Header,
            None if is_unfinished => Fault::Unfinished,
            None => Fault::File,
        };
        self.report.damages.push(name, 0, fault);
        self.needs_new_segment |= is_last;
        recovered
    }

    /// Applies a segment's records.
    fn replay(&mut self, segment: &mut Segment, bytes: &[u8], is_last: bool) -> Result<(), MirrorError> {
        let header = segment.header;
        let mut work = Work::new(self.catalog, self.position.clone());
        let mut images = ImageReader::default();
        // A snapshot begins a segment, so what was repaired in segments before it is in it.
        let repairs_count = self.report.snapshot.is_none_or(|base| header.after >= base);
        for item in Records::new(bytes, &header) {
            match item {
                Item::Record { offset, kind, body } => {
                    if kind != Kind::Images && !images.is_between_images() {
                        self.report.damages.push(&segment.name, offset as u64, Fault::Record);
                        images = ImageReader::default();
                    }
                    match kind {
                        Kind::Frame => self.frame(&mut work, segment, offset as u64, body)?,
                        _ if !repairs_count => {}
                        Kind::Images => {
                            let mut zones = Vec::new();
                            if images.read(body, &mut |zone| zones.push(zone)).is_err() {
                                self.report.damages.push(&segment.name, offset as u64, Fault::Record);
                                images = ImageReader::default();
                            }
                            for zone in zones {
                                work.replace(zone.apex(), Some(zone));
                            }
                        }
                        Kind::Gone => match Name::from_wire(body) {
                            Ok((name, len)) if len == body.len() => work.replace(name, None),
                            _ => self.report.damages.push(&segment.name, offset as u64, Fault::Record),
                        },
                    }
                    segment.len = (offset + crate::segment::RECORD_HEADER_LEN + body.len()) as u64;
                }
                Item::Damage { offset, .. } => {
                    self.report.damages.push(&segment.name, offset as u64, Fault::Frames);
                    self.needs_new_segment |= is_last;
                }
                Item::Tail { offset } => {
                    let fault = if is_last { Fault::Unfinished } else { Fault::Frames };
                    self.report.damages.push(&segment.name, offset as u64, fault);
                }
            }
            if work.zones.len() >= PUBLISH_ZONES {
                let position = self.publish(work);
                work = Work::new(self.catalog, position);
            }
        }
        self.position = self.publish(work);
        Ok(())
    }

    fn frame(
        &mut self,
        work: &mut Work<'_>,
        segment: &mut Segment,
        offset: u64,
        body: &[u8],
    ) -> Result<(), MirrorError> {
        let Ok(head) = Frame::peek(body) else {
            // The checksum is right: a later version of the program wrote it.
            Frame::peek(body)?;
            return Ok(());
        };
        self.check_set(head.set)?;
        if head.after > segment.last {
            self.chain.floor = head.after;
        }
        segment.note(head.after, head.last, offset);
        if head.last <= work.position.revision {
            return Ok(());
        }
        if head.after > work.position.revision {
            self.report.damages.push(&segment.name, offset, Fault::Gap);
            self.chain.floor = head.after;
        }
        work.frame(Frame::decode(body)?);
        self.report.frames += 1;
        self.digests.push((head.last, head.digest));
        Ok(())
    }

    fn publish(&mut self, work: Work<'_>) -> Position {
        self.catalog.publish(work.zones);
        self.suspects.retain(|name| !work.healed.contains(name));
        self.suspects.extend(work.suspects);
        while self.suspects.len() > SUSPECTS_MAX {
            self.suspects.pop_last();
        }
        work.position
    }

    fn check_set(&mut self, found: SetId) -> Result<(), MirrorError> {
        match self.set {
            Some(own) if own != found => Err(MirrorError::OtherSet { found, own }),
            _ => {
                self.set = Some(found);
                Ok(())
            }
        }
    }
}

/// Reads all zones of a snapshot that are not damaged.
fn read_zones<'c>(catalog: &'c Catalog, threads: usize, file: &SnapshotFile) -> (Vec<Filling<'c>>, Damages) {
    let mut fills: Vec<_> = (0..threads).map(|_| Filling(catalog.start_fill())).collect();
    let passed = file.read_all(&mut fills);
    (fills, passed.damages)
}

/// The digest of all zones in a catalog that nobody changes meanwhile.
pub(crate) fn digest_of(catalog: &Arc<Catalog>) -> Digest {
    let reader = CatalogReader::new(Arc::clone(catalog));
    let mut digest = Digest::default();
    (0..CatalogReader::PARTS).flat_map(|part| reader.zones_in(part)).for_each(|zone| digest.add_zone(zone));
    digest
}
