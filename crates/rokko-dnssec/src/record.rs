//! The data of RRSIG, NSEC and NSEC3 records.

use rokko_wire::Rtype;
use rokko_wire::name::wire_len;
use rokko_zone::rdata::canonical;

/// Octets of an RRSIG record's data before the signer's name.
const RRSIG_HEADER_LEN: usize = 18;
/// Octets of an NSEC3 record's data before the salt.
const NSEC3_HEADER_LEN: usize = 5;
/// The hash algorithm SHA-1 (RFC 5155 §11), the only one there is.
pub(crate) const NSEC3_SHA1: u8 = 1;
/// The flag of NSEC3 records that insecure delegations may be left out (RFC 5155 §3.1.2.1).
pub(crate) const NSEC3_OPT_OUT: u8 = 1;
/// The data of the NSEC3PARAM record for the chain that is made here: SHA-1, 0 iterations, no salt (RFC 9276 §3.1).
pub const NSEC3PARAM_RDATA: [u8; 5] = [NSEC3_SHA1, 0, 0, 0, 0];

/// The octets of a SHA-1 hash.
pub(crate) const HASH_LEN: usize = 20;

/// A signature (RFC 4034 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rrsig<'a> {
    /// The type that it covers.
    pub covered: Rtype,
    /// The number of its algorithm.
    pub algorithm: u8,
    /// The labels of the owner, the root and a leading asterisk not counted.
    pub labels: u8,
    /// The TTL that the RRset had.
    pub original_ttl: u32,
    /// Until when it is valid.
    pub expiration: u32,
    /// From when it is valid.
    pub inception: u32,
    /// The tag of its key.
    pub tag: u16,
    /// The signer's name in wire form.
    pub signer: &'a [u8],
    /// The signature itself.
    pub signature: &'a [u8],
}

impl<'a> Rrsig<'a> {
    /// Reads an RRSIG record's data.
    pub fn parse(rdata: &'a [u8]) -> Option<Self> {
        let (header, rest) = rdata.split_first_chunk::<RRSIG_HEADER_LEN>()?;
        let (signer, signature) = rest.split_at_checked(wire_len(rest).ok()?)?;
        let u16_at = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) << 16 | u32::from(u16_at(at + 2));
        Some(Self {
            covered: Rtype(u16_at(0)),
            algorithm: header[2],
            labels: header[3],
            original_ttl: u32_at(4),
            expiration: u32_at(8),
            inception: u32_at(12),
            tag: u16_at(16),
            signer,
            signature,
        })
    }

    /// Appends the data up to the signature, the signer's name in lower case: what the signed octets begin with.
    pub(crate) fn append_header(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.covered.0.to_be_bytes());
        out.extend_from_slice(&[self.algorithm, self.labels]);
        out.extend_from_slice(&self.original_ttl.to_be_bytes());
        out.extend_from_slice(&self.expiration.to_be_bytes());
        out.extend_from_slice(&self.inception.to_be_bytes());
        out.extend_from_slice(&self.tag.to_be_bytes());
        let at = out.len();
        out.extend_from_slice(self.signer);
        out[at..].make_ascii_lowercase();
    }

    /// The octets that are signed (RFC 4034 §3.1.8.1): this header, and the RRset in canonical form and order.
    pub(crate) fn message<'r>(&self, owner: &[u8], rdatas: impl Iterator<Item = &'r [u8]> + Clone) -> Vec<u8> {
        let rtype = self.covered;
        let mut out = Vec::with_capacity(256);
        self.append_header(&mut out);
        let mut fixed = Vec::with_capacity(owner.len() + 8);
        fixed.extend_from_slice(owner);
        fixed.extend_from_slice(&rtype.0.to_be_bytes());
        fixed.extend_from_slice(&[0, 1]);
        fixed.extend_from_slice(&self.original_ttl.to_be_bytes());
        let mut push = |rdata: &[u8]| {
            out.extend_from_slice(&fixed);
            out.extend_from_slice(&u16::try_from(rdata.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(rdata);
        };
        // Data stand in the order of their octets, which is the canonical one unless a name has to be folded.
        if rdatas.clone().any(|rdata| canonical(rtype, rdata) != rdata) {
            let mut folded: Vec<_> = rdatas.map(|rdata| canonical(rtype, rdata)).collect();
            folded.sort_unstable();
            for rdata in &folded {
                push(rdata);
            }
        } else {
            rdatas.for_each(push);
        }
        out
    }
}

/// The labels that a signature states for an owner name: the root and a leading asterisk don't count (RFC 4034 §3.1.3).
pub(crate) fn signed_labels(owner: &[u8]) -> u8 {
    let labels = rokko_wire::name::Labels::of(owner).count();
    let is_wildcard = owner.starts_with(b"\x01*");
    u8::try_from(labels - usize::from(is_wildcard)).unwrap_or(u8::MAX)
}

/// The data of an NSEC record (RFC 4034 §4.1): the next name, in lower case, and the types.
pub(crate) fn nsec(next: &[u8], types: &[Rtype]) -> Box<[u8]> {
    let mut rdata = Vec::with_capacity(next.len() + 12);
    rdata.extend_from_slice(next);
    append_bitmap(types, &mut rdata);
    rdata.into()
}

/// The next name and the bitmap in the data of an NSEC record.
pub(crate) fn nsec_parts(rdata: &[u8]) -> Option<(&[u8], &[u8])> {
    rdata.split_at_checked(wire_len(rdata).ok()?)
}

/// An NSEC3 record (RFC 5155 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nsec3<'a> {
    /// The number of the hash algorithm.
    pub algorithm: u8,
    /// The flags.
    pub flags: u8,
    /// The additional iterations.
    pub iterations: u16,
    /// The salt.
    pub salt: &'a [u8],
    /// The hash of the next name.
    pub next: &'a [u8],
    /// The types that the name has.
    pub bitmap: &'a [u8],
}

impl<'a> Nsec3<'a> {
    /// Reads an NSEC3 record's data.
    pub fn parse(rdata: &'a [u8]) -> Option<Self> {
        let (&[algorithm, flags, high, low, salt_len], rest) = rdata.split_first_chunk::<NSEC3_HEADER_LEN>()?;
        let (salt, rest) = rest.split_at_checked(usize::from(salt_len))?;
        let (&next_len, rest) = rest.split_first()?;
        let (next, bitmap) = rest.split_at_checked(usize::from(next_len))?;
        Some(Self { algorithm, flags, iterations: u16::from_be_bytes([high, low]), salt, next, bitmap })
    }

    /// Whether it belongs to the chain that is made here.
    pub(crate) fn is_ours(&self) -> bool {
        self.algorithm == NSEC3_SHA1 && self.iterations == 0 && self.salt.is_empty() && self.next.len() == HASH_LEN
    }

    /// The record's data.
    pub(crate) fn to_rdata(self) -> Box<[u8]> {
        let mut rdata =
            Vec::with_capacity(NSEC3_HEADER_LEN + self.salt.len() + 1 + self.next.len() + self.bitmap.len());
        let [high, low] = self.iterations.to_be_bytes();
        rdata.extend_from_slice(&[self.algorithm, self.flags, high, low, len_octet(self.salt)]);
        rdata.extend_from_slice(self.salt);
        rdata.push(len_octet(self.next));
        rdata.extend_from_slice(self.next);
        rdata.extend_from_slice(self.bitmap);
        rdata.into()
    }
}

fn len_octet(octets: &[u8]) -> u8 {
    u8::try_from(octets.len()).unwrap_or(u8::MAX)
}

/// Appends the bitmap of `types`, which rise (RFC 4034 §4.1.2).
pub(crate) fn append_bitmap(types: &[Rtype], out: &mut Vec<u8>) {
    for window in types.chunk_by(|a, b| a.0 >> 8 == b.0 >> 8) {
        let mut bits = [0_u8; 32];
        let mut len = 0;
        for rtype in window {
            let [_, low] = rtype.0.to_be_bytes();
            bits[usize::from(low / 8)] |= 0x80 >> (low % 8);
            len = low / 8 + 1;
        }
        out.push(window[0].0.to_be_bytes()[0]);
        out.push(len);
        out.extend_from_slice(&bits[..usize::from(len)]);
    }
}

/// The types in a bitmap; a malformed rest is left out.
pub(crate) fn types_of(bitmap: &[u8]) -> Vec<Rtype> {
    let mut types = Vec::new();
    let mut rest = bitmap;
    while let Some((&[window, len], tail)) = rest.split_first_chunk() {
        let Some((bits, tail)) = tail.split_at_checked(usize::from(len)) else { break };
        for (index, octet) in (0_u16..).zip(bits.iter().take(32)) {
            let set = (0..8).filter(|bit| octet & (0x80 >> bit) != 0);
            types.extend(set.map(|bit| Rtype(u16::from(window) << 8 | (index * 8) | bit)));
        }
        rest = tail;
    }
    types
}

#[cfg(test)]
mod tests {
    use rokko_wire::Name;
    use rokko_zone::rdata::{from_text, to_text};

    use super::*;

    /// Other programs that judge zones pass over this field; validators of names that a wildcard matched need it.
    #[test]
    fn labels_as_in_rfc_4034_section_3_1_3() {
        for (name, labels) in [
            (".", 0),
            ("*.", 0),
            ("example.com.", 2),
            ("www.example.com.", 3),
            ("*.w.example.", 2),
            ("a.*.example.", 3),
        ] {
            assert_eq!(signed_labels(name.parse::<Name>().unwrap().as_bytes()), labels, "{name}");
        }
    }

    /// The bitmap of the example in RFC 4034 §4.3.
    #[test]
    fn bitmaps_lead_back_to_their_types() {
        let types = [Rtype::A, Rtype::MX, Rtype::RRSIG, Rtype::NSEC, Rtype(1234)];
        let next: Name = "host.example.com.".parse().unwrap();
        let rdata = nsec(next.as_bytes(), &types);
        assert_eq!(to_text(Rtype::NSEC, &rdata), "host.example.com. A MX RRSIG NSEC TYPE1234");
        assert_eq!(
            nsec_parts(&rdata).map(|(name, bitmap)| (name, types_of(bitmap))),
            Some((next.as_bytes(), types.into()))
        );
    }

    #[test]
    fn records_read_as_they_were_written() {
        let text = "1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A RRSIG";
        let rdata = from_text(Rtype::NSEC3, text, None).unwrap();
        let record = Nsec3::parse(&rdata).unwrap();
        assert_eq!((record.flags, record.iterations, record.salt), (1, 12, &[0xaa, 0xbb, 0xcc, 0xdd][..]));
        assert!(!record.is_ours());
        assert_eq!(record.to_rdata(), rdata);

        let text = "A 5 3 86400 20030322173103 20030220173103 2642 Example.com. AAAA";
        let rdata = from_text(Rtype::RRSIG, text, None).unwrap();
        let rrsig = Rrsig::parse(&rdata).unwrap();
        let mut header = Vec::new();
        rrsig.append_header(&mut header);
        assert_eq!((rrsig.tag, rrsig.signature), (2642, &[0, 0, 0][..]));
        let folded = from_text(Rtype::RRSIG, &text.replace("Example", "example"), None).unwrap();
        assert_eq!([&header, rrsig.signature].concat(), *folded);
        for len in 0..19 {
            assert_eq!(Rrsig::parse(&rdata[..len]), None);
        }
    }
}
