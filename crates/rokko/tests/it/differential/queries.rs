//! Random queries about what a world holds and what it lacks.

use std::fmt;

use super::generator::World;
use super::names::{self, Name};
use super::random::Random;

/// Types by mnemonic and number.
pub(super) const TYPES: [(&str, u16); 37] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("AAAA", 28),
    ("LOC", 29),
    ("SRV", 33),
    ("NAPTR", 35),
    ("CERT", 37),
    ("DNAME", 39),
    ("APL", 42),
    ("DS", 43),
    ("SSHFP", 44),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TLSA", 52),
    ("CDS", 59),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("EUI48", 108),
    ("EUI64", 109),
    ("ANY", 255),
    ("URI", 256),
    ("CAA", 257),
    ("TYPE32000", 32_000),
    ("TYPE65280", 65_280),
    ("NULL", 10),
    ("SPF", 99),
];
/// What RFC 6895 §3.1 sets apart: meta types, question types and the reserved ends of the range.
pub(super) const META_TYPES: [u16; 10] = [0, 41, 128, 249, 250, 251, 252, 253, 254, 65_535];

pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
pub(super) const MX: u16 = 15;
pub(super) const SRV: u16 = 33;
pub(super) const DNAME: u16 = 39;
pub(super) const OPT: u16 = 41;
pub(super) const DS: u16 = 43;
pub(super) const RRSIG: u16 = 46;
pub(super) const NSEC: u16 = 47;
pub(super) const NSEC3: u16 = 50;
pub(super) const SVCB: u16 = 64;
pub(super) const HTTPS: u16 = 65;
pub(super) const IXFR: u16 = 251;
pub(super) const AXFR: u16 = 252;
pub(super) const ANY: u16 = 255;

/// The number of a type that the generator makes.
pub(super) fn number(mnemonic: &str) -> u16 {
    TYPES.iter().find(|(text, _)| *text == mnemonic).expect("every generated type is in the table").1
}

fn mnemonic(rtype: u16) -> String {
    let known = TYPES.iter().find(|(_, number)| *number == rtype);
    known.map_or_else(|| format!("TYPE{rtype}"), |(text, _)| (*text).to_owned())
}

/// What the OPT record of a query says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edns {
    pub(super) payload_size: u16,
    pub(super) dnssec_ok: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) qname: Name,
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    pub(super) edns: Option<Edns>,
    pub(super) tcp: bool,
    pub(super) wire: Vec<u8>,
}

impl Query {
    pub(super) fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The most octets of a response over UDP from a server whose own limit is `server_max`.
    pub(super) fn udp_limit(&self, server_max: u16) -> usize {
        usize::from(self.edns.map_or(512, |edns| edns.payload_size.clamp(512, server_max)))
    }

    /// The octets of the question in the message.
    pub(super) fn question(&self) -> &[u8] {
        &self.wire[12..12 + self.qname.wire_len() + 4]
    }

    fn new(random: &mut Random, qname: Name, qtype: u16) -> Self {
        let qclass = if random.chance(1) { *random.pick(&[255, 3, 4, 0]) } else { 1 };
        let edns = random.chance(75).then(|| Edns {
            payload_size: *random.pick(&[0, 512, 513, 700, 1000, 1220, 1231, 1232, 1232, 1232, 1400, 4096, 65_535]),
            dnssec_ok: random.chance(70),
        });
        let mut query = Self { qname, qtype, qclass, edns, tcp: random.chance(12), wire: Vec::new() };
        query.wire = query.compose(random);
        query
    }

    fn compose(&self, random: &mut Random) -> Vec<u8> {
        let mut flags = 0_u16;
        for (percent, flag) in [(50, 0x0100), (15, 0x0010), (15, 0x0020)] {
            flags |= if random.chance(percent) { flag } else { 0 };
        }
        let counts = [1, 0, 0, u16::from(self.edns.is_some())];
        let mut wire: Vec<u8> = [0, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect();
        let mixed = random.chance(40);
        wire.extend(
            self.qname
                .wire()
                .into_iter()
                .map(|octet| if mixed && random.chance(50) { octet.to_ascii_uppercase() } else { octet }),
        );
        wire.extend([self.qtype, self.qclass].into_iter().flat_map(u16::to_be_bytes));
        if let Some(edns) = self.edns {
            let size = edns.payload_size.to_be_bytes();
            wire.extend([0, 0, 41, size[0], size[1], 0, 0, u8::from(edns.dnssec_ok) << 7, 0, 0, 0]);
        }
        wire
    }
}

impl fmt::Display for Query {
    /// As arguments of `kdig`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (flags, class) = (u16::from_be_bytes([self.wire[2], self.wire[3]]), self.qclass);
        write!(f, "'{}' TYPE{} CLASS{class}", self.qname, self.qtype)?;
        let rd = if flags & 0x0100 == 0 { "no" } else { "" };
        write!(f, " +{rd}rdflag{}", if flags & 0x0010 == 0 { "" } else { " +cdflag" })?;
        write!(f, "{}", if flags & 0x0020 == 0 { "" } else { " +adflag" })?;
        match self.edns {
            None => f.write_str(" +noedns")?,
            Some(edns) => {
                let dnssec = if edns.dnssec_ok { " +dnssec" } else { "" };
                write!(f, " +edns +bufsize={}{dnssec}", edns.payload_size)?;
            }
        }
        write!(f, " +{} +ignore   ({})", if self.tcp { "tcp" } else { "notcp" }, mnemonic(self.qtype))
    }
}

/// Draws queries about one world.
pub(super) struct Queries<'w> {
    world: &'w World,
    names: Vec<Name>,
    hashed: Vec<Name>,
}

impl<'w> Queries<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        let mut names: Vec<Name> = world.zones.iter().flat_map(|zone| zone.nodes.keys().cloned()).collect();
        let between: Vec<Name> = names.iter().filter_map(Name::parent).collect();
        names.extend(between);
        names.sort();
        names.dedup();
        Self { world, names, hashed: world.hashed().iter().cloned().collect() }
    }

    pub(super) fn random(&self, random: &mut Random) -> Query {
        let qname = self.qname(random);
        let qtype = self.qtype(random, &qname);
        Query::new(random, qname, qtype)
    }

    fn qname(&self, random: &mut Random) -> Name {
        let base = match random.below(100) {
            0..12 => random.pick(&self.world.zones).apex.clone(),
            12..14 if !self.hashed.is_empty() => random.pick(&self.hashed).clone(),
            _ => random.pick(&self.names).clone(),
        };
        match random.below(100) {
            0..50 => base,
            50..72 => names::below(random, &base, 3),
            72..88 => {
                let label = names::label(random);
                base.parent().and_then(|parent| parent.child(&label)).unwrap_or(base)
            }
            88..94 => base.parent().unwrap_or(base),
            94..97 => longest(random, base),
            _ => names::below(random, &Name::root(), 3),
        }
    }

    fn qtype(&self, random: &mut Random, qname: &Name) -> u16 {
        if random.chance(45)
            && let Some(zone) = self.world.zone_of(qname)
        {
            let wildcard = qname.parent().and_then(|parent| parent.child(b"*"));
            let node = zone.nodes.get(qname).or_else(|| zone.nodes.get(&wildcard?));
            if let Some(node) = node {
                let types: Vec<u16> = node.keys().map(|rtype| number(rtype)).collect();
                return *random.pick(&types);
            }
        }
        match random.below(100) {
            0..25 => 1,
            25..30 => ANY,
            30..38 => DS,
            38..42 => RRSIG,
            42..46 => NSEC,
            46..48 => NSEC3,
            48..56 => NS,
            56..62 => SOA,
            62..64 => *random.pick(&META_TYPES),
            64..66 => u16::from_be_bytes([random.octet(), random.octet()]),
            _ => random.pick(&TYPES).1,
        }
    }
}

/// A name below `base` that is as long as names get, or nearly so.
fn longest(random: &mut Random, base: Name) -> Name {
    let mut name = base;
    while name.wire_len() < names::NAME_LEN_MAX - 1 {
        let room = names::NAME_LEN_MAX - 1 - name.wire_len();
        let len = random.range(1, 63).min(room);
        let Some(longer) = name.child(&vec![b'l'; len]) else { break };
        name = longer;
        if random.chance(10) {
            break;
        }
    }
    name
}
