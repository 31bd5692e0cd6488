//! The mirror beside the store: whatever happens to it, the store puts it right.

use std::path::{Path, PathBuf};

use super::*;

const ZONES: usize = 40;

fn filled() -> Node {
    let node = Node::new();
    for index in 0..ZONES {
        node.submit(create(&format!("z{index}.example."))).unwrap();
    }
    node
}

fn mirror_files(node: &Node) -> Vec<PathBuf> {
    let folder = node.folder.as_ref().unwrap().path().join("mirror");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.metadata().unwrap().len() > 0).collect();
    files.sort();
    files
}

/// Stops a node, does something to its folder, starts it again and looks whether all is there.
fn restarts_whole(node: Node, what: &str, harm: impl FnOnce(&Path, &[PathBuf])) {
    let digest = node.control.mirror().digest();
    let (revision, files) = (node.control.applied(), mirror_files(&node));
    let mut node = node;
    let folder = node.folder.take().unwrap();
    drop(node);
    harm(folder.path(), &files);
    let node = Node::open(folder, Limits::default());
    assert_eq!((node.control.applied(), node.catalog.len()), (revision, ZONES), "{what}");
    assert_eq!(node.control.mirror().digest(), digest, "{what}");
    let next = node.submit(edit("z1.example.", vec![set("new.z1.example.", Rtype::A, &["192.0.2.7"])])).unwrap();
    assert_eq!(next.revision, revision.next(), "{what}");
    let (_, _, expected, digest) = node.control.mirror().position();
    assert_eq!(expected, digest, "{what}");
    assert_eq!(node.control.digest_at(next.revision), Some(digest), "{what}");
}

#[test]
fn a_mirror_that_is_lost_is_made_anew() {
    restarts_whole(filled(), "lost", |folder, _| std::fs::remove_dir_all(folder.join("mirror")).unwrap());
}

#[test]
fn a_damaged_mirror_is_mended() {
    for octet in [20, 300, 2000, 5000] {
        restarts_whole(filled(), &format!("octet {octet}"), |_, files| {
            for file in files {
                let mut bytes = std::fs::read(file).unwrap();
                let at = octet % bytes.len();
                bytes[at] ^= 0x20;
                std::fs::write(file, bytes).unwrap();
            }
        });
        restarts_whole(filled(), &format!("cut at {octet}"), |_, files| {
            for file in files {
                let bytes = std::fs::read(file).unwrap();
                std::fs::write(file, &bytes[..bytes.len().min(octet)]).unwrap();
            }
        });
    }
}

#[test]
fn a_mirror_that_lags_catches_up() {
    let node = Node::new();
    node.submit(create("z0.example.")).unwrap();
    let mut node = node;
    let folder = node.folder.take().unwrap();
    drop(node);
    let early = folder.path().join("early");
    copy(&folder.path().join("mirror"), &early);
    let node = Node::open(folder, Limits::default());
    for index in 1..ZONES {
        node.submit(create(&format!("z{index}.example."))).unwrap();
    }
    restarts_whole(node, "behind", |folder, _| {
        std::fs::remove_dir_all(folder.join("mirror")).unwrap();
        copy(&early, &folder.join("mirror"));
    });
}

#[test]
fn a_mirror_of_other_data_is_not_taken() {
    let mut other = filled();
    other.submit(edit("z1.example.", vec![set("www.z1.example.", Rtype::A, &["192.0.2.9"])])).unwrap();
    let foreign = other.folder.take().unwrap();
    drop(other);
    restarts_whole(filled(), "another set", |folder, _| {
        std::fs::remove_dir_all(folder.join("mirror")).unwrap();
        copy(&foreign.path().join("mirror"), &folder.join("mirror"));
    });
}

/// The store was put back to an older state: the mirror is ahead of it.
#[test]
fn a_mirror_of_another_history_is_not_taken() {
    let mut node = filled();
    let folder = node.folder.take().unwrap();
    drop(node);
    let backup = folder.path().join("backup.db");
    std::fs::copy(folder.path().join("store.db"), &backup).unwrap();
    let mut node = Node::open(folder, Limits::default());
    for octet in 1..4 {
        let address = format!("192.0.2.{octet}");
        node.submit(edit("z1.example.", vec![set("www.z1.example.", Rtype::A, &[&address])])).unwrap();
    }
    let folder = node.folder.take().unwrap();
    drop(node);
    std::fs::copy(&backup, folder.path().join("store.db")).unwrap();
    let node = Node::open(folder, Limits::default());
    assert_eq!((node.control.applied(), node.catalog.len()), (Revision(ZONES as u64), ZONES));
    let mut node = node;
    node.submit(edit("z2.example.", vec![set("www.z2.example.", Rtype::A, &["192.0.2.1"])])).unwrap();
    // The same revisions as before, but other changes.
    let digest = node.control.mirror().digest();
    let folder = node.folder.take().unwrap();
    drop(node);
    let node = Node::open(folder, Limits::default());
    assert_eq!(node.control.mirror().digest(), digest);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}
