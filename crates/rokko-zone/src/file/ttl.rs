//! TTLs in presentation format.

use crate::Ttl;

/// Why some text is not a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TtlError {
    /// Neither a number nor numbers with units.
    Syntax,
    /// More than 2^31 - 1 seconds (RFC 2181 §8).
    TooLarge,
}

/// Reads seconds, or numbers each followed by one of the units w, d, h, m, s, as in `1h30m`.
pub(super) fn parse(text: &[u8]) -> Result<Ttl, TtlError> {
    let (mut seconds, mut number, mut digits, mut units) = (0_u64, 0_u64, 0, 0);
    for &octet in text {
        if octet.is_ascii_digit() {
            number = number.saturating_mul(10).saturating_add(u64::from(octet - b'0'));
            digits += 1;
            continue;
        }
        let unit = match octet.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return Err(TtlError::Syntax),
        };
        if digits == 0 {
            return Err(TtlError::Syntax);
        }
        seconds = seconds.saturating_add(number.saturating_mul(unit));
        (number, digits, units) = (0, 0, units + 1);
    }
    if (digits == 0) == (units == 0) {
        return Err(TtlError::Syntax);
    }
    let seconds = u32::try_from(seconds.saturating_add(number)).map_err(|_| TtlError::TooLarge)?;
    Ttl::new(seconds).ok_or(TtlError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_limits() {
        for (text, seconds) in [("0", 0), ("1h30m", 5400), ("1W2d3H4m5S", 788_645), ("2147483647", 0x7fff_ffff)] {
            assert_eq!(parse(text.as_bytes()).map(Ttl::as_secs), Ok(seconds), "{text}");
        }
        for text in ["", "h", "1x", "-1", "1h30", "1 h", "1.5h"] {
            assert_eq!(parse(text.as_bytes()), Err(TtlError::Syntax), "{text}");
        }
        for text in ["2147483648", "99999999999999999999999", "4000w"] {
            assert_eq!(parse(text.as_bytes()), Err(TtlError::TooLarge), "{text}");
        }
    }
}
