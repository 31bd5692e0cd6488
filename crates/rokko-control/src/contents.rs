//! The records that a zone gets without being asked: SOA, NS, and the next serial.

use rokko_model::soa::next_serial;
use rokko_model::{SoaEdit, UnixMillis};
use rokko_wire::{Name, Rtype};
use rokko_zone::zone::soa_serial;
use rokko_zone::{Contents, Delta, Rrset, RrsetDelta, Serial, Ttl, Zone};

use crate::ZoneDefaults;

/// Stands in for a name server where nobody named one; the answer to everything is "not here" (RFC 6761 §6.4).
const NO_NAMESERVER: &[u8] = b"\x0dmisconfigured\x07invalid\x00";

/// Adds an SOA record and NS records where the apex has none.
pub(crate) fn complete(apex: &Name, contents: &mut Vec<Rrset>, defaults: &ZoneDefaults, now: UnixMillis) {
    let has = |contents: &[Rrset], rtype| contents.iter().any(|r| r.owner == *apex && r.rtype == rtype);
    let ttl = Ttl::from_wire(defaults.ttl_s);
    if !has(contents, Rtype::NS) {
        let mut rdatas: Vec<Box<[u8]>> = defaults.nameservers.iter().map(|name| name.as_bytes().into()).collect();
        if rdatas.is_empty() {
            rdatas.push(NO_NAMESERVER.into());
        }
        contents.push(Rrset { owner: apex.clone(), rtype: Rtype::NS, ttl, rdatas });
    }
    if !has(contents, Rtype::SOA) {
        let servers = contents.iter().find(|r| r.owner == *apex && r.rtype == Rtype::NS);
        let configured = defaults.nameservers.first().map(Name::as_bytes);
        let mname = configured.or_else(|| servers?.rdatas.first().map(AsRef::as_ref)).unwrap_or(NO_NAMESERVER);
        let rname = defaults.hostmaster.clone().or_else(|| apex.child(b"hostmaster").ok());
        let mut rdata = mname.to_vec();
        rdata.extend_from_slice(rname.as_ref().unwrap_or(apex).as_bytes());
        let serial = next_serial(Serial(0), SoaEdit::Default, now).0;
        for number in [serial, defaults.refresh_s, defaults.retry_s, defaults.expire_s, defaults.minimum_s] {
            rdata.extend_from_slice(&number.to_be_bytes());
        }
        contents.push(Rrset { owner: apex.clone(), rtype: Rtype::SOA, ttl, rdatas: vec![rdata.into()] });
    }
}

/// Makes the delta move the zone's serial forward, unless it does so itself or the policy says to leave it.
///
/// A SOA record that was signed elsewhere stays as it is: another serial would make its signature, and with it every
/// negative answer, bogus (RFC 4035 §5.3).
pub(crate) fn move_serial(zone: &Zone, delta: &mut Delta, policy: SoaEdit, now: UnixMillis) {
    if !has_signed_soa(zone, delta) {
        move_serial_of_signed(zone, delta, policy, now);
    }
}

/// The same, for a zone whose SOA record is signed afterwards.
pub(crate) fn move_serial_of_signed(zone: &Zone, delta: &mut Delta, policy: SoaEdit, now: UnixMillis) {
    let apex = &zone.apex();
    let Some(before) = zone.rrset(apex, Rtype::SOA).map(Contents::of) else { return };
    let place = place_of(delta, apex, Rtype::SOA);
    let mut after = match place {
        Ok(index) => match &delta.changes[index].after {
            Some(after) => after.clone(),
            None => return,
        },
        Err(_) => before.clone(),
    };
    let old = zone.serial();
    let [rdata] = &mut after.rdatas[..] else { return };
    let Some(wanted) = soa_serial(rdata) else { return };
    if wanted.is_after(old) {
        return;
    }
    set_serial(rdata, next_serial(old, policy, now));
    let change = RrsetDelta { owner: apex.clone(), rtype: Rtype::SOA, before: Some(before), after: Some(after) };
    match (place, change.before == change.after) {
        (Ok(index), true) => drop(delta.changes.remove(index)),
        (Ok(index), false) => delta.changes[index] = change,
        (Err(_), true) => {}
        (Err(index), false) => delta.changes.insert(index, change),
    }
}

/// Whether the zone has a signature of its SOA record after the delta.
fn has_signed_soa(zone: &Zone, delta: &Delta) -> bool {
    let apex = &zone.apex();
    let covers_soa = |rdata: &[u8]| rdata.starts_with(&Rtype::SOA.0.to_be_bytes());
    match place_of(delta, apex, Rtype::RRSIG) {
        Ok(index) => {
            let after = delta.changes[index].after.as_ref();
            after.is_some_and(|after| after.rdatas.iter().any(|rdata| covers_soa(rdata)))
        }
        Err(_) => zone
            .rrset(apex, Rtype::RRSIG)
            .is_some_and(|signatures| Contents::of(signatures).rdatas.iter().any(|rdata| covers_soa(rdata))),
    }
}

/// Where a delta changes an RRset, or where it would.
fn place_of(delta: &Delta, owner: &Name, rtype: Rtype) -> Result<usize, usize> {
    delta.changes.binary_search_by(|change| (&change.owner, change.rtype).cmp(&(owner, rtype)))
}

/// Whether all that a delta does is to set the serial back, as when a zone file is imported once more unchanged.
pub(crate) fn only_an_older_serial(zone: &Zone, delta: &Delta) -> bool {
    let [RrsetDelta { rtype: Rtype::SOA, before: Some(before), after: Some(after), .. }] = &delta.changes[..] else {
        return false;
    };
    let (mut before, after) = (before.clone(), after.clone());
    let ([old], [new]) = (&mut before.rdatas[..], &after.rdatas[..]) else { return false };
    let Some(wanted) = soa_serial(new).filter(|wanted| !wanted.is_after(zone.serial())) else { return false };
    set_serial(old, wanted);
    before == after
}

fn set_serial(rdata: &mut [u8], serial: Serial) {
    if let Some(at) = rdata.len().checked_sub(20) {
        rdata[at..at + 4].copy_from_slice(&serial.0.to_be_bytes());
    }
}
