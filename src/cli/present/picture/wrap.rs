//! Text in lines, since SVG breaks none.

use unicode_width::UnicodeWidthStr;

/// A text in lines of so many columns, broken between words where that can be.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        for (place, piece) in pieces(word, columns).into_iter().enumerate() {
            match lines.last_mut() {
                Some(line) if place == 0 && line.width() + 1 + piece.width() <= columns => {
                    if !line.is_empty() {
                        line.push(' ');
                    }
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// A word that is longer than a line, in several.
fn pieces(word: &str, columns: usize) -> Vec<String> {
    let characters: Vec<char> = word.chars().collect();
    characters.chunks(columns).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a verylongword b", 6), ["a", "verylo", "ngword", "b"]);
        assert_eq!(wrapped("", 6), [""; 0]);
    }

    proptest! {
        #[test]
        fn no_letter_is_lost(text in "[a-c ]{0,60}", columns in 1..20usize) {
            let lines = wrapped(&text, columns);
            prop_assert!(lines.iter().all(|line| line.width() <= columns));
            prop_assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
    }
}
