//! The master key in shares: any `threshold` of them give it back, and fewer say nothing about it (Shamir's scheme over GF(256)).
//!
//! A share as text is `rokko-share:` and base64url (RFC 4648, section 5, no padding) of: version (1 octet, 1) · set (8 octets, chosen at
//! random for all shares of one split) · id of the master key (8 octets) · threshold (1 octet) · number of the share (1 octet, from 1) · its
//! value (32 octets) · the first 4 octets of SHA-256 over all before, against mistakes in copying.

use std::fmt;

use blahaj::{Share as Point, Sharks};
use data_encoding::BASE64URL_NOPAD;
use rand_core::UnwrapErr;
use ring::digest;
use zeroize::Zeroizing;

use crate::master::MASTER_LEN;
use crate::random::{self, SystemRandom};
use crate::{MasterKey, MasterKeyId};

const PREFIX: &str = "rokko-share:";
const VERSION: u8 = 1;
const BODY_LEN: usize = 1 + 8 + 8 + 1 + 1 + MASTER_LEN;
const CHECK_LEN: usize = 4;

/// One share of a master key. Overwritten when dropped.
pub struct Share {
    set: [u8; 8],
    master: MasterKeyId,
    threshold: u8,
    number: u8,
    value: Zeroizing<[u8; MASTER_LEN]>,
}

/// Why there are no shares, or no master key of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The numbers make no sense.
    #[error("of {shares} shares {threshold} cannot be needed: expected 2 to {shares}")]
    Threshold {
        /// How many shares were wanted.
        shares: u8,
        /// How many were to be needed.
        threshold: u8,
    },
    /// The operating system gives no random octets.
    #[error("the system has no randomness")]
    Random,
    /// A text is no share.
    #[error("this is no share: one begins with {PREFIX}")]
    Prefix,
    /// A share was not copied as it is.
    #[error("the share is damaged: copy all of it again")]
    Damaged,
    /// A newer program made it.
    #[error("the share has the form {0}, which this program does not know: use a newer program")]
    Version(u8),
    /// There are shares of different splits.
    #[error("the shares are of different sets, {0} and {1}")]
    Mixed(String, String),
    /// There are too few.
    #[error("{needed} different shares are needed, and there are {found}")]
    TooFew {
        /// How many are needed.
        needed: u8,
        /// How many different ones there are.
        found: usize,
    },
    /// What comes out is not the key that was split.
    #[error("the shares do not give the master key {0}: one of them is not genuine")]
    Wrong(MasterKeyId),
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({} of set {})", self.number, self.set())
    }
}

/// Splits a master key into shares, of which `threshold` give it back.
///
/// # Errors
///
/// If the threshold is less than 2 or more than the shares, or the system gives no random octets.
pub fn split(master: &MasterKey, shares: u8, threshold: u8) -> Result<Vec<Share>, ShareError> {
    if threshold < 2 || threshold > shares {
        return Err(ShareError::Threshold { shares, threshold });
    }
    // Whether there is randomness shows here; the dealer below cannot say so.
    let set = random::octets().map_err(|_| ShareError::Random)?;
    let mut random = UnwrapErr(SystemRandom);
    let points = Sharks(threshold).dealer_rng(master.octets(), &mut random).take(usize::from(shares));
    let share = |point: Point| {
        let octets = Zeroizing::new(Vec::from(&point));
        let (number, octets) = octets.split_first()?;
        let mut value = Zeroizing::new([0; MASTER_LEN]);
        value.copy_from_slice(octets.get(..MASTER_LEN)?);
        Some(Share { set, master: master.id(), threshold, number: *number, value })
    };
    points.map(|point| share(point).ok_or(ShareError::Random)).collect()
}

/// The master key of at least as many different shares of one set as it needs.
///
/// # Errors
///
/// If there are too few, they are of different sets, or one is not genuine.
pub fn combine(shares: &[Share]) -> Result<MasterKey, ShareError> {
    let first = shares.first().ok_or(ShareError::TooFew { needed: 2, found: 0 })?;
    let head = |share: &Share| (share.set, share.master, share.threshold);
    if let Some(other) = shares.iter().find(|share| head(share) != head(first)) {
        return Err(ShareError::Mixed(first.set(), other.set()));
    }
    let mut different: Vec<&Share> = Vec::new();
    for share in shares {
        if !different.iter().any(|other| other.number == share.number) {
            different.push(share);
        }
    }
    if different.len() < usize::from(first.threshold) {
        return Err(ShareError::TooFew { needed: first.threshold, found: different.len() });
    }
    let wrong = ShareError::Wrong(first.master);
    let points: Option<Vec<Point>> = different.iter().map(|share| share.point()).collect();
    let secret = points.and_then(|points| Sharks(first.threshold).recover(&points).ok().map(Zeroizing::new));
    let secret = secret.filter(|secret| secret.len() == MASTER_LEN).ok_or(wrong.clone())?;
    let mut octets = Zeroizing::new([0; MASTER_LEN]);
    octets.copy_from_slice(&secret);
    let master = MasterKey::new(octets);
    if master.id() == first.master { Ok(master) } else { Err(wrong) }
}

impl Share {
    /// What the shares of one split have in common: 16 hexadecimal digits.
    pub fn set(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.set)
    }

    /// The master key that it is a share of.
    pub fn master(&self) -> MasterKeyId {
        self.master
    }

    /// How many shares of the set are needed.
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Its number within the set, from 1.
    pub fn number(&self) -> u8 {
        self.number
    }

    fn point(&self) -> Option<Point> {
        let mut octets = Zeroizing::new(Vec::with_capacity(1 + MASTER_LEN));
        octets.push(self.number);
        octets.extend_from_slice(self.value.as_slice());
        Point::try_from(octets.as_slice()).ok()
    }

    /// Its text, in one line.
    pub fn text(&self) -> Zeroizing<String> {
        let mut octets = Zeroizing::new(Vec::with_capacity(BODY_LEN + CHECK_LEN));
        octets.push(VERSION);
        octets.extend_from_slice(&self.set);
        octets.extend_from_slice(&self.master.0);
        octets.extend_from_slice(&[self.threshold, self.number]);
        octets.extend_from_slice(self.value.as_slice());
        let check = digest::digest(&digest::SHA256, &octets);
        octets.extend_from_slice(&check.as_ref()[..CHECK_LEN]);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * octets.len()));
        text.push_str(PREFIX);
        BASE64URL_NOPAD.encode_append(&octets, &mut text);
        text
    }

    /// Reads its text.
    ///
    /// # Errors
    ///
    /// If the text is not that of a share.
    pub fn parse(text: &str) -> Result<Self, ShareError> {
        let digits = text.trim().strip_prefix(PREFIX).ok_or(ShareError::Prefix)?;
        let mut octets = Zeroizing::new([0; BODY_LEN + CHECK_LEN]);
        if BASE64URL_NOPAD.decode_len(digits.len()) != Ok(octets.len())
            || BASE64URL_NOPAD.decode_mut(digits.as_bytes(), octets.as_mut_slice()).is_err()
        {
            return Err(ShareError::Damaged);
        }
        let (body, check) = octets.split_at(BODY_LEN);
        if digest::digest(&digest::SHA256, body).as_ref()[..CHECK_LEN] != *check {
            return Err(ShareError::Damaged);
        }
        Self::decode(body).ok_or(ShareError::Damaged)?
    }

    /// `None` if the octets make no sense.
    fn decode(body: &[u8]) -> Option<Result<Self, ShareError>> {
        let (&version, rest) = body.split_first()?;
        if version != VERSION {
            return Some(Err(ShareError::Version(version)));
        }
        let (set, rest) = rest.split_first_chunk()?;
        let (master, rest) = rest.split_first_chunk()?;
        let (&[threshold, number], rest) = rest.split_first_chunk()?;
        let mut value = Zeroizing::new([0; MASTER_LEN]);
        value.copy_from_slice(rest.get(..MASTER_LEN)?);
        let share = Self { set: *set, master: MasterKeyId(*master), threshold, number, value };
        (threshold >= 2 && number >= 1).then_some(Ok(share))
    }
}
