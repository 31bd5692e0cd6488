//! Numbers that have mnemonics in presentation format.

/// DNSSEC algorithms (RFC 4034 appendix A.1 and the registry).
pub(super) const ALGORITHMS: &[(&str, u16)] = &[
    ("DELETE", 0),
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("ECC", 4),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("NSEC3DSA", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("NSEC3RSASHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("SM2SM3", 17),
    ("ECC-GOST12", 23),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

/// Certificate types (RFC 4398 §2.1).
pub(super) const CERT_TYPES: &[(&str, u16)] = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

/// DSYNC schemes (RFC 9859 §2.1).
pub(super) const SCHEMES: &[(&str, u16)] = &[("NOTIFY", 1)];

/// Internet protocols that have well-known services.
pub(super) const PROTOCOLS: &[(&str, u16)] = &[("ICMP", 1), ("TCP", 6), ("UDP", 17)];

/// The number of a mnemonic, whatever its case.
pub(super) fn number(names: &[(&str, u16)], text: &[u8]) -> Option<u16> {
    names.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(text)).map(|(_, number)| *number)
}

/// The mnemonic of a number.
pub(super) fn name(names: &[(&'static str, u16)], number: u16) -> Option<&'static str> {
    names.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}
