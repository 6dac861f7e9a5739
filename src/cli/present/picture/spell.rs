//! Times and counts in words, for people.

use crate::record::recording::nanoseconds;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds of a second.
pub(super) const SECOND: u64 = 1_000_000_000;

/// A length of time with three digits: `850 ns`, `12.3 ms`, `1 min 3 s`.
pub(super) fn length(nanoseconds: u64) -> String {
    match nanoseconds {
        0 => "0 µs".to_owned(),
        1..1_000 => format!("{nanoseconds} ns"),
        1_000..999_500 => in_unit(nanoseconds, 1_000, "µs"),
        999_500..999_500_000 => in_unit(nanoseconds, 1_000_000, "ms"),
        _ if nanoseconds < 60 * SECOND => in_unit(nanoseconds, SECOND, "s"),
        _ => {
            let seconds = nanoseconds.div_euclid(SECOND);
            match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
                (0, minutes, 0) => format!("{minutes} min"),
                (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
                (hours, 0, _) => format!("{hours} h"),
                (hours, minutes, _) => format!("{hours} h {minutes} min"),
            }
        }
    }
}

/// The length of a duration.
pub(super) fn length_of(time: Duration) -> String {
    length(nanoseconds(time))
}

fn in_unit(nanoseconds: u64, unit: u64, name: &str) -> String {
    let decimals = match nanoseconds / unit {
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    let number = format!("{:.decimals$}", nanoseconds as f64 / unit as f64);
    let number =
        if decimals > 0 { number.trim_end_matches('0').trim_end_matches('.') } else { number.as_str() };
    format!("{number} {name}")
}

/// A moment of the recording with so many digits after the second: `12.34 s`, `5:03.1`, `1:05:03`.
pub(super) fn moment(nanoseconds: u64, decimals: usize) -> String {
    let clock = clock(nanoseconds, decimals);
    if clock.contains(':') { clock } else { clock + " s" }
}

/// From one moment to another, with digits enough to tell them apart.
pub(super) fn range(from: u64, to: u64) -> String {
    let decimals = match to.saturating_sub(from) {
        0..10_000_000 => 6,
        10_000_000..SECOND => 4,
        _ => 2,
    };
    format!("{}–{}", clock(from, decimals), moment(to, decimals))
}

fn clock(nanoseconds: u64, decimals: usize) -> String {
    let (seconds, rest) = (nanoseconds / SECOND, nanoseconds % SECOND);
    // Cut, not rounded: 59.9999 s is not 60 s.
    let fraction = format!("{rest:09}");
    let fraction = fraction.get(..decimals.min(9)).unwrap_or_default();
    let point = if decimals > 0 { "." } else { "" };
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}{point}{fraction}"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}{point}{fraction}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}{point}{fraction}"),
    }
}

/// A number with a comma between its thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut spelt = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            spelt.push(',');
        }
        spelt.push(digit);
    }
    spelt
}

/// A count with its noun: `1 thread`, `2,000 switches`.
pub(super) fn count(count: u64, noun: &str) -> String {
    let ending = if noun.ends_with('s') || noun.ends_with("ch") { "es" } else { "s" };
    if count == 1 { format!("1 {noun}") } else { format!("{} {noun}{ending}", number(count)) }
}

/// A part of a whole in percent: `0 %`, `0.02 %`, `12 %`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let percent = part as f64 * 100.0 / whole.max(1) as f64;
    match percent {
        _ if part == 0 => "0 %".to_owned(),
        ..0.01 => "under 0.01 %".to_owned(),
        0.01..1.0 => format!("{percent:.2} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// A moment by the clock on the wall, in UTC: `2026-11-25 16:00:03 UTC`.
pub(super) fn date(when: SystemTime) -> String {
    let seconds = when.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut year, mut rest) = (1970, days);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if rest < length {
            break;
        }
        rest -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_three_digits() {
        let lengths =
            [0, 999, 1_000, 12_345, 100_000, 1_234_567, 999_000_000, SECOND, 59 * SECOND + 990_000_000];
        let words = ["0 µs", "999 ns", "1 µs", "12.3 µs", "100 µs", "1.23 ms", "999 ms", "1 s", "60 s"];
        assert_eq!(lengths.map(length), words);
        let lengths = [60, 63, 3600, 3660, 7325].map(|seconds| length(seconds * SECOND));
        assert_eq!(lengths, ["1 min", "1 min 3 s", "1 h", "1 h 1 min", "2 h 2 min"]);
    }

    #[test]
    fn moments_are_told_apart() {
        assert_eq!(moment(12 * SECOND + 345_678_901, 3), "12.345 s");
        assert_eq!(moment(0, 0), "0 s");
        assert_eq!(range(303 * SECOND, 303 * SECOND + 100_000), "5:03.000000–5:03.000100");
        assert_eq!(range(SECOND, 2 * SECOND + 500_000_000), "1.00–2.50 s");
        assert_eq!(range(3903 * SECOND, 3903 * SECOND + 20_000_000), "1:05:03.0000–1:05:03.0200");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [count(1, "switch"), count(2_000, "switch"), count(0, "thread")],
            ["1 switch", "2,000 switches", "0 threads"]
        );
    }

    #[test]
    fn a_small_part_is_not_nothing() {
        let parts = [(0, 100), (1, 1_000_000), (1, 1_000), (99, 100), (0, 0)];
        let words = ["0 %", "under 0.01 %", "0.10 %", "99 %", "0 %"];
        assert_eq!(parts.map(|(part, whole)| percent(part, whole)), words);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let dates = [0, 951_782_400, 1_795_622_403, 4_107_542_399];
        let words = [
            "1970-01-01 00:00:00 UTC",
            "2000-02-29 00:00:00 UTC",
            "2026-11-25 16:00:03 UTC",
            "2100-02-28 23:59:59 UTC",
        ];
        assert_eq!(dates.map(|seconds| date(UNIX_EPOCH + Duration::from_secs(seconds))), words);
    }
}
