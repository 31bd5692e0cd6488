//! Referrals to the servers of a delegated zone (RFC 1034 §4.3.2 step 3b, RFC 4035 §3.1.4, RFC 9471).

use rokko_wire::compose::{Full, Owner, Section};
use rokko_wire::key::name_from_key;
use rokko_wire::query::FoldedName;
use rokko_wire::{KeyBuf, Rtype};
use rokko_zone::{Denial, NodeRef, ZoneRef};

use crate::denial::{Proofs, Subject};
use crate::reply::Reply;

/// Writes the NS records of `cut`, then its DS records or their absence. The proofs are left to be written.
pub(crate) fn delegation<'z>(
    reply: &mut Reply<'_>,
    subject: Subject<'_, 'z>,
    cut: NodeRef<'z>,
    proofs: &mut Proofs<'z>,
) -> Result<(), Full> {
    let Some(servers) = cut.rrset(Rtype::NS) else { return Ok(()) };
    let owner = Owner::Name(subject.name.suffix(subject.label_index(cut.key().len())));
    reply.unsigned_rrset(Section::Authority, owner, servers, servers.ttl().as_secs())?;
    // Without a signature nobody could use the DS records.
    if !reply.dnssec_ok || subject.zone.denial() == Denial::None {
        return Ok(());
    }
    if let Some(ds) = cut.rrset(Rtype::DS) {
        return reply.rrset(Section::Authority, owner, cut, ds, ds.ttl().as_secs());
    }
    proofs.insecure_delegation(subject, cut);
    Ok(())
}

/// Writes the addresses that the zone holds for the name servers of `cut`.
///
/// Without those of servers inside the delegated zone nobody gets there, so the response is full if they do not fit;
/// the others are left out then (RFC 9471 §3).
pub(crate) fn glue(
    reply: &mut Reply<'_>,
    zone: ZoneRef<'_>,
    cut: NodeRef<'_>,
    target: &mut FoldedName,
    target_key: &mut KeyBuf,
) -> Result<(), Full> {
    let Some(servers) = cut.rrset(Rtype::NS) else { return Ok(()) };
    let mut others = false;
    for server in servers.rdatas() {
        if set_target(zone, server, target, target_key) {
            if target_key.as_bytes().starts_with(cut.key()) {
                addresses(reply, zone, target, target_key)?;
            } else {
                others = true;
            }
        }
    }
    for server in servers.rdatas().filter(|_| others) {
        if set_target(zone, server, target, target_key) && !target_key.as_bytes().starts_with(cut.key()) {
            // A large RRset that does not fit must not keep out the small ones after it.
            let _ = addresses(reply, zone, target, target_key);
        }
    }
    Ok(())
}

/// Takes a name in record data; says whether it lies in the zone, and then `key` is its key.
pub(crate) fn set_target(zone: ZoneRef<'_>, wire: &[u8], target: &mut FoldedName, key: &mut KeyBuf) -> bool {
    target.load(wire).is_ok() && set_key(zone, target, key)
}

/// Makes `key` the key of `name`, if that lies in the zone.
pub(crate) fn set_key(zone: ZoneRef<'_>, name: &FoldedName, key: &mut KeyBuf) -> bool {
    let apex = zone.apex_bytes();
    let Some(below_len) = name.as_bytes().len().checked_sub(apex.len()) else { return false };
    if name.as_bytes()[below_len..] != *apex {
        return false;
    }
    key.truncate(0);
    let Some(labels) = (0..=name.label_count()).find(|&index| name.label_start(index) == below_len) else {
        return false;
    };
    for index in (0..labels).rev() {
        key.push_label(name.label(index));
    }
    true
}

/// Writes the A and AAAA records of a name in the zone to the additional section, those that fit.
pub(crate) fn addresses(reply: &mut Reply<'_>, zone: ZoneRef<'_>, name: &FoldedName, key: &KeyBuf) -> Result<(), Full> {
    let Some(node) = zone.node(key.as_bytes()) else { return Ok(()) };
    let mut written = Ok(());
    for rtype in [Rtype::A, Rtype::AAAA] {
        if let Some(rrset) = node.rrset(rtype) {
            let owner = Owner::Name(name.as_bytes());
            written = reply.rrset(Section::Additional, owner, node, rrset, rrset.ttl().as_secs()).and(written);
        }
    }
    written
}

/// Writes the collected proofs to the authority section.
pub(crate) fn write_proofs(reply: &mut Reply<'_>, proofs: &Proofs<'_>) -> Result<(), Full> {
    for proof in proofs.iter() {
        let mut name = [0; 255];
        let len = name_from_key(proof.node.key(), proof.apex, &mut name);
        if let (Some(rrset), 1..) = (proof.node.rrset(proof.rtype), len) {
            let ttl = rrset.ttl().as_secs();
            reply.rrset(Section::Authority, Owner::Name(&name[..len]), proof.node, rrset, ttl)?;
        }
    }
    Ok(())
}
