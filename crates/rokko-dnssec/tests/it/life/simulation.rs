//! Seeds, each a course of years.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rokko_dnssec::life::{Command, DnssecPolicy};

use super::operator::{Lie, Signer, any_policy, validator_for};
use super::world::DAY;

/// Within so many seeds a wrong fact has to lead to bogus answers.
const LIE_SEEDS: u64 = 400;

/// What is wrong with the life of a seed, if anything is.
fn fault_of(seed: u64, lie: Option<Lie>) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| live(seed, lie))).err()?;
    Some(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "panicked".to_owned()))
}

/// Years of a zone: asked for at random, then left in peace.
fn live(seed: u64, lie: Option<Lie>) {
    let policy = any_policy(seed);
    let mut signer = Signer::new(seed, policy.clone(), lie);
    signer.world.validator = validator_for(&policy);
    signer.ask(&Command::Sign);
    for _ in 0..signer.world.random.within(2, 12) {
        let wait = signer.world.random.pick(&[1, DAY / 24, DAY, 3 * DAY, 10 * DAY, 120 * DAY]);
        let end = signer.world.now + signer.world.random.within(1, wait);
        signer.run_until(end);
        if signer.world.random.once_in(3) {
            signer.world.trouble();
        }
        signer.ask_for_something();
    }
    signer.settle();
}

fn seeds() -> std::ops::Range<u64> {
    let range = |text: String| {
        let (from, to) = text.split_once("..").expect("ROKKO_SIM_SEEDS is like 0..100");
        from.parse().unwrap()..to.parse().unwrap()
    };
    std::env::var("ROKKO_SIM_SEEDS").map_or(0..300, range)
}

#[test]
fn no_validator_ever_finds_anything_bogus() {
    for seed in seeds() {
        if let Some(fault) = fault_of(seed, None) {
            panic!("ROKKO_SIM_SEEDS={seed}..{}\n{fault}", seed + 1);
        }
    }
}

#[test]
fn a_new_zone_becomes_secure_and_stays_idle() {
    let mut signer = Signer::new(7, DnssecPolicy::default(), None);
    signer.ask(&Command::Sign);
    signer.settle();
    let idle = signer.state.clone();
    assert!(serde_json::to_string(&idle).unwrap().len() < 400, "{}", serde_json::to_string(&idle).unwrap());
    signer.run_until(signer.world.now + 1_000 * DAY);
    assert_eq!(signer.state, idle);
}

/// The simulation is worth something: a life by wrong facts does not pass it.
#[test]
fn each_lie_is_found_out() {
    let lies = [
        Lie::VisibleAtOne,
        Lie::DoneAtOnce,
        Lie::OneParentServer,
        Lie::NoTtl,
        Lie::LargerKeyTtl,
        Lie::LargerDsTtl,
        Lie::NoRegistration,
    ];
    let missed: Vec<_> =
        lies.into_iter().filter(|&lie| !(0..LIE_SEEDS).any(|seed| fault_of(seed, Some(lie)).is_some())).collect();
    assert_eq!(missed, []);
}
