//! Signing keys and their movements.

use rokko_model::UnixMillis;
use rokko_zone::Revision;

use super::Harness;
use super::change::create;
use super::model::{Model, name};
use crate::{KeyAction, KeyAudit, KeyChange, KeyStore, SigningKey, SigningKeyId};

/// A key whose octets all follow from `number`.
fn key(number: u8, zone: &str) -> SigningKey {
    SigningKey {
        id: SigningKeyId([number; 16]),
        zone: name(zone),
        made_at: UnixMillis(u64::from(number)),
        public: vec![number; 68],
        wrapped: vec![!number; 80 + usize::from(number) * 20],
    }
}

fn put(keys: &[SigningKey]) -> KeyChange {
    KeyChange { put: keys.to_vec(), ..KeyChange::default() }
}

fn moved(action: KeyAction, key: &SigningKey) -> KeyAudit {
    KeyAudit {
        at: UnixMillis(7),
        actor: "tester".to_owned(),
        action,
        zone: Some(key.zone.clone()),
        key: Some(key.id),
        recipient: "№ 1".to_owned(),
    }
}

/// Compares all that a store has of keys with what it should have, through every call that reads.
fn check(store: &dyn KeyStore, keys: &[&SigningKey]) {
    let mut keys: Vec<SigningKey> = keys.iter().map(|key| (*key).clone()).collect();
    keys.sort_by_key(|key| key.id);
    assert_eq!(store.signing_keys(None, usize::MAX).expect("signing_keys"), keys);
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let part = store.signing_keys(after.as_ref(), 2).expect("signing_keys");
        assert!(part.len() <= 2);
        let Some(last) = part.last() else { break };
        after = Some(last.id);
        listed.extend(part);
    }
    assert_eq!(listed, keys, "a listing in parts differs");
    for key in &keys {
        assert_eq!(store.signing_key(&key.id).expect("signing_key").as_ref(), Some(key));
        let of_zone: Vec<SigningKey> = keys.iter().filter(|other| other.zone == key.zone).cloned().collect();
        assert_eq!(store.signing_keys_of(&key.zone).expect("signing_keys_of"), of_zone);
    }
    assert_eq!(store.signing_keys_of(&name("keyless.")).expect("signing_keys_of"), []);
    assert_eq!(store.signing_key(&SigningKeyId([99; 16])).expect("signing_key"), None);
}

pub(super) fn signing_keys_are_kept(harness: &mut dyn Harness) {
    let mut store = harness.fresh();
    check(&*store, &[]);
    let (a, b, c) = (key(0, "b.example."), key(1, "a.example."), key(255, "b.example."));
    store.change_signing_keys(&put(&[c.clone(), a.clone(), b.clone()])).expect("change_signing_keys");
    check(&*store, &[&a, &b, &c]);
    // Neither the log nor zones know of them.
    Model::default().check(&*store);
    let wrapped_again = SigningKey { wrapped: vec![5; 3000], ..b.clone() };
    store.change_signing_keys(&put(std::slice::from_ref(&wrapped_again))).expect("change_signing_keys");
    store = harness.reopen(store);
    check(&*store, &[&a, &wrapped_again, &c]);
    let gone = KeyChange { delete: vec![a.id, SigningKeyId([77; 16])], ..KeyChange::default() };
    store.change_signing_keys(&gone).expect("change_signing_keys");
    check(&*store, &[&wrapped_again, &c]);
    let mut model = Model::default();
    model.append(&*store, &[create("b.example.")]);
    store = harness.reopen(store);
    check(&*store, &[&wrapped_again, &c]);
    model.check(&*store);
    let path = harness.new_path();
    store.backup(&path, &mut |_, _| {}).expect("backup");
    check(&*harness.restore(&path), &[&wrapped_again, &c]);
    assert_eq!(store.head().expect("head"), Revision(1));
}

pub(super) fn movements_of_keys_are_remembered(harness: &mut dyn Harness) {
    let mut store = harness.fresh();
    assert_eq!(store.key_audit(0, 10).expect("key_audit"), []);
    let (a, b) = (key(1, "a."), key(2, "b."));
    let first = [moved(KeyAction::Import, &a), moved(KeyAction::Import, &b)];
    let change = KeyChange { put: vec![a.clone(), b.clone()], delete: Vec::new(), audit: first.to_vec() };
    store.change_signing_keys(&change).expect("change_signing_keys");
    let master = KeyAudit { zone: None, key: None, recipient: String::new(), ..moved(KeyAction::Split, &a) };
    let second = [moved(KeyAction::Delete, &a), master];
    let change = KeyChange { put: Vec::new(), delete: vec![a.id], audit: second.to_vec() };
    store.change_signing_keys(&change).expect("change_signing_keys");
    store = harness.reopen(store);
    let all = [first.as_slice(), &second].concat();
    assert_eq!(store.key_audit(0, usize::MAX).expect("key_audit"), all);
    assert_eq!(store.key_audit(1, 2).expect("key_audit"), all[1..3]);
    assert_eq!(store.key_audit(4, 2).expect("key_audit"), []);
    check(&*store, &[&b]);
}
