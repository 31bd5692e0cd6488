//! The system's randomness, in the forms that are asked for.

use rand_core::{TryCryptoRng, TryRng};

/// `N` random octets.
pub(crate) fn octets<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets)?;
    Ok(octets)
}

/// The system's randomness for crates that want a generator.
pub(crate) struct SystemRandom;

impl TryRng for SystemRandom {
    type Error = getrandom::Error;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        octets().map(u32::from_ne_bytes)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        octets().map(u64::from_ne_bytes)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        getrandom::fill(out)
    }
}

impl TryCryptoRng for SystemRandom {}
