//! Finding the zones of a PoP that differ, and sending them again.

use std::collections::{BTreeSet, VecDeque};

use rokko_wire::Name;
use rokko_zone::image::Piece;
use rokko_zone::{Page, Revision, Zone, ZoneMark};

use super::{History, ServeEvent};
use crate::audit::{Job, bucket_of};
use crate::message::{ASKED_BUCKETS_MAX, FromServer};

/// The most zones that wait to be sent again; an audit finds the others later.
const WANTED_MAX: usize = 100_000;
/// So many zones are looked up at once.
const ZONES_AT_ONCE: usize = 64;
/// How many octets of an image close a part.
const PART_OCTETS: usize = 256 << 10;
/// The most marks that are taken in one audit.
const MARKS_TOTAL_MAX: usize = 1 << 20;
/// How long a digest must be wrong before it is looked into, in milliseconds: what is on its way may put it right.
const PATIENCE_MS: u64 = 500;
/// How long to wait after an audit for the next, in milliseconds: first, and at most.
const PAUSE_MS: u64 = 1_000;
const PAUSE_MS_MAX: u64 = 60_000;
/// After how many milliseconds an audit that does not get on is given up.
const AUDIT_MS_MAX: u64 = 300_000;

/// Zones that are to be sent again.
#[derive(Default)]
pub(super) struct Repair {
    wanted: BTreeSet<Name>,
    /// Zones as they are at a revision.
    ready: VecDeque<(Name, Option<Zone>)>,
    ready_at: Revision,
    sending: Option<Image>,
}

/// A zone's image that is being sent.
struct Image {
    head: Vec<u8>,
    pages: std::iter::Peekable<std::vec::IntoIter<Page>>,
}

impl Repair {
    pub(super) fn want(&mut self, names: Vec<Name>) {
        let room = WANTED_MAX.saturating_sub(self.wanted.len());
        self.wanted.extend(names.into_iter().take(room));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_empty() && self.ready.is_empty() && self.sending.is_none()
    }

    /// The next part of a zone, if the PoP has been sent what goes before.
    pub(super) fn next(&mut self, cursor: Revision, history: &dyn History) -> Option<FromServer> {
        if let Some(image) = &mut self.sending {
            let (bytes, more) = image.part();
            if !more {
                self.sending = None;
            }
            return Some(FromServer::ZoneImage { revision: self.ready_at, more, bytes });
        }
        if self.ready_at < cursor {
            self.wanted.extend(self.ready.drain(..).map(|(name, _)| name));
        }
        if self.ready.is_empty() && !self.wanted.is_empty() {
            let names: Vec<Name> = (0..ZONES_AT_ONCE).map_while(|_| self.wanted.pop_first()).collect();
            let (revision, zones) = history.zones(&names);
            (self.ready_at, self.ready) = (revision, zones.into());
        }
        if self.ready_at != cursor {
            return None;
        }
        let (zone, found) = self.ready.pop_front()?;
        match found {
            None => Some(FromServer::ZoneGone { revision: cursor, zone }),
            Some(found) => {
                self.sending = Some(Image::of(&found));
                self.next(cursor, history)
            }
        }
    }
}

impl Image {
    fn of(zone: &Zone) -> Self {
        let (main, nsec3) = zone.pages();
        let count = |pages: &[Page]| u32::try_from(pages.len()).unwrap_or(u32::MAX);
        let mut head = Vec::new();
        Piece::Head { zone: zone.view(), pages: (count(&main), count(&nsec3)) }.write(&mut head);
        let pages: Vec<Page> = main.into_iter().chain(nsec3).collect();
        Self { head, pages: pages.into_iter().peekable() }
    }

    /// The next part, and whether more follows.
    fn part(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = std::mem::take(&mut self.head);
        while bytes.len() < PART_OCTETS
            && let Some(page) = self.pages.next()
        {
            Piece::Page(page.as_bytes()).write(&mut bytes);
        }
        (bytes, self.pages.peek().is_some())
    }
}

/// How far an audit has come.
#[derive(Default)]
enum Step {
    #[default]
    Idle,
    /// The PoP was asked for sums.
    Asked,
    /// Its sums are here, and this node's are being worked out.
    Summing { sums: Vec<u128> },
    /// The PoP was asked for marks.
    Marks { buckets: BTreeSet<u16>, marks: Vec<ZoneMark> },
    /// They are being compared.
    Comparing,
}

/// The audit of a PoP.
#[derive(Default)]
pub(super) struct Audit {
    step: Step,
    begun_ms: u64,
    /// Since when the PoP's digest is wrong.
    wrong_since_ms: Option<u64>,
    not_before_ms: u64,
    pause_ms: u64,
    /// How many buckets differed last.
    differing: usize,
}

impl Audit {
    /// Notes whether the PoP's digest is right.
    pub(super) fn digest_is(&mut self, is_right: bool, now_ms: u64) {
        if is_right {
            (self.wrong_since_ms, self.pause_ms) = (None, 0);
        } else {
            self.wrong_since_ms.get_or_insert(now_ms);
        }
    }

    /// Whether the PoP is to be asked for its sums.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        let is_stuck = now_ms.saturating_sub(self.begun_ms) > AUDIT_MS_MAX;
        let is_free = matches!(self.step, Step::Idle) || is_stuck;
        let is_wrong = self.wrong_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= PATIENCE_MS);
        is_free && is_wrong && now_ms >= self.not_before_ms
    }

    /// Notes that the PoP is asked for its sums.
    pub(super) fn ask(&mut self, now_ms: u64) {
        (self.step, self.begun_ms) = (Step::Asked, now_ms);
    }

    pub(super) fn sums(&mut self, sums: Vec<u128>, out: &mut Vec<ServeEvent>) {
        if matches!(self.step, Step::Asked) {
            self.step = Step::Summing { sums };
            out.push(ServeEvent::Job(Job::Sums));
        }
    }

    /// Compares this node's sums with the PoP's; what to ask the PoP, if they differ.
    pub(super) fn own_sums(&mut self, own: &[u128], now_ms: u64) -> Option<FromServer> {
        let Step::Summing { sums } = std::mem::take(&mut self.step) else { return None };
        let pairs = (0..=u16::MAX).zip(sums.iter().zip(own));
        let differing: Vec<u16> = pairs.filter(|(_, (a, b))| a != b).map(|(bucket, _)| bucket).collect();
        // As long as repairs help, the next audit need not wait.
        if differing.len() < self.differing {
            self.pause_ms = 0;
        }
        self.differing = differing.len();
        if differing.is_empty() {
            self.pause(now_ms);
            return None;
        }
        let buckets: BTreeSet<u16> = differing.into_iter().take(ASKED_BUCKETS_MAX).collect();
        let message = FromServer::AskZones(buckets.iter().copied().collect());
        self.step = Step::Marks { buckets, marks: Vec::new() };
        Some(message)
    }

    /// Takes marks; false if they were not asked for, or there are too many.
    pub(super) fn marks(
        &mut self,
        revision: Revision,
        more: bool,
        mut fresh: Vec<ZoneMark>,
        out: &mut Vec<ServeEvent>,
    ) -> bool {
        let Step::Marks { buckets, marks } = &mut self.step else { return false };
        if marks.len() + fresh.len() > MARKS_TOTAL_MAX {
            return false;
        }
        fresh.retain(|mark| buckets.contains(&bucket_of(mark.name)));
        marks.append(&mut fresh);
        if !more {
            let (buckets, marks) = (std::mem::take(buckets), std::mem::take(marks));
            self.step = Step::Comparing;
            out.push(ServeEvent::Job(Job::Compare { revision, buckets, marks }));
        }
        true
    }

    pub(super) fn compared(&mut self, now_ms: u64) {
        self.step = Step::Idle;
        self.pause(now_ms);
    }

    fn pause(&mut self, now_ms: u64) {
        self.pause_ms = (self.pause_ms * 2).clamp(PAUSE_MS, PAUSE_MS_MAX);
        self.not_before_ms = now_ms + self.pause_ms;
    }
}
