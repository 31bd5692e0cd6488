//! What a change of a signed zone brings along.

use rokko_dnssec::life::{Chains, DenialPolicy, DnssecPolicy, KeyId, SigningKey};
use rokko_dnssec::{OptOut, Plan, Signer, Timing, Wanted};
use rokko_model::Dnssec;
use rokko_wire::{Name, Rtype};
use rokko_zone::{Contents, Delta, RrsetDelta, Ttl, Zone};

/// How a zone is signed at one moment: the plan, the keys that carry it out, and what is to stand at the apex.
pub(crate) struct Hand {
    pub(crate) plan: Plan,
    /// The private keys, in the order of the plan's signers.
    pub(crate) keys: Vec<KeyId>,
    /// What is to stand at the apex, by rising type.
    records: [(Rtype, Option<Contents>); 4],
    /// Whether validators may hold the zone to be signed: then nothing passes that they would refuse.
    pub(crate) is_secure: bool,
}

impl Hand {
    /// `now` is in Unix seconds.
    pub(crate) fn of(apex: &Name, dnssec: &Dnssec, policy: &DnssecPolicy, now: u64) -> Self {
        let state = &dnssec.state;
        let signing = state.signing_keys();
        let records = state.key_records(apex, policy);
        let chains = state.chains();
        let nsec3param = chains
            .filter(|chains| matches!(chains.answers, DenialPolicy::Nsec3 { .. }))
            .map(|_| Contents { ttl: Ttl::from_wire(0), rdatas: vec![rokko_dnssec::NSEC3PARAM_RDATA.into()] });
        let contents = |rrset: Option<rokko_zone::Rrset>| rrset.map(rokko_zone::Rrset::into_contents);
        let times = policy.signatures;
        Self {
            plan: Plan {
                apex: apex.clone(),
                signers: signing.iter().map(signer).collect(),
                denial: wanted(chains),
                timing: Timing {
                    now: serial_time(now),
                    inception_before_s: times.inception_before_s,
                    validity_s: times.validity_s,
                    jitter_s: times.jitter_s,
                    refresh_before_s: times.refresh_before_s,
                },
            },
            keys: signing.into_iter().map(|key| key.id).collect(),
            records: [
                (Rtype::DNSKEY, contents(records.dnskey)),
                (Rtype::NSEC3PARAM, nsec3param),
                (Rtype::CDS, contents(records.cds)),
                (Rtype::CDNSKEY, contents(records.cdnskey)),
            ],
            is_secure: state.asked.is_some() || !state.ds.is_empty(),
        }
    }

    /// How the apex has to change so that it has the records of the keys.
    pub(crate) fn apex_changes(&self, zone: &Zone) -> Delta {
        let apex = &self.plan.apex;
        let change = |(rtype, after): &(Rtype, Option<Contents>)| {
            let before = zone.rrset(apex, *rtype).map(Contents::of);
            let differs = before != *after;
            differs.then(|| RrsetDelta { owner: apex.clone(), rtype: *rtype, before, after: after.clone() })
        };
        Delta { changes: self.records.iter().filter_map(change).collect() }
    }
}

/// A Unix time as signatures have it (RFC 4034 §3.1.5).
pub(super) fn serial_time(seconds: u64) -> u32 {
    u32::try_from(seconds & u64::from(u32::MAX)).unwrap_or(0)
}

fn signer(key: &SigningKey) -> Signer {
    Signer {
        tag: key.public.tag(),
        algorithm: key.public.algorithm,
        signs_keys: key.signs_keys,
        signs_zone: key.signs_zone,
    }
}

/// Which chains there are to be while one may take the place of another.
fn wanted(chains: Option<Chains>) -> Wanted {
    let Some(Chains { answers, also }) = chains else { return Wanted::NONE };
    let all = || [Some(answers), also].into_iter().flatten();
    let opt_outs = || {
        all().filter_map(|chain| match chain {
            DenialPolicy::Nsec => None,
            DenialPolicy::Nsec3 { opt_out } => Some(opt_out),
        })
    };
    let opt_out = match (opt_outs().any(|opt_out| opt_out), opt_outs().all(|opt_out| opt_out)) {
        (true, true) => OptOut::Yes,
        (true, false) => OptOut::Leaving,
        (false, _) => OptOut::No,
    };
    Wanted { nsec: all().any(|chain| chain == DenialPolicy::Nsec), nsec3: opt_outs().next().map(|_| opt_out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_that_take_turns_are_both_there() {
        let chains = |answers, also| wanted(Some(Chains { answers, also }));
        let nsec3 = |opt_out| DenialPolicy::Nsec3 { opt_out };
        assert_eq!(wanted(None), Wanted::NONE);
        assert_eq!(chains(DenialPolicy::Nsec, None), Wanted::NSEC);
        assert_eq!(chains(nsec3(false), None), Wanted::NSEC3);
        let both = Wanted { nsec: true, nsec3: Some(OptOut::Yes) };
        assert_eq!(chains(DenialPolicy::Nsec, Some(nsec3(true))), both);
        let leaving = Wanted { nsec: false, nsec3: Some(OptOut::Leaving) };
        assert_eq!(chains(nsec3(true), Some(nsec3(false))), leaving);
        assert_eq!(chains(nsec3(false), Some(nsec3(true))), leaving);
    }
}
