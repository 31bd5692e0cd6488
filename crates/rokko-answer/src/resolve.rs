//! The algorithm of RFC 1034 §4.3.2 over the hosted zones.
//!
//! ```text
//!            ┌───────────── another name ──────────────┐
//!  zone ──► locate ──► CNAME, DNAME ──► target ──► same zone? ── no ──► the zone that hosts it, or the end
//!              ├─► cut                 → referral
//!              ├─► node, wildcard      → the RRset, or NODATA
//!              ├─► empty non-terminal  → NODATA
//!              └─► nowhere             → NXDOMAIN
//! ```

use rokko_wire::compose::{Full, Owner, QUESTION_NAME, Section};
use rokko_wire::query::{FoldedName, HEADER_LEN};
use rokko_wire::{KeyBuf, Rcode, Rtype, code};
use rokko_zone::zone::negative_ttl;
use rokko_zone::{CatalogReader, Denial, Hint, Lookup, Marks, NodeRef, RrsetRef, ZoneRef};

use crate::denial::{Proofs, Subject};
use crate::locate::{Place, label_count, locate};
use crate::referral::{self, set_key, set_target, write_proofs};
use crate::reply::Reply;
use crate::settings::{AnyPolicy, Settings, Transport};

/// The most names of a chain that are remembered to find a loop.
const CHAIN_MAX: usize = 32;
/// Of how many records of an RRset the targets' addresses are looked up.
const TARGETS_MAX: usize = 32;

/// Buffers that are kept from query to query.
#[derive(Default)]
pub(crate) struct Scratch {
    key: KeyBuf,
    wildcard: KeyBuf,
    target: FoldedName,
    target_key: KeyBuf,
}

/// How the search ended, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is an answer, be it the start of a chain.
    Answer,
    /// The name exists, the type does not.
    NoData,
    /// The name does not exist.
    NameError,
    /// Another server is to be asked.
    Referral,
    /// The zone cannot be answered from.
    Failure,
}

/// One query on its way through the zones.
pub(crate) struct Resolution<'q, 'm> {
    pub(crate) catalog: &'q CatalogReader,
    pub(crate) settings: &'q Settings,
    /// The name that is looked for: the query's, then that of the last CNAME.
    pub(crate) name: &'q mut FoldedName,
    pub(crate) scratch: &'q mut Scratch,
    pub(crate) reply: &'q mut Reply<'m>,
    pub(crate) qtype: Rtype,
    pub(crate) transport: Transport,
    pub(crate) chain: Chain,
}

/// Where the owners of the CNAME and of the DNAME records stand in the message.
#[derive(Default)]
pub(crate) struct Chain {
    owners: [u16; CHAIN_MAX],
    len: usize,
    dnames: [u16; CHAIN_MAX],
    dnames_len: usize,
}

impl Chain {
    /// Whether the DNAME record of this owner has been written already; a message has no record twice.
    fn has_dname(&self, reply: &Reply<'_>, owner: &[u8]) -> bool {
        self.dnames[..self.dnames_len].iter().any(|&at| reply.composer.name_is(at, owner))
    }

    fn add_dname(&mut self, owner: Option<u16>) {
        if let (Some(owner), Some(slot)) = (owner, self.dnames.get_mut(self.dnames_len)) {
            *slot = owner;
            self.dnames_len += 1;
        }
    }
}

/// What to do after one name.
enum Step<'z> {
    Done(Outcome),
    /// There is an answer, which may bring additional records along.
    Answered(RrsetRef<'z>),
    Follow,
}

/// The deepest zone that answers for a name and a type: for DS at the apex of a hosted zone, the zone above
/// (RFC 4035 §3.1.4.1).
pub(crate) fn zone_of<'c>(catalog: &'c CatalogReader, name: &FoldedName, hint: Hint, qtype: Rtype) -> Lookup<'c> {
    let found = catalog.find_by_hint(name, hint);
    if qtype == Rtype::DS && found.zone.is_some_and(|zone| zone.apex_bytes() == name.as_bytes()) {
        let above = catalog.find_above(name);
        return if above.zone.is_some() { above } else { found };
    }
    found
}

impl<'q> Resolution<'q, '_> {
    /// Answers for the name in the scratch buffers, which lies in `zone`.
    pub(crate) fn run(&mut self, zone: ZoneRef<'q>) -> Result<Outcome, Full> {
        self.in_zone(zone, &mut Proofs::new())
    }

    fn in_zone<'z>(&mut self, zone: ZoneRef<'z>, proofs: &mut Proofs<'z>) -> Result<Outcome, Full>
    where
        'q: 'z,
    {
        if !zone.marks().has(Marks::SOA) {
            return self.without_zone(proofs);
        }
        loop {
            if !set_key(zone, self.name, &mut self.scratch.key) {
                return self.without_zone(proofs);
            }
            match self.step(zone, proofs)? {
                Step::Done(outcome) => {
                    write_proofs(self.reply, proofs)?;
                    return Ok(outcome);
                }
                Step::Answered(rrset) => {
                    write_proofs(self.reply, proofs)?;
                    if !self.settings.minimal {
                        self.additional(zone, rrset);
                    }
                    return Ok(Outcome::Answer);
                }
                Step::Follow => {}
            }
            let hint = self.catalog.hint(self.name);
            let Some(next) = zone_of(self.catalog, self.name, hint, self.qtype).zone else {
                write_proofs(self.reply, proofs)?;
                return Ok(Outcome::Answer);
            };
            if next.apex_bytes() != zone.apex_bytes() {
                return self.in_zone(next, proofs);
            }
        }
    }

    /// Ends where no zone's data can be used: a failure unless a chain has led here.
    fn without_zone(&mut self, proofs: &Proofs<'_>) -> Result<Outcome, Full> {
        if self.chain.len > 0 {
            write_proofs(self.reply, proofs)?;
            return Ok(Outcome::Answer);
        }
        self.reply.rcode = Rcode::SERVFAIL;
        Ok(Outcome::Failure)
    }

    /// Deals with one name, whose key is set.
    fn step<'z>(&mut self, zone: ZoneRef<'z>, proofs: &mut Proofs<'z>) -> Result<Step<'z>, Full> {
        let scratch = &mut *self.scratch;
        let located = locate(zone, scratch.key.as_bytes(), &mut scratch.wildcard);
        let at_name = |node: NodeRef<'_>| node.key().len() == scratch.key.as_bytes().len();
        let place = match located.place {
            // The parent's side of a cut answers for DS (RFC 4035 §3.1.4.1).
            Place::Cut(node) if self.qtype == Rtype::DS && at_name(node) => Place::Node(node),
            place => place,
        };
        if !matches!(place, Place::Cut(_)) && self.chain.len == 0 {
            self.reply.authoritative = true;
        }
        match place {
            Place::Cut(node) => self.refer(zone, located.encloser_len, node, proofs),
            Place::Dname(node) => self.substitute(node),
            Place::Node(node) => self.at_node(zone, node, located.encloser_len, false, proofs),
            Place::Wildcard(node) => self.at_node(zone, node, located.encloser_len, true, proofs),
            Place::EmptyNonTerminal | Place::EmptyWildcard => {
                let is_wildcard = matches!(place, Place::EmptyWildcard);
                self.no_data(zone, None, located.encloser_len, is_wildcard, proofs)
            }
            Place::Absent => {
                if self.wants_proofs(zone) {
                    proofs.name_error(self.subject(zone, located.encloser_len));
                }
                self.reply.rcode = Rcode::NXDOMAIN;
                self.negative_soa(zone)?;
                Ok(Step::Done(Outcome::NameError))
            }
        }
    }

    fn refer<'z>(
        &mut self,
        zone: ZoneRef<'z>,
        encloser_len: usize,
        cut: NodeRef<'z>,
        proofs: &mut Proofs<'z>,
    ) -> Result<Step<'z>, Full> {
        let scratch = &mut *self.scratch;
        let subject = Subject {
            zone,
            name: self.name,
            key: scratch.key.as_bytes(),
            encloser_len,
            wildcard: scratch.wildcard.as_bytes(),
        };
        referral::delegation(self.reply, subject, cut, proofs)?;
        write_proofs(self.reply, proofs)?;
        referral::glue(self.reply, zone, cut, &mut scratch.target, &mut scratch.target_key)?;
        proofs.clear();
        Ok(Step::Done(Outcome::Referral))
    }

    /// Answers from the name's node, or from that of the wildcard which stands in for the name.
    fn at_node<'z>(
        &mut self,
        zone: ZoneRef<'z>,
        node: NodeRef<'z>,
        encloser_len: usize,
        is_wildcard: bool,
        proofs: &mut Proofs<'z>,
    ) -> Result<Step<'z>, Full> {
        let found = match self.qtype {
            Rtype::ANY => return self.any(zone, node, encloser_len, is_wildcard, proofs),
            Rtype::RRSIG => node.rrset(Rtype::RRSIG),
            qtype => node.rrset(qtype),
        };
        if let Some(rrset) = found {
            self.prove_wildcard(zone, encloser_len, is_wildcard, proofs);
            self.answer(node, rrset)?;
            return Ok(Step::Answered(rrset));
        }
        // RRSIG and NSEC stand beside a CNAME record, so they are not followed (RFC 4035 §2.5).
        let alias = if matches!(self.qtype, Rtype::RRSIG | Rtype::NSEC) { None } else { node.rrset(Rtype::CNAME) };
        let Some(alias) = alias else { return self.no_data(zone, Some(node), encloser_len, is_wildcard, proofs) };
        self.prove_wildcard(zone, encloser_len, is_wildcard, proofs);
        self.answer(node, alias)?;
        let target = alias.rdatas().next().unwrap_or(&[]);
        if self.scratch.target.load(target).is_err() {
            return Ok(Step::Done(Outcome::Answer));
        }
        std::mem::swap(self.name, &mut self.scratch.target);
        Ok(self.follow())
    }

    fn prove_wildcard<'z>(
        &mut self,
        zone: ZoneRef<'z>,
        encloser_len: usize,
        is_wildcard: bool,
        proofs: &mut Proofs<'z>,
    ) {
        if is_wildcard && self.wants_proofs(zone) {
            proofs.wildcard_answer(self.subject(zone, encloser_len));
        }
    }

    /// Answers for all types at once (RFC 8482).
    fn any<'z>(
        &mut self,
        zone: ZoneRef<'z>,
        node: NodeRef<'z>,
        encloser_len: usize,
        is_wildcard: bool,
        proofs: &mut Proofs<'z>,
    ) -> Result<Step<'z>, Full> {
        self.prove_wildcard(zone, encloser_len, is_wildcard, proofs);
        let is_signed = zone.denial() != Denial::None;
        match (self.settings.any, self.transport) {
            (AnyPolicy::FullOverTcp, Transport::Tcp) => {
                // With DO each RRset brings its signatures along.
                let skipped = self.reply.dnssec_ok.then_some(Rtype::RRSIG);
                for rrset in node.rrsets().filter(|rrset| Some(rrset.rtype()) != skipped) {
                    self.answer(node, rrset)?;
                }
            }
            (AnyPolicy::Hinfo, _) if !is_signed => self.made_up_hinfo()?,
            _ => {
                let preferred = node.rrsets().find(|rrset| !rrset.rtype().is_signing_product());
                if let Some(rrset) = preferred.or_else(|| node.rrsets().next()) {
                    self.answer(node, rrset)?;
                }
            }
        }
        Ok(Step::Done(Outcome::Answer))
    }

    fn made_up_hinfo(&mut self) -> Result<(), Full> {
        let rdata: &[u8] = b"\x07RFC8482\x00";
        let kind = (Rtype::HINFO, code::CLASS_IN);
        self.with_owner(|reply, owner| {
            reply.composer.rrset(Section::Answer, owner, kind, 3600, std::iter::once(rdata)).map(|_| ())
        })
    }

    /// Writes an RRset to the answer section, owned by the name that was looked for.
    fn answer(&mut self, node: NodeRef<'_>, rrset: RrsetRef<'_>) -> Result<(), Full> {
        if rrset.rtype() == Rtype::RRSIG {
            return self.signatures(node, rrset);
        }
        self.with_owner(|reply, owner| reply.rrset(Section::Answer, owner, node, rrset, rrset.ttl().as_secs()))
    }

    /// Writes all signatures of a node, each with the TTL of what it covers.
    fn signatures(&mut self, node: NodeRef<'_>, signatures: RrsetRef<'_>) -> Result<(), Full> {
        let mark = self.reply.composer.mark();
        for rdata in signatures.rdatas() {
            let covered = rdata.first_chunk().and_then(|octets| node.rrset(Rtype(u16::from_be_bytes(*octets))));
            let ttl = covered.unwrap_or(signatures).ttl().as_secs();
            let kind = (Rtype::RRSIG, code::CLASS_IN);
            let written = self.with_owner(|reply, owner| {
                reply.composer.rrset(Section::Answer, owner, kind, ttl, std::iter::once(rdata)).map(|_| ())
            });
            if written.is_err() {
                self.reply.composer.return_to(mark);
                return written;
            }
        }
        Ok(())
    }

    fn with_owner(&mut self, write: impl FnOnce(&mut Reply<'_>, Owner<'_>) -> Result<(), Full>) -> Result<(), Full> {
        let owner = if self.chain.len == 0 { QUESTION_NAME } else { Owner::Name(self.name.as_bytes()) };
        write(self.reply, owner)
    }

    /// Substitutes by DNAME and synthesises the CNAME record for it (RFC 6672 §3.1).
    fn substitute<'z>(&mut self, node: NodeRef<'z>) -> Result<Step<'z>, Full> {
        let Some(dname) = node.rrset(Rtype::DNAME) else { return Ok(Step::Done(Outcome::Failure)) };
        let scratch = &mut *self.scratch;
        let ttl = dname.ttl().as_secs();
        let below = label_count(&scratch.key.as_bytes()[node.key().len()..]);
        let owner = self.name.suffix(below);
        if !self.chain.has_dname(self.reply, owner) {
            self.reply.rrset(Section::Answer, Owner::Name(owner), node, dname, ttl)?;
            self.chain.add_dname(self.reply.composer.last_owner());
        }
        scratch.target.clone_from(self.name);
        let target = dname.rdatas().next().unwrap_or(&[]);
        if scratch.target.replace_suffix(self.name.label_start(below), target).is_err() {
            self.reply.rcode = Rcode::YXDOMAIN;
            return Ok(Step::Done(Outcome::Answer));
        }
        let owner = if self.chain.len == 0 { QUESTION_NAME } else { Owner::Name(self.name.as_bytes()) };
        let kind = (Rtype::CNAME, code::CLASS_IN);
        let target = std::iter::once(scratch.target.as_bytes());
        self.reply.composer.rrset(Section::Answer, owner, kind, ttl, target)?;
        if self.qtype == Rtype::CNAME {
            // The record just made is what was asked for (RFC 1034 §4.3.2 step 3a).
            return Ok(Step::Done(Outcome::Answer));
        }
        std::mem::swap(self.name, &mut scratch.target);
        Ok(self.follow())
    }

    /// Goes on to the target of the CNAME record just written, unless the chain is too long or a loop.
    fn follow(&mut self) -> Step<'static> {
        let owner = self.reply.composer.last_owner();
        let limit = usize::from(self.settings.cname_chain_max).min(CHAIN_MAX);
        let Some(owner) = owner.filter(|_| self.chain.len < limit) else { return Step::Done(Outcome::Answer) };
        self.chain.owners[self.chain.len] = owner;
        self.chain.len += 1;
        let name = self.name.as_bytes();
        let is_loop = self.chain.owners[..self.chain.len].iter().any(|&at| self.reply.composer.name_is(at, name));
        if is_loop { Step::Done(Outcome::Answer) } else { Step::Follow }
    }

    fn no_data<'z>(
        &mut self,
        zone: ZoneRef<'z>,
        node: Option<NodeRef<'z>>,
        encloser_len: usize,
        is_wildcard: bool,
        proofs: &mut Proofs<'z>,
    ) -> Result<Step<'z>, Full> {
        if self.wants_proofs(zone) {
            let subject = self.subject(zone, encloser_len);
            if is_wildcard {
                proofs.wildcard_no_data(subject, node);
            } else {
                proofs.no_data(subject, node);
            }
        }
        self.negative_soa(zone)?;
        Ok(Step::Done(Outcome::NoData))
    }

    /// Writes the SOA record of a negative answer (RFC 2308 §3).
    fn negative_soa(&mut self, zone: ZoneRef<'_>) -> Result<(), Full> {
        let Some(apex) = zone.apex_node() else { return Ok(()) };
        let Some(soa) = apex.rrset(Rtype::SOA) else { return Ok(()) };
        let owner = self.owner_of(zone.apex_bytes());
        self.reply.rrset(Section::Authority, owner, apex, soa, negative_ttl(soa).as_secs())
    }

    /// How to write a name at the end of the one that is looked for: the question may have it already.
    fn owner_of<'n>(&self, name: &'n [u8]) -> Owner<'n> {
        let start = self.name.as_bytes().len() - name.len();
        match u16::try_from(HEADER_LEN + start) {
            Ok(offset) if self.chain.len == 0 && name.len() > 1 => Owner::At(offset),
            _ => Owner::Name(name),
        }
    }

    /// Writes addresses of the names that an answer points to, as far as they fit.
    fn additional(&mut self, zone: ZoneRef<'_>, rrset: RrsetRef<'_>) {
        let name_at = match rrset.rtype() {
            Rtype::NS => 0,
            Rtype::MX | Rtype::SVCB | Rtype::HTTPS => 2,
            Rtype::SRV => 6,
            _ => return,
        };
        let scratch = &mut *self.scratch;
        for (index, rdata) in rrset.rdatas().take(TARGETS_MAX).enumerate() {
            let wire = rdata.get(name_at..).unwrap_or(&[]);
            if !set_target(zone, wire, &mut scratch.target, &mut scratch.target_key) {
                continue;
            }
            let target = scratch.target.as_bytes();
            let is_same = |earlier: &[u8]| {
                earlier.get(name_at..name_at + target.len()).is_some_and(|name| name.eq_ignore_ascii_case(target))
            };
            if rrset.rdatas().take(index).any(is_same) {
                continue;
            }
            // A large RRset that does not fit must not keep out the small ones after it.
            let _ = referral::addresses(self.reply, zone, &scratch.target, &scratch.target_key);
        }
    }

    fn wants_proofs(&self, zone: ZoneRef<'_>) -> bool {
        self.reply.dnssec_ok && zone.denial() != Denial::None
    }

    fn subject<'z>(&self, zone: ZoneRef<'z>, encloser_len: usize) -> Subject<'_, 'z> {
        Subject {
            zone,
            name: self.name,
            key: self.scratch.key.as_bytes(),
            encloser_len,
            wildcard: self.scratch.wildcard.as_bytes(),
        }
    }
}
