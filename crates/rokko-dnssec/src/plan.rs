//! What a zone is to be signed with: the keys, the denial of existence, the times; and who makes the signatures.

use rokko_wire::{Name, Rtype};

use crate::Algorithm;

/// How a zone is to be signed. The DNSKEY, CDS, CDNSKEY and NSEC3PARAM records themselves are data of the zone: who
/// makes the plan puts them there, and they are signed like the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The name of the zone.
    pub apex: Name,
    /// The keys that sign; none in a zone that is to be unsigned. Signatures of other keys are taken away.
    pub signers: Vec<Signer>,
    /// Which chains of denial there are to be.
    pub denial: Wanted,
    /// From when until when signatures are valid, and when they are renewed.
    pub timing: Timing,
}

/// A key that signs. Two with the same algorithm and tag cannot be told apart in signatures and must not be in one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The key tag.
    pub tag: u16,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Whether it signs the DNSKEY, CDS and CDNSKEY RRsets.
    pub signs_keys: bool,
    /// Whether it signs all else.
    pub signs_zone: bool,
}

impl Signer {
    /// Whether it signs RRsets of this type.
    pub fn signs(&self, rtype: Rtype) -> bool {
        match rtype {
            Rtype::DNSKEY | Rtype::CDS | Rtype::CDNSKEY => self.signs_keys,
            _ => self.signs_zone,
        }
    }
}

/// Which chains of denial a zone is to have. Both while it goes from one to the other.
///
/// From NSEC to NSEC3: both are wanted and a [`crate::Walk`] builds the second chain; then the NSEC3PARAM record is put
/// into the zone, from when on NSEC3 answers; then NSEC is no longer wanted and a walk takes its records away. Back: the
/// same with NSEC wanted again, and the NSEC3PARAM record is taken away before NSEC3 is no longer wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// NSEC (RFC 4034 §4).
    pub nsec: bool,
    /// NSEC3 (RFC 5155) with SHA-1, 0 additional iterations and no salt, as RFC 9276 asks for.
    pub nsec3: Option<OptOut>,
}

impl Wanted {
    /// No chain: the zone is unsigned.
    pub const NONE: Self = Self { nsec: false, nsec3: None };
    /// NSEC alone.
    pub const NSEC: Self = Self { nsec: true, nsec3: None };
    /// NSEC3 alone, without opt-out.
    pub const NSEC3: Self = Self { nsec: false, nsec3: Some(OptOut::No) };
}

/// Whether delegations without DS records have NSEC3 records (RFC 5155 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptOut {
    /// All delegations have one.
    No,
    /// Those without DS records have none, and all NSEC3 records have the flag that says so.
    Yes,
    /// The way back from `Yes` to `No`: all delegations have one, and the flag is still there.
    Leaving,
}

impl OptOut {
    /// Whether NSEC3 records have the flag.
    pub fn has_flag(self) -> bool {
        !matches!(self, Self::No)
    }

    /// Whether delegations without DS records are left out.
    pub fn leaves_out_insecure(self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// When signatures are valid and when they are renewed. Points in time are seconds since 1970 and compared as serial
/// numbers (RFC 4034 §3.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The present.
    pub now: u32,
    /// Signatures are valid from so long before they are made, for validators whose clocks are late.
    pub inception_before_s: u32,
    /// Signatures are valid for so long, at most.
    pub validity_s: u32,
    /// Signatures expire up to so much earlier, spread evenly over the names of a large zone, over the zones if they
    /// are small, so that not all is renewed at once. Counts for at most what lies between `validity_s` and
    /// `refresh_before_s`.
    pub jitter_s: u32,
    /// Signatures that expire within so long are renewed.
    pub refresh_before_s: u32,
}

impl Timing {
    /// Seconds from now until `expiration`; negative if it is over.
    pub fn remaining_s(&self, expiration: u32) -> i32 {
        expiration.wrapping_sub(self.now).cast_signed()
    }

    /// When a signature of now begins to be valid.
    pub(crate) fn inception(&self) -> u32 {
        self.now.wrapping_sub(self.inception_before_s)
    }

    /// When a signature of now expires; `spread` is any number, evenly distributed.
    pub(crate) fn expiration(&self, spread: u32) -> u32 {
        let range = self.jitter_s.min(self.validity_s.saturating_sub(self.refresh_before_s));
        let earlier = (u64::from(spread) * u64::from(range)) >> 32;
        let earlier = u32::try_from(earlier).unwrap_or(range);
        self.now.wrapping_add(self.validity_s - earlier)
    }
}

/// Something to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSign {
    /// Which key: its index in [`Plan::signers`].
    pub signer: usize,
    /// What to sign (RFC 4034 §3.1.8.1).
    pub octets: Vec<u8>,
}

/// Makes signatures. One call has all of one step, so that it can be spread over threads or sent to a device at once.
pub trait Sign {
    /// The signatures as RRSIG records hold them, one for each input, in the same order.
    fn sign(&self, inputs: &[ToSign]) -> Result<Vec<Box<[u8]>>, SignError>;
}

/// Why signatures could not be made, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignError(pub String);

/// Signs nothing: for plans without signers.
#[derive(Clone, Copy, Debug)]
pub struct NoSigner;

impl Sign for NoSigner {
    fn sign(&self, inputs: &[ToSign]) -> Result<Vec<Box<[u8]>>, SignError> {
        if inputs.is_empty() { Ok(Vec::new()) } else { Err(SignError("there is no key to sign with".to_owned())) }
    }
}
