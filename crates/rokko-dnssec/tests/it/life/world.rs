//! Servers of the zone, servers of the parent, and caches.

use std::collections::BTreeMap;

use rokko_dnssec::life::{DenialPolicy, DnssecPolicy, DsSet, ParentView, ServerView, State};
use rokko_wire::Name;

use super::cache::{DnskeyRrset, Held, Keys, Validator};
use super::random::Random;

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 3_600;
pub(super) const DAY: u64 = 86_400;
/// When the simulated world begins, in Unix seconds.
const BEGIN: u64 = 1_800_000_000;

/// What the zone's servers give out from one revision on.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) dnskey: DnskeyRrset,
    pub(super) dnskey_ttl: u64,
    /// Who signed data, where signing is under way by either.
    pub(super) signed: Vec<Keys>,
    pub(super) data_ttl: u64,
    /// The DS that is asked for; none if there is no CDS RRset.
    pub(super) cds: Option<Vec<Box<[u8]>>>,
    /// The plan that this revision completes or works at.
    pub(super) done: u32,
}

pub(super) struct Pop {
    revision: usize,
    due: Vec<(u64, usize)>,
    pub(super) lag_max: u64,
}

pub(super) struct ParentServer {
    ds: Vec<Box<[u8]>>,
    due: Vec<(u64, Vec<Box<[u8]>>)>,
    slow_max: u64,
}

pub(super) struct World {
    pub(super) apex: Name,
    pub(super) random: Random,
    pub(super) now: u64,
    pub(super) revisions: Vec<Revision>,
    pub(super) pops: Vec<Pop>,
    pub(super) parent: Vec<ParentServer>,
    pub(super) ds_ttl: u64,
    pub(super) data_ttl: u64,
    /// TTLs that the zone had, with the moment until which caches may hold something of it.
    former_ttls: Vec<(u64, u64)>,
    /// From DS record data to the key.
    pub(super) ds_of: BTreeMap<Box<[u8]>, u64>,
    pub(super) algorithms: BTreeMap<u64, u8>,
    parent_primary: Vec<Box<[u8]>>,
    next_scan: u64,
    scan_max: u64,
    /// Whether a cache may hold something that none held when it was judged last.
    fresh: bool,
    held_ds: Held<Keys>,
    held_dnskey: Held<DnskeyRrset>,
    held_signed: Held<Keys>,
    pub(super) validator: Validator,
    /// Whether the signer takes it that all caches know a DS.
    pub(super) is_secure: bool,
    pub(super) story: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let pops =
            (0..random.within(1, 4)).map(|_| Pop { revision: 0, due: Vec::new(), lag_max: 0 }).collect::<Vec<_>>();
        let parent = (0..random.within(1, 4)).map(|_| ParentServer { ds: Vec::new(), due: Vec::new(), slow_max: 0 });
        let parent = parent.collect();
        let data_ttl = random.pick(&[60, HOUR, DAY, 2 * DAY]);
        let unsigned = Revision {
            dnskey: DnskeyRrset::default(),
            dnskey_ttl: data_ttl,
            signed: vec![Keys::new()],
            data_ttl,
            cds: None,
            done: 0,
        };
        let ds_ttl = random.pick(&[HOUR, DAY, 2 * DAY]);
        let scan_max = random.pick(&[HOUR, DAY, 5 * DAY]);
        let mut world = Self {
            apex: "example.org".parse().unwrap(),
            random,
            now: BEGIN,
            revisions: vec![unsigned],
            pops,
            parent,
            ds_ttl,
            data_ttl,
            former_ttls: Vec::new(),
            ds_of: BTreeMap::new(),
            algorithms: BTreeMap::new(),
            parent_primary: Vec::new(),
            next_scan: BEGIN,
            scan_max,
            fresh: true,
            held_ds: Held::new(),
            held_dnskey: Held::new(),
            held_signed: Held::new(),
            validator: Validator::EachAlgorithm,
            is_secure: false,
            story: Vec::new(),
        };
        world.trouble();
        world
    }

    pub(super) fn tell(&mut self, what: impl Into<String>) {
        let (days, rest) = ((self.now - BEGIN) / DAY, (self.now - BEGIN) % DAY);
        self.story.push(format!(
            "day {days} {:02}:{:02}:{:02}  {}",
            rest / HOUR,
            rest / MINUTE % 60,
            rest % 60,
            what.into()
        ));
    }

    /// Ends the simulation with its story if a condition does not hold. Quietly: whoever runs it decides what to print.
    pub(super) fn hold(&self, condition: bool, otherwise: impl FnOnce() -> String) {
        if !condition {
            let fault = format!("{}\n{}", self.story.join("\n"), otherwise());
            std::panic::resume_unwind(Box::new(fault));
        }
    }

    /// Lags are drawn anew from time to time.
    pub(super) fn trouble(&mut self) {
        for pop in &mut self.pops {
            pop.lag_max = self.random.pick(&[1, 5, MINUTE, HOUR, 3 * DAY]);
        }
        for server in &mut self.parent {
            server.slow_max = self.random.pick(&[1, MINUTE, 6 * HOUR, 2 * DAY]);
        }
    }

    pub(super) fn calm(&mut self) {
        self.pops.iter_mut().for_each(|pop| pop.lag_max = 5);
        self.parent.iter_mut().for_each(|server| server.slow_max = MINUTE);
        self.scan_max = HOUR;
        self.next_scan = self.next_scan.min(self.now + HOUR);
    }

    pub(super) fn commit(&mut self, revision: Revision) {
        self.revisions.push(revision);
        let number = self.revisions.len() - 1;
        for pop in &mut self.pops {
            let at = self.now + self.random.within(0, pop.lag_max);
            // Revisions arrive in order.
            let at = pop.due.last().map_or(at, |&(before, _)| at.max(before));
            pop.due.push((at, number));
        }
        self.arrive();
    }

    /// The first moment after now at which something arrives.
    pub(super) fn next_arrival(&self) -> u64 {
        let pops = self.pops.iter().filter_map(|pop| pop.due.first()).map(|&(at, _)| at);
        let parents = self.parent.iter().filter_map(|server| server.due.first()).map(|&(at, _)| at);
        pops.chain(parents).min().unwrap_or(u64::MAX).min(self.next_scan)
    }

    /// Lets time pass, arrival by arrival.
    pub(super) fn pass_until(&mut self, until: u64) {
        while self.next_arrival() <= until {
            self.now = self.next_arrival().max(self.now);
            self.arrive();
        }
        self.now = self.now.max(until);
        self.serve();
    }

    fn arrive(&mut self) {
        // What is replaced was given out until this moment.
        self.serve();
        let now = self.now;
        for pop in &mut self.pops {
            while pop.due.first().is_some_and(|&(at, _)| at <= now) {
                pop.revision = pop.due.remove(0).1;
            }
        }
        for server in &mut self.parent {
            while server.due.first().is_some_and(|&(at, _)| at <= now) {
                server.ds = server.due.remove(0).1;
            }
        }
        if self.next_scan <= now {
            self.scan();
        }
        self.serve();
        self.judge();
    }

    /// The parent looks at the CDS RRset of one of the zone's servers.
    fn scan(&mut self) {
        self.next_scan = self.now + self.random.within(self.scan_max / 2, self.scan_max);
        let pop = usize::try_from(self.random.within(0, self.pops.len() as u64 - 1)).unwrap();
        let Some(cds) = self.revisions[self.pops[pop].revision].cds.clone() else { return };
        if cds == self.parent_primary {
            return;
        }
        let keys = self.keys_of(&cds);
        self.tell(format!("the parent takes over {keys:?}"));
        self.parent_primary.clone_from(&cds);
        for server in &mut self.parent {
            let at = self.now + self.random.within(0, server.slow_max);
            let at = server.due.last().map_or(at, |(before, _)| at.max(*before));
            server.due.push((at, cds.clone()));
        }
    }

    fn keys_of(&self, ds: &[Box<[u8]>]) -> Keys {
        ds.iter().map(|rdata| self.ds_of[rdata]).collect()
    }

    /// Each server gives out what it has, now.
    fn serve(&mut self) {
        for pop in &self.pops {
            let revision = &self.revisions[pop.revision];
            self.fresh |= self.held_dnskey.serve(&revision.dnskey, self.now, revision.dnskey_ttl);
            for signed in &revision.signed {
                self.fresh |= self.held_signed.serve(signed, self.now, revision.data_ttl);
            }
        }
        for i in 0..self.parent.len() {
            let keys = self.keys_of(&self.parent[i].ds);
            // The policy's TTL stands for that of negative answers, which is not seen.
            let ttl = if keys.is_empty() { self.ds_ttl.min(DAY) } else { self.ds_ttl };
            self.fresh |= self.held_ds.serve(&keys, self.now, ttl);
        }
    }

    /// No validator may find anything bogus, whatever it holds.
    fn judge(&mut self) {
        let now = self.now;
        let algorithm = |key: u64| self.algorithms[&key];
        // What is only forgotten makes nothing bogus.
        let judged = std::mem::take(&mut self.fresh).then(|| self.held_ds.at(now)).into_iter().flatten();
        for ds in judged {
            for dnskey in self.held_dnskey.at(now) {
                for signed in self.held_signed.at(now) {
                    let bogus = self.validator.finds_bogus(algorithm, ds, dnskey, signed);
                    self.hold(!bogus, || format!("bogus: DS {ds:?}, {dnskey:?}, data signed by {signed:?}"));
                }
            }
        }
        let without_ds = self.held_ds.at(now).any(Keys::is_empty);
        self.hold(!self.is_secure || !without_ds, || "insecure, though it was taken to be secure".to_owned());
        self.held_ds.expire(now);
        self.held_dnskey.expire(now);
        self.held_signed.expire(now);
    }

    pub(super) fn is_insecure_everywhere(&self) -> bool {
        self.held_ds.at(self.now).all(Keys::is_empty)
    }

    /// The highest plan that all of the zone's servers have in full.
    pub(super) fn visible(&self) -> u32 {
        self.pops.iter().map(|pop| self.revisions[pop.revision].done).min().unwrap_or(0)
    }

    pub(super) fn visible_at_one(&self) -> u32 {
        self.pops.iter().map(|pop| self.revisions[pop.revision].done).max().unwrap_or(0)
    }

    pub(super) fn look(&mut self, servers: usize) -> ParentView {
        let mut view = ParentView { at: self.now, servers: Vec::new() };
        for i in 0..self.parent.len().min(servers) {
            let fails = self.random.once_in(20);
            let rdatas = self.parent[i].ds.clone();
            let ttl_s = if rdatas.is_empty() { 0 } else { u32::try_from(self.ds_ttl).unwrap() };
            let answer = if fails { Err("no answer".to_owned()) } else { Ok(DsSet { rdatas, ttl_s }) };
            view.servers.push(ServerView { server: ([192, 0, 2, u8::try_from(i).unwrap()], 53).into(), answer });
        }
        view
    }

    pub(super) fn change_data_ttl(&mut self, ttl: u64) {
        self.former_ttls.push((self.data_ttl, self.now + self.data_ttl + 3 * DAY));
        self.data_ttl = ttl;
    }

    /// The largest TTL of data that caches may hold.
    pub(super) fn data_ttl_held(&self) -> u64 {
        let former = self.former_ttls.iter().filter(|&&(_, until)| until >= self.now).map(|&(ttl, _)| ttl);
        former.chain([self.data_ttl]).max().unwrap_or(0)
    }

    /// What a state says is to be published, with `signed` as it is while signing goes on.
    pub(super) fn revision_of(&self, state: &State, policy: &DnssecPolicy, signed: Vec<Keys>, done: u32) -> Revision {
        let records = state.key_records(&self.apex, policy);
        let number = |slot: u8| number_of(state, slot);
        let current = state.dnskey.current();
        let dnskey = DnskeyRrset {
            keys: current.keys.slots().map(number).collect(),
            signers: current.signers.slots().map(number).collect(),
        };
        assert_eq!(dnskey.keys.len(), records.dnskey.as_ref().map_or(0, |rrset| rrset.rdatas.len()));
        let dnskey_ttl = records.dnskey.map_or(self.data_ttl, |rrset| u64::from(rrset.ttl.as_secs()));
        let cds = records.cds.map(|rrset| rrset.rdatas);
        let cds = cds.map(|rdatas| if *rdatas[0] == [0; 5] { Vec::new() } else { rdatas });
        Revision { dnskey, dnskey_ttl, signed, data_ttl: self.data_ttl, cds, done }
    }
}

/// The number that the simulation gave the key in a slot.
pub(super) fn number_of(state: &State, slot: u8) -> u64 {
    let id = state.key(slot).unwrap().id.unwrap();
    u64::from_be_bytes(id.0[..8].try_into().unwrap())
}

pub(super) fn signers_of(state: &State) -> Keys {
    state.signatures.current().slots().map(|slot| number_of(state, slot)).collect()
}

/// Chains that are complete in the zone.
pub(super) fn chains_of(state: &State) -> Vec<DenialPolicy> {
    state.chains().map_or_else(Vec::new, |chains| chains.also.into_iter().chain([chains.answers]).collect())
}
