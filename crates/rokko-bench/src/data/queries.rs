//! Queries: their bytes, and what their answers must say.

use anyhow::{Result, ensure};
use rokko_wire::{Name, Rtype};

use super::random::{Random, Zipf};
use super::set::Set;

/// RCODE of an answer that has data or says that there is none of the type.
pub(crate) const NOERROR: u8 = 0;
/// RCODE of an answer for a name that does not exist.
pub(crate) const NXDOMAIN: u8 = 3;

/// Octets of the longest query: header, name, type and class, OPT record.
pub(crate) const QUERY_LEN_MAX: usize = 12 + 255 + 4 + 11;

/// Query messages one behind the other, each with the rcode that its answer must have.
#[derive(Default)]
pub(crate) struct Queries {
    bytes: Vec<u8>,
    /// End of each message, and its rcode.
    entries: Vec<(usize, u8)>,
}

impl Queries {
    pub(crate) fn push(&mut self, message: &[u8], rcode: u8) {
        self.bytes.extend_from_slice(message);
        self.entries.push((self.bytes.len(), rcode));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The `index`th message and its rcode; after the last one comes the first again.
    pub(crate) fn message(&self, index: usize) -> (&[u8], u8) {
        let index = index % self.entries.len();
        let start = if index == 0 { 0 } else { self.entries[index - 1].0 };
        let (end, rcode) = self.entries[index];
        (&self.bytes[start..end], rcode)
    }

    /// Lines of name and type, as `kxdpgun` and others read them.
    #[cfg(test)]
    pub(crate) fn to_text(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for index in 0..self.len() {
            let (message, _) = self.message(index);
            if let Ok((name, len)) = Name::from_wire(&message[12..]) {
                let rtype = Rtype(u16::from_be_bytes([message[12 + len], message[13 + len]]));
                // Writing to a string does not fail.
                let _ = writeln!(text, "{name} {rtype}");
            }
        }
        text
    }
}

/// Which zones or names are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pick {
    /// All alike.
    Uniform,
    /// After Zipf with this exponent.
    Zipf(f64),
}

/// How a set is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) pick: Pick,
    /// Whether the queries have the DO flag.
    pub(crate) dnssec_ok: bool,
    pub(crate) count: usize,
    pub(crate) seed: u64,
}

impl Default for Mix {
    fn default() -> Self {
        Self { pick: Pick::Uniform, dnssec_ok: false, count: 500_000, seed: 1 }
    }
}

impl Mix {
    /// Queries for a set as clients ask: mostly data that is there, one in ten for a name that is not.
    pub(crate) fn queries(&self, set: &Set) -> Result<Queries> {
        let mut random = Random(self.seed);
        let end = set.count();
        let zipf = match self.pick {
            Pick::Uniform => None,
            Pick::Zipf(exponent) => Some(Zipf::new(end, exponent)),
        };
        let mut queries = Queries::default();
        for _ in 0..self.count {
            let index = match &zipf {
                None => random.below(end),
                Some(zipf) => zipf.draw(&mut random),
            };
            let (name, rtype, rcode) = set.question(index, &mut random);
            queries.push(&query(&name, rtype, self.dnssec_ok)?, rcode);
        }
        Ok(queries)
    }

    /// Queries for random names that do not exist, below zones and names that do: what a flood of random subdomains
    /// looks like.
    pub(crate) fn flood(&self, set: &Set) -> Result<Queries> {
        let mut random = Random(self.seed);
        let mut queries = Queries::default();
        for _ in 0..self.count {
            let apex = set.apex(random.below(set.count()));
            let name = format!("{:012x}.{apex}", random.next() >> 16);
            queries.push(&query(&name, Rtype::A, self.dnssec_ok)?, NXDOMAIN);
        }
        Ok(queries)
    }
}

/// A query message with EDNS and the id 0.
pub(crate) fn query(name: &str, rtype: Rtype, dnssec_ok: bool) -> Result<Vec<u8>> {
    let name: Name = name.parse()?;
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(name.as_bytes());
    message.extend_from_slice(&rtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    // OPT with a payload size of 1232.
    message.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    ensure!(message.len() <= QUERY_LEN_MAX, "a query of {} octets", message.len());
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_in_turn() {
        let mut queries = Queries::default();
        let first = query("a.example", Rtype::A, false).unwrap();
        let second = query("longer.example", Rtype::MX, true).unwrap();
        queries.push(&first, NOERROR);
        queries.push(&second, NXDOMAIN);
        assert_eq!(queries.message(0), (&first[..], NOERROR));
        assert_eq!(queries.message(1), (&second[..], NXDOMAIN));
        assert_eq!(queries.message(2), queries.message(0));
        assert_eq!(queries.to_text(), "a.example. A\nlonger.example. MX\n");
    }

    #[test]
    fn the_do_flag_is_in_the_opt_record() {
        let (without, with) = (query("a", Rtype::A, false).unwrap(), query("a", Rtype::A, true).unwrap());
        let differing: Vec<usize> = (0..with.len()).filter(|&at| with[at] != without[at]).collect();
        assert_eq!(differing, [with.len() - 4]);
        assert_eq!(with[with.len() - 4], 0x80);
    }

    #[test]
    fn a_flood_asks_for_names_that_differ() {
        let mix = Mix { count: 100, ..Mix::default() };
        let queries = mix.flood(&Set::Small(10)).unwrap();
        let text = queries.to_text();
        let names: std::collections::HashSet<&str> = text.lines().collect();
        assert_eq!(names.len(), 100);
        assert!((0..100).all(|index| queries.message(index).1 == NXDOMAIN));
    }
}
