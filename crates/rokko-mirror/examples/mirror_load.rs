//! How long a mirror takes: `cargo run --release --example mirror_load -- [zones] [changes] [folder]`.
//!
//! Makes so many zones of six records, writes them as a snapshot, applies so many changes, once in frames of one and once
//! in frames of fifty, and opens the mirror again, twice.

// What the example prints is what it is for.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rokko_feed::SetId;
use rokko_feed::frame::FrameWriter;
use rokko_mirror::{Announced, Durability, Folder, Mirror, Options};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Catalog, Digest, Revision, Rrset, Ttl, Zone};

const SET: SetId = SetId([1; 16]);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let total: u64 = arguments.next().map_or(Ok(2000), |text| text.parse())?;
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("rokko-mirror-load"), PathBuf::from);
    let _ = std::fs::remove_dir_all(&folder);

    let (mirror, _) = open(&folder)?;
    let start = Instant::now();
    let mut digest = Digest::default();
    let mut fill = mirror.catalog().start_fill();
    for number in 1..=count {
        let zone = zone(number, Revision(number), 1)?;
        digest.add_zone(zone.view());
        fill.push(zone);
    }
    mirror.catalog().fill(vec![fill]);
    println!("{count} zones made and digested: {:?}", start.elapsed());
    mirror.adopt(SET, Revision(count), 0, digest)?;
    compact(&mirror)?;

    let mut revision = count;
    for changes in [1, 50] {
        let mut digest = mirror.digest();
        let mut frames = Vec::new();
        for number in 0..total / changes {
            let first = 1 + number * changes + if changes > 1 { total } else { 0 };
            frames.push(frame(&mirror, &mut digest, revision, first, changes)?);
            revision += changes;
        }
        let start = Instant::now();
        for frame in &frames {
            if !mirror.apply(std::slice::from_ref(frame))?.matches {
                return Err("the digest differs".into());
            }
        }
        per("apply, durably, per frame", start.elapsed(), frames.len() as u64);
        per("  of it per change", start.elapsed(), total);
    }
    drop(mirror);

    for _ in 0..2 {
        let start = Instant::now();
        let (mirror, report) = open(&folder)?;
        println!("open with {} frames in the log: {:?}, {} zones", report.frames, start.elapsed(), report.zones);
        if !report.is_whole || report.zones as u64 != count {
            return Err(format!("{report:?}").into());
        }
        let start = Instant::now();
        drop(mirror);
        println!("  closed: {:?}", start.elapsed());
    }
    audits(&folder)?;
    transfer(&folder)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn open(folder: &std::path::Path) -> Result<(Arc<Mirror>, rokko_mirror::OpenReport), Failure> {
    let options = Options { durability: Durability::Synced, seed: 7, ..Options::default() };
    let (mirror, report) = Mirror::open(Arc::new(Folder::open(folder)?), Arc::new(Catalog::new(7)), options)?;
    Ok((Arc::new(mirror), report))
}

fn compact(mirror: &Arc<Mirror>) -> Result<(), Failure> {
    let start = Instant::now();
    let mut compaction = mirror.start_compaction()?.ok_or("no compaction")?;
    let (began, mut longest) = (start.elapsed(), Duration::ZERO);
    loop {
        let step = Instant::now();
        let is_done = compaction.step(4 << 20)?;
        longest = longest.max(step.elapsed());
        if is_done {
            break;
        }
    }
    let octets = mirror.snapshot().map_or(0, |snapshot| snapshot.header().octets);
    println!(
        "compaction: {:?} for {} MiB; begun in {began:?}, longest step {longest:?}",
        start.elapsed(),
        octets >> 20
    );
    Ok(())
}

fn audits(folder: &std::path::Path) -> Result<(), Failure> {
    let (mirror, _) = open(folder)?;
    let start = Instant::now();
    let mut verify = mirror.verify();
    while verify.step(100_000).is_none() {}
    println!("every octet verified: {:?}", start.elapsed());
    let start = Instant::now();
    let sums = mirror.view().sums();
    println!("sums of {} buckets: {:?}", sums.len(), start.elapsed());
    compact(&mirror)
}

fn transfer(folder: &std::path::Path) -> Result<(), Failure> {
    let (source, _) = open(folder)?;
    let target_folder = folder.join("target");
    let (target, _) = open(&target_folder)?;
    let snapshot = source.snapshot().ok_or("no snapshot")?;
    let start = Instant::now();
    let mut installer = target.install(&Announced::of(snapshot.header()))?;
    for number in 0..snapshot.header().blocks {
        installer.block(number, &snapshot.block(&source, number)?)?;
    }
    println!("blocks of a snapshot taken: {:?}", start.elapsed());
    let start = Instant::now();
    installer.finish()?;
    println!("  checked and published: {:?}, {} zones", start.elapsed(), target.catalog().len());
    Ok(())
}

fn per(what: &str, elapsed: Duration, count: u64) {
    let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    println!("{what}: {:.1} us", elapsed.as_secs_f64() * 1e6 / f64::from(count));
}

/// A zone with an SOA record, two NS records, and three addresses.
fn zone(number: u64, revision: Revision, octet: u8) -> Result<Zone, Failure> {
    let apex: Name = format!("zone{number}.example.").parse()?;
    Ok(Zone::build(&apex, revision, contents(&apex, octet)?)?)
}

fn contents(apex: &Name, octet: u8) -> Result<Vec<Rrset>, Failure> {
    let rrset = |owner: &str, rtype, rdatas: Vec<Box<[u8]>>| -> Result<Rrset, Failure> {
        Ok(Rrset { owner: format!("{owner}{apex}").parse()?, rtype, ttl: Ttl::from_wire(3600), rdatas })
    };
    let ns1: Name = "ns1.provider.example.".parse()?;
    let ns2: Name = "ns2.provider.example.".parse()?;
    let soa = [ns1.as_bytes(), ns2.as_bytes(), &[0, 0, 0, 1, 0, 0, 14, 16, 0, 0, 3, 132, 0, 9, 58, 128, 0, 0, 1, 44]]
        .concat();
    let address = |last| vec![Box::from([192, 0, 2, last])];
    Ok(vec![
        rrset("", Rtype::SOA, vec![soa.into()])?,
        rrset("", Rtype::NS, vec![ns1.as_bytes().into(), ns2.as_bytes().into()])?,
        rrset("", Rtype::A, address(octet))?,
        rrset("www.", Rtype::A, address(octet))?,
        rrset("mail.", Rtype::A, address(octet))?,
    ])
}

fn frame(mirror: &Mirror, digest: &mut Digest, after: u64, first: u64, changes: u64) -> Result<Arc<[u8]>, Failure> {
    let mut writer = FrameWriter::new(SET, Revision(after));
    for change in 0..changes {
        let apex: Name = format!("zone{}.example.", first + change).parse()?;
        let zone = mirror.catalog().zone(&apex).ok_or("no such zone")?;
        let delta = zone.resolve_whole(contents(&apex, 77)?)?;
        let (next, _) = zone.apply(&delta, Revision(after + 1 + change))?;
        writer.push(&apex, Some(zone.revision()), Some(&delta))?;
        digest.replace(Some(&zone), Some(&next), &delta);
    }
    Ok(writer.finish(0, digest.short()).into())
}
