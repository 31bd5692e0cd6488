//! What an [`Answerer`](crate::Answerer) has done so far.

use rokko_wire::{Rcode, Rtype};

use crate::rate::Suppression;
use crate::{RATE_CLASSES, RateClass};

/// The types that have a counter of their own; the last counter is for all others.
pub const QTYPES_COUNTED: [Rtype; 15] = [
    Rtype::A,
    Rtype::AAAA,
    Rtype::NS,
    Rtype::SOA,
    Rtype::MX,
    Rtype::TXT,
    Rtype::CNAME,
    Rtype::PTR,
    Rtype::SRV,
    Rtype::DS,
    Rtype::DNSKEY,
    Rtype::HTTPS,
    Rtype::SVCB,
    Rtype::CAA,
    Rtype::ANY,
];
/// How many rcodes have a counter; higher ones share the last.
pub const RCODES_COUNTED: usize = 24;

/// Counts since the answerer was made. Plain numbers: the thread that answers reads them out now and then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages taken for queries.
    pub queries: u64,
    /// Of these, those over TCP.
    pub queries_tcp: u64,
    /// Of these, those with EDNS.
    pub queries_edns: u64,
    /// Of these, those with DO.
    pub queries_dnssec_ok: u64,
    /// Messages left without response because they are shorter than a header.
    pub dropped_short: u64,
    /// Messages left without response because they are responses themselves.
    pub dropped_responses: u64,
    /// Queries left without response because it was over a rate limit.
    pub dropped_rate: u64,
    /// Responses over a rate limit, by the limit, in the order of [`RateClass::ALL`]; each was dropped, a slip or BADCOOKIE.
    pub rate_limited: [u64; RATE_CLASSES],
    /// Of these, those that were sent without records and with TC.
    pub rate_slips: u64,
    /// Of these, those that were sent with BADCOOKIE.
    pub rate_badcookies: u64,
    /// Queries by type, in the order of [`QTYPES_COUNTED`]; the last is for all other types.
    pub by_qtype: [u64; QTYPES_COUNTED.len() + 1],
    /// Responses by rcode.
    pub by_rcode: [u64; RCODES_COUNTED],
    /// Responses with TC.
    pub truncated: u64,
    /// Referrals.
    pub referrals: u64,
    /// Responses with rcode NOERROR, AA and an empty answer section.
    pub nodata: u64,
    /// Queries with a client cookie alone.
    pub cookies_new: u64,
    /// Queries with a server cookie that is ours.
    pub cookies_good: u64,
    /// Queries with a server cookie that is not ours, or too old.
    pub cookies_bad: u64,
}

impl Counters {
    pub(crate) fn count_qtype(&mut self, qtype: Rtype) {
        let index = match qtype {
            Rtype::A => 0,
            Rtype::AAAA => 1,
            other => QTYPES_COUNTED.iter().position(|&known| known == other).unwrap_or(QTYPES_COUNTED.len()),
        };
        self.by_qtype[index] += 1;
    }

    pub(crate) fn count_suppressed(&mut self, class: RateClass, suppression: Suppression) {
        self.rate_limited[class as usize] += 1;
        match suppression {
            Suppression::Drop => self.dropped_rate += 1,
            Suppression::Slip => self.rate_slips += 1,
            Suppression::BadCookie => self.rate_badcookies += 1,
        }
    }

    pub(crate) fn count_rcode(&mut self, rcode: Rcode) {
        self.by_rcode[usize::from(rcode.0).min(RCODES_COUNTED - 1)] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_counter() {
        let mut counters = Counters::default();
        for &qtype in QTYPES_COUNTED.iter().chain(&[Rtype::NULL]) {
            counters.count_qtype(qtype);
        }
        assert_eq!(counters.by_qtype, [1; QTYPES_COUNTED.len() + 1]);
        counters.count_rcode(Rcode::NXDOMAIN);
        counters.count_rcode(Rcode(4095));
        assert_eq!((counters.by_rcode[3], counters.by_rcode[RCODES_COUNTED - 1]), (1, 1));
    }
}
