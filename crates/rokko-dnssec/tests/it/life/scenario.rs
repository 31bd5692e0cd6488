//! A zone in a world without trouble: for what happens when, and in which words.

use std::fmt::Write;

use rokko_dnssec::life::{
    Clock, Command, DnssecPolicy, DsSet, Facts, Outcome, ParentView, PeerView, Refused, ServerView, State, Visible,
    command, explain, step,
};
use rokko_wire::Name;

use super::operator::fake_key;

pub(super) const HOUR: u64 = 3_600;
pub(super) const DAY: u64 = 86_400;
/// 2026-01-01 00:00:00 UTC.
pub(super) const BEGIN: u64 = 1_767_225_600;

/// The DS records that a server has, or why it does not answer.
type Answer = Result<Vec<Box<[u8]>>, String>;

pub(super) struct Scenario {
    pub(super) apex: Name,
    pub(super) policy: DnssecPolicy,
    pub(super) state: State,
    pub(super) now: u64,
    pub(super) clock: Clock,
    pub(super) max_ttl_s: u32,
    /// The highest plan that is reported as signed and verified; all if none.
    pub(super) plan_max: Option<u32>,
    /// The highest plan that is reported as visible, if it is signed; all if none.
    pub(super) visible_max: Option<u32>,
    pub(super) key_error: Option<String>,
    pub(super) peers: Vec<PeerView>,
    /// How long the parent takes to carry out a request; it never does if none.
    pub(super) parent_takes_s: Option<u64>,
    /// What each of the parent's servers has.
    pub(super) servers: Vec<Answer>,
    visible: Option<Visible>,
    requested: Option<(u64, Vec<Box<[u8]>>)>,
    view: Option<ParentView>,
    keys_made: u64,
    pub(super) timeline: String,
}

impl Scenario {
    pub(super) fn new(policy: DnssecPolicy) -> Self {
        policy.check().unwrap();
        Self {
            apex: "example.org".parse().unwrap(),
            policy,
            state: State::default(),
            now: BEGIN,
            clock: Clock::Steady,
            max_ttl_s: 7_200,
            plan_max: None,
            visible_max: None,
            key_error: None,
            peers: Vec::new(),
            parent_takes_s: Some(6 * HOUR),
            servers: vec![Ok(Vec::new()), Ok(Vec::new())],
            visible: None,
            requested: None,
            view: None,
            keys_made: 0,
            timeline: String::new(),
        }
    }

    /// A zone with this policy that is signed and secure, at the beginning of a day.
    pub(super) fn secure(policy: DnssecPolicy) -> Self {
        let mut scenario = Self::new(policy);
        scenario.ask(&Command::Sign).unwrap();
        scenario.run(10 * DAY);
        assert_eq!(scenario.step().waits, []);
        scenario.timeline.clear();
        scenario
    }

    pub(super) fn ask(&mut self, wanted: &Command) -> Result<(), Refused> {
        self.state = command(&self.state, self.now, wanted)?;
        self.tell(&format!("asked for {wanted:?}"));
        Ok(())
    }

    pub(super) fn tell(&mut self, what: &str) {
        let since = self.now - BEGIN;
        let (day, hour, minute) = (since / DAY, since / HOUR % 24, since / 60 % 60);
        writeln!(self.timeline, "day {day:>3} {hour:02}:{minute:02}  {what}").unwrap();
    }

    /// Takes one step by what is known now.
    pub(super) fn step(&mut self) -> Outcome {
        let plan = self.plan_max.unwrap_or(u32::MAX).min(self.state.plan);
        let seen = self.visible_max.unwrap_or(u32::MAX).min(plan);
        if self.visible.is_none_or(|visible| visible.plan < seen) {
            self.visible = Some(Visible { plan: seen, since: self.now });
        }
        let facts = Facts {
            apex: &self.apex,
            now: self.now,
            clock: self.clock,
            max_ttl_s: self.max_ttl_s,
            done: plan,
            visible: self.visible,
            pops_behind: 2,
            verified: plan,
            parent: self.view.as_ref(),
            peers: &self.peers,
        };
        let (made, error) = (&mut self.keys_made, &self.key_error);
        let outcome = step(&self.state, &self.policy, &facts, &mut |wanted| {
            *made += 1;
            error.clone().map_or_else(|| Ok(fake_key(*made, wanted)), Err)
        });
        self.state = outcome.state.clone();
        for note in &outcome.notes {
            self.tell(note);
        }
        outcome
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, seconds: u64) -> Outcome {
        let end = self.now + seconds;
        loop {
            let outcome = self.step();
            self.request();
            let arrival = self.requested.as_ref().map(|&(at, _)| at);
            let next = [outcome.next_at, outcome.look_at, arrival].into_iter().flatten().min().unwrap_or(end);
            if outcome.changed {
                continue;
            }
            if next.max(self.now + 1) > end {
                self.now = end;
                return outcome;
            }
            self.now = next.max(self.now + 1);
            if arrival.is_some_and(|at| at <= self.now) {
                let (_, ds) = self.requested.take().unwrap();
                self.servers.iter_mut().for_each(|server| *server = Ok(ds.clone()));
            }
            if outcome.look_at.is_some_and(|at| at <= self.now) {
                self.look();
            }
        }
    }

    /// The parent sees the request.
    fn request(&mut self) {
        let Some(cds) = self.state.key_records(&self.apex, &self.policy).cds else { return };
        let wanted = if *cds.rdatas[0] == [0; 5] { Vec::new() } else { cds.rdatas };
        let Some(takes_s) = self.parent_takes_s else { return };
        let coming = self.requested.as_ref().map(|(_, ds)| Ok(ds.clone()));
        if coming.as_ref().unwrap_or(&self.servers[0]) != &Ok(wanted.clone()) {
            self.requested = Some((self.now + takes_s, wanted));
        }
    }

    pub(super) fn look(&mut self) {
        let view = |(i, answer): (usize, &Answer)| ServerView {
            server: ([192, 0, 2, 1 + u8::try_from(i).unwrap()], 53).into(),
            answer: answer.clone().map(|rdatas| DsSet { ttl_s: if rdatas.is_empty() { 0 } else { 3_600 }, rdatas }),
        };
        self.view = Some(ParentView { at: self.now, servers: self.servers.iter().enumerate().map(view).collect() });
    }

    /// Takes a step and explains what it came to.
    pub(super) fn explain_into(&mut self, text: &mut String, title: &str) {
        let outcome = self.step();
        write!(text, "==== {title}\n{}\n", explain(&self.apex, &outcome)).unwrap();
    }
}
