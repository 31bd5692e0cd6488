use std::sync::atomic::Ordering;

use rokko_control::ControlError;
use rokko_model::{Refusal, Scope, UnixMillis, ZonePattern};
use rokko_store::ZoneFilter;

use super::*;

fn scope(zones: &[&str]) -> Scope {
    let zones = zones.iter().map(|text| ZonePattern::try_from((*text).to_owned()).unwrap()).collect();
    Scope { zones, ..Scope::default() }
}

#[test]
fn keys_work_until_revoked_or_expired_and_survive_a_restart() {
    let node = Node::new();
    let text = node.control.ensure_administrator(None).unwrap().unwrap();
    assert!(node.control.ensure_administrator(None).unwrap().is_none());
    let administrator = node.control.authenticate(&text, "127.0.0.1").unwrap();
    let end = UnixMillis(node.control.now().0 + 1000);
    let (short, short_text) = node.control.create_key(&administrator, "short", Scope::default(), Some(end)).unwrap();
    let (long, long_text) = node.control.create_key(&administrator, "long", Scope::default(), None).unwrap();
    let node = node.restart();
    assert_eq!(node.control.authenticate(&short_text, "").unwrap().key, Some(short.id));
    node.clock_ms.fetch_add(1000, Ordering::Relaxed);
    assert!(matches!(node.control.authenticate(&short_text, ""), Err(ControlError::BadKey)));
    node.control.revoke_key(&administrator, &long.id).unwrap();
    assert!(matches!(node.control.authenticate(&long_text, ""), Err(ControlError::BadKey)));
    let node = node.restart();
    assert!(matches!(node.control.authenticate(&long_text, ""), Err(ControlError::BadKey)));
    assert!(node.control.authenticate(&text, "").is_ok());
    assert!(matches!(node.control.authenticate("", ""), Err(ControlError::BadKey)));
}

#[test]
fn the_first_administrator_may_choose_the_key() {
    for given in ["short", "a-key-that-is-long-enough"] {
        let node = Node::new();
        assert_eq!(node.control.ensure_administrator(Some(given)).unwrap().as_deref(), Some(given));
        assert!(node.control.authenticate(given, "").unwrap().scope.administrator);
    }
}

#[test]
fn a_scoped_key_sees_and_changes_its_zones_only() {
    let node = Node::new();
    for zone in ["a.example.", "b.example.", "x.b.example.", "c.example."] {
        node.submit(create(zone)).unwrap();
    }
    let (_, text) =
        node.control.create_key(&Identity::local(), "k", scope(&["a.example", "*.b.example"]), None).unwrap();
    let who = node.control.authenticate(&text, "").unwrap();
    let list = |after: Option<&str>, limit| {
        let after = after.map(name);
        let zones = node.control.zones(&who, after.as_ref(), limit, &ZoneFilter::default()).unwrap();
        zones.into_iter().map(|record| record.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 10), ["a.example.", "x.b.example."]);
    assert_eq!(list(None, 1), ["a.example."]);
    assert_eq!(list(Some("a.example."), 10), ["x.b.example."]);
    assert!(node.control.zone(&who, &name("a.example.")).is_ok());
    let refused = node.control.zone(&who, &name("c.example."));
    assert!(matches!(refused, Err(ControlError::Refused(Refusal::Zone(_)))));
    let edits = vec![set("www.c.example.", Rtype::A, &["192.0.2.1"])];
    let refused = node.control.submit_wait(&who, "", vec![edit("c.example.", edits)]);
    assert!(matches!(refused, Err(ControlError::Refused(Refusal::Zone(_)))));
    let edits = vec![set("www.a.example.", Rtype::A, &["192.0.2.1"])];
    assert!(node.control.submit_wait(&who, "", vec![edit("a.example.", edits)]).is_ok());
    assert!(matches!(node.control.keys(&who), Err(ControlError::Refused(Refusal::Administrator))));
}

#[test]
fn it_is_known_after_a_restart_when_a_pop_was_last_heard_of() {
    let node = Node::new();
    let who = Identity::local();
    let hash = "ab".repeat(32);
    let expires_at = UnixMillis(node.control.now().0 + 60_000);
    node.control.open_fleet_token(&who, &hash, "fra1", false, expires_at).unwrap();
    node.control.join_fleet(&hash, "key").unwrap().unwrap();
    let heard = node.control.now();
    node.control.pop_connected("fra1", None);
    node.control.keep_contacts().unwrap();
    node.clock_ms.fetch_add(1000, Ordering::Relaxed);
    let node = node.restart();
    let status = node.control.fleet(&who).unwrap().remove(0);
    assert_eq!((status.last_contact, status.unreachable_since), (Some(heard), None));
    node.clock_ms.fetch_add(3_600_000, Ordering::Relaxed);
    let status = node.control.fleet(&who).unwrap().remove(0);
    assert_eq!(status.unreachable_since, Some(heard));
}
