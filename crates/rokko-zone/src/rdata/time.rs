//! Points in time of signatures (RFC 4034 §3.2) and periods with units.

use std::fmt;

const DAY_SECS: u64 = 86_400;

/// What an error says a point in time looks like.
pub(super) const EXPECTED: &str =
    "a time as YYYYMMDDHHmmSS from 1970 to 2106, or seconds since 1970 in at most ten digits";

/// Reads `YYYYMMDDHHmmSS`, or seconds since 1970 in at most ten digits.
pub(super) fn parse(text: &[u8]) -> Option<u32> {
    if text.len() != 14 {
        return super::words::decimal(text, u32::MAX).filter(|_| text.len() <= 10);
    }
    let part = |from: usize, to: usize| super::words::decimal(&text[from..to], u32::MAX).map(u64::from);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let valid = (1970..=2106).contains(&year)
        && (1..=12).contains(&month)
        && (1..=month_days(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return None;
    }
    let years: u64 = (1970..year).map(year_days).sum();
    let months: u64 = (1..month).map(|month| month_days(year, month)).sum();
    let days = years + months + day - 1;
    u32::try_from(days * DAY_SECS + hour * 3600 + minute * 60 + second).ok()
}

/// Writes seconds since 1970 as `YYYYMMDDHHmmSS`.
pub(super) fn write(seconds: u32, f: &mut impl fmt::Write) -> fmt::Result {
    let (mut days, rest) = (u64::from(seconds) / DAY_SECS, u64::from(seconds) % DAY_SECS);
    let mut year = 1970;
    while days >= year_days(year) {
        days -= year_days(year);
        year += 1;
    }
    let mut month = 1;
    while days >= month_days(year, month) {
        days -= month_days(year, month);
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    write!(f, "{year:04}{month:02}{:02}{hour:02}{minute:02}{second:02}", days + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_days(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads seconds, or numbers with the units w, d, h, m and s (`1h30m`), up to `u32::MAX` seconds.
pub(super) fn parse_period(text: &[u8]) -> Option<u32> {
    if let Some(seconds) = super::words::decimal(text, u32::MAX) {
        return Some(seconds);
    }
    let mut total: u32 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let value = super::words::decimal(&rest[..digits], u32::MAX)?;
        let unit = match rest.get(digits)?.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total = total.checked_add(value.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: u32) -> String {
        let mut text = String::new();
        write(seconds, &mut text).unwrap();
        text
    }

    #[test]
    fn times() {
        for (seconds, expected) in [
            (0, "19700101000000"),
            (951_782_400, "20000229000000"),
            (1_709_164_799, "20240228235959"),
            (4_107_542_400, "21000301000000"),
            (u32::MAX, "21060207062815"),
        ] {
            assert_eq!(text(seconds), expected);
            assert_eq!(parse(expected.as_bytes()), Some(seconds));
            assert_eq!(parse(seconds.to_string().as_bytes()), Some(seconds));
        }
        for bad in ["20230229000000", "21060207062816", "19691231235959", "20230101240000", "2023010100000", "", "x"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn periods() {
        assert_eq!(parse_period(b"1h30M"), Some(5400));
        assert_eq!(parse_period(b"1w2d3h4m5s"), Some(788_645));
        assert_eq!(parse_period(b"4294967295"), Some(u32::MAX));
        for bad in ["", "4294967296", "h", "1x", "1h30", "7102w"] {
            assert_eq!(parse_period(bad.as_bytes()), None, "{bad}");
        }
    }
}
