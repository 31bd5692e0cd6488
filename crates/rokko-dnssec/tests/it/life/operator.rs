//! A signer that takes steps, is killed and is down, and an operator who asks for things.

use std::collections::BTreeSet;

use rokko_dnssec::life::{
    AlgorithmChange, Chains, Clock, Command, DenialPolicy, DnssecPolicy, Facts, Goal, KeyId, KeyWanted, KskMethod,
    Layout, NewKey, Outcome, ParentView, Role, State, Visible, command, explain, step,
};
use rokko_dnssec::{Algorithm, DigestType, PublicKey};

use super::cache::{Keys, Validator};
use super::world::{DAY, HOUR, MINUTE, World, chains_of, signers_of};

/// A fact that is wrong, to see that the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// A change counts as everywhere when one server has it.
    VisibleAtOne,
    /// Signing counts as done when it begins.
    DoneAtOnce,
    /// One server of the parent stands for all.
    OneParentServer,
    /// The zone's TTLs are said to be zero.
    NoTtl,
    /// The DNSKEY RRset has a larger TTL than the policy says.
    LargerKeyTtl,
    /// The DS RRset has a larger TTL than is seen and said.
    LargerDsTtl,
    /// The parent is said to forget at once what it was asked for.
    NoRegistration,
}

pub(super) struct Signer {
    pub(super) world: World,
    pub(super) policy: DnssecPolicy,
    /// What is durable.
    pub(super) state: State,
    pub(super) last: Option<Outcome>,
    lie: Option<Lie>,
    keys_made: u64,
    deleted: BTreeSet<KeyId>,
    /// When the signing that is under way ends.
    signing_until: Option<u64>,
    signing_max: u64,
    /// Who may have signed data until it ends.
    signed: Vec<Keys>,
    done: u32,
    visible: Option<Visible>,
    view: Option<ParentView>,
    complete: Vec<DenialPolicy>,
}

impl Signer {
    pub(super) fn new(seed: u64, policy: DnssecPolicy, lie: Option<Lie>) -> Self {
        let mut world = World::new(seed);
        let signing_max = world.random.pick(&[1, HOUR, DAY]);
        if lie == Some(Lie::LargerDsTtl) {
            world.ds_ttl = 20 * DAY;
        }
        Self {
            world,
            policy,
            state: State::default(),
            last: None,
            lie,
            keys_made: 0,
            deleted: BTreeSet::new(),
            signing_until: None,
            signing_max,
            signed: vec![Keys::new()],
            done: 0,
            visible: None,
            view: None,
            complete: Vec::new(),
        }
    }

    /// Lets the world go on until a moment, taking steps.
    pub(super) fn run_until(&mut self, end: u64) {
        let mut steps = 0;
        while self.world.now < end {
            steps += 1;
            self.world.hold(steps < 200_000, || "it goes round in circles".to_owned());
            let to = self.next_moment().min(end);
            self.world.pass_until(to);
            if self.world.random.once_in(200) {
                let down = self.world.random.within(HOUR, 5 * DAY);
                self.world.tell(format!("the signer is down for {} h", down / HOUR));
                self.world.pass_until(self.world.now + down);
            }
            self.finish_signing();
            self.look();
            self.step();
        }
    }

    /// When the signer next does something.
    fn next_moment(&mut self) -> u64 {
        let now = self.world.now;
        let busy = self.last.as_ref().is_none_or(|last| last.changed || !last.waits.is_empty());
        let poll = if busy { self.world.random.within(1, 4 * HOUR) } else { self.world.random.within(HOUR, 30 * DAY) };
        let planned = self.last.as_ref().and_then(|last| last.next_at.into_iter().chain(last.look_at).min());
        let soon = [Some(now + poll), planned, self.signing_until, Some(self.world.next_arrival())];
        soon.into_iter().flatten().min().unwrap_or(now).max(now + 1)
    }

    fn finish_signing(&mut self) {
        if self.signing_until.is_some_and(|at| at <= self.world.now) {
            self.signing_until = None;
            self.signed = vec![signers_of(&self.state)];
            self.done = self.state.plan;
            self.complete = chains_of(&self.state);
            self.publish();
        }
        let plan = match self.lie {
            Some(Lie::VisibleAtOne) => self.world.visible_at_one(),
            Some(Lie::DoneAtOnce) => self.state.plan,
            _ => self.world.visible(),
        };
        if self.visible.is_none_or(|visible| visible.plan < plan) {
            self.visible = Some(Visible { plan, since: self.world.now });
        }
    }

    fn publish(&mut self) {
        let mut revision = self.world.revision_of(&self.state, &self.policy, self.signed.clone(), self.done);
        if self.lie == Some(Lie::LargerKeyTtl) {
            revision.dnskey_ttl = 30 * DAY;
        }
        self.world.commit(revision);
    }

    fn look(&mut self) {
        let wanted = self.last.as_ref().and_then(|last| last.look_at).is_some_and(|at| at <= self.world.now);
        if wanted {
            let servers = if self.lie == Some(Lie::OneParentServer) { 1 } else { usize::MAX };
            let mut view = self.world.look(servers);
            if self.lie == Some(Lie::LargerDsTtl) {
                view.servers.iter_mut().filter_map(|server| server.answer.as_mut().ok()).for_each(|set| set.ttl_s = 60);
            }
            self.view = Some(view);
        }
    }

    fn step(&mut self) {
        let mut policy = self.policy.clone();
        if self.lie == Some(Lie::NoRegistration) {
            policy.parent_registration_s = 0;
        }
        let ttl = if self.lie == Some(Lie::NoTtl) { 0 } else { self.world.data_ttl_held() };
        let done = if self.lie == Some(Lie::DoneAtOnce) { self.state.plan } else { self.done };
        let apex = self.world.apex.clone();
        let facts = Facts {
            apex: &apex,
            now: self.world.now,
            clock: Clock::Steady,
            max_ttl_s: u32::try_from(ttl).unwrap(),
            done,
            visible: self.visible,
            pops_behind: 0,
            verified: done,
            parent: self.view.as_ref(),
            peers: &[],
        };
        let (made, fails) = (&mut self.keys_made, self.world.random.once_in(10));
        let mut fresh = Vec::new();
        let outcome = step(&self.state, &policy, &facts, &mut |wanted| {
            if fails {
                return Err("the module is out of reach".to_owned());
            }
            *made += 1;
            let key = fake_key(*made, wanted);
            fresh.push((*made, key.public.clone(), wanted.role));
            Ok(key)
        });
        for (number, public, role) in fresh {
            self.world.algorithms.insert(number, public.algorithm.number());
            let public = PublicKey { flags: role.flags(), ..public };
            for digest in [DigestType::Sha256, DigestType::Sha384] {
                self.world.ds_of.insert(public.ds(&apex, digest), number);
            }
        }
        // Killed before the state was durable: as if it had never been.
        if outcome.changed && self.world.random.once_in(8) {
            self.world.tell("the signer is killed in a step");
            self.last = None;
            return;
        }
        self.adopt(outcome);
    }

    fn adopt(&mut self, outcome: Outcome) {
        assert_eq!(outcome.changed, outcome.state != self.state);
        let before = self.state.plan;
        if outcome.changed {
            explain(&self.world.apex, &outcome).to_string();
            self.state = round_trip(&outcome.state);
        }
        for note in &outcome.notes {
            self.world.tell(note.clone());
        }
        self.deleted.extend(&outcome.delete);
        self.world.is_secure = self.state.signed && self.state.ds_versions().all(|ds| !ds.keys.is_empty());
        let in_use = self.state.signing_keys();
        let there = in_use.iter().all(|key| !self.deleted.contains(&key.id));
        self.world.hold(there, || "a key that signs was deleted".to_owned());
        if before != self.state.plan {
            self.begin_signing();
        }
        self.last = Some(outcome);
    }

    /// A plan begins: keys are published at once, data is signed by and by.
    fn begin_signing(&mut self) {
        if let Some(Chains { answers, .. }) = self.state.chains() {
            let first = self.complete.is_empty();
            self.world
                .hold(first || self.complete.contains(&answers), || "a chain answers that is not complete".to_owned());
        }
        let signers = signers_of(&self.state);
        if !self.signed.contains(&signers) {
            self.signed.push(signers);
        }
        let lasts = self.world.random.within(0, self.signing_max);
        self.signing_until = Some(self.world.now + lasts);
        self.publish();
        self.finish_signing();
    }

    pub(super) fn ask(&mut self, wanted: &Command) {
        if let Ok(state) = command(&self.state, self.world.now, wanted) {
            self.world.tell(format!("asked for: {wanted:?}"));
            self.state = round_trip(&state);
            self.world.is_secure &= self.state.signed;
            self.last = None;
        }
    }

    /// Something at random that an operator may do at any time.
    pub(super) fn ask_for_something(&mut self) {
        let random = &mut self.world.random;
        let role = random.pick(&[None, None, Some(Role::Csk), Some(Role::Ksk), Some(Role::Zsk)]);
        match random.within(0, 11) {
            0 | 1 => self.ask(&Command::Roll { role, emergency: false }),
            2 => self.ask(&Command::Roll { role, emergency: true }),
            3 | 4 => self.ask(&Command::Cancel { role }),
            5 => self.ask(&Command::Unsign),
            6 | 7 => self.ask(&Command::Sign),
            8 => self.ask(&Command::ForgetTimes),
            9 => self.change_ttl(),
            _ => self.change_policy(),
        }
    }

    fn change_ttl(&mut self) {
        let ttl = self.world.random.pick(&[60, HOUR, DAY, 2 * DAY]);
        self.world.change_data_ttl(ttl);
        self.world.tell(format!("the zone's TTL is {ttl}"));
        // The signer knows of the new TTL before the servers do.
        self.step();
        self.publish();
    }

    pub(super) fn change_policy(&mut self) {
        let random = &mut self.world.random;
        let policy = &mut self.policy;
        match random.within(0, 6) {
            0 => {
                policy.algorithm = random.pick(&[Algorithm::EcdsaP256Sha256, Algorithm::Ed25519, Algorithm::RsaSha256]);
            }
            1 => policy.keys = random.pick(&[Layout::Csk, Layout::Split]),
            2 => policy.denial = random.pick(&[DenialPolicy::Nsec, DenialPolicy::Nsec3 { opt_out: false }]),
            3 => policy.standby = !policy.standby,
            4 => policy.ksk_method = random.pick(&[KskMethod::DoubleDs, KskMethod::DoubleKsk]),
            5 => policy.dnskey_ttl_s = random.pick(&[300, 3_600, 86_400]),
            _ => policy.zsk_lifetime_s = random.pick(&[None, Some(20 * 86_400), Some(90 * 86_400)]),
        }
        let policy = format!("{:?}", self.policy);
        self.world.tell(format!("the policy: {policy}"));
        self.last = None;
    }

    /// Takes it that nothing goes wrong any more, and expects the zone to reach what was asked for.
    pub(super) fn settle(&mut self) {
        self.world.calm();
        self.signing_max = MINUTE;
        (self.policy.csk_lifetime_s, self.policy.ksk_lifetime_s, self.policy.zsk_lifetime_s) = (None, None, None);
        self.run_until(self.world.now + 60 * DAY);
        let state = &self.state;
        let hold = |condition, what: &str| self.world.hold(condition, || format!("{what}: {state:#?}"));
        hold(!state.keys.iter().any(|key| key.goal == Goal::Out), "a key never went");
        if state.signed {
            let keys = usize::from(self.policy.standby) + 1;
            hold(state.keys.len() == keys * self.policy.keys.roles().len(), "there are other keys than the policy has");
            hold(state.keys.iter().all(|key| key.public.algorithm == self.policy.algorithm), "another algorithm");
            hold(state.denial == Some(self.policy.denial) && state.denial_change.is_none(), "another denial");
            hold(self.world.is_secure, "the zone is signed and not secure");
            hold(signers_of(state).len() == 1, "more than one key signs the zone");
        } else {
            hold(state.is_idle_unsigned() && self.world.is_insecure_everywhere(), "the zone is not unsigned");
            hold(State { plan: 0, changed_at: 0, ..state.clone() } == State::default(), "something is left");
        }
    }
}

/// A state is what its JSON says.
fn round_trip(state: &State) -> State {
    let json = serde_json::to_string(state).unwrap();
    let read = serde_json::from_str(&json).unwrap();
    assert_eq!(*state, read, "{json}");
    read
}

pub(super) fn fake_key(number: u64, wanted: KeyWanted) -> NewKey {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let octets = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let key = match wanted.algorithm {
        Algorithm::RsaSha256 => [&[3, 1, 0, 1, 0x80][..], &octets, &[1; 247]].concat(),
        _ => [&octets[..], &[1; 56]].concat(),
    };
    NewKey { id: KeyId(id), public: PublicKey { flags: 0, algorithm: wanted.algorithm, key: key.into() } }
}

/// A policy of any kind.
pub(super) fn any_policy(seed: u64) -> DnssecPolicy {
    let mut random = super::random::Random::new(!seed);
    DnssecPolicy {
        keys: random.pick(&[Layout::Csk, Layout::Split]),
        ksk_method: random.pick(&[KskMethod::DoubleDs, KskMethod::DoubleKsk]),
        standby: random.once_in(3),
        algorithm_change: if random.once_in(4) { AlgorithmChange::Liberal } else { AlgorithmChange::Conservative },
        parent_registration_s: 8 * 86_400,
        zsk_lifetime_s: random.pick(&[None, Some(30 * 86_400)]),
        csk_lifetime_s: random.pick(&[None, None, Some(200 * 86_400)]),
        ksk_lifetime_s: random.pick(&[None, None, Some(200 * 86_400)]),
        ..DnssecPolicy::default()
    }
}

pub(super) fn validator_for(policy: &DnssecPolicy) -> Validator {
    match policy.algorithm_change {
        AlgorithmChange::Conservative => Validator::EachAlgorithm,
        AlgorithmChange::Liberal => Validator::DsAlgorithms,
    }
}
