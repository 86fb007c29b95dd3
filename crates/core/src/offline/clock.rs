//! Times for file names, without a time zone database.

const DAY: u64 = 86_400;

/// `20261123T093000Z`, with a fraction where there is one.
pub fn compact(nanoseconds: u64) -> String {
    let (seconds, fraction) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let (year, month, day) = civil(seconds / DAY);
    let second = seconds % DAY;
    let (hours, minutes, second) = (second / 3600, second / 60 % 60, second % 60);
    let date = format!("{year:04}{month:02}{day:02}T{hours:02}{minutes:02}{second:02}");
    if fraction == 0 {
        return format!("{date}Z");
    }
    format!("{date}.{}Z", format!("{fraction:09}").trim_end_matches('0'))
}

/// Year, month and day of a day since the epoch (proleptic Gregorian, by eras of 400 years).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let leap = if month <= 2 { 1 } else { 0 };
    (era * 400 + year + leap, month, day)
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[test]
    fn known_times() {
        assert_eq!(compact(0), "19700101T000000Z");
        assert_eq!(compact(951_782_400_000_000_000), "20000229T000000Z");
        assert_eq!(compact(1_795_426_215_250_000_000), "20261123T093015.25Z");
        assert_eq!(compact(u64::MAX), "25540721T233433.709551615Z");
    }
}
