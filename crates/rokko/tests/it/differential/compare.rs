//! Compares two responses to one query by what they mean.

use std::fmt;

use super::generator::{World, ZoneSpec};
use super::message::{AA, Record, Response, Section, TC};
use super::names::Name;
use super::peers::Kind;
use super::queries::{DS, Query};
use super::subject::Setup;

/// One query, and what came back from Rokko and from one of its peers.
pub(super) struct Case<'a> {
    pub(super) world: &'a World,
    pub(super) setup: Setup,
    pub(super) query: &'a Query,
    pub(super) kind: Kind,
    pub(super) rokko: &'a Response,
    pub(super) peer: &'a Response,
}

/// In what the two responses differ.
#[derive(Clone, Debug)]
pub(super) enum Difference {
    Rcode,
    Authoritative,
    Truncated,
    /// Header flags other than AA and TC.
    Flags,
    Question,
    Opt,
    /// A record that only the peer sends.
    Missing(Section, Record),
    /// A record that only Rokko sends.
    Extra(Section, Record),
    /// The same CNAME and DNAME records in another order.
    ChainOrder,
}

impl Difference {
    /// The difference without its details.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Missing(section, record) => format!("{section:?} lacks TYPE{}", record.rtype),
            Self::Extra(section, record) => format!("{section:?} has TYPE{} too much", record.rtype),
            other => format!("{other:?}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(section, record) => write!(f, "only the peer has, {section:?}: {record}"),
            Self::Extra(section, record) => write!(f, "only Rokko has, {section:?}: {record}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl<'a> Case<'a> {
    /// The zone that answers for a name: for DS at an apex, the one above (RFC 4035 §3.1.4.1).
    pub(super) fn zone_for(&self, name: &Name) -> Option<&'a ZoneSpec> {
        let zone = self.world.zone_of(name)?;
        if self.query.qtype == DS && zone.apex == *name {
            return name.parent().and_then(|parent| self.world.zone_of(&parent)).or(Some(zone));
        }
        Some(zone)
    }

    /// All differences. Where either response is truncated, its records say nothing (RFC 2181 §9).
    pub(super) fn differences(&self) -> Vec<Difference> {
        let (rokko, peer) = (self.rokko, self.peer);
        let flags = !(AA | TC);
        let checks = [
            (rokko.rcode != peer.rcode, Difference::Rcode),
            (rokko.is_authoritative() != peer.is_authoritative(), Difference::Authoritative),
            (rokko.is_truncated() != peer.is_truncated(), Difference::Truncated),
            (rokko.flags & flags != peer.flags & flags, Difference::Flags),
            (rokko.question != peer.question, Difference::Question),
            (rokko.opt != peer.opt, Difference::Opt),
        ];
        let mut found: Vec<Difference> =
            checks.into_iter().filter(|(differs, _)| *differs).map(|(_, difference)| difference).collect();
        if rokko.is_truncated() || peer.is_truncated() {
            return found;
        }
        for section in [Section::Answer, Section::Authority, Section::Additional] {
            merge(rokko.section(section), peer.section(section), section, &mut found);
        }
        let mut sorted = [rokko.chain.clone(), peer.chain.clone()];
        for chain in &mut sorted {
            chain.sort();
        }
        if sorted[0] == sorted[1] && rokko.chain != peer.chain {
            found.push(Difference::ChainOrder);
        }
        found
    }
}

/// Walks over two sorted lists of records.
fn merge(rokko: &[Record], peer: &[Record], section: Section, found: &mut Vec<Difference>) {
    let (mut ours, mut theirs) = (rokko.iter().peekable(), peer.iter().peekable());
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(our), Some(their)) => our.cmp(their),
        };
        match order {
            std::cmp::Ordering::Less => {
                found.extend(ours.next().map(|record| Difference::Extra(section, record.clone())));
            }
            std::cmp::Ordering::Greater => {
                found.extend(theirs.next().map(|record| Difference::Missing(section, record.clone())));
            }
            std::cmp::Ordering::Equal => {
                ours.next();
                theirs.next();
            }
        }
    }
}
