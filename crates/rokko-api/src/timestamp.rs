//! Times as clients see them: RFC 3339 in UTC with milliseconds.

use rokko_model::UnixMillis;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The text of a time, such as `2026-11-23T18:32:36.000Z`. Times after the year 9999 are shown as its end.
pub fn to_text(at: UnixMillis) -> String {
    let Ok(time) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000) else {
        return "9999-12-31T23:59:59.999Z".to_owned();
    };
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, milli) = time.to_hms_milli();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", u8::from(month))
}

/// The time of an RFC 3339 text with any offset; `None` if it is not one or lies before 1970.
pub fn from_text(text: &str) -> Option<UnixMillis> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    u64::try_from(nanos / 1_000_000).ok().filter(|_| nanos >= 0).map(UnixMillis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_text() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_456_898_123, "2026-11-23T18:01:38.123Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
        ] {
            assert_eq!(to_text(UnixMillis(millis)), text);
            assert_eq!(from_text(text), Some(UnixMillis(millis)));
        }
        assert_eq!(from_text("2026-11-23T20:01:38.5+02:00"), Some(UnixMillis(1_795_456_898_500)));
        assert_eq!(to_text(UnixMillis(u64::MAX)), "9999-12-31T23:59:59.999Z");
        for bad in ["", "tomorrow", "2026-11-23", "1969-12-31T23:59:59Z", "2026-13-01T00:00:00Z"] {
            assert_eq!(from_text(bad), None, "{bad}");
        }
    }
}
