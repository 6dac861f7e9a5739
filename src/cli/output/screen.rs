//! Drawing lines over those that were drawn before, as top(1) does.
//!
//! Neither the cursor's look nor another screen is switched on, so nothing needs to be undone, however the process ends.
//! What the terminal keeps above the screen is left alone. Where its size changes, many terminals bring lines back from there,
//! some also when it becomes smaller: then all that is on the screen is put away first, as before the first drawing.

use crate::output::line::Line;
use crate::output::style::Style;
use crate::output::text::{count, cut};

/// To the top left corner; then away with what is right of the cursor, and with what is below it (console_codes(4)).
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";

/// The text that draws these lines on a screen of so many columns and rows.
pub(crate) fn drawn(lines: Vec<Line>, size: (u16, u16), style: Style) -> String {
    let mut text = HOME.to_owned();
    let (columns, rows) = size;
    for line in fitted(lines, size) {
        text.push_str(line.written(style.may_colour).trim_end_matches('\n'));
        // After the last column the cursor still stands on it, and would take away what is there. Nothing is right of it.
        let is_full = line.width() > 0 && line.width() % usize::from(columns) == 0;
        text.push_str(if is_full { "" } else { REST_OF_LINE });
        // On a screen of one row a line end would move that row away.
        text.push_str(if rows > 1 { "\n" } else { "" });
    }
    text.push_str(if rows > 1 { REST_OF_SCREEN } else { "" });
    text
}

/// The text that moves what is on the screen up to where it can be looked at later.
pub(crate) fn put_away((_, rows): (u16, u16)) -> String {
    "\n".repeat(usize::from(rows))
}

/// The lines that the screen has room for, and one that counts the others: what has scrolled away cannot be drawn over.
/// The last row is the cursor's.
fn fitted(mut lines: Vec<Line>, (columns, rows): (u16, u16)) -> Vec<Line> {
    // A longer line goes over several rows.
    let height = |line: &Line| line.width().div_ceil(usize::from(columns)).max(1);
    let room = usize::from(rows).saturating_sub(1);
    if lines.iter().map(height).sum::<usize>() <= room {
        return lines;
    }
    let mut used = 1;
    let has_room = |line: &&Line| {
        used += height(line);
        used <= room
    };
    let kept = lines.iter().take_while(has_room).count();
    let left_out = format!("… {} more", count(lines.len() - kept, "line"));
    lines.truncate(kept);
    lines.push(cut(&left_out, usize::from(columns).saturating_sub(1)).into_owned().into());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted_to(size: (u16, u16), lines: &[&str]) -> Vec<String> {
        let lines = lines.iter().map(|line| Line::from((*line).to_owned())).collect();
        fitted(lines, size).iter().map(|line| line.written(false).trim_end().to_owned()).collect()
    }

    #[test]
    fn what_has_no_room_is_counted() {
        assert_eq!(fitted_to((10, 4), &["a", "b", "c"]), ["a", "b", "c"]);
        assert_eq!(fitted_to((20, 4), &["a", "b", "c", "d"]), ["a", "b", "… 2 lines more"]);
        assert_eq!(fitted_to((10, 4), &["a", "b", "c", "d"]), ["a", "b", "… 2 lines…"]);
        // Eleven columns are two rows on this screen, and so are six letters of two columns.
        assert_eq!(fitted_to((10, 4), &["0123456789a", "b", "c"]), ["0123456789a", "… 2 lines…"]);
        assert_eq!(fitted_to((10, 4), &["日日日日日日", "b", "c"]), ["日日日日日日", "… 2 lines…"]);
        assert_eq!(fitted_to((10, 1), &["a"]), ["… 1 line …"]);
    }

    #[test]
    fn nothing_is_erased_but_what_is_drawn_over() {
        let text = drawn(vec!["a".to_owned().into(), "b".to_owned().into()], (80, 24), Style::default());
        assert_eq!(text, "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(put_away((80, 3)), "\n\n\n");
    }

    #[test]
    fn a_line_that_fills_its_row_keeps_its_last_character() {
        let drawn = |size| drawn(vec!["ab".to_owned().into(), "c".to_owned().into()], size, Style::default());
        assert_eq!(drawn((2, 24)), "\x1b[Hab\nc\x1b[K\n\x1b[J");
        assert_eq!(drawn((1, 24)), "\x1b[Hab\nc\n\x1b[J");
        // With one row only, nothing may scroll.
        assert_eq!(drawn((20, 1)), "\x1b[H… 2 lines more\x1b[K");
    }
}
