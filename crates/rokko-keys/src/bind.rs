//! Keys in BIND's format: a pair of files, `K<zone>+<algorithm>+<tag>.key` with the DNSKEY record and `.private` with the private
//! part, format v1.3. Knot's `keymgr import-bind`, ldns, PowerDNS and others read it.
//!
//! Numbers are base64, times `YYYYMMDDHHMMSS` in UTC. `.key` may have a TTL, comments and parentheses; other records are refused.

use std::fmt::Write as _;

use data_encoding::BASE64;
use rokko_dnssec::{Algorithm, PublicKey};
use rokko_wire::Name;
use zeroize::Zeroizing;

use crate::PrivateKey;
use crate::private::{Material, Octets, RsaNumbers, number_len};

/// The longest file that is read, in octets.
pub const BIND_FILE_MAX: usize = 64 << 10;
/// The most octets of one number: RSA with 4096 bits.
const NUMBER_MAX: usize = 512;
/// What RSA numbers are called, in the order of [`RsaNumbers::all`]. Before them stand `Modulus` and `PublicExponent`.
const RSA_NAMES: [&str; 6] = ["PrivateExponent", "Prime1", "Prime2", "Exponent1", "Exponent2", "Coefficient"];
/// What times are called, in the order of [`BindTimes::all`].
const TIME_NAMES: [&str; 8] =
    ["Created", "Publish", "Activate", "Revoke", "Inactive", "Delete", "SyncPublish", "SyncDelete"];

/// When a key does what, in seconds since 1970, as its files say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindTimes {
    /// It was made.
    pub created: Option<u64>,
    /// Its DNSKEY record appears.
    pub publish: Option<u64>,
    /// It begins to sign.
    pub activate: Option<u64>,
    /// It is revoked (RFC 5011).
    pub revoke: Option<u64>,
    /// It no longer signs.
    pub inactive: Option<u64>,
    /// Its DNSKEY record goes.
    pub delete: Option<u64>,
    /// Its CDS and CDNSKEY records appear.
    pub sync_publish: Option<u64>,
    /// Its CDS and CDNSKEY records go.
    pub sync_delete: Option<u64>,
}

impl BindTimes {
    fn all(&self) -> [Option<u64>; 8] {
        let Self { created, publish, activate, revoke, inactive, delete, sync_publish, sync_delete } = *self;
        [created, publish, activate, revoke, inactive, delete, sync_publish, sync_delete]
    }

    fn from_all(all: [Option<u64>; 8]) -> Self {
        let [created, publish, activate, revoke, inactive, delete, sync_publish, sync_delete] = all;
        Self { created, publish, activate, revoke, inactive, delete, sync_publish, sync_delete }
    }
}

/// A key as BIND's files have it.
#[derive(Debug)]
pub struct BindKey {
    /// The zone that it signs.
    pub zone: Name,
    /// Its public part.
    pub public: PublicKey,
    /// Its private part.
    pub private: PrivateKey,
    /// When it does what.
    pub times: BindTimes,
}

/// Why files are not a key in BIND's format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// A file is longer than any key.
    #[error("the file is longer than {BIND_FILE_MAX} octets")]
    TooLong,
    /// The `.key` file has no DNSKEY record that can be used.
    #[error("the .key file: {0}")]
    Key(&'static str),
    /// A line of the `.private` file is wrong.
    #[error("line {line} of the .private file: {what}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The `.private` file lacks something.
    #[error("the .private file has no {0}")]
    Missing(&'static str),
    /// The two files are of different keys.
    #[error("the files are of different keys: the .key file has algorithm {key}, the .private file {private}")]
    Algorithm {
        /// In the `.key` file.
        key: u8,
        /// In the `.private` file.
        private: u8,
    },
    /// The private part is in a token.
    #[error("the .private file names a key in a hardware token, which cannot be taken out of it")]
    Token,
    /// The key does not go into files.
    #[error("a token keeps the key and does not give it away")]
    InToken,
}

impl BindKey {
    /// Reads the text of both files. Whether the parts belong together shows when a keyring takes the key.
    ///
    /// # Errors
    ///
    /// If they are not those of a key of a known algorithm.
    pub fn parse(key: &str, private: &str) -> Result<Self, BindError> {
        if key.len() > BIND_FILE_MAX || private.len() > BIND_FILE_MAX {
            return Err(BindError::TooLong);
        }
        let (zone, public) = parse_record(key)?;
        let fields = Fields::parse(private)?;
        if fields.algorithm != Some(public.algorithm.number()) {
            let private = fields.algorithm.ok_or(BindError::Missing("Algorithm"))?;
            return Err(BindError::Algorithm { key: public.algorithm.number(), private });
        }
        let times = fields.times;
        let private = PrivateKey { algorithm: public.algorithm, material: fields.material(public.algorithm)? };
        Ok(Self { zone, public, private, times })
    }

    /// How the files are called, without `.key` and `.private`.
    pub fn file_stem(&self) -> String {
        // A slash would lead elsewhere.
        let zone = self.zone.to_string().to_ascii_lowercase().replace('/', "%2F");
        format!("K{zone}+{:03}+{:05}", self.public.algorithm.number(), self.public.tag())
    }

    /// The text of the `.key` file.
    pub fn key_text(&self) -> String {
        let kind = if self.public.is_sep() { "key-signing" } else { "zone-signing" };
        format!(
            "; This is a {kind} key, keyid {}, for {}\n{} IN DNSKEY {} 3 {} {}\n",
            self.public.tag(),
            self.zone,
            self.zone,
            self.public.flags,
            self.public.algorithm.number(),
            BASE64.encode(&self.public.key)
        )
    }

    /// The text of the `.private` file.
    ///
    /// # Errors
    ///
    /// If a token keeps the key.
    pub fn private_text(&self) -> Result<Zeroizing<String>, BindError> {
        let number = self.public.algorithm.number();
        // Growing would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(BIND_FILE_MAX / 8));
        let mnemonic = self.public.algorithm.mnemonic().to_ascii_uppercase();
        let _ = writeln!(text, "Private-key-format: v1.3\nAlgorithm: {number} ({mnemonic})");
        let mut put = |name: &str, octets: &[u8]| {
            text.push_str(name);
            text.push_str(": ");
            BASE64.encode_append(octets, &mut text);
            text.push('\n');
        };
        match &self.private.material {
            Material::Number(number) => put("PrivateKey", number),
            Material::Rsa(rsa) => {
                let (exponent, modulus) = self.public.rsa_parts().ok_or(BindError::Missing("Modulus"))?;
                put("Modulus", modulus);
                put("PublicExponent", exponent);
                RSA_NAMES.iter().zip(rsa.all()).for_each(|(name, number)| put(name, number));
            }
            Material::Token(_) => return Err(BindError::InToken),
        }
        for (name, time) in TIME_NAMES.iter().zip(self.times.all()) {
            if let Some(time) = time.and_then(time_text) {
                let _ = writeln!(text, "{name}: {time}");
            }
        }
        Ok(text)
    }
}

/// The one DNSKEY record of a `.key` file.
fn parse_record(text: &str) -> Result<(Name, PublicKey), BindError> {
    let wrong = BindError::Key;
    let without_comment = |line: &'_ str| line.split(';').next().unwrap_or_default().replace(['(', ')'], " ");
    let text: Vec<String> = text.lines().map(without_comment).collect();
    let mut words = text.iter().flat_map(|line| line.split_ascii_whitespace()).peekable();
    let zone = words.next().ok_or(wrong("there is no record"))?;
    let zone: Name = zone.parse().map_err(|_| wrong("it does not begin with the name of a zone"))?;
    let is_ttl_or_class = |word: &&str| word.eq_ignore_ascii_case("IN") || word.parse::<u32>().is_ok();
    while words.next_if(is_ttl_or_class).is_some() {}
    if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("DNSKEY")) {
        return Err(wrong("its record is not of the type DNSKEY"));
    }
    let flags = words.next().and_then(|word| word.parse::<u16>().ok()).ok_or(wrong("its flags are no number"))?;
    if words.next() != Some("3") {
        return Err(wrong("its protocol is not 3"));
    }
    let algorithm = words.next().and_then(|word| word.parse::<Algorithm>().ok());
    let algorithm = algorithm.ok_or(wrong("its algorithm is not supported"))?;
    let key: String = words.collect();
    let key = BASE64.decode(key.as_bytes()).map_err(|_| wrong("its key is not base64"))?;
    let rdata = PublicKey { flags, algorithm, key: key.into() }.to_rdata();
    let public = PublicKey::of_rdata(&rdata).ok_or(wrong("its key is not that of a zone"))?;
    Ok((zone, public))
}

/// What stands in a `.private` file.
#[derive(Default)]
struct Fields {
    algorithm: Option<u8>,
    number: Option<Octets>,
    rsa: [Option<Octets>; 6],
    times: BindTimes,
}

impl Fields {
    fn parse(text: &str) -> Result<Self, BindError> {
        let mut fields = Self::default();
        let mut times = [None; 8];
        let mut has_format = false;
        for (index, line) in text.lines().enumerate() {
            let wrong = |what| BindError::Line { line: index + 1, what };
            if line.trim().is_empty() || line.starts_with(';') {
                continue;
            }
            let (name, value) = line.split_once(':').ok_or(wrong("expected a name, a colon and a value"))?;
            let value = value.trim();
            if !has_format {
                let is_known = name == "Private-key-format" && value.starts_with("v1.");
                has_format = is_known.then_some(true).ok_or(wrong("expected `Private-key-format: v1.3`"))?;
            } else if name == "Algorithm" {
                let digits = value.split_ascii_whitespace().next().unwrap_or_default();
                fields.algorithm = Some(digits.parse().map_err(|_| wrong("the algorithm is no number"))?);
            } else if name == "Engine" || name == "Label" {
                return Err(BindError::Token);
            } else if name == "PrivateKey" {
                fields.number = Some(octets(value).ok_or(wrong("the number is not base64, or too long"))?);
            } else if let Some(at) = RSA_NAMES.iter().position(|known| *known == name) {
                fields.rsa[at] = Some(octets(value).ok_or(wrong("the number is not base64, or too long"))?);
            } else if let Some(at) = TIME_NAMES.iter().position(|known| *known == name) {
                times[at] = Some(time_of(value).ok_or(wrong("the time is not of the form YYYYMMDDHHMMSS"))?);
            }
        }
        fields.times = BindTimes::from_all(times);
        if has_format { Ok(fields) } else { Err(BindError::Missing("Private-key-format")) }
    }

    fn material(self, algorithm: Algorithm) -> Result<Material, BindError> {
        if let Some(len) = number_len(algorithm) {
            let number = self.number.ok_or(BindError::Missing("PrivateKey"))?;
            let missing = len.checked_sub(number.len()).ok_or(BindError::Missing("PrivateKey of the right length"))?;
            // Some write numbers without the zero octets at their start.
            let mut padded = Zeroizing::new(vec![0; len]);
            padded[missing..].copy_from_slice(&number);
            return Ok(Material::Number(padded));
        }
        let mut rsa = self.rsa.into_iter().zip(RSA_NAMES);
        let mut next = || {
            let (number, name) = rsa.next().ok_or(BindError::Missing("RSA number"))?;
            let number = number.ok_or(BindError::Missing(name))?;
            let zeros = number.iter().take_while(|&&octet| octet == 0).count();
            Ok(Zeroizing::new(number[zeros..].to_vec()))
        };
        Ok(Material::Rsa(RsaNumbers {
            exponent: next()?,
            prime1: next()?,
            prime2: next()?,
            exponent1: next()?,
            exponent2: next()?,
            coefficient: next()?,
        }))
    }
}

fn octets(base64: &str) -> Option<Octets> {
    let len = BASE64.decode_len(base64.len()).ok().filter(|len| *len <= NUMBER_MAX + 3)?;
    let mut octets = Zeroizing::new(vec![0; len]);
    let len = BASE64.decode_mut(base64.as_bytes(), &mut octets).ok()?;
    octets.truncate(len);
    Some(octets)
}

/// Seconds since 1970 of `YYYYMMDDHHMMSS`, from 1970 on. Text may follow behind a space.
fn time_of(text: &str) -> Option<u64> {
    let digits = text.split_ascii_whitespace().next()?;
    if digits.len() != 14 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, len: usize| digits[from..from + len].parse::<u64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 2)?, part(6, 2)?);
    let (hour, minute, second) = (part(8, 2)?, part(10, 2)?, part(12, 2)?);
    let in_range = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    // The day exists if it is that of its own date.
    (date_of(days) == (year, month, day)).then_some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// `YYYYMMDDHHMMSS`; `None` from the year 10000 on.
fn time_text(unix_s: u64) -> Option<String> {
    let ((year, month, day), second) = (date_of((unix_s / 86_400).min(1 << 32)), unix_s % 86_400);
    (year < 10_000)
        .then(|| format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of a month.
fn days_before(year: u64, month: u64) -> u64 {
    let leap_years = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_years(year - 1) - leap_years(1969);
    years + (1..month).map(|month| month_days(year, month)).sum::<u64>()
}

/// The date of a number of days since 1970-01-01.
fn date_of(days: u64) -> (u64, u64, u64) {
    let mut year = 1970 + days / 366;
    while days_before(year + 1, 1) <= days {
        year += 1;
    }
    let mut rest = days - days_before(year, 1);
    let mut month = 1;
    while rest >= month_days(year, month) {
        rest -= month_days(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lead_back() {
        assert_eq!(time_of("19700101000000"), Some(0));
        assert_eq!(time_of("20261124044550 (Tue Nov 24 04:45:50 2026)"), Some(1_795_495_550));
        assert_eq!(time_text(1_795_495_550).as_deref(), Some("20261124044550"));
        for day in (0..2_932_896_u64).step_by(13) {
            let time = day * 86_400 + day % 86_400;
            assert_eq!(time_text(time).and_then(|text| time_of(&text)), Some(time), "{day}");
        }
        assert_eq!(time_text(253_402_300_799).as_deref(), Some("99991231235959"));
        assert_eq!(time_text(253_402_300_800), None);
        assert_eq!(time_text(u64::MAX), None);
        for bad in
            ["", "2026", "20260230000000", "20261324000000", "2026112404455x", "20261124240000", "19691231235959"]
        {
            assert_eq!(time_of(bad), None, "{bad}");
        }
    }
}
