//! Kills a process that appends, again and again, and looks at what it left.
//!
//! The child is this test binary. It prints a line for each change once the store has acknowledged it; a line
//! that the parent has read is a promise that the store has to keep.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rokko_model::ZoneMeta;
use rokko_store::contract::model::{Model, Random, Step, check_whole, name, txt};
use rokko_store::{SqliteStore, Store, VersionBefore};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Edit, Revision};
use tempfile::TempDir;

const STORE: &str = "ROKKO_STORE_TEST_KILLED";
const SEED: &str = "ROKKO_TEST_SEED";
const KILLS: u32 = 120;
/// So many kills hit one store before the next one starts empty.
const KILLS_PER_STORE: u32 = 8;
const THREADS: u64 = 3;
const DELETED: &str = "-";

/// The zone of an acknowledged revision, and the text that it put at the apex.
type Promises = BTreeMap<Revision, (Name, String)>;

struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat: {SEED}={}", self.0);
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(path) = std::env::var_os(STORE) {
        return append_until_killed(&PathBuf::from(path));
    }
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = std::env::var(SEED).map_or(u64::from(clock.subsec_nanos()), |text| text.parse().unwrap());
    let seed = Seed(seed);
    let mut random = Random(seed.0);
    let (mut folder, mut promises, mut kept) = (TempDir::new().unwrap(), Promises::new(), 0);
    for kill in 0..KILLS {
        if kill % KILLS_PER_STORE == 0 {
            kept += promises.len();
            (folder, promises) = (TempDir::new().unwrap(), Promises::new());
        }
        let path = folder.path().join("store.db");
        run_and_kill(&path, &Moment::any(&mut random), random.below(u64::MAX), &mut promises);
        let store = SqliteStore::open(&path).expect("a killed store opens");
        check_promises(&store, &promises);
        check_pairs(&store);
        check_whole(&store);
    }
    kept += promises.len();
    // Were there few, the kills would have met idle stores.
    assert!(kept > 10 * KILLS as usize, "only {kept} changes were acknowledged");
}

/// When the child is killed.
struct Moment {
    /// After so many acknowledgements, whatever the speed of the machine;
    acknowledgements: u64,
    /// and then so much later.
    delay: Duration,
}

impl Moment {
    fn any(random: &mut Random) -> Self {
        // Some are killed while they create or recover the store, most while they append.
        match random.below(5) {
            0 => Self { acknowledgements: 0, delay: Duration::from_micros(random.below(40_000)) },
            _ => Self { acknowledgements: random.below(50), delay: Duration::from_micros(random.below(6_000)) },
        }
    }
}

fn run_and_kill(path: &Path, moment: &Moment, seed: u64, promises: &mut Promises) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::what_was_acknowledged_survives_a_kill", "--nocapture"])
        .env(STORE, path)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
    let (sender, acknowledged) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in lines {
            let line = String::from_utf8(line.unwrap()).unwrap();
            // What the kill cut off has no full stop at its end.
            if let Some(promise) = line.strip_prefix("ack ").and_then(|line| line.strip_suffix(" .")) {
                sender.send(promise.to_owned()).unwrap();
            }
        }
    });
    let mut read: Vec<String> = Vec::new();
    for _ in 0..moment.acknowledgements {
        read.push(acknowledged.recv_timeout(Duration::from_secs(60)).expect("the child appends"));
    }
    std::thread::sleep(moment.delay);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "the child ended by itself: {status}");
    read.extend(acknowledged.iter());
    reader.join().unwrap();
    for promise in read {
        let [revision, zone, text] = promise.split(' ').collect::<Vec<_>>()[..] else { panic!("{promise}") };
        let before = promises.insert(Revision(revision.parse().unwrap()), (name(zone), text.to_owned()));
        assert_eq!(before, None, "revision {revision} was given twice");
    }
}

fn check_promises(store: &dyn Store, promises: &Promises) {
    let mut newest: BTreeMap<&Name, (Revision, &str)> = BTreeMap::new();
    for (revision, (zone, text)) in promises {
        let (entry, delta) = store.entry(*revision).unwrap().unwrap_or_else(|| panic!("revision {revision} is lost"));
        assert_eq!(&entry.zone, zone, "revision {revision} is another zone's");
        let at_apex = delta.changes.iter().find(|change| change.owner == *zone && change.rtype == Rtype::TXT);
        let after = at_apex.expect("each change touches the text at the apex").after.as_ref();
        let found = after.map_or(DELETED.to_owned(), |after| String::from_utf8(after.rdatas[0][1..].to_vec()).unwrap());
        assert_eq!(&found, text, "revision {revision} has another content");
        newest.insert(zone, (*revision, text));
    }
    for (zone, (revision, text)) in newest {
        // A newer change may have been made durable without the line having been read.
        let last = store.history(zone, None, 1).unwrap().remove(0);
        if last.revision == revision {
            assert_eq!(
                store.zone(zone).unwrap().is_none(),
                text == DELETED,
                "{zone} is not what revision {revision} made"
            );
        }
        assert!(last.revision >= revision);
    }
}

/// Two zones that changed in one call have changed both or not at all.
fn check_pairs(store: &dyn Store) {
    let entries = store.entries(Revision(0), usize::MAX).unwrap();
    let reasons: Vec<&str> = entries.iter().map(|entry| &*entry.reason).collect();
    for (index, reason) in reasons.iter().enumerate() {
        if let Some(pair) = reason.strip_prefix("one of ") {
            assert_eq!(reasons.get(index + 1).and_then(|next| next.strip_prefix("other of ")), Some(pair));
        }
    }
}

/// What the child does.
fn append_until_killed(path: &Path) {
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let store = SqliteStore::open(path).unwrap();
    std::thread::scope(|threads| {
        if seed.is_multiple_of(2) {
            threads.spawn(|| checkpoint_forever(path));
        }
        for thread in 0..THREADS {
            let store = &store;
            threads.spawn(move || append_forever(store, thread, Random(seed.wrapping_add(thread << 32))));
        }
    });
}

/// Does what the store's own thread does after some mebibytes, all the time, so that kills hit it too.
fn checkpoint_forever(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    loop {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    }
}

/// Changes the zones of one thread, which no other thread touches.
fn append_forever(store: &dyn Store, thread: u64, mut random: Random) {
    loop {
        let zones = [0, 1].map(|n| name(&format!("{}.t{thread}.example.", (random.below(4) * 2) + n)));
        let count = 1 + usize::from(random.below(4) == 0);
        let mark = format!("{:016x}", random.below(u64::MAX));
        let mut commits = Vec::new();
        let mut texts = Vec::new();
        for zone in &zones[..count] {
            let (commit, text) = change(store, zone, &mark, &mut random);
            commits.push(commit);
            texts.push(text);
        }
        if let [one, other] = &mut commits[..] {
            one.reason = format!("one of {mark}");
            other.reason = format!("other of {mark}");
        }
        let first = store.append(&commits).unwrap();
        // One write for each promise, so that a kill does not tear it into the next one.
        let mut out = std::io::stdout().lock();
        for (index, text) in texts.iter().enumerate() {
            let line = format!("\nack {} {} {text} .\n", first.0 + index as u64, zones[index]);
            out.write_all(line.as_bytes()).unwrap();
        }
        out.flush().unwrap();
    }
}

/// Some change of a zone as it is now, and the text that is at its apex then.
fn change(store: &dyn Store, zone: &Name, mark: &str, random: &mut Random) -> (rokko_store::Commit, String) {
    let mut model = Model::default();
    let Some((record, loaded)) = store.load_zone(zone).unwrap() else {
        let owner = |n| zone.child(format!("n{n}").as_bytes()).unwrap();
        let mut texts: Vec<_> = (0..random.below(60)).map(|n| txt(&owner(n), mark)).collect();
        texts.push(txt(zone, mark));
        let step = Step::Create(zone.clone(), ZoneMeta::default(), texts);
        return (model.plan(&[step]).remove(0), mark.to_owned());
    };
    let before = VersionBefore::At(record.revision);
    model.zones.insert(zone.clone(), (record, loaded));
    let (step, text) = match random.below(10) {
        0 => (Step::Delete(zone.clone()), DELETED.to_owned()),
        kind => {
            let names = if kind == 1 { 200 } else { random.below(5) };
            let mut edits = vec![Edit::Replace(txt(zone, mark))];
            for _ in 0..names {
                let owner = zone.child(format!("n{}", random.below(300)).as_bytes()).unwrap();
                let delete = Edit::Delete { owner: owner.clone(), rtype: Rtype::TXT };
                edits.push(if random.below(3) == 0 { delete } else { Edit::Replace(txt(&owner, &mark.repeat(5))) });
            }
            (Step::Edit(zone.clone(), edits), mark.to_owned())
        }
    };
    let commit = rokko_store::Commit { before, ..model.plan(&[step]).remove(0) };
    (commit, text)
}
