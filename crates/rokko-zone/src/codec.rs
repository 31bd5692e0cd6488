//! The binary form of a delta, as the log keeps it.
//!
//! ```text
//! delta    = version:u8 (1)  changes:u32  change × changes
//! change   = owner (wire form, uncompressed)  type:u16  contents (before)  contents (after)
//! contents = rdatas:u16  [ttl:u32  rdata × rdatas]        (0 rdatas: the RRset is absent, and no TTL follows)
//! rdata    = length:u16  octets
//! ```
//!
//! All numbers are little-endian.

use rokko_wire::{Name, Rtype};

use crate::Ttl;
use crate::edit::{Contents, Delta, RrsetDelta};

const VERSION: u8 = 1;

/// Why some bytes are not a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored change is damaged, or another version of the program wrote it")]
pub struct DecodeError;

impl Delta {
    /// The binary form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&len_u32(self.changes.len()).to_le_bytes());
        for change in &self.changes {
            out.extend_from_slice(change.owner.as_bytes());
            out.extend_from_slice(&change.rtype.0.to_le_bytes());
            encode_contents(change.before.as_ref(), &mut out);
            encode_contents(change.after.as_ref(), &mut out);
        }
        out
    }

    /// Reads the binary form.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = bytes;
        if take(&mut rest, 1)? != [VERSION] {
            return Err(DecodeError);
        }
        let count = u32::from_le_bytes(take_array(&mut rest)?);
        let mut changes = Vec::with_capacity(rest.len().min(count as usize * 8) / 8);
        for _ in 0..count {
            let (owner, len) = Name::from_wire(rest).map_err(|_| DecodeError)?;
            rest = &rest[len..];
            let rtype = Rtype(u16::from_le_bytes(take_array(&mut rest)?));
            let before = decode_contents(&mut rest)?;
            let after = decode_contents(&mut rest)?;
            changes.push(RrsetDelta { owner, rtype, before, after });
        }
        let is_rising = changes.is_sorted_by(|a, b| (&a.owner, a.rtype) < (&b.owner, b.rtype));
        if is_rising && rest.is_empty() { Ok(Self { changes }) } else { Err(DecodeError) }
    }
}

fn encode_contents(contents: Option<&Contents>, out: &mut Vec<u8>) {
    let Some(contents) = contents else {
        out.extend_from_slice(&[0, 0]);
        return;
    };
    out.extend_from_slice(&len_u16(contents.rdatas.len()).to_le_bytes());
    out.extend_from_slice(&contents.ttl.as_secs().to_le_bytes());
    for rdata in &contents.rdatas {
        out.extend_from_slice(&len_u16(rdata.len()).to_le_bytes());
        out.extend_from_slice(rdata);
    }
}

fn decode_contents(rest: &mut &[u8]) -> Result<Option<Contents>, DecodeError> {
    let count = u16::from_le_bytes(take_array(rest)?);
    if count == 0 {
        return Ok(None);
    }
    let ttl = Ttl::new(u32::from_le_bytes(take_array(rest)?)).ok_or(DecodeError)?;
    let mut rdatas = Vec::with_capacity(usize::from(count).min(rest.len() / 2));
    for _ in 0..count {
        let len = u16::from_le_bytes(take_array(rest)?);
        rdatas.push(take(rest, usize::from(len))?.into());
    }
    Ok(Some(Contents { ttl, rdatas }))
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], DecodeError> {
    let (head, tail) = rest.split_at_checked(len).ok_or(DecodeError)?;
    *rest = tail;
    Ok(head)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(DecodeError)?;
    *rest = tail;
    Ok(*head)
}

fn len_u16(len: usize) -> u16 {
    u16::try_from(len).expect("an RRset's octets are limited where it enters a zone")
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("a delta has fewer changes than memory has room for")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_out_of_order_or_repeated_are_refused() {
        let change = |owner: &str, rtype| RrsetDelta {
            owner: owner.parse().unwrap(),
            rtype,
            before: None,
            after: Some(Contents { ttl: Ttl::from_wire(60), rdatas: vec![Box::from([192, 0, 2, 1])] }),
        };
        let decodes = |changes| Delta::decode(&Delta { changes }.encode()).is_ok();
        let (a, a_txt, b) = (change("a.", Rtype::A), change("a.", Rtype::TXT), change("b.", Rtype::A));
        assert!(decodes(vec![a.clone(), a_txt.clone(), b.clone()]));
        assert!(!decodes(vec![b, a.clone()]));
        assert!(!decodes(vec![a_txt, a.clone()]));
        assert!(!decodes(vec![a.clone(), a]));
    }
}
