//! What an operator wants of the DNSSEC of a zone.

use serde::{Deserialize, Serialize};

use super::state::Role;
use crate::{Algorithm, DigestType};

const MINUTE_S: u32 = 60;
const HOUR_S: u32 = 60 * MINUTE_S;
const DAY_S: u32 = 24 * HOUR_S;

/// Which keys a zone has (RFC 6781 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One key signs everything: a combined signing key.
    #[default]
    Csk,
    /// A key-signing key, which the parent's DS means, and a zone-signing key.
    Split,
}

impl Layout {
    /// The roles of the keys in use.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Csk => &[Role::Csk],
            Self::Split => &[Role::Ksk, Role::Zsk],
        }
    }
}

/// How the zone proves that something does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum DenialPolicy {
    /// NSEC (RFC 4034 §4).
    #[default]
    Nsec,
    /// NSEC3 with no iterations and no salt (RFC 9276 §3.1).
    Nsec3 {
        /// Delegations without DS are left out of the chain (RFC 5155 §6); for registries.
        #[serde(default)]
        opt_out: bool,
    },
}

/// In which order a KSK is replaced (RFC 7583 §3.3). A CSK and a change of the algorithm always take the first way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KskMethod {
    /// Both keys sign the DNSKEY RRset while the parent's DS is exchanged once.
    #[default]
    DoubleKsk,
    /// Both DS are at the parent while the key is exchanged: smaller DNSKEY RRsets, two changes at the parent.
    DoubleDs,
}

/// How a new algorithm comes in (RFC 6781 §4.1.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlgorithmChange {
    /// Its signatures are everywhere before its key is published: right for validators that ask for each algorithm.
    #[default]
    Conservative,
    /// Key and signatures at once: shorter, and right for validators that ask for the algorithms of the DS, or for any one path
    /// (RFC 6840 §5.11).
    Liberal,
}

/// How long signatures are valid and when they are made anew. All in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignatureTimes {
    /// From now to the expiration.
    pub validity_s: u32,
    /// How much earlier an expiration may be, so that not all are due at once.
    pub jitter_s: u32,
    /// A signature is made anew when it has less than this left.
    pub refresh_before_s: u32,
    /// How far before now the inception lies, for validators whose clocks are late.
    pub inception_before_s: u32,
}

impl Default for SignatureTimes {
    fn default() -> Self {
        Self { validity_s: 14 * DAY_S, jitter_s: 2 * DAY_S, refresh_before_s: 7 * DAY_S, inception_before_s: HOUR_S }
    }
}

/// How the keys and the signatures of a zone are made and replaced. All times are in seconds.
///
/// [`DnssecPolicy::check`] holds it to safe bounds; [`super::step()`] expects one that passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnssecPolicy {
    /// One key or two.
    pub keys: Layout,
    /// The algorithm of all keys.
    pub algorithm: Algorithm,
    /// The size of RSA keys; nothing to the other algorithms. 2048 to 4096.
    pub rsa_bits: u16,
    /// NSEC or NSEC3.
    pub denial: DenialPolicy,
    /// Validity and refresh of signatures.
    pub signatures: SignatureTimes,
    /// After how long a CSK is replaced; never by itself if there is none.
    pub csk_lifetime_s: Option<u32>,
    /// After how long a KSK is replaced; never by itself if there is none.
    pub ksk_lifetime_s: Option<u32>,
    /// After how long a ZSK is replaced; never by itself if there is none.
    pub zsk_lifetime_s: Option<u32>,
    /// Whether each key has a successor that is known to all caches already, for emergencies (RFC 7583 §4).
    pub standby: bool,
    /// In which order a KSK is replaced.
    pub ksk_method: KskMethod,
    /// How a new algorithm comes in.
    pub algorithm_change: AlgorithmChange,
    /// The TTL of DNSKEY, CDS and CDNSKEY.
    pub dnskey_ttl_s: u32,
    /// Whether CDS and CDNSKEY ask the parent for changes (RFC 7344). Without, a person has to.
    pub cds: bool,
    /// The digest types of the DS records that are asked for. At least one.
    pub digests: Vec<DigestType>,
    /// The TTL of the parent's DS RRset, if what is seen there is not larger.
    pub parent_ds_ttl_s: u32,
    /// How long a change at the parent may take to reach servers that were not asked.
    pub parent_propagation_s: u32,
    /// How late a parent may still carry out a request that was taken back.
    pub parent_registration_s: u32,
    /// How long a change may take beyond the servers whose acknowledgement is known, such as secondaries of others.
    pub zone_propagation_s: u32,
    /// Waited on top of each computed time; left out in an emergency.
    pub safety_s: u32,
}

impl Default for DnssecPolicy {
    fn default() -> Self {
        Self {
            keys: Layout::default(),
            algorithm: Algorithm::EcdsaP256Sha256,
            rsa_bits: 2048,
            denial: DenialPolicy::default(),
            signatures: SignatureTimes::default(),
            csk_lifetime_s: None,
            ksk_lifetime_s: None,
            zsk_lifetime_s: Some(90 * DAY_S),
            standby: false,
            ksk_method: KskMethod::default(),
            algorithm_change: AlgorithmChange::default(),
            dnskey_ttl_s: HOUR_S,
            cds: true,
            digests: vec![DigestType::Sha256],
            parent_ds_ttl_s: DAY_S,
            parent_propagation_s: HOUR_S,
            parent_registration_s: 2 * DAY_S,
            zone_propagation_s: 5 * MINUTE_S,
            safety_s: HOUR_S,
        }
    }
}

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A value is outside of its bounds.
    #[error("`{field}` is {found}, and has to be from {least} to {most}")]
    Bounds {
        /// The field.
        field: &'static str,
        /// What it is.
        found: u32,
        /// The least that is allowed.
        least: u32,
        /// The most that is allowed.
        most: u32,
    },
    /// Signatures would be refreshed as soon as they are made.
    #[error(
        "`signatures.refresh_before_s` and `signatures.jitter_s` together leave less than a day of \
         `signatures.validity_s`: make the validity longer, or one of the two shorter"
    )]
    NoTimeToRefresh,
    /// Caches could hold keys for longer than their signatures are valid.
    #[error("`dnskey_ttl_s` is longer than `signatures.refresh_before_s`: a cached key could outlive its signature")]
    TtlBeyondRefresh,
    /// DS records need a digest.
    #[error("`digests` is empty: name `sha256`, `sha384` or both")]
    NoDigest,
    /// A digest type is named twice.
    #[error("`digests` names a digest type twice")]
    SameDigest,
}

impl DnssecPolicy {
    /// Holds the policy to bounds within which a zone is safe.
    pub fn check(&self) -> Result<(), PolicyError> {
        let signatures = self.signatures;
        let day_max = |days: u32| days * DAY_S;
        let bounds = [
            ("signatures.validity_s", signatures.validity_s, day_max(3), day_max(180)),
            ("signatures.jitter_s", signatures.jitter_s, 0, day_max(30)),
            ("signatures.refresh_before_s", signatures.refresh_before_s, DAY_S, day_max(120)),
            ("signatures.inception_before_s", signatures.inception_before_s, 0, DAY_S),
            ("csk_lifetime_s", self.csk_lifetime_s.unwrap_or(DAY_S * 30), day_max(30), day_max(36_500)),
            ("ksk_lifetime_s", self.ksk_lifetime_s.unwrap_or(DAY_S * 30), day_max(30), day_max(36_500)),
            ("zsk_lifetime_s", self.zsk_lifetime_s.unwrap_or(DAY_S * 30), day_max(7), day_max(36_500)),
            ("dnskey_ttl_s", self.dnskey_ttl_s, MINUTE_S, day_max(7)),
            ("parent_ds_ttl_s", self.parent_ds_ttl_s, MINUTE_S, day_max(30)),
            ("parent_propagation_s", self.parent_propagation_s, MINUTE_S, day_max(7)),
            ("parent_registration_s", self.parent_registration_s, HOUR_S, day_max(30)),
            ("zone_propagation_s", self.zone_propagation_s, 0, day_max(30)),
            ("safety_s", self.safety_s, 0, day_max(30)),
            ("rsa_bits", u32::from(self.rsa_bits), 2048, 4096),
        ];
        for (field, found, least, most) in bounds {
            if !(least..=most).contains(&found) {
                return Err(PolicyError::Bounds { field, found, least, most });
            }
        }
        if signatures.refresh_before_s + signatures.jitter_s + DAY_S > signatures.validity_s {
            return Err(PolicyError::NoTimeToRefresh);
        }
        if self.dnskey_ttl_s > signatures.refresh_before_s {
            return Err(PolicyError::TtlBeyondRefresh);
        }
        match self.digests.as_slice() {
            [] => Err(PolicyError::NoDigest),
            [first, rest @ ..] if rest.len() > 1 || rest.contains(first) => Err(PolicyError::SameDigest),
            _ => Ok(()),
        }
    }

    /// After how long a key of this role is replaced by itself.
    pub fn lifetime_s(&self, role: Role) -> Option<u32> {
        match role {
            Role::Csk => self.csk_lifetime_s,
            Role::Ksk => self.ksk_lifetime_s,
            Role::Zsk => self.zsk_lifetime_s,
        }
    }

    /// How long caches may hold what was served until a moment: the TTL, and what is waited on top of it.
    pub(super) fn margin_s(&self, in_emergency: bool) -> u64 {
        u64::from(self.zone_propagation_s) + self.safety(in_emergency)
    }

    /// The same at the parent.
    pub(super) fn parent_margin_s(&self, in_emergency: bool) -> u64 {
        u64::from(self.parent_propagation_s) + self.safety(in_emergency)
    }

    fn safety(&self, in_emergency: bool) -> u64 {
        if in_emergency { 0 } else { u64::from(self.safety_s) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_safe_and_small() {
        DnssecPolicy::default().check().unwrap();
        assert_eq!(serde_json::from_str::<DnssecPolicy>("{}").unwrap(), DnssecPolicy::default());
    }

    #[test]
    fn unsafe_values_are_refused_with_their_bounds() {
        let refused = |change: fn(&mut DnssecPolicy)| {
            let mut policy = DnssecPolicy::default();
            change(&mut policy);
            policy.check().unwrap_err().to_string()
        };
        assert_eq!(refused(|p| p.rsa_bits = 1024), "`rsa_bits` is 1024, and has to be from 2048 to 4096");
        assert_eq!(
            refused(|p| p.zsk_lifetime_s = Some(DAY_S)),
            "`zsk_lifetime_s` is 86400, and has to be from 604800 to 3153600000"
        );
        assert!(refused(|p| p.signatures.refresh_before_s = 12 * DAY_S).contains("make the validity longer"));
        assert!(refused(|p| p.signatures.validity_s = DAY_S).contains("signatures.validity_s"));
        assert!(
            refused(|p| {
                p.dnskey_ttl_s = 2 * DAY_S;
                p.signatures.refresh_before_s = DAY_S;
            })
            .contains("outlive its signature")
        );
        assert!(refused(|p| p.digests.clear()).contains("`sha256`"));
        assert!(refused(|p| p.digests = vec![DigestType::Sha384; 2]).contains("twice"));
    }

    #[test]
    fn policies_as_people_write_them() {
        let text = r#"{"keys": "split", "algorithm": "ed25519", "denial": {"nsec3": {"opt_out": true}}, "ksk_method": "double-ds"}"#;
        let policy: DnssecPolicy = serde_json::from_str(text).unwrap();
        assert_eq!(policy.keys, Layout::Split);
        assert_eq!(policy.denial, DenialPolicy::Nsec3 { opt_out: true });
        assert_eq!(policy.ksk_method, KskMethod::DoubleDs);
        assert!(serde_json::from_str::<DnssecPolicy>(r#"{"keyz": 1}"#).is_err());
    }
}
