//! Times as people write and read them: dates in UTC, and spans such as `15m` or `7d`.
#![allow(clippy::disallowed_methods, reason = "this is the one place of the program that asks for the time")]

use crate::failure::Failure;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The wall clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Seconds since 1970 as a date and time in UTC. Civil calendar from days, after Howard Hinnant's algorithm.
pub(crate) fn date(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Milliseconds since 1970 as [`date`] shows them.
pub(crate) fn date_ms(at: i64) -> String {
    date(at.div_euclid(1000))
}

/// Days since 1970 of a civil date; the inverse of the algorithm in [`date`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Units of a span with their seconds, largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

/// A span of whole seconds, minutes, hours or days.
pub(crate) fn seconds(flag: &str, text: &str) -> Result<u64, Failure> {
    let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let value = unit.and_then(|(number, seconds)| number.parse::<u64>().ok()?.checked_mul(seconds));
    let wrong = || Failure::usage(format!("{flag}: '{text}' is no time; say for instance 15m, 1h or 7d"));
    value.ok_or_else(wrong)
}

/// Shows a span in its largest whole unit.
pub(crate) fn show_seconds(seconds: u64) -> String {
    let unit = UNITS.iter().find(|(_, unit)| seconds.is_multiple_of(*unit) && seconds > 0);
    unit.map_or_else(|| format!("{seconds}s"), |(unit, length)| format!("{}{unit}", seconds / length))
}

/// A moment in milliseconds since 1970: a span before now (`1h`), a date, or a date and time as RFC 3339 writes it.
///
/// *Errors:* usage, saying what is accepted.
pub(crate) fn moment(flag: &str, text: &str, now_ms: i64) -> Result<i64, Failure> {
    if let Ok(span) = seconds(flag, text) {
        let span = i64::try_from(span).unwrap_or(i64::MAX).saturating_mul(1000);
        return Ok(now_ms.saturating_sub(span).max(0));
    }
    instant(text).ok_or_else(|| {
        let forms = "1h, 7d, 2026-11-26 or 2026-11-26T09:30:00Z";
        Failure::usage(format!("{flag}: '{text}' is no moment; say for instance {forms}"))
    })
}

/// A date, or a date and time with `Z` or an offset.
fn instant(text: &str) -> Option<i64> {
    let number = |part: &str, digits: usize| {
        let right = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        right.then(|| part.parse::<i64>().ok()).flatten()
    };
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=last).contains(&day) {
        return None;
    }
    let midnight = days(year, month, day) * DAY * 1000;
    let Some(time) = time else { return Some(midnight) };
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let (hour, minute, second) =
        (number(parts.next()?, 2)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let digits: String = fraction.chars().chain("00".chars()).take(3).collect();
    let millis = number(&digits, 3)?;
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let minutes = number(hours, 2)? * 60 + number(minutes, 2)?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    let sane = parts.next().is_none() && hour < 24 && minute < 60 && second < 61;
    sane.then(|| midnight + (hour * 3600 + (minute - offset) * 60 + second) * 1000 + millis)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, wanted) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (1_795_676_017, "2026-11-26 06:53:37 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(seconds), wanted);
        }
    }

    #[test]
    fn spans_are_read_and_shown_in_the_largest_unit() {
        for (text, value) in [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800)] {
            assert_eq!(seconds("--every", text).unwrap(), value);
            assert_eq!(show_seconds(value), text);
        }
        for wrong in ["", "h", "5", "1.5h", "-1h", "18446744073709551615d"] {
            assert!(seconds("--every", wrong).unwrap_err().message.contains("is no time"), "{wrong}");
        }
    }

    #[test]
    fn moments_are_spans_dates_and_rfc_3339() {
        let now = 1_795_676_017_000;
        for (text, wanted) in [
            ("1h", now - 3_600_000),
            ("99999999d", 0),
            ("1970-01-02", 86_400_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2000-02-29 01:30:00.25+01:30", 951_782_400_250),
            ("1999-12-31T23:00:00-01:00", 946_684_800_000),
        ] {
            assert_eq!(moment("--since", text, now).unwrap(), wanted, "{text}");
        }
        for wrong in
            ["", "yesterday", "2026-13-01", "2026-02-29", "2026-11-26T25:00:00Z", "2026-11-26T10:00:00"]
        {
            assert!(moment("--since", wrong, now).is_err(), "{wrong}");
        }
    }
}
