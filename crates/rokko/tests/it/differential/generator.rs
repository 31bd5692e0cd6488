//! Random zones that belong together: parents and children, aliases from one to another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::names::{self, Name};
use super::random::Random;
use super::rdata;

/// The TTLs that RRsets have.
const TTLS: [u32; 7] = [0, 1, 60, 300, 3600, 86_400, 604_800];

/// How a zone is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signing {
    Unsigned,
    Nsec,
    Nsec3 { salt: String, iterations: usize, opt_out: bool },
}

/// An RRset: its TTL and the text of each record's data.
#[derive(Clone, Debug)]
pub(super) struct Rrset {
    pub(super) ttl: u32,
    pub(super) rdatas: BTreeSet<String>,
}

pub(super) type Node = BTreeMap<&'static str, Rrset>;

/// A zone without signatures.
#[derive(Clone, Debug)]
pub(super) struct ZoneSpec {
    pub(super) apex: Name,
    pub(super) signing: Signing,
    pub(super) nodes: BTreeMap<Name, Node>,
    /// The names with data and those between them and the apex.
    names: BTreeSet<Name>,
}

/// All zones that the servers host.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) zones: Vec<ZoneSpec>,
    /// The names of all zones' data, and all names above them.
    names: BTreeSet<Name>,
    /// The names that exist for NSEC3 records alone.
    hashed: BTreeSet<Name>,
}

impl World {
    /// Makes about `count` zones.
    pub(super) fn random(random: &mut Random, count: usize) -> Self {
        let apexes = apexes(random, count);
        let mut pool: Vec<Name> = apexes.clone();
        let mut world = Self::default();
        let mut dnames = Vec::new();
        // Children first, since parents must know their DNAMEs.
        let mut order: Vec<&Name> = apexes.iter().collect();
        order.sort_by_key(|apex| std::cmp::Reverse(apex.label_count()));
        for apex in order {
            let children = apexes.iter().filter(|other| other.is_below(apex)).cloned().collect();
            let mut maker = Maker { random, apex, children, dnames: &dnames, pool: &mut pool, nodes: BTreeMap::new() };
            maker.fill();
            let nodes = maker.nodes;
            dnames.extend(nodes.iter().filter(|(_, node)| node.contains_key("DNAME")).map(|(name, _)| name.clone()));
            world.zones.push(ZoneSpec::new(apex.clone(), signing(random), nodes));
        }
        let names = world.zones.iter().flat_map(|zone| zone.names.iter());
        world.names = names.flat_map(|name| name.ancestors().collect::<Vec<_>>()).collect();
        world
    }

    pub(super) fn add_hashed(&mut self, names: impl IntoIterator<Item = Name>) {
        self.hashed.extend(names);
    }

    pub(super) fn hashed(&self) -> &BTreeSet<Name> {
        &self.hashed
    }

    /// Whether any zone has the name or one below it, be it for NSEC3 alone.
    pub(super) fn has_anywhere(&self, name: &Name) -> bool {
        self.names.contains(name) || self.hashed.contains(name)
    }

    /// The deepest zone that contains `name`.
    pub(super) fn zone_of(&self, name: &Name) -> Option<&ZoneSpec> {
        let holders = self.zones.iter().filter(|zone| name.is_in(&zone.apex));
        holders.max_by_key(|zone| zone.apex.label_count())
    }
}

impl ZoneSpec {
    fn new(apex: Name, signing: Signing, nodes: BTreeMap<Name, Node>) -> Self {
        let within = |name: &Name| name.is_in(&apex);
        let names = nodes.keys().flat_map(|name| name.ancestors().take_while(within).collect::<Vec<_>>()).collect();
        Self { apex, signing, nodes, names }
    }

    /// Whether the name exists in this zone, be it as an empty non-terminal.
    pub(super) fn has(&self, name: &Name) -> bool {
        self.names.contains(name)
    }

    /// Whether there is a name below `name` whose label under it is less than `label`.
    pub(super) fn has_child_before(&self, name: &Name, label: &[u8]) -> bool {
        let is_child = |other: &&Name| other.label_count() == name.label_count() + 1 && other.is_in(name);
        self.names.iter().filter(is_child).any(|child| child.first_label().is_some_and(|first| first < label))
    }

    /// The name above `name` or the name itself at which the zone has this type, the one nearest to the apex; the
    /// apex itself does not count.
    pub(super) fn highest_with(&self, name: &Name, rtype: &str) -> Option<Name> {
        let above = name.ancestors().take_while(|above| above.is_below(&self.apex));
        above.filter(|above| self.nodes.get(above).is_some_and(|node| node.contains_key(rtype))).last()
    }

    /// Whether the name exists for insecure delegations alone and NSEC3 leaves those out (RFC 5155 §6).
    pub(super) fn is_opted_out(&self, name: &Name) -> bool {
        let insecure = |name: &Name| {
            let cut = self.highest_with(name, "NS").and_then(|cut| self.nodes.get(&cut));
            cut.is_some_and(|cut| !cut.contains_key("DS"))
        };
        let mut below = self.nodes.keys().filter(|other| other.is_in(name)).peekable();
        matches!(self.signing, Signing::Nsec3 { opt_out: true, .. }) && below.peek().is_some() && below.all(insecure)
    }

    /// The zone file, but for what signing adds.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let apex_first = std::iter::once(&self.apex).chain(self.nodes.keys().filter(|name| **name != self.apex));
        for name in apex_first {
            for (rtype, rrset) in soa_first(&self.nodes[name]) {
                for rdata in &rrset.rdatas {
                    let _ = writeln!(text, "{name}\t{}\tIN\t{rtype}\t{rdata}", rrset.ttl);
                }
            }
        }
        text
    }
}

fn soa_first(node: &Node) -> impl Iterator<Item = (&&'static str, &Rrset)> {
    node.iter().filter(|(rtype, _)| **rtype == "SOA").chain(node.iter().filter(|(rtype, _)| **rtype != "SOA"))
}

fn apexes(random: &mut Random, count: usize) -> Vec<Name> {
    let mut apexes = BTreeSet::new();
    if random.chance(25) {
        apexes.insert(Name::root());
    }
    let tops = ["test", "example", "zone-a", "0"].map(Name::plain);
    while apexes.len() < count {
        let name = match random.below(10) {
            0..2 => random.pick(&tops).clone(),
            2..6 => {
                let top = random.pick(&tops).clone();
                names::below(random, &top, 2)
            }
            _ => {
                let known: Vec<Name> = apexes.iter().cloned().collect();
                let above = if known.is_empty() { Name::plain("test") } else { random.pick(&known).clone() };
                names::below(random, &above, 2)
            }
        };
        // The wildcards are left to the zones, and the names of key files to letters.
        let is_plain = name.to_string().bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-_".contains(&octet));
        if is_plain && name.wire_len() < 120 {
            apexes.insert(name);
        }
    }
    apexes.into_iter().collect()
}

fn signing(random: &mut Random) -> Signing {
    match random.below(10) {
        0..3 => Signing::Unsigned,
        3..6 => Signing::Nsec,
        _ => {
            let salt_len = random.pick(&[0, 0, 2, 8]);
            let salt = if *salt_len == 0 { "-".to_owned() } else { rdata::hex(&random.octets(*salt_len)) };
            Signing::Nsec3 { salt, iterations: *random.pick(&[0, 0, 1, 5]), opt_out: random.chance(50) }
        }
    }
}

/// Fills one zone.
struct Maker<'a> {
    random: &'a mut Random,
    apex: &'a Name,
    /// The hosted zones below this one.
    children: Vec<Name>,
    /// The DNAMEs of those. NSD takes no zone with data below them, be it occluded.
    dnames: &'a [Name],
    /// Names that have turned up so far in any zone: targets for aliases and hosts.
    pool: &'a mut Vec<Name>,
    nodes: BTreeMap<Name, Node>,
}

impl Maker<'_> {
    fn fill(&mut self) {
        self.apex_node();
        for child in self.children.clone() {
            if self.random.chance(75) && self.may_own(&child) {
                self.cut(&child);
            }
        }
        let names = if self.random.chance(10) { self.random.range(1, 4) } else { self.random.range(8, 60) };
        for _ in 0..names {
            self.node();
        }
        self.drop_below_dnames();
        self.apex_servers();
    }

    fn apex_node(&mut self) {
        let apex = self.apex.clone();
        let host = self.target();
        let mail = self.target();
        let minimum = *self.random.pick(&TTLS);
        let soa = format!("{host} {mail} {} 3600 600 86400 {minimum}", self.random.next() >> 32);
        let ttl = *self.random.pick(&TTLS);
        let rdatas = BTreeSet::from([soa]);
        self.nodes.entry(apex.clone()).or_default().insert("SOA", Rrset { ttl, rdatas });
        for _ in 0..self.random.below(3) {
            let rtype = rdata::data_type(self.random);
            self.add(&apex, rtype, 1);
        }
        if self.random.chance(5) && self.may_rename(&apex) {
            self.add(&apex, "DNAME", 1);
        }
    }

    /// Adds a name with whatever it may have.
    fn node(&mut self) {
        let mut name = self.name();
        if !self.may_own(&name) {
            return;
        }
        match self.random.below(100) {
            0..18 => self.alone(&name, "CNAME"),
            18..30 if !name.is_wildcard() => self.cut(&name),
            30..36 if !name.is_wildcard() && self.may_rename(&name) => self.alone(&name, "DNAME"),
            36..46 => {
                name = name.child(b"*").unwrap_or(name);
                if self.random.chance(30) {
                    self.alone(&name, "CNAME");
                } else if self.may_own(&name) {
                    self.data(&name);
                }
            }
            46..50 => self.large(&name),
            _ => self.data(&name),
        }
    }

    /// A new name: below the apex, below or beside another name.
    fn name(&mut self) -> Name {
        let known: Vec<Name> = self.nodes.keys().cloned().collect();
        let base = match self.random.below(10) {
            0..4 => self.apex.clone(),
            4..8 => self.random.pick(&known).clone(),
            _ => self.random.pick(&known).parent().filter(|name| name.is_in(self.apex)).unwrap_or(self.apex.clone()),
        };
        names::below(self.random, &base, 3)
    }

    fn may_own(&self, name: &Name) -> bool {
        let is_alias = self.nodes.get(name).is_some_and(|node| node.contains_key("CNAME"));
        name.is_below(self.apex) && !is_alias && !self.dnames.iter().any(|dname| name.is_below(dname))
    }

    /// Whether the name may have a DNAME: not with data of another zone below it, be it occluded, since NSD keeps
    /// the names of all zones in one tree.
    fn may_rename(&self, name: &Name) -> bool {
        !self.children.iter().any(|child| child.is_below(name) || name.is_in(child))
    }

    /// A type that stands alone at its name.
    fn alone(&mut self, name: &Name, rtype: &'static str) {
        if self.may_own(name) && !self.nodes.contains_key(name) {
            self.add(name, rtype, 1);
        }
    }

    fn data(&mut self, name: &Name) {
        for _ in 0..self.random.range(1, 3) {
            let rtype = rdata::data_type(self.random);
            let records = self.random.range(1, 3);
            self.add(name, rtype, records);
        }
    }

    /// More than fits into a datagram. No MX: at times Knot 3.2.6 crashes over an RRset with so many hosts.
    fn large(&mut self, name: &Name) {
        let rtype = *self.random.pick(&["A", "TXT", "AAAA"]);
        let records = self.random.range(10, 60);
        self.add(name, rtype, records);
    }

    fn cut(&mut self, name: &Name) {
        if self.nodes.get(name).is_some_and(|node| node.contains_key("DNAME")) {
            return;
        }
        let servers = if self.random.chance(8) { self.random.range(5, 13) } else { self.random.range(1, 3) };
        for _ in 0..servers {
            let host = if self.random.chance(50) { names::below(self.random, name, 2) } else { self.target() };
            self.insert(name, "NS", host.to_string());
            if host.is_below(self.apex) && self.may_own(&host) && self.random.chance(80) {
                let rtype = if self.random.chance(70) { "A" } else { "AAAA" };
                self.add(&host, rtype, 1);
            }
        }
        if self.random.chance(40) {
            let records = self.random.range(1, 2);
            self.add(name, "DS", records);
        }
        if self.random.chance(15) {
            // Occluded by the cut.
            let hidden = if self.random.chance(50) { name.clone() } else { names::below(self.random, name, 2) };
            let rtype = *self.random.pick(&["TXT", "A", "MX"]);
            if self.may_own(&hidden) {
                self.add(&hidden, rtype, 1);
            }
        }
    }

    /// A name for record data: known, new in this zone, or anywhere.
    fn target(&mut self) -> Name {
        let known: Vec<&Name> = self.nodes.keys().collect();
        let name = match self.random.below(20) {
            0..8 if !known.is_empty() => (*self.random.pick(&known)).clone(),
            0..12 => names::below(self.random, self.apex, 2),
            12..17 => self.random.pick(self.pool).clone(),
            17 => Name::root(),
            _ => names::below(self.random, &Name::plain("elsewhere"), 2),
        };
        self.pool.push(name.clone());
        name
    }

    fn add(&mut self, name: &Name, rtype: &'static str, records: usize) {
        for _ in 0..records {
            // The names are drawn first, since a draw looks at the whole zone.
            let mut targets = vec![self.target(), self.target()];
            let text =
                rdata::rdata(self.random, rtype, &mut |_| targets.pop().expect("no type has more than two names"));
            self.insert(name, rtype, text);
        }
    }

    fn insert(&mut self, name: &Name, rtype: &'static str, rdata: String) {
        let ttl = *self.random.pick(&TTLS);
        self.pool.push(name.clone());
        let node = self.nodes.entry(name.clone()).or_default();
        node.entry(rtype).or_insert_with(|| Rrset { ttl, rdatas: BTreeSet::new() }).rdatas.insert(rdata);
    }

    /// Below a DNAME there must be nothing (RFC 6672 §2.4), and at a cut no DNAME.
    fn drop_below_dnames(&mut self) {
        for node in self.nodes.values_mut().filter(|node| node.contains_key("NS") && !node.contains_key("SOA")) {
            node.remove("DNAME");
        }
        let dnames: Vec<Name> =
            self.nodes.iter().filter(|(_, node)| node.contains_key("DNAME")).map(|(name, _)| name.clone()).collect();
        self.nodes.retain(|name, node| !node.is_empty() && !dnames.iter().any(|dname| name.is_below(dname)));
    }

    /// Comes last: without an address that the zone lacks, no server takes the zone.
    fn apex_servers(&mut self) {
        let apex = self.apex.clone();
        for _ in 0..self.random.range(1, 3) {
            let mut host = self.target();
            let has_dname = |name: Name| self.nodes.get(&name).is_some_and(|node| node.contains_key("DNAME"));
            let may_stand = self.may_own(&host) && !host.ancestors().skip(1).any(has_dname);
            if host.is_in(&apex) && !may_stand {
                // Outside each zone.
                host = Name::root();
            } else if host.is_in(&apex) {
                let rtype = *self.random.pick(&["A", "AAAA"]);
                self.add(&host, rtype, 1);
            }
            self.insert(&apex, "NS", host.to_string());
        }
    }
}
