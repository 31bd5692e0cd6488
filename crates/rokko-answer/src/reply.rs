//! A response in the making: RRsets with their signatures, section by section.

use rokko_wire::compose::{Composer, Full, Owner, Section};
use rokko_wire::{Rcode, Rtype, code};
use rokko_zone::{NodeRef, RrsetRef};

/// The response that is being composed.
pub(crate) struct Reply<'m> {
    pub(crate) composer: Composer<'m>,
    pub(crate) rcode: Rcode,
    /// AA: the first owner name's zone is ours (RFC 1035 §4.1.1).
    pub(crate) authoritative: bool,
    /// TC: something that belongs into the response did not fit.
    pub(crate) truncated: bool,
    /// Whether DNSSEC records are wanted (DO).
    pub(crate) dnssec_ok: bool,
}

impl Reply<'_> {
    /// Writes an RRset of `node` with its signatures, all or nothing.
    ///
    /// A signature's TTL is that of the RRset which it covers (RFC 4034 §3).
    pub(crate) fn rrset(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        node: NodeRef<'_>,
        rrset: RrsetRef<'_>,
        ttl: u32,
    ) -> Result<(), Full> {
        let mark = self.composer.mark();
        self.unsigned_rrset(section, owner, rrset, ttl)?;
        if !self.dnssec_ok || rrset.rtype() == Rtype::RRSIG {
            return Ok(());
        }
        let Some(signatures) = node.rrset(Rtype::RRSIG) else { return Ok(()) };
        let owner = self.composer.last_owner().map_or(owner, Owner::At);
        let covered = rrset.rtype().0.to_be_bytes();
        let of_rrset = signatures.rdatas().filter(|rdata| rdata.starts_with(&covered));
        let written = self.composer.rrset(section, owner, (Rtype::RRSIG, code::CLASS_IN), ttl, of_rrset);
        if written.is_err() {
            self.composer.return_to(mark);
        }
        written.map(|_| ())
    }

    /// Writes an RRset without signatures.
    pub(crate) fn unsigned_rrset(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rrset: RrsetRef<'_>,
        ttl: u32,
    ) -> Result<(), Full> {
        self.composer.rrset(section, owner, (rrset.rtype(), code::CLASS_IN), ttl, rrset.rdatas()).map(|_| ())
    }
}
