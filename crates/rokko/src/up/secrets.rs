//! The secrets for DNS cookies: kept in the store, so that cookies survive a restart, and replaced in time.

use rokko_answer::CookieSecrets;
use rokko_store::{Store, StoreError};

use crate::failure::Failure;

/// The setting's name in the store.
const SETTING: &str = "dns-cookie-secrets";
/// The first octet of the stored form: the version. Then the time in seconds, the current secret, and the previous one
/// if there is one.
const FORMAT: u8 = 1;

/// Secrets and their age.
#[derive(Clone, Copy)]
pub(crate) struct Secrets {
    pub(crate) secrets: CookieSecrets,
    /// When the current one was made, in Unix seconds.
    made_at_s: u64,
}

impl Secrets {
    /// The secrets in the store, or new ones.
    pub(crate) fn load(store: &dyn Store, now_s: u64) -> Result<Self, Failure> {
        let stored = store.setting(SETTING).map_err(|error| failed(&error))?;
        if let Some(secrets) = stored.as_deref().and_then(Self::decode) {
            return Ok(secrets);
        }
        let made = Self { secrets: CookieSecrets { current: random()?, previous: None }, made_at_s: now_s };
        store.put_setting(SETTING, &made.encode()).map_err(|error| failed(&error))?;
        Ok(made)
    }

    /// Whether the current secret is older than `age_max_s`. One from the future is too: the clock was set back.
    pub(crate) fn is_due(&self, now_s: u64, age_max_s: u64) -> bool {
        now_s.checked_sub(self.made_at_s).is_none_or(|age| age >= age_max_s)
    }

    /// A new current secret; the one before stays valid.
    pub(crate) fn rotate(self, store: &dyn Store, now_s: u64) -> Result<Self, Failure> {
        let secrets = CookieSecrets { current: random()?, previous: Some(self.secrets.current) };
        let rotated = Self { secrets, made_at_s: now_s };
        store.put_setting(SETTING, &rotated.encode()).map_err(|error| failed(&error))?;
        Ok(rotated)
    }

    fn encode(&self) -> Vec<u8> {
        let mut octets = vec![FORMAT];
        octets.extend_from_slice(&self.made_at_s.to_be_bytes());
        octets.extend_from_slice(&self.secrets.current);
        octets.extend(self.secrets.previous.into_iter().flatten());
        octets
    }

    fn decode(octets: &[u8]) -> Option<Self> {
        let rest = octets.strip_prefix(&[FORMAT])?;
        let (made_at_s, rest) = rest.split_first_chunk()?;
        let (current, rest) = rest.split_first_chunk()?;
        let previous = if rest.is_empty() { None } else { Some(rest.try_into().ok()?) };
        let secrets = CookieSecrets { current: *current, previous };
        Some(Self { secrets, made_at_s: u64::from_be_bytes(*made_at_s) })
    }
}

fn random() -> Result<[u8; 16], Failure> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).map_err(|error| Failure::failed(format!("the system has no randomness: {error}")))?;
    Ok(octets)
}

fn failed(error: &StoreError) -> Failure {
    Failure::failed(format!("the secrets for DNS cookies cannot be kept: {}", super::chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_survive_the_stored_form() {
        for previous in [None, Some([9; 16])] {
            let made = Secrets { secrets: CookieSecrets { current: [7; 16], previous }, made_at_s: 1_700_000_000 };
            let read = Secrets::decode(&made.encode()).unwrap();
            assert_eq!((read.secrets.current, read.secrets.previous), ([7; 16], previous));
            assert_eq!(read.made_at_s, made.made_at_s);
        }
        assert!(Secrets::decode(&[FORMAT; 20]).is_none());
        assert!(Secrets::decode(b"").is_none());
    }

    #[test]
    fn secrets_grow_old() {
        let made = Secrets { secrets: CookieSecrets::default(), made_at_s: 100 };
        assert!(!made.is_due(100, 10) && !made.is_due(109, 10));
        assert!(made.is_due(110, 10) && made.is_due(99, 10));
    }
}
