//! Random histories against the model.

use rokko_model::ZoneMeta;
use rokko_wire::{Name, Rtype};
use rokko_zone::{Edit, Rrset, Ttl};

use super::Harness;
use super::model::{Model, Random, Step, name, rrset};

const HISTORIES: u64 = 12;
const CALLS: u64 = 40;

pub(super) fn random_histories_equal_the_model(harness: &mut dyn Harness) {
    for seed in 0..HISTORIES {
        let seed = Seed(seed);
        let mut random = Random(seed.0);
        let mut store = harness.fresh();
        let mut model = Model::default();
        for _ in 0..CALLS {
            let mut ahead = model.clone();
            let steps: Vec<Step> = (0..=random.below(4)).map(|_| step(&mut random, &mut ahead)).collect();
            if random.below(8) == 0 {
                refuse(&mut random, &model, &*store, &steps);
            } else {
                model.append(&*store, &steps);
            }
            if random.below(20) == 0 {
                store = harness.reopen(store);
            }
        }
        model.check(&*store);
        let store = harness.reopen(store);
        model.check(&*store);
    }
}

/// Tells which history failed when a check in it panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the random history with seed {} failed", self.0);
        }
    }
}

/// Makes one of the commits stale, which has to leave no trace of the others.
fn refuse(random: &mut Random, model: &Model, store: &dyn crate::Store, steps: &[Step]) {
    let mut commits = model.clone().plan(steps);
    let index = usize::try_from(random.below(commits.len() as u64)).expect("a small number");
    commits[index].before = crate::VersionBefore::At(rokko_zone::Revision(u64::from(u32::MAX)));
    assert!(matches!(store.append(&commits), Err(crate::StoreError::Stale { .. })));
}

/// A step that makes sense after all before it; `ahead` is carried along.
fn step(random: &mut Random, ahead: &mut Model) -> Step {
    let zones = ["example.", "a.example.", "b.example.", "test.", "."];
    let zone = name(pick(random, &zones));
    let exists = ahead.zones.contains_key(&zone);
    let step = match random.below(12) {
        _ if !exists => {
            let rrsets = (0..random.below(30)).map(|_| any_rrset(random, &zone)).collect();
            Step::Create(zone, meta(random), rrsets)
        }
        0 => Step::Delete(zone),
        1 => Step::Meta(zone, meta(random)),
        2 => Step::Edit(zone.clone(), (0..150).map(|_| Edit::Extend(any_rrset(random, &zone))).collect()),
        _ => {
            let edits = (0..=random.below(6)).map(|_| any_edit(random, &zone)).collect();
            Step::Edit(zone, edits)
        }
    };
    ahead.plan(std::slice::from_ref(&step));
    step
}

fn pick<'t>(random: &mut Random, choices: &[&'t str]) -> &'t str {
    let index = usize::try_from(random.below(choices.len() as u64)).expect("a small number");
    choices[index]
}

fn meta(random: &mut Random) -> ZoneMeta {
    ZoneMeta { account: pick(random, &["", "alpha", "beta"]).to_owned(), ..ZoneMeta::default() }
}

fn any_edit(random: &mut Random, zone: &Name) -> Edit {
    let rrset = any_rrset(random, zone);
    match random.below(4) {
        0 => Edit::Replace(rrset),
        1 => Edit::Extend(rrset),
        2 => Edit::Delete { owner: rrset.owner, rtype: rrset.rtype },
        _ => Edit::Prune { owner: rrset.owner, rtype: rrset.rtype, rdatas: rrset.rdatas },
    }
}

fn any_rrset(random: &mut Random, zone: &Name) -> Rrset {
    let mut owner = zone.clone();
    for _ in 0..random.below(3) {
        owner = owner.child(format!("n{}", random.below(25)).as_bytes()).expect("the name is short");
    }
    let rtype = [Rtype::A, Rtype::TXT, Rtype::NSEC3, Rtype(65_280)][usize::try_from(random.below(4)).expect("small")];
    let rdatas = (0..=random.below(3)).map(|_| {
        vec![u8::try_from(random.below(4)).expect("small"); 1 + usize::try_from(random.below(90)).expect("small")]
    });
    let rdatas = rdatas.collect();
    Rrset { ttl: Ttl::from_wire(u32::try_from(random.below(1000)).expect("small")), ..rrset(&owner, rtype, rdatas) }
}
