//! Words for messages: text of others made harmless, and counts with their nouns.

/// Text that others chose, made safe for a terminal: control characters and invisible ones become `?`.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(|c: char| c.is_control() || is_invisible(c), "?")
}

/// Characters that reorder or hide others.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A count with its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded() {
        assert_eq!(harmless(b"a\x1b[2Jb\n\xff"), "a?[2Jb?\u{fffd}");
        assert_eq!(harmless("x\u{202e}y".as_bytes()), "x?y");
        assert_eq!(harmless("é".as_bytes()), "é");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!([count(0, "thread"), count(1, "thread")].join(", "), "0 threads, 1 thread");
    }
}
