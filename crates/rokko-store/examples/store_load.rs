//! Measures the SQLite store: many small zones, one large zone, single changes and loading.
//!
//! `cargo run --release -p rokko-store --example store_load [FOLDER]`. The figures are those of the store alone:
//! commits are worked out before each clock starts.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rokko_model::{Actor, ChangeKind, UnixMillis, ZoneMeta};
use rokko_store::{Commit, NewState, SqliteStore, Store, VersionBefore};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Edit, Revision, Rrset, ShortDigest, Ttl, Zone};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const SMALL_ZONES: u32 = 100_000;
const BATCH: u32 = 1_000;
const LARGE_NAMES: u32 = 1_000_000;
const SINGLE_CHANGES: u32 = 2_000;

fn main() -> Outcome<()> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let folder = folder.join(format!("rokko-store-load-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let outcome = measure(&folder.join("store.db"));
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn measure(path: &Path) -> Outcome<()> {
    let store = SqliteStore::open(path)?;
    small_zones(&store)?;
    large_zone(&store)?;
    single_changes(&store)?;
    let start = Instant::now();
    store.zones(Some(&"zone50000.example.".parse()?), 1_000, &rokko_store::ZoneFilter::default())?;
    report("1,000 zones from the middle of the list", start.elapsed())?;
    drop(store);
    let start = Instant::now();
    let store = SqliteStore::open(path)?;
    report("opening again", start.elapsed())?;
    let (start, mut records) = (Instant::now(), 0);
    store.load_all(&mut |zone| records += zone.records())?;
    report(&format!("load_all, {records} records"), start.elapsed())?;
    let start = Instant::now();
    store.backup(&path.with_extension("backup"), &mut |_, _| {})?;
    let octets = std::fs::metadata(path)?.len();
    report(&format!("backup of {} MiB", octets >> 20), start.elapsed())
}

fn small_zones(store: &dyn Store) -> Outcome<()> {
    let mut taken = Duration::ZERO;
    let mut slowest = Duration::ZERO;
    for batch in 0..SMALL_ZONES / BATCH {
        let mut commits = Vec::new();
        for n in 0..BATCH {
            // A step that is prime to the number of zones gives them in no order.
            let number = u64::from(batch * BATCH + n) * 61_681 % u64::from(SMALL_ZONES);
            let apex: Name = format!("zone{number}.example.").parse()?;
            commits.push(create(&apex, small_contents(&apex)?)?);
        }
        let start = Instant::now();
        store.append(&commits)?;
        taken += start.elapsed();
        slowest = slowest.max(start.elapsed());
    }
    report("100,000 zones of six records in calls of 1,000", taken)?;
    report("  the slowest call", slowest)
}

fn large_zone(store: &dyn Store) -> Outcome<()> {
    let apex: Name = "large.test.".parse()?;
    let mut rrsets = small_contents(&apex)?;
    for n in 0..LARGE_NAMES {
        rrsets.push(rrset(&apex.child(format!("host{n:07}").as_bytes())?, Rtype::A, n.to_be_bytes().to_vec()));
    }
    let commits = [create(&apex, rrsets)?];
    let start = Instant::now();
    store.append(&commits)?;
    report("one zone of 1,000,000 names", start.elapsed())?;
    let start = Instant::now();
    store.load_zone(&apex)?;
    report("load_zone of it", start.elapsed())
}

fn single_changes(store: &dyn Store) -> Outcome<()> {
    let mut times = Vec::new();
    for n in 0..SINGLE_CHANGES {
        let apex: Name = format!("zone{}.example.", u64::from(n) * 7_919 % u64::from(SMALL_ZONES)).parse()?;
        let (record, zone) = store.load_zone(&apex)?.ok_or("the zone exists")?;
        let edit = Edit::Replace(rrset(&apex, Rtype::TXT, format!("\x08{n:08}").into_bytes()));
        let commit = commit(&zone, VersionBefore::At(record.revision), None, &[edit])?;
        let start = Instant::now();
        store.append(&[commit])?;
        times.push(start.elapsed());
    }
    times.sort();
    report("one change: median", times[times.len() / 2])?;
    report("  99 of 100 within", times[times.len() * 99 / 100])?;
    report("  the slowest", times[times.len() - 1])
}

fn small_contents(apex: &Name) -> Outcome<Vec<Rrset>> {
    let mut soa = vec![0, 0];
    soa.extend([1_u32, 7200, 3600, 1_209_600, 300].iter().flat_map(|number| number.to_be_bytes()));
    let mut servers = rrset(apex, Rtype::NS, b"\x03ns1\x04test\x00".to_vec());
    servers.rdatas.push((*b"\x03ns2\x04test\x00").into());
    Ok(vec![
        rrset(apex, Rtype::SOA, soa),
        servers,
        rrset(apex, Rtype::A, vec![192, 0, 2, 1]),
        rrset(&apex.child(b"www")?, Rtype::A, vec![192, 0, 2, 2]),
        rrset(apex, Rtype::TXT, b"\x06v=spf1".to_vec()),
    ])
}

fn rrset(owner: &Name, rtype: Rtype, rdata: Vec<u8>) -> Rrset {
    Rrset { owner: owner.clone(), rtype, ttl: Ttl::from_wire(3600), rdatas: vec![rdata.into()] }
}

fn create(apex: &Name, rrsets: Vec<Rrset>) -> Outcome<Commit> {
    let edits: Vec<Edit> = rrsets.into_iter().map(Edit::Extend).collect();
    commit(&Zone::empty(apex), VersionBefore::Absent, Some(ZoneMeta::default()), &edits)
}

fn commit(zone: &Zone, before: VersionBefore, meta: Option<ZoneMeta>, edits: &[Edit]) -> Outcome<Commit> {
    let delta = zone.resolve(edits)?;
    let (next, pages) = zone.apply(&delta, Revision(0))?;
    Ok(Commit {
        zone: zone.apex(),
        before,
        at: UnixMillis(1_700_000_000_000),
        actor: Actor { name: "load".to_owned(), address: String::new() },
        reason: String::new(),
        kind: if meta.is_some() { ChangeKind::Import } else { ChangeKind::Edit },
        delta,
        after: NewState::Present { serial: next.serial(), records: next.records(), meta, pages },
        digest: ShortDigest([0; 32]),
    })
}

fn report(what: &str, time: Duration) -> Outcome<()> {
    writeln!(std::io::stdout(), "{what:<50} {:>10.3} ms", time.as_secs_f64() * 1000.0)?;
    Ok(())
}
