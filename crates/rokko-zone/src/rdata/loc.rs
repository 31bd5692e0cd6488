//! Locations (RFC 1876).

use std::fmt;

use super::RdataError;
use super::words::{Words, decimal};

/// The octets of version 0 (RFC 1876 §2).
pub(super) const LEN: usize = 16;

/// Coordinates count thousandths of an arc second from the equator and the prime meridian at 2³¹.
const ZERO_ANGLE: u32 = 1 << 31;
const LATITUDE_MAX_MS: u32 = 90 * 3_600_000;
const LONGITUDE_MAX_MS: u32 = 180 * 3_600_000;
/// Altitudes count centimetres from 100,000 m below the reference spheroid.
const ZERO_ALTITUDE_CM: i64 = 10_000_000;
const SIZE_MAX_CM: i64 = 9_000_000_000;
const DEFAULT_SIZE: u8 = 0x12;
const DEFAULT_HORIZONTAL_PRECISION: u8 = 0x16;
const DEFAULT_VERTICAL_PRECISION: u8 = 0x13;

/// Reads `d [m [s]] N|S d [m [s]] E|W altitude [size [horizontal [vertical]]]` (RFC 1876 §3).
pub(super) fn parse(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let latitude = parse_angle(words, 90, [b'N', b'S'])?;
    let longitude = parse_angle(words, 180, [b'E', b'W'])?;
    let altitude = parse_altitude(words)?;
    let size = parse_size(words, DEFAULT_SIZE)?;
    let horizontal = parse_size(words, DEFAULT_HORIZONTAL_PRECISION)?;
    let vertical = parse_size(words, DEFAULT_VERTICAL_PRECISION)?;
    out.extend_from_slice(&[0, size, horizontal, vertical]);
    for number in [latitude, longitude, altitude] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    Ok(())
}

fn parse_angle(words: &mut Words<'_, '_>, degrees_max: u32, [positive, negative]: [u8; 2]) -> Result<u32, RdataError> {
    let sides = format!("{} or {}", char::from(positive), char::from(negative));
    let mut total = words.number(degrees_max)? * 3_600_000;
    let mut part = 0;
    loop {
        let expected = match part {
            0 => format!("minutes from 0 to 59, {sides}"),
            1 => format!("seconds from 0 to 59.999, {sides}"),
            _ => sides.clone(),
        };
        let word = words.take_word(&expected)?;
        let value = match (word, part) {
            ([side], _) if side.eq_ignore_ascii_case(&positive) || side.eq_ignore_ascii_case(&negative) => {
                if total > degrees_max * 3_600_000 {
                    return Err(words.wrong(format!("an angle of at most {degrees_max} degrees before it")));
                }
                let positive = side.eq_ignore_ascii_case(&positive);
                return Ok(if positive { ZERO_ANGLE + total } else { ZERO_ANGLE - total });
            }
            (_, 0) => decimal(word, 59).map(|minutes| minutes * 60_000),
            (_, 1) => fixed(word, 3).and_then(|ms| u32::try_from(ms).ok()).filter(|ms| *ms < 60_000),
            _ => None,
        };
        total += value.ok_or_else(|| words.wrong(expected))?;
        part += 1;
    }
}

fn parse_altitude(words: &mut Words<'_, '_>) -> Result<u32, RdataError> {
    let expected = "an altitude from -100000.00m to 42849672.95m";
    let word = words.take_word(expected)?;
    let altitude = fixed(metres(word), 2).and_then(|cm| u32::try_from(cm + ZERO_ALTITUDE_CM).ok());
    altitude.ok_or_else(|| words.wrong(expected))
}

/// A size or precision: centimetres as a digit and a power of ten; what lies below the first digit is cut.
fn parse_size(words: &mut Words<'_, '_>, default: u8) -> Result<u8, RdataError> {
    if words.peek().is_none() {
        return Ok(default);
    }
    let expected = "a size from 0.00m to 90000000.00m";
    let word = words.take_word(expected)?;
    let cm = fixed(metres(word), 2).filter(|cm| (0..=SIZE_MAX_CM).contains(cm));
    let mut mantissa = cm.ok_or_else(|| words.wrong(expected))?;
    let mut exponent = 0;
    while mantissa >= 10 {
        mantissa /= 10;
        exponent += 1;
    }
    let mantissa = u8::try_from(mantissa).map_err(|_| words.wrong(expected))?;
    Ok((mantissa << 4) | exponent)
}

fn metres(word: &[u8]) -> &[u8] {
    word.strip_suffix(b"m").or_else(|| word.strip_suffix(b"M")).unwrap_or(word)
}

/// The decimal fraction `text` times ten to the power of `places`; at most that many places.
fn fixed(text: &[u8], places: usize) -> Option<i64> {
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = match digits.iter().position(|octet| *octet == b'.') {
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &[][..]),
    };
    if whole.is_empty() || fraction.len() > places {
        return None;
    }
    let mut value = i64::from(decimal(whole, u32::MAX)?);
    for place in 0..places {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        value = value * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(if negative { -value } else { value })
}

struct Location {
    sizes: [u8; 3],
    latitude: u32,
    longitude: u32,
    altitude: u32,
}

fn split(octets: &[u8]) -> Option<Location> {
    let &[0, s0, s1, s2, a0, a1, a2, a3, o0, o1, o2, o3, h0, h1, h2, h3] = octets else { return None };
    Some(Location {
        sizes: [s0, s1, s2],
        latitude: u32::from_be_bytes([a0, a1, a2, a3]),
        longitude: u32::from_be_bytes([o0, o1, o2, o3]),
        altitude: u32::from_be_bytes([h0, h1, h2, h3]),
    })
}

/// Checks version, digits, powers and the range of the angles.
pub(super) fn check(octets: &[u8]) -> Result<(), RdataError> {
    let fault = |found: &str, expected: &str| Err(RdataError::new(found, expected));
    let Some(location) = split(octets) else { return fault("another version of location", "version 0") };
    if location.sizes.iter().any(|size| size >> 4 > 9 || size & 0x0f > 9) {
        return fault("a size beyond nine", "a digit and a power of ten up to nine");
    }
    if location.latitude.abs_diff(ZERO_ANGLE) > LATITUDE_MAX_MS {
        return fault("a latitude beyond the pole", "at most 90 degrees");
    }
    if location.longitude.abs_diff(ZERO_ANGLE) > LONGITUDE_MAX_MS {
        return fault("a longitude beyond the date line", "at most 180 degrees");
    }
    Ok(())
}

/// Whether the text of valid octets says all that they do: zero with a power of ten would lose the power.
pub(super) fn has_text(octets: &[u8]) -> bool {
    split(octets).is_some_and(|location| location.sizes.iter().all(|size| *size == 0 || size >> 4 != 0))
}

/// Writes valid octets, all fields.
pub(super) fn write(octets: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let Some(location) = split(octets) else { return Ok(()) };
    write_angle(location.latitude, ['N', 'S'], f)?;
    f.write_char(' ')?;
    write_angle(location.longitude, ['E', 'W'], f)?;
    let altitude = i64::from(location.altitude) - ZERO_ALTITUDE_CM;
    let sign = if altitude < 0 { "-" } else { "" };
    let cm = altitude.unsigned_abs();
    write!(f, " {sign}{}.{:02}m", cm / 100, cm % 100)?;
    for size in location.sizes {
        let cm = u64::from(size >> 4) * 10_u64.pow(u32::from(size & 0x0f));
        match cm {
            0..100 => write!(f, " 0.{cm:02}m")?,
            _ => write!(f, " {}m", cm / 100)?,
        }
    }
    Ok(())
}

fn write_angle(angle: u32, [positive, negative]: [char; 2], f: &mut impl fmt::Write) -> fmt::Result {
    let ms = angle.abs_diff(ZERO_ANGLE);
    let side = if angle >= ZERO_ANGLE { positive } else { negative };
    let (degrees, minutes, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    write!(f, "{degrees} {minutes} {}.{:03} {side}", rest / 1000, rest % 1000)
}
