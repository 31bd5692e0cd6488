//! A disk that is really full: a small tmpfs in a mount namespace of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use rokko_model::ZoneMeta;
use rokko_store::contract::model::{Model, Random, Step, check_whole, name, txt};
use rokko_store::{SqliteStore, Store, StoreError};
use rokko_zone::Edit;

const DISK: &str = "ROKKO_STORE_TEST_DISK";
const DISK_OCTETS: usize = 12 << 20;

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    if let Some(folder) = std::env::var_os(DISK) {
        return fill_a_small_disk(&PathBuf::from(folder));
    }
    let folder = tempfile::TempDir::new().unwrap();
    let program = std::env::current_exe().unwrap();
    let script = r#"mount -t tmpfs -o "size=$1" tmpfs "$2" && exec "$3" --exact full::a_full_disk_refuses_and_loses_nothing --nocapture"#;
    // Root needs only the namespace; others get to be root within one of their own.
    let mut outcomes = Vec::new();
    for flags in ["-m", "-Urm"] {
        let output = Command::new("unshare")
            .args([flags, "--", "sh", "-c", script, "sh"])
            .arg(DISK_OCTETS.to_string())
            .args([folder.path(), &program])
            .env(DISK, folder.path())
            .output()
            .expect("unshare (util-linux) is installed");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if text.contains("running 1 test") {
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
            return;
        }
        outcomes.push(text);
    }
    panic!("this test needs to mount a tmpfs, as root or in a user namespace: {outcomes:?}");
}

/// What fills the disk beside the store.
struct Ballast(PathBuf);

impl Ballast {
    /// Leaves about `free` octets.
    fn put(folder: &Path, free: usize) -> Self {
        let path = folder.join("ballast");
        let mut size = DISK_OCTETS;
        while std::fs::write(&path, vec![1; size]).is_err() {
            size -= 64 << 10;
        }
        std::fs::write(&path, vec![1; size.saturating_sub(free)]).unwrap();
        Self(path)
    }

    fn remove(self) {
        std::fs::remove_file(self.0).unwrap();
    }
}

/// Appends; a refusal for lack of room leaves the model as it was. Says whether there was room.
fn append(store: &dyn Store, model: &mut Model, steps: &[Step]) -> bool {
    let mut ahead = model.clone();
    match store.append(&ahead.plan(steps)) {
        Ok(first) => {
            assert_eq!(first.0, model.log.len() as u64 + 1);
            *model = ahead;
            true
        }
        Err(StoreError::Full) => false,
        Err(error) => panic!("{error:?}"),
    }
}

fn zone_of(number: usize, names: u64) -> Step {
    let zone = name(&format!("z{number}.example."));
    let texts = (0..names).map(|n| txt(&zone.child(format!("n{n}").as_bytes()).unwrap(), &"text".repeat(30)));
    Step::Create(zone.clone(), ZoneMeta::default(), texts.collect())
}

/// What the child does, for which the folder is the whole disk.
fn fill_a_small_disk(folder: &Path) {
    let path = folder.join("store.db");
    let mut random = Random(7);
    let mut model = Model::default();
    let mut store = SqliteStore::open(&path).unwrap();
    let mut refusals = 0;
    // Less and less room, from plenty to nothing at all.
    for free in [1500 << 10, 700 << 10, 200 << 10, 64 << 10, 16 << 10, 0] {
        let ballast = Ballast::put(folder, free);
        let mut refused = 0;
        while refused < 6 {
            let steps: Vec<Step> = (0..=usize::from(random.below(2) == 0))
                .map(|n| zone_of(model.log.len() * 10 + n, random.below(120)))
                .collect();
            refused += u32::from(!append(&store, &mut model, &steps));
        }
        refusals += refused;
        // All that was acknowledged can be read, and nothing else, with the disk full.
        model.check(&store);
        let copy = folder.join("backup.db");
        assert!(matches!(store.backup(&copy, &mut |_, _| {}), Err(StoreError::Full)));
        assert!(!copy.exists());
        assert!(matches!(store.put_setting("large", &vec![7; 3 << 20]), Err(StoreError::Full)));
        if random.below(2) == 0 {
            drop(store);
            ballast.remove();
            store = SqliteStore::open(&path).unwrap();
        } else {
            ballast.remove();
        }
        let steps = [zone_of(model.log.len() * 10, 20), zone_of(model.log.len() * 10 + 1, 0)];
        assert!(append(&store, &mut model, &steps), "appends stay refused with space free");
        model.check(&store);
        // Room for the next round.
        let zones: Vec<Step> = model.zones.keys().cloned().map(Step::Delete).collect();
        let mut fewer = zones.into_iter().skip(3).collect::<Vec<_>>();
        fewer.push(Step::Edit(name("z0.example."), vec![Edit::Replace(txt(&name("z0.example."), "kept"))]));
        if free > 200 << 10 {
            fewer.truncate(0);
        }
        assert!(append(&store, &mut model, &fewer), "no room to delete");
    }
    assert_eq!(refusals, 36);
    assert_eq!(store.setting("large").unwrap(), None);
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    model.check(&store);
    check_whole(&store);
}
