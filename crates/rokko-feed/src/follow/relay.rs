//! What a relay knows of the PoPs behind it, to say it again on a new connection.

use std::collections::BTreeMap;

use crate::message::{Ack, News, Path, Report};

/// The most PoPs behind a relay; of more nothing is said.
pub(super) const BEHIND_MAX: usize = 16_384;

/// The PoPs behind a relay that are connected.
#[derive(Clone, Debug, Default)]
pub struct Behind(BTreeMap<Path, Pop>);

#[derive(Clone, Debug)]
struct Pop {
    relay: bool,
    program: Box<str>,
    ack: Option<Ack>,
    report: Option<Report>,
}

impl Behind {
    /// Notes what is new of a PoP, as [`crate::serve::ServeEvent::News`] has it.
    pub fn note(&mut self, path: &Path, news: &News) {
        match news {
            News::Connected { relay, program } => {
                if self.0.len() < BEHIND_MAX || self.0.contains_key(path) {
                    let pop = Pop { relay: *relay, program: program.clone(), ack: None, report: None };
                    self.0.insert(path.clone(), pop);
                }
            }
            // Those behind it can't be heard of either.
            News::Disconnected => self.0.retain(|other, _| !other.starts_with(path)),
            News::Ack(ack) => {
                if let Some(pop) = self.0.get_mut(path) {
                    pop.ack = Some(*ack);
                }
            }
            News::Report(report) => {
                if let Some(pop) = self.0.get_mut(path) {
                    pop.report = Some(report.clone());
                }
            }
            News::Refused { .. } | News::Differ(_) | News::Verified(_) | News::Renew(_) => {}
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What there is to say of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (Path, News)> {
        self.0.iter().flat_map(|(path, pop)| {
            let connected = News::Connected { relay: pop.relay, program: pop.program.clone() };
            let ack = pop.ack.map(News::Ack);
            let report = pop.report.clone().map(News::Report);
            let all = [Some(connected), ack, report].into_iter().flatten();
            all.map(move |news| (path.clone(), news))
        })
    }
}
