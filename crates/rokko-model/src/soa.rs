//! The SOA serial's next value.

use rokko_zone::Serial;

use crate::{SoaEdit, UnixMillis};

/// The serial that follows `current` under a policy at a time.
pub fn next_serial(current: Serial, policy: SoaEdit, now: UnixMillis) -> Serial {
    let seconds = now.0 / 1000;
    let wanted = match policy {
        SoaEdit::Off => return current,
        SoaEdit::Increase => return current.next(),
        SoaEdit::Epoch => u32::try_from(seconds & 0xffff_ffff).unwrap_or(u32::MAX),
        SoaEdit::Default => date_serial(seconds),
    };
    if Serial(wanted).is_after(current) { Serial(wanted) } else { current.next() }
}

/// `YYYYMMDD01` of the day (UTC) that a Unix time falls on.
fn date_serial(seconds: u64) -> u32 {
    let (year, month, day) = civil_date(seconds / 86_400);
    u32::try_from(year * 1_000_000 + month * 10_000 + day * 100 + 1).unwrap_or(1)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil_date(days: u64) -> (u64, u64, u64) {
    // Years that start in March make the leap day the last one; 719,468 days lie between 0000-03-01 and 1970-01-01.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_follow_their_policy() {
        let now = UnixMillis(1_795_456_898_000);
        for (current, policy, next) in [
            (1, SoaEdit::Default, 2_026_112_301),
            (2_026_112_301, SoaEdit::Default, 2_026_112_302),
            (2_026_120_100, SoaEdit::Default, 2_026_120_101),
            (7, SoaEdit::Increase, 8),
            (u32::MAX, SoaEdit::Increase, 1),
            (1, SoaEdit::Epoch, 1_795_456_898),
            (1_795_456_898, SoaEdit::Epoch, 1_795_456_899),
            (5, SoaEdit::Off, 5),
        ] {
            assert_eq!(next_serial(Serial(current), policy, now), Serial(next), "{current} {policy:?}");
        }
    }

    #[test]
    fn dates_of_known_days() {
        for (seconds, date) in [
            (0, (1970, 1, 1)),
            (951_782_400, (2000, 2, 29)),
            (951_868_800, (2000, 3, 1)),
            (4_107_542_400, (2100, 3, 1)),
        ] {
            assert_eq!(civil_date(seconds / 86_400), date);
        }
    }
}
