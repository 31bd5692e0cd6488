//! Tokens that let a node join a fleet once.
//!
//! `rokko-join:` and base64url (RFC 4648, section 5, no padding) of: version (1 octet, 1) · flags (1 octet: bit 0 = the node is to be
//! a relay) · when it expires (8 octets, seconds since 1970) · SHA-256 of the authority's certificate (32 octets) · secret (32 octets) ·
//! name (length in 1 octet, octets) · number of addresses (1 octet) and each as `host:port` (length in 1 octet, octets) · the first 4 octets
//! of SHA-256 over all before, against mistakes in copying. Numbers are in network order.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use crate::certificate::Fingerprint;
use crate::fleet::SecretHash;
use crate::name::NodeName;

const PREFIX: &str = "rokko-join:";
const VERSION: u8 = 1;
const FLAG_RELAY: u8 = 1;
/// The longest token as text.
const TEXT_MAX: usize = 4096;
/// How many addresses of the control node a token carries.
const ADDRESSES_MAX: usize = 8;
const CHECK_LEN: usize = 4;

/// What a node needs to join: where, whom to trust, and the secret that lets it in. One use, until it expires.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What the node will be called. The control node has the last word.
    pub name: NodeName,
    /// Whether it will be a relay. The control node has the last word.
    pub relay: bool,
    /// When it expires, in seconds since 1970.
    pub expires_s: u64,
    /// The digest of the certificate of the fleet's authority.
    pub authority: Fingerprint,
    /// What lets the node in. The control node keeps its hash only.
    pub secret: [u8; 32],
    /// Where the control node listens, as `host:port`: 1 to 8, each of at most 255 octets.
    pub addresses: Vec<String>,
}

/// Why a text is no token that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin as tokens do.
    #[error("this is no token: one begins with {PREFIX}")]
    Prefix,
    /// Something is missing or was changed on the way.
    #[error("the token is damaged: copy all of it again")]
    Damaged,
    /// Another version of the program made it.
    #[error(
        "the token has the form {0}, which this version of the program does not know: use the version of the control node"
    )]
    Version(u8),
    /// Its contents make no sense, although they arrived as they were made.
    #[error("the token's {0} is not valid")]
    Contents(&'static str),
    /// It has expired.
    #[error("the token expired {} ago: make a new one on the control node (rokko fleet token)", Minutes(*.0))]
    Expired(u64),
}

/// Seconds as a number of minutes.
struct Minutes(u64);

impl fmt::Display for Minutes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.div_ceil(60) {
            1 => formatter.write_str("1 minute"),
            minutes => write!(formatter, "{minutes} minutes"),
        }
    }
}

impl Token {
    /// A token with a new secret.
    ///
    /// # Errors
    /// If there are no or too many addresses, one is too long, or the system gives no random octets.
    pub fn make(
        name: NodeName,
        relay: bool,
        expires_s: u64,
        authority: Fingerprint,
        addresses: Vec<String>,
    ) -> Result<Self, TokenError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| TokenError::Contents("secret"))?;
        let fits = |address: &String| is_address(address) && u8::try_from(address.len()).is_ok();
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX || !addresses.iter().all(fits) {
            return Err(TokenError::Contents("address"));
        }
        Ok(Self { name, relay, expires_s, authority, secret, addresses })
    }

    /// The token if its time is not over.
    ///
    /// # Errors
    /// If it is.
    pub fn in_time(self, now_s: u64) -> Result<Self, TokenError> {
        if now_s > self.expires_s { Err(TokenError::Expired(now_s - self.expires_s)) } else { Ok(self) }
    }

    /// What the control node keeps of the secret.
    pub fn secret_hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }

    fn encode(&self) -> Vec<u8> {
        let mut octets = vec![VERSION, if self.relay { FLAG_RELAY } else { 0 }];
        octets.extend_from_slice(&self.expires_s.to_be_bytes());
        octets.extend_from_slice(&self.authority.0);
        octets.extend_from_slice(&self.secret);
        put_text(&mut octets, self.name.as_str());
        octets.push(u8::try_from(self.addresses.len()).unwrap_or(u8::MAX));
        for address in &self.addresses {
            put_text(&mut octets, address);
        }
        let check = check(&octets);
        octets.extend_from_slice(&check);
        octets
    }

    fn decode(octets: &[u8]) -> Result<Self, TokenError> {
        let (body, found) = octets.split_last_chunk::<CHECK_LEN>().ok_or(TokenError::Damaged)?;
        if *found != check(body) {
            return Err(TokenError::Damaged);
        }
        let mut reader = Reader(body);
        let version = reader.octet()?;
        if version != VERSION {
            return Err(TokenError::Version(version));
        }
        let flags = reader.octet()?;
        if flags & !FLAG_RELAY != 0 {
            return Err(TokenError::Contents("kind"));
        }
        let expires_s = u64::from_be_bytes(reader.chunk()?);
        let authority = Fingerprint(reader.chunk()?);
        let secret = reader.chunk()?;
        let name = reader.text()?.parse().map_err(|_| TokenError::Contents("name"))?;
        let count = usize::from(reader.octet()?);
        if count == 0 || count > ADDRESSES_MAX {
            return Err(TokenError::Contents("address"));
        }
        let addresses = (0..count).map(|_| reader.text().map(str::to_owned)).collect::<Result<Vec<_>, _>>()?;
        if !reader.0.is_empty() || !addresses.iter().all(|address| is_address(address)) {
            return Err(TokenError::Contents("address"));
        }
        Ok(Self { name, relay: flags & FLAG_RELAY != 0, expires_s, authority, secret, addresses })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}", BASE64URL_NOPAD.encode(&self.encode()))
    }
}

/// Without the secret, since debug output ends in logs.
impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Token");
        shown.field("name", &self.name).field("relay", &self.relay).field("expires_s", &self.expires_s);
        shown.field("authority", &self.authority).field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// Reads a token. Whether it has expired is asked with [`Token::in_time`].
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let base64 = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        if base64.len() > TEXT_MAX {
            return Err(TokenError::Damaged);
        }
        Self::decode(&BASE64URL_NOPAD.decode(base64.as_bytes()).map_err(|_| TokenError::Damaged)?)
    }
}

/// Whether a text is a host and a port other than 0.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b".-_:[]%".contains(&octet);
    !host.is_empty() && host.bytes().all(plain) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn check(octets: &[u8]) -> [u8; CHECK_LEN] {
    let [a, b, c, d, ..] = Fingerprint::of(octets).0;
    [a, b, c, d]
}

fn put_text(octets: &mut Vec<u8>, text: &str) {
    octets.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    octets.extend_from_slice(text.as_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        let (chunk, rest) = self.0.split_first_chunk::<N>().ok_or(TokenError::Contents("length"))?;
        self.0 = rest;
        Ok(*chunk)
    }

    fn octet(&mut self) -> Result<u8, TokenError> {
        self.chunk::<1>().map(|[octet]| octet)
    }

    fn text(&mut self) -> Result<&'a str, TokenError> {
        let len = usize::from(self.octet()?);
        let (text, rest) = self.0.split_at_checked(len).ok_or(TokenError::Contents("length"))?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| TokenError::Contents("text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> Token {
        let addresses =
            vec!["192.0.2.1:8853".to_owned(), "[2001:db8::1]:8853".to_owned(), "control.example:1".to_owned()];
        Token::make("tyo1".parse().unwrap(), true, 1000, Fingerprint([7; 32]), addresses).unwrap()
    }

    #[test]
    fn a_token_survives_text_and_keeps_its_secret_out_of_logs() {
        let token = token();
        let text = token.to_string();
        assert_eq!(text.parse::<Token>().as_ref(), Ok(&token));
        assert_eq!(format!(" {text}\n").parse::<Token>().as_ref(), Ok(&token));
        assert!(text.bytes().all(|octet| octet.is_ascii_graphic()));
        assert!(!format!("{token:?}").contains("secret"));
        assert_ne!(super::tests::token().secret, token.secret);
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        let text = token().to_string();
        assert_eq!("hello".parse::<Token>(), Err(TokenError::Prefix));
        assert_eq!(text[..text.len() - 3].parse::<Token>(), Err(TokenError::Damaged));
        assert_eq!(format!("{PREFIX}!").parse::<Token>(), Err(TokenError::Damaged));
        assert_eq!(PREFIX.parse::<Token>(), Err(TokenError::Damaged));
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut octets = token().encode();
            octets.truncate(octets.len() - CHECK_LEN);
            change(&mut octets);
            let check = check(&octets);
            octets.extend_from_slice(&check);
            Token::decode(&octets).unwrap_err()
        };
        assert_eq!(with(&|octets| octets[0] = 9), TokenError::Version(9));
        assert_eq!(with(&|octets| octets[1] = 2), TokenError::Contents("kind"));
        assert_eq!(with(&|octets| octets[75] = b'T'), TokenError::Contents("name"));
        assert_eq!(with(&|octets| octets.truncate(80)), TokenError::Contents("length"));
        assert_eq!(with(&|octets| octets[79] = 0), TokenError::Contents("address"));
        assert_eq!(with(&|octets| octets[79] = 2), TokenError::Contents("address"));
        assert_eq!(token().in_time(1000).map(|token| token.expires_s), Ok(1000));
        let late = token().in_time(1121).unwrap_err();
        assert_eq!(late, TokenError::Expired(121));
        assert!(late.to_string().starts_with("the token expired 3 minutes ago"), "{late}");
    }

    #[test]
    fn addresses_have_host_and_port() {
        for bad in ["", "host", "host:", ":53", "host:0", "host:99999", "a b:1", "a\n:1"] {
            assert!(!is_address(bad), "{bad:?}");
            let made = Token::make("a".parse().unwrap(), false, 0, Fingerprint([0; 32]), vec![bad.to_owned()]);
            assert_eq!(made, Err(TokenError::Contents("address")));
        }
    }

    proptest! {
        #[test]
        fn one_changed_character_is_noticed(at in 0_usize..300, to in "[A-Za-z0-9_-]") {
            let text = token().to_string();
            let at = PREFIX.len() + at % (text.len() - PREFIX.len());
            let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            prop_assume!(changed != text);
            prop_assert_eq!(changed.parse::<Token>(), Err(TokenError::Damaged));
        }
    }
}
