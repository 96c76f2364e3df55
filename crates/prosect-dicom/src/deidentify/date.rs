//! Dates of the Gregorian calendar, moved by days.

/// A date `YYYYMMDD`, perhaps with time behind it, moved by days; `None` if it is no whole date.
pub(super) fn shifted(text: &str, days: i64) -> Option<String> {
    let text = text.trim();
    // ACR-NEMA wrote dots between (PS3.5 6.2, DA, note).
    let plain: String = if text.get(4..5) == Some(".") && text.get(7..8) == Some(".") {
        text.replacen('.', "", 2)
    } else {
        text.to_owned()
    };
    let (date, time) = plain.split_at_checked(8)?;
    if !date.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| date.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month, day) = date_of(days_of(year, month, day) + days);
    (0..=9999)
        .contains(&year)
        .then(|| format!("{year:04}{month:02}{day:02}{time}"))
}

/// Days since 0000-03-01 (Howard Hinnant, chrono-compatible low-level date algorithms).
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{date_of, days_of, shifted};

    #[track_caller]
    fn check(text: &str, days: i64, expected: Option<&str>) {
        assert_eq!(shifted(text, days).as_deref(), expected, "{text} {days}");
    }

    #[test]
    fn dates_move_over_months_years_and_leap_days() {
        check("20240301", -1, Some("20240229"));
        check("20230301", -1, Some("20230228"));
        check("20240101", -1, Some("20231231"));
        check("20240101", 366, Some("20250101"));
        check("2024.01.01", 1, Some("20240102"));
        check("20240101123456.5+0100", 1, Some("20240102123456.5+0100"));
        check("20240101 ", 0, Some("20240101"));
        check("202401", 1, None);
        check("20241301", 1, None);
        check("someday!", 1, None);
        check("00000101", -400, None);
        check("äöüäöü12", 1, None);
    }

    proptest! {
        #[test]
        fn a_way_there_and_back_is_no_way(days in 1_000_i64..3_000_000) {
            let (year, month, day) = date_of(days);
            prop_assert_eq!(days_of(year, month, day), days);
            prop_assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        }
    }
}
