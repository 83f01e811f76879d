//! Moments as the log writes them: RFC 3339 in UTC with microseconds.

use dfs_model::Timestamp;

const DAY: i64 = 86_400;

/// Writes a moment as `2026-01-31T12:00:00.000000Z`.
pub(crate) fn show(at: Timestamp) -> String {
    let (days, of_day) = (at.secs.div_euclid(DAY), at.secs.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", at.nanos / 1000)
}

/// Reads an RFC 3339 moment at the start of a text, with or without a fraction, in UTC or with an offset.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let mark = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|byte| wanted.contains(byte));
    if !(mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":") && mark(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let offset = match rest.bytes().next()? {
        b'Z' | b'z' => 0,
        sign @ (b'+' | b'-') => {
            let two = |from: usize| rest.get(from..from + 2)?.parse::<i64>().ok();
            let seconds = two(1)? * 3600 + two(4)? * 60;
            if sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let secs = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
    Some(Timestamp::new(secs, nanos))
}

/// Days since 1970-01-01 of a day of the Gregorian calendar; the year is taken to begin in March, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The day of the Gregorian calendar; the reverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_and_read_back() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_800_000_000, "2027-01-15T08:00:00.000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000Z"),
        ] {
            assert_eq!(show(Timestamp::new(secs, 999)), text);
            assert_eq!(parse(text), Some(Timestamp::new(secs, 0)));
        }
        for day in -1000..80_000 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
    }

    #[test]
    fn moments_with_an_offset_or_a_fraction_are_read() {
        let at = parse("2026-11-26T18:02:22.25+01:30 rest").unwrap();
        assert_eq!(show(at), "2026-11-26T16:32:22.250000Z");
        assert_eq!(parse("2026-11-26 18:02:22Z").map(show).unwrap(), "2026-11-26T18:02:22.000000Z");
        for bad in
            ["", "now", "2026-11-26", "2026-13-01T00:00:00Z", "2026-11-26T18:02:22", "2026-11-26T18:02:22.5x"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
