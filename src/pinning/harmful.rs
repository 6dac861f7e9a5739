//! Characters of a text that others chose which must not be written to a terminal or a log.

/// Whether a character must not reach a terminal or a log out of a text that others chose: it commands a
/// terminal (all of C0 and C1, the newline too), ends a line, reorders text or hides it (Unicode's bidirectional
/// controls and characters without a width).
pub fn is_harmful(c: char) -> bool {
    let is_invisible = matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    c.is_control() || is_invisible
}

#[cfg(test)]
mod tests {
    use super::is_harmful;

    #[test]
    fn commands_ends_of_lines_and_what_reorders_or_hides_text_are_harmful() {
        for c in
            ['\0', '\x1b', '\n', '\t', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2029}', '\u{200b}']
        {
            assert!(is_harmful(c), "{c:?}");
        }
        for c in [' ', 'a', 'ß', '日', '😀', '?'] {
            assert!(!is_harmful(c), "{c:?}");
        }
    }
}
