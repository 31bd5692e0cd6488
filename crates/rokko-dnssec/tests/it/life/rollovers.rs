//! What happens when, for each kind of rollover: these texts are the timelines of RFC 6781 §4.1 and RFC 7583 §3.

use rokko_dnssec::Algorithm;
use rokko_dnssec::life::{AlgorithmChange, Command, DenialPolicy, DnssecPolicy, KskMethod, Layout, Role};

use super::scenario::{DAY, HOUR, Scenario};

fn split() -> DnssecPolicy {
    DnssecPolicy { keys: Layout::Split, zsk_lifetime_s: None, ..DnssecPolicy::default() }
}

fn roll(role: Option<Role>) -> Command {
    Command::Roll { role, emergency: false }
}

#[test]
fn signed_for_the_first_time() {
    let mut scenario = Scenario::new(DnssecPolicy::default());
    scenario.ask(&Command::Sign).unwrap();
    let outcome = scenario.run(20 * DAY);
    assert_eq!(outcome.waits, []);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn csk() {
    let mut scenario = Scenario::secure(DnssecPolicy::default());
    scenario.ask(&roll(None)).unwrap();
    assert_eq!(scenario.run(20 * DAY).waits, []);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn zsk_by_pre_publication_on_schedule() {
    let mut scenario = Scenario::secure(DnssecPolicy { zsk_lifetime_s: Some(30 * 86_400), ..split() });
    assert_eq!(scenario.run(55 * DAY).waits, []);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn ksk_by_double_ksk() {
    let mut scenario = Scenario::secure(split());
    scenario.ask(&roll(Some(Role::Ksk))).unwrap();
    assert_eq!(scenario.run(20 * DAY).waits, []);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn ksk_by_double_ds() {
    let mut scenario = Scenario::secure(DnssecPolicy { ksk_method: KskMethod::DoubleDs, ..split() });
    scenario.ask(&roll(Some(Role::Ksk))).unwrap();
    assert_eq!(scenario.run(20 * DAY).waits, []);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn algorithm_conservatively() {
    let mut scenario = Scenario::secure(split());
    scenario.policy.algorithm = Algorithm::Ed25519;
    assert_eq!(scenario.run(30 * DAY).waits, []);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn algorithm_liberally() {
    let mut scenario =
        Scenario::secure(DnssecPolicy { algorithm_change: AlgorithmChange::Liberal, ..DnssecPolicy::default() });
    scenario.policy.algorithm = Algorithm::Ed25519;
    assert_eq!(scenario.run(30 * DAY).waits, []);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn from_one_key_to_two() {
    let mut scenario = Scenario::secure(DnssecPolicy::default());
    scenario.policy.keys = Layout::Split;
    assert_eq!(scenario.run(20 * DAY).waits, []);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn an_emergency_with_a_key_in_waiting() {
    let mut scenario = Scenario::secure(DnssecPolicy { standby: true, ..DnssecPolicy::default() });
    assert_eq!(scenario.run(5 * DAY).waits, []);
    scenario.timeline.clear();
    scenario.ask(&Command::Roll { role: None, emergency: true }).unwrap();
    assert_eq!(scenario.run(20 * DAY).waits, []);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn an_emergency_without_one() {
    let mut scenario = Scenario::secure(DnssecPolicy::default());
    scenario.ask(&Command::Roll { role: None, emergency: true }).unwrap();
    assert_eq!(scenario.run(20 * DAY).waits, []);
    assert!(!scenario.state.emergency);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn cancelled_while_the_parent_is_asked() {
    let mut scenario = Scenario::secure(split());
    scenario.ask(&roll(Some(Role::Ksk))).unwrap();
    scenario.run(8 * HOUR);
    scenario.ask(&Command::Cancel { role: None }).unwrap();
    assert_eq!(scenario.run(20 * DAY).waits, []);
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn unsigned_again() {
    let mut scenario = Scenario::secure(DnssecPolicy::default());
    scenario.ask(&Command::Unsign).unwrap();
    assert_eq!(scenario.run(20 * DAY).waits, []);
    assert!(scenario.state.is_idle_unsigned());
    insta::assert_snapshot!(scenario.timeline);
}

#[test]
fn from_nsec_to_nsec3_and_back() {
    let mut scenario = Scenario::secure(DnssecPolicy::default());
    let mut seen = vec![scenario.state.chains()];
    for denial in [DenialPolicy::Nsec3 { opt_out: false }, DenialPolicy::Nsec] {
        scenario.policy.denial = denial;
        for _ in 0..6 {
            scenario.step();
            let chains = scenario.state.chains();
            if seen.last() != Some(&chains) {
                seen.push(chains);
            }
        }
        assert_eq!(scenario.state.denial_change, None);
    }
    insta::assert_debug_snapshot!(seen.into_iter().flatten().collect::<Vec<_>>());
}
