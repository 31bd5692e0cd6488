//! What a step makes of doubtful facts, and how it says so.

use rokko_dnssec::life::{
    Clock, Command, DenialPolicy, DnssecPolicy, KeyId, Layout, NewKey, PeerView, Refused, Role, State, VERSIONS_MAX,
    Wait, command,
};
use rokko_dnssec::{Algorithm, PublicKey};

use super::scenario::{BEGIN, DAY, HOUR, Scenario};

fn roll() -> Command {
    Command::Roll { role: None, emergency: false }
}

fn foreign(number: u8, sep: bool) -> PublicKey {
    let flags = PublicKey::ZONE | if sep { PublicKey::SEP } else { 0 };
    PublicKey { flags, algorithm: Algorithm::EcdsaP256Sha256, key: Box::from([number; 64]) }
}

#[test]
fn explanations_from_the_first_signature_to_the_ds() {
    let mut scenario = Scenario::new(DnssecPolicy::default());
    let mut text = String::new();
    scenario.explain_into(&mut text, "not asked for");
    scenario.plan_max = Some(0);
    scenario.ask(&Command::Sign).unwrap();
    scenario.step();
    scenario.explain_into(&mut text, "signing");
    scenario.plan_max = None;
    scenario.step();
    scenario.explain_into(&mut text, "signed");
    scenario.run(4 * HOUR);
    scenario.explain_into(&mut text, "asked");
    scenario.run(8 * HOUR);
    scenario.explain_into(&mut text, "at the parent");
    scenario.run(3 * DAY);
    scenario.explain_into(&mut text, "done");
    insta::assert_snapshot!(text);
}

#[test]
fn explanations_of_a_rollover_that_meets_trouble() {
    let mut scenario = Scenario::secure(DnssecPolicy { keys: Layout::Split, ..DnssecPolicy::default() });
    scenario.key_error = Some("the module does not answer".to_owned());
    scenario.ask(&roll()).unwrap();
    scenario.step();
    let mut text = String::new();
    scenario.explain_into(&mut text, "no key can be made");
    scenario.key_error = None;
    scenario.visible_max = Some(scenario.state.plan);
    scenario.step();
    scenario.explain_into(&mut text, "servers lag");
    scenario.visible_max = None;
    scenario.parent_takes_s = None;
    scenario.run(DAY);
    scenario.servers[1] = Err("timed out".to_owned());
    scenario.look();
    scenario.explain_into(&mut text, "the parent does nothing");
    scenario.clock = Clock::WentAhead(86_400);
    scenario.explain_into(&mut text, "the clock jumps");
    insta::assert_snapshot!(text);
}

#[test]
fn explanations_of_what_others_do() {
    let mut scenario = Scenario::new(DnssecPolicy::default());
    scenario.servers = vec![Ok(vec![Box::from([0x12, 0x34, 13, 2, 1, 2, 3])]); 2];
    scenario.parent_takes_s = None;
    scenario.ask(&Command::Sign).unwrap();
    scenario.run(DAY);
    let mut text = String::new();
    scenario.explain_into(&mut text, "a DS of others");
    assert!(text.contains("none of them means a key of this zone"), "{text}");
    let mut scenario = Scenario::secure(DnssecPolicy::default());
    scenario.ask(&Command::Unsign).unwrap();
    scenario.run(HOUR);
    scenario.explain_into(&mut text, "becoming unsigned");
    insta::assert_snapshot!(text);
}

#[test]
fn a_doubtful_clock_holds_everything() {
    let mut scenario = Scenario::secure(DnssecPolicy::default());
    scenario.ask(&roll()).unwrap();
    scenario.step();
    let before = scenario.state.clone();
    for clock in [Clock::WentAhead(1_000_000), Clock::WentBack(1_000)] {
        scenario.clock = clock;
        let outcome = scenario.step();
        assert!(!outcome.changed);
        assert_eq!(outcome.waits.len(), 1);
    }
    scenario.clock = Clock::Steady;
    scenario.now -= DAY;
    assert!(matches!(scenario.step().waits[..], [Wait::ClockWentBack { by_s: DAY.. }]));
    assert_eq!(scenario.state, before);
    scenario.now += DAY;
    assert_eq!(scenario.run(20 * DAY).waits, []);
}

#[test]
fn times_are_taken_anew_after_the_clock_was_wrong() {
    let mut scenario = Scenario::secure(DnssecPolicy { keys: Layout::Split, ..DnssecPolicy::default() });
    scenario.ask(&Command::Roll { role: Some(Role::Zsk), emergency: false }).unwrap();
    scenario.run(60);
    assert!(matches!(scenario.step().waits[..], [Wait::Caches { .. }]));
    let begun = scenario.now;
    scenario.now += HOUR;
    scenario.ask(&Command::ForgetTimes).unwrap();
    scenario.plan_max = Some(0);
    assert_eq!(
        scenario.step().waits,
        [Wait::Caches { what: rokko_dnssec::life::Cached::Dnskey, until: begun - 60 + 7_500 }]
    );
}

#[test]
fn a_key_whose_tag_is_taken_is_made_again() {
    let mut scenario = Scenario::new(DnssecPolicy { keys: Layout::Split, ..DnssecPolicy::default() });
    scenario.ask(&Command::Sign).unwrap();
    let facts_free = scenario.step();
    let tags: Vec<_> = facts_free.state.keys.iter().map(|key| key.public.tag()).collect();
    assert_eq!(tags.len(), 2);
    assert_ne!(tags[0], tags[1]);
}

#[test]
fn other_signers_of_the_zone() {
    let mut scenario = Scenario::secure(DnssecPolicy { keys: Layout::Split, ..DnssecPolicy::default() });
    let (ksk, zsk) = (foreign(1, true), foreign(2, false));
    let rsa = PublicKey { algorithm: Algorithm::RsaSha256, ..zsk.clone() };
    let refused = scenario.ask(&Command::AddForeign(rsa));
    assert_eq!(refused, Err(Refused::OtherAlgorithm { found: Algorithm::RsaSha256 }));
    scenario.ask(&Command::AddForeign(ksk.clone())).unwrap();
    scenario.ask(&Command::AddForeign(zsk.clone())).unwrap();
    scenario.run(3 * DAY);
    let records = scenario.state.key_records(&scenario.apex, &scenario.policy);
    assert_eq!(records.dnskey.unwrap().rdatas.len(), 4);
    assert_eq!(records.cds.unwrap().rdatas.len(), 2, "the DS of both signers are asked for");
    assert_eq!(scenario.state.signing_keys().len(), 2, "others' keys sign nothing here");

    // A ZSK of ours signs only when the others have published it.
    scenario.ask(&Command::Roll { role: Some(Role::Zsk), emergency: false }).unwrap();
    let outcome = scenario.run(3 * DAY);
    let new = scenario.state.keys.last().unwrap().clone();
    let tags = vec![new.public.tag()];
    assert!(outcome.waits.contains(&Wait::Peers { peer: String::new(), tags: tags.clone() }), "{:?}", outcome.waits);
    scenario.peers = vec![PeerView { name: "other".to_owned(), keys: vec![ksk, zsk.clone()], since: BEGIN }];
    assert!(scenario.run(DAY).waits.contains(&Wait::Peers { peer: "other".to_owned(), tags }));
    assert!(!scenario.state.signatures.current().has(new.slot));
    scenario.peers[0].keys.push(new.public.clone());
    scenario.peers[0].since = scenario.now;
    scenario.run(HOUR);
    assert!(!scenario.state.signatures.current().has(new.slot), "caches may hold the other's keys without it");
    assert_eq!(scenario.run(5 * DAY).waits, []);
    assert!(scenario.state.signatures.current().has(new.slot));

    scenario.ask(&Command::RemoveForeign(zsk.clone())).unwrap();
    scenario.run(3 * DAY);
    assert_eq!(scenario.state.keys.len(), 3);
    assert_eq!(scenario.ask(&Command::RemoveForeign(zsk.clone())), Err(Refused::NoSuchKey(zsk.tag())));
}

#[test]
fn a_zone_that_comes_with_its_keys_stays_as_it_is() {
    let key = |number: u8| NewKey { id: KeyId([number; 16]), public: foreign(number, false) };
    let keys = [(key(1), Role::Ksk), (key(2), Role::Zsk)];
    let mut scenario =
        Scenario::new(DnssecPolicy { keys: Layout::Split, zsk_lifetime_s: None, ..DnssecPolicy::default() });
    scenario.state = State::adopted(&keys, &[0], DenialPolicy::Nsec, 3_600, scenario.now).unwrap();
    let ds = scenario.state.wanted_ds(&scenario.apex, &scenario.policy);
    scenario.servers = vec![Ok(ds); 2];
    let before = scenario.state.clone();
    assert_eq!(scenario.run(100 * DAY).waits, []);
    assert_eq!(scenario.timeline, "");
    assert_eq!(scenario.state.signing_keys(), before.signing_keys());
    assert_eq!(scenario.state.asked, before.asked);
    assert_eq!(
        State::adopted(&[keys[0].clone(), keys[0].clone()], &[], DenialPolicy::Nsec, 1, 0),
        Err(Refused::SameTag(keys[0].0.public.clone().tag() + 1))
    );
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let nothing = State::default();
    assert_eq!(command(&nothing, BEGIN, &roll()), Err(Refused::NotSigned));
    assert_eq!(command(&nothing, BEGIN, &Command::Cancel { role: None }), Err(Refused::NothingToCancel));
    assert_eq!(command(&nothing, BEGIN, &Command::AddForeign(foreign(1, true))), Err(Refused::NotSigned));
    let zone = Scenario::secure(DnssecPolicy::default());
    let zsk = Command::Roll { role: Some(Role::Zsk), emergency: false };
    assert_eq!(command(&zone.state, zone.now, &zsk), Err(Refused::NoSuchRole(Role::Zsk)));
    assert_eq!(command(&zone.state, zone.now, &Command::Cancel { role: None }), Err(Refused::NothingToCancel));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut scenario = Scenario::secure(DnssecPolicy::default());
    scenario.plan_max = Some(scenario.state.plan);
    for _ in 0..100 {
        scenario.now += 60;
        let role = None;
        let _ = scenario.ask(&Command::Roll { role, emergency: false });
        scenario.step();
        let _ = scenario.ask(&Command::Cancel { role });
        scenario.step();
        assert!(scenario.state.dnskey.versions().count() <= VERSIONS_MAX);
        assert!(scenario.state.signatures.versions().count() <= VERSIONS_MAX);
        assert!(scenario.state.ds.len() <= 2 * VERSIONS_MAX);
        assert!(serde_json::to_string(&scenario.state).unwrap().len() < 16_384);
    }
    scenario.plan_max = None;
    assert_eq!(scenario.run(60 * DAY).waits, []);
    assert_eq!(scenario.state.keys.len(), 1);
}
