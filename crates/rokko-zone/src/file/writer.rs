//! The canonical text form of a zone.
//!
//! ```text
//! $ORIGIN example.com.
//! example.com. 3600 IN SOA ns1.example.com. hostmaster.example.com. 1 7200 900 1209600 300
//! example.com. 3600 IN NS ns1.example.com.
//! ns1.example.com. 300 IN A 192.0.2.1
//! ```
//!
//! The first line is `$ORIGIN` and the apex. Each further line is one record: owner, TTL in seconds, `IN`, type and
//! record data, one space between them, all names absolute, each line ended by a newline, no comments. The SOA
//! record comes first; after it the names are in canonical order (RFC 4034 §6.1), the types of a name in the order of
//! their numbers, and the records of an RRset in the order of their octets. So equal zones have equal files,
//! and writing what was read from such a file gives the same octets again.

use std::borrow::Borrow;
use std::fmt;
use std::rc::Rc;

use rokko_wire::{Name, Rtype};

use crate::rdata;
use crate::{Rrset, RrsetRef, Ttl, Zone};

/// Writes a zone from its records, which come in canonical order of names, then of types and record data.
///
/// The SOA of the apex is moved to the front. An error is that of `out`.
pub fn write_zone<N, D>(
    apex: &Name,
    records: impl IntoIterator<Item = (N, Rtype, Ttl, D)>,
    out: &mut impl fmt::Write,
) -> fmt::Result
where
    N: Borrow<Name>,
    D: AsRef<[u8]>,
{
    writeln!(out, "$ORIGIN {apex}")?;
    // The apex is the first name, and the SOA is not far behind its A and NS records.
    let mut before_soa = Vec::new();
    let mut at_front = true;
    for record in records {
        if at_front && record.0.borrow() == apex && record.1 < Rtype::SOA {
            before_soa.push(record);
            continue;
        }
        if at_front && !(record.0.borrow() == apex && record.1 == Rtype::SOA) {
            at_front = false;
            write_records(before_soa.drain(..), out)?;
        }
        write_records([record], out)?;
    }
    write_records(before_soa, out)
}

/// Writes a zone from its RRsets in canonical order.
///
/// A signature has the TTL that [`signature_ttl`] gives, whatever the RRSIG RRset itself says.
pub fn write_rrsets(apex: &Name, rrsets: &[Rrset], out: &mut impl fmt::Write) -> fmt::Result {
    let nodes = rrsets.chunk_by(|a, b| a.owner == b.owner);
    let records = nodes.flat_map(|node| {
        let ttl_at_node = |rtype| node.iter().find(|other| other.rtype == rtype).map(|other| other.ttl);
        node.iter().flat_map(move |rrset| {
            rrset.rdatas.iter().map(move |rdata| {
                (&rrset.owner, rrset.rtype, record_ttl(rrset.rtype, rrset.ttl, rdata, ttl_at_node), rdata)
            })
        })
    });
    write_zone(apex, records, out)
}

/// Writes one version of a zone; the TTLs of signatures are those of [`signature_ttl`].
pub fn write_snapshot(zone: &Zone, out: &mut impl fmt::Write) -> fmt::Result {
    let records = zone.rrsets().flat_map(|(owner, rrset)| {
        let owner = Rc::new(owner);
        rrset.rdatas().map(move |rdata| {
            let ttl_here = |rtype| zone.rrset(&owner, rtype).map(RrsetRef::ttl);
            let ttl = record_ttl(rrset.rtype(), rrset.ttl(), rdata, ttl_here);
            (Rc::clone(&owner), rrset.rtype(), ttl, rdata)
        })
    });
    write_zone(&zone.apex(), records, out)
}

fn record_ttl(rtype: Rtype, ttl: Ttl, rdata: &[u8], ttl_at_owner: impl Fn(Rtype) -> Option<Ttl>) -> Ttl {
    if rtype == Rtype::RRSIG { signature_ttl(rdata, ttl_at_owner).unwrap_or(ttl) } else { ttl }
}

/// The TTL of a signature: that of the RRset which it covers (RFC 4034 §3), given by `ttl_at_owner`, or else the original TTL
/// that it states. `None` if `rdata` is too short for a signature.
pub fn signature_ttl(rdata: &[u8], ttl_at_owner: impl Fn(Rtype) -> Option<Ttl>) -> Option<Ttl> {
    let original = Ttl::from_wire(u32::from_be_bytes(*rdata.get(4..)?.first_chunk()?));
    let covered = Rtype(u16::from_be_bytes(*rdata.first_chunk()?));
    let covered = Some(covered).filter(|&rtype| rtype != Rtype::RRSIG);
    Some(covered.and_then(ttl_at_owner).unwrap_or(original))
}

fn write_records<N, D>(records: impl IntoIterator<Item = (N, Rtype, Ttl, D)>, out: &mut impl fmt::Write) -> fmt::Result
where
    N: Borrow<Name>,
    D: AsRef<[u8]>,
{
    for (owner, rtype, ttl, rdata) in records {
        write!(out, "{} {ttl} IN {rtype} ", owner.borrow())?;
        rdata::write_text(rtype, rdata.as_ref(), out)?;
        out.write_char('\n')?;
    }
    Ok(())
}
