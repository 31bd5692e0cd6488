//! DNS cookies (RFC 7873) with the interoperable server cookie of RFC 9018.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// The octets of a client cookie.
pub(crate) const CLIENT_LEN: usize = 8;
/// The octets of a client cookie and our server cookie together.
pub(crate) const FULL_LEN: usize = 24;
/// A server cookie older than this is no longer accepted (RFC 9018 §4.3).
const AGE_MAX_S: u32 = 3600;
/// A server cookie this far ahead of our clock is still accepted.
const AHEAD_MAX_S: u32 = 300;
/// A server cookie older than this is renewed.
const RENEW_AFTER_S: u32 = 1800;

/// The secrets that server cookies are made with. All servers of an anycast address share them (RFC 9018 §5).
#[derive(Clone, Copy, Debug, Default)]
pub struct CookieSecrets {
    /// Makes cookies and checks them.
    pub current: [u8; 16],
    /// Checks cookies that were made before the last change of secrets.
    pub previous: Option<[u8; 16]>,
}

/// What became of a query's cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There was only a client cookie.
    New,
    /// The server cookie is ours.
    Good,
    /// The server cookie is not ours, or too old.
    Bad,
}

/// The option's length is wrong: a FORMERR (RFC 7873 §5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadLength;

impl CookieSecrets {
    /// Checks a COOKIE option; returns the option to respond with.
    pub(crate) fn check(
        &self,
        option: &[u8],
        addr: IpAddr,
        now_s: u32,
    ) -> Result<(Verdict, [u8; FULL_LEN]), BadLength> {
        let (&client, server) = option.split_first_chunk::<CLIENT_LEN>().ok_or(BadLength)?;
        if !matches!(server.len(), 0 | 8..=32) {
            return Err(BadLength);
        }
        let (verdict, is_kept) =
            if server.is_empty() { (Verdict::New, false) } else { self.verdict(client, server, addr, now_s) };
        if let (true, Ok(same)) = (is_kept, <[u8; FULL_LEN]>::try_from(option)) {
            return Ok((verdict, same));
        }
        Ok((verdict, make(client, [1, 0, 0, 0], now_s.to_be_bytes(), addr, &self.current)))
    }

    /// Judges a server cookie; also says whether the client is to keep it.
    fn verdict(&self, client: [u8; CLIENT_LEN], server: &[u8], addr: IpAddr, now_s: u32) -> (Verdict, bool) {
        let bad = (Verdict::Bad, false);
        // Receivers don't insist on zeros in the reserved octets (RFC 9018 §4.2).
        let Ok(&[1, r0, r1, r2, t0, t1, t2, t3, ..]) = <&[u8; 16]>::try_from(server) else { return bad };
        let time = [t0, t1, t2, t3];
        let age = now_s.wrapping_sub(u32::from_be_bytes(time));
        let ahead = age.wrapping_neg();
        if age > AGE_MAX_S && ahead > AHEAD_MAX_S {
            return bad;
        }
        let is_of = |secret: &[u8; 16]| make(client, [1, r0, r1, r2], time, addr, secret)[CLIENT_LEN..] == *server;
        if is_of(&self.current) {
            return (Verdict::Good, age <= RENEW_AFTER_S || ahead <= AHEAD_MAX_S);
        }
        if self.previous.as_ref().is_some_and(is_of) { (Verdict::Good, false) } else { bad }
    }
}

/// A client cookie and its server cookie: version 1 and reserved octets, the time, and the hash (RFC 9018 §4).
fn make(client: [u8; CLIENT_LEN], version: [u8; 4], time: [u8; 4], addr: IpAddr, secret: &[u8; 16]) -> [u8; FULL_LEN] {
    let mut full = [0; FULL_LEN];
    full[..8].copy_from_slice(&client);
    full[8..12].copy_from_slice(&version);
    full[12..16].copy_from_slice(&time);
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(&full[..16]);
    match addr {
        IpAddr::V4(addr) => hasher.write(&addr.octets()),
        IpAddr::V6(addr) => hasher.write(&addr.octets()),
    }
    full[16..].copy_from_slice(&hasher.finish().to_le_bytes());
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let mut bytes = [0; N];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        }
        bytes
    }

    fn secrets(current: &str) -> CookieSecrets {
        CookieSecrets { current: hex(current), previous: None }
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    #[test]
    fn vectors_of_rfc_9018_appendix_a() {
        // A.1: learning a new server cookie.
        let (verdict, full) = secrets(SECRET)
            .check(&hex::<8>("2464c4abcf10c957"), "198.51.100.100".parse().unwrap(), 1_559_731_985)
            .unwrap();
        assert_eq!((verdict, full), (Verdict::New, hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480")));
        // A.2: the same client learning a renewed server cookie.
        let old = hex::<24>("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        let (verdict, full) = secrets(SECRET).check(&old, "198.51.100.100".parse().unwrap(), 1_559_734_385).unwrap();
        assert_eq!((verdict, full), (Verdict::Good, hex("2464c4abcf10c957010000005cf7a871d4a564a1442aca77")));
        // A.3: another client learning a renewed server cookie; the old one has reserved octets that are not zero.
        let other = hex::<24>("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        let (verdict, full) = secrets(SECRET).check(&other, "203.0.113.203".parse().unwrap(), 1_559_731_000).unwrap();
        assert_eq!((verdict, full[..12] == hex::<12>("fc93fc62807ddb8601000000")), (Verdict::Good, true));
        // A.4: IPv6 with a rolled-over secret.
        let addr = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().unwrap();
        let old = hex::<24>("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let rolled = CookieSecrets {
            current: hex("445536bcd2513298075a5d379663c962"),
            previous: Some(hex("dd3bdf9344b678b185a6f5cb60fca715")),
        };
        let (verdict, full) = rolled.check(&old, addr, 1_559_741_961).unwrap();
        assert_eq!((verdict, full), (Verdict::Good, hex("22681ab97d52c298010000005cf7c609a6bb79d16625507a")));
    }

    #[test]
    fn time_window_and_lengths() {
        let addr = "192.0.2.1".parse().unwrap();
        let secrets = secrets(SECRET);
        let now_s = 10_000;
        let (_, full) = secrets.check(&[7; 8], addr, now_s).unwrap();
        let at = |time: u32| secrets.check(&full, addr, time).map(|(verdict, new)| (verdict, new == full));
        assert_eq!(at(now_s), Ok((Verdict::Good, true)));
        assert_eq!(at(now_s + 1800), Ok((Verdict::Good, true)));
        assert_eq!(at(now_s + 1801), Ok((Verdict::Good, false)));
        assert_eq!(at(now_s + 3601), Ok((Verdict::Bad, false)));
        assert_eq!(at(now_s - 300), Ok((Verdict::Good, true)));
        assert_eq!(at(now_s - 301), Ok((Verdict::Bad, false)));
        let elsewhere = secrets.check(&full, "192.0.2.2".parse().unwrap(), now_s);
        assert_eq!(elsewhere.map(|(verdict, _)| verdict), Ok(Verdict::Bad));
        for len in 0..50 {
            let is_valid = matches!(len, 8 | 16..=40);
            assert_eq!(secrets.check(&[7; 50][..len], addr, now_s).is_ok(), is_valid, "{len}");
        }
    }
}
