//! What a follower has to say: of each kind the last, so that nothing piles up while the carrier is busy.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rokko_wire::Name;
use rokko_zone::{Revision, ZoneMark};

use super::relay::{BEHIND_MAX, Behind};
use crate::message::{Ack, FromPop, Hello, MARKS_MAX, NAMES_MAX, News, Path, Report, Verified};

/// The most zones that wait to be asked for; the others are asked for later.
const NEEDED_MAX: usize = 100_000;
/// The most pings that wait to be answered.
const PONGS_MAX: usize = 16;
/// The most news of one PoP that wait beside its last acknowledgement and report.
const NEWS_MAX: usize = 16;

pub(super) struct Outbox {
    hello: Option<Hello>,
    pongs: VecDeque<(u64, u64)>,
    pub(super) ack: Option<Ack>,
    pub(super) report: Option<Report>,
    needed: BTreeSet<Name>,
    pub(super) sums: Option<FromPop>,
    marks: VecDeque<FromPop>,
    pub(super) verified: Option<Verified>,
    pub(super) renew: Option<Vec<u8>>,
    relayed: BTreeMap<Path, Relayed>,
    /// Whose news comes first.
    turns: VecDeque<Path>,
}

/// What is new of a PoP behind this node.
#[derive(Default)]
struct Relayed {
    news: VecDeque<News>,
    ack: Option<Ack>,
    report: Option<Report>,
}

impl Outbox {
    pub(super) fn new(hello: Hello) -> Self {
        Self {
            hello: Some(hello),
            pongs: VecDeque::new(),
            ack: None,
            report: None,
            needed: BTreeSet::new(),
            sums: None,
            marks: VecDeque::new(),
            verified: None,
            renew: None,
            relayed: BTreeMap::new(),
            turns: VecDeque::new(),
        }
    }

    /// The next message; before the server's welcome nothing but the hello.
    pub(super) fn next(&mut self, is_served: bool) -> Option<FromPop> {
        if let Some(hello) = self.hello.take() {
            return Some(FromPop::Hello(hello));
        }
        if !is_served {
            return None;
        }
        if let Some((server_ms, pop_ms)) = self.pongs.pop_front() {
            return Some(FromPop::Pong { server_ms, pop_ms });
        }
        let own = self.ack.take().map(FromPop::Ack);
        let own = own.or_else(|| self.report.take().map(FromPop::Report));
        let own = own.or_else(|| self.renew.take().map(FromPop::Renew));
        let own = own.or_else(|| self.verified.take().map(FromPop::Verified));
        let own = own.or_else(|| self.next_needed());
        let own = own.or_else(|| self.sums.take()).or_else(|| self.marks.pop_front());
        own.or_else(|| self.next_relayed())
    }

    pub(super) fn pong(&mut self, server_ms: u64, pop_ms: u64) {
        if self.pongs.len() < PONGS_MAX {
            self.pongs.push_back((server_ms, pop_ms));
        }
    }

    pub(super) fn need(&mut self, names: Vec<Name>) {
        let room = NEEDED_MAX.saturating_sub(self.needed.len());
        self.needed.extend(names.into_iter().take(room));
    }

    pub(super) fn set_marks(&mut self, revision: Revision, marks: &[ZoneMark]) {
        let mut parts: Vec<&[ZoneMark]> = marks.chunks(MARKS_MAX).collect();
        let last = parts.pop().unwrap_or_default();
        let message = |marks: &[ZoneMark], more| FromPop::Marks { revision, more, marks: marks.to_vec() };
        self.marks = parts.into_iter().map(|part| message(part, true)).chain([message(last, false)]).collect();
    }

    pub(super) fn relay(&mut self, path: Path, news: News) {
        if !self.relayed.contains_key(&path) {
            if self.relayed.len() >= BEHIND_MAX {
                return;
            }
            self.turns.push_back(path.clone());
        }
        let relayed = self.relayed.entry(path).or_default();
        match news {
            News::Ack(ack) => relayed.ack = Some(ack),
            News::Report(report) => relayed.report = Some(report),
            news => {
                if matches!(news, News::Connected { .. } | News::Disconnected) {
                    *relayed = Relayed::default();
                }
                if relayed.news.len() < NEWS_MAX {
                    relayed.news.push_back(news);
                }
            }
        }
    }

    pub(super) fn relay_all(&mut self, behind: &Behind) {
        for (path, news) in behind.all() {
            self.relay(path, news);
        }
    }

    fn next_needed(&mut self) -> Option<FromPop> {
        let names: Vec<Name> = (0..NAMES_MAX).map_while(|_| self.needed.pop_first()).collect();
        (!names.is_empty()).then_some(FromPop::NeedZones(names))
    }

    fn next_relayed(&mut self) -> Option<FromPop> {
        while let Some(path) = self.turns.pop_front() {
            let Some(relayed) = self.relayed.get_mut(&path) else { continue };
            let news = relayed.news.pop_front();
            let news = news.or_else(|| relayed.ack.take().map(News::Ack));
            let Some(news) = news.or_else(|| relayed.report.take().map(News::Report)) else {
                self.relayed.remove(&path);
                continue;
            };
            self.turns.push_back(path.clone());
            return Some(FromPop::Relayed { path, news });
        }
        None
    }
}
