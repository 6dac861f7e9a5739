//! Words for messages: text of others made harmless, and counts with their nouns.

use pinning::{CpuSet, is_harmful};
use std::borrow::Cow;
use std::time::Duration;

/// Bytes that others chose as text for one line: each harmful character becomes `?`.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(bytes)).into_owned()
}

/// The same for a text.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(is_harmful) { text.replace(is_harmful, "?").into() } else { text.into() }
}

/// A JSON document without a harmful character. They can only be inside its strings, where JSON has an escape for each (RFC
/// 8259, section 7).
pub(crate) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_harmful(c) {
            let mut units = [0; 2];
            text.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
    }
    text
}

/// The beginning of a text of others, for a sentence: so many characters at most.
pub(crate) fn cut(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// Whether every shell takes a word of others as it is, and no program for an option.
pub(crate) fn is_plain_word(word: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    !word.is_empty() && !word.starts_with('-') && word.bytes().all(is_plain)
}

/// A name of others in a command that a user may copy into a shell: another word where the shell would not take the name
/// as it is.
pub(crate) fn in_command<'a>(name: &'a str, otherwise: &'a str) -> &'a str {
    if is_plain_word(name) { name } else { otherwise }
}

/// A short time: `0`, `0.4µs`, `12µs`, `3.1ms`, `250ms`, `1.25s`.
pub(crate) fn short(time: Duration) -> String {
    let nanoseconds = time.as_nanos();
    let in_units = |unit: f64, name: &str| {
        let value = nanoseconds as f64 / unit;
        if value < 9.95 { format!("{value:.1}{name}") } else { format!("{value:.0}{name}") }
    };
    match nanoseconds {
        0 => "0".to_owned(),
        1..=999_499 => in_units(1e3, "µs"),
        999_500..=999_499_999 => in_units(1e6, "ms"),
        _ => format!("{:.2}s", time.as_secs_f64()),
    }
}

/// A count with its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let ending = if noun.ends_with('s') { "es" } else { "s" };
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}{ending}") }
}

/// CPUs with their noun: `CPU 1`, `CPUs 1-2`.
pub(crate) fn cpus(set: &CpuSet) -> String {
    let noun = if set.len() == 1 { "CPU" } else { "CPUs" };
    format!("{noun} {set}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded() {
        assert_eq!(harmless(b"a\x1b[2Jb\n\xff"), "a?[2Jb?\u{fffd}");
        for c in ['\t', '\r', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{2028}', '\u{200b}']
        {
            assert_eq!(harmless(format!("x{c}y").as_bytes()), "x?y", "{:?}", c);
        }
        assert_eq!(harmless("größe 1.2 日本".as_bytes()), "größe 1.2 日本");
    }

    #[test]
    fn a_text_is_cut_between_two_characters() {
        assert_eq!([cut("é", 1), cut("éa", 1), cut("", 0)], ["é", "é…", ""]);
    }

    #[test]
    fn a_name_stands_in_a_command_only_where_it_is_one_word_of_it() {
        for name in ["web", "win-10", "a_b.c+1"] {
            assert_eq!(in_command(name, "NAME"), name);
        }
        for name in ["", "-web", "web;reboot", "$(reboot)", "a b", "a'b", "a\nb", "größe", "~", "a*"] {
            assert_eq!(in_command(name, "NAME"), "NAME", "{name:?}");
        }
    }

    #[test]
    fn a_short_time_has_the_unit_that_fits() {
        let shown = |ns| short(Duration::from_nanos(ns));
        let times =
            [0, 40, 400, 9_949, 12_345, 999_499, 999_500, 3_140_000, 250_000_000, 999_499_999, 1_254_000_000];
        let texts =
            ["0", "0.0µs", "0.4µs", "9.9µs", "12µs", "999µs", "1.0ms", "3.1ms", "250ms", "999ms", "1.25s"];
        assert_eq!(times.map(shown), texts);
    }

    #[test]
    fn one_is_singular() {
        let counts = [count(0, "thread"), count(1, "thread"), count(2, "process"), count(1, "process")];
        assert_eq!(counts, ["0 threads", "1 thread", "2 processes", "1 process"]);
    }
}
