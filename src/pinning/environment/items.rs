//! Splitting a value into items, each with its column.
//!
//! Nothing is ignored: where an item is missing, before, between or after commas, there is a mistake.

use super::mistake::{Mistake, are_enough};
use crate::cpus::CPU_LIMIT;

/// No text has more items: as many as the CPUs that there may be, which is more than a VM has vCPUs.
pub(crate) const ITEMS_LIMIT: usize = CPU_LIMIT as usize;

/// A part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// Where it begins: 1-based, in characters, within the value.
    pub(crate) column: usize,
    /// Its text, without white space around it.
    pub(crate) text: &'a str,
}

/// What ends an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Separators {
    /// A comma or white space, outside brackets.
    CommasAndBlanks,
    /// A comma outside brackets, and not white space: the names of threads hold spaces.
    Commas,
    /// Any comma.
    EveryComma,
}

/// Splits a text whose first character stands in column `first`. A blank text has no items and no mistakes.
///
/// A text that has too many items or too many mistakes is not split to its end; there is a mistake then.
pub(crate) fn split(text: &str, first: usize, separators: Separators) -> (Vec<Item<'_>>, Vec<Mistake>) {
    let mut splitter = Splitter { text, items: Vec::new(), mistakes: Vec::new(), open: None, comma: None };
    let mut bracket: Option<usize> = None;
    for (column, (at, c)) in (first..).zip(text.char_indices()) {
        if are_enough(&splitter.mistakes) {
            return (splitter.items, splitter.mistakes);
        }
        match c {
            ',' if bracket.is_none() => splitter.comma(column),
            _ if is_blank(c) && bracket.is_none() && separators == Separators::CommasAndBlanks => {
                splitter.close();
            }
            _ if is_blank(c) => {}
            _ if splitter.open.is_none() && splitter.items.len() == ITEMS_LIMIT => {
                splitter.mistakes.push(too_many(column, ITEMS_LIMIT, "items"));
                return (splitter.items, splitter.mistakes);
            }
            _ => splitter.take(column, at, at + c.len_utf8()),
        }
        match c {
            '[' if separators != Separators::EveryComma => bracket = bracket.or(Some(column)),
            ']' => bracket = None,
            _ => {}
        }
    }
    if let Some(column) = bracket {
        splitter.open = None;
        splitter.mistakes.push(Mistake::at(column, "this bracket is never closed").hint("close it with ]"));
        return (splitter.items, splitter.mistakes);
    }
    splitter.end();
    (splitter.items, splitter.mistakes)
}

/// Leaves out the items of a kind (`what`) past the `limit`-th, which is a mistake.
pub(crate) fn limit(items: &mut Vec<Item<'_>>, limit: usize, what: &str, mistakes: &mut Vec<Mistake>) {
    mistakes.extend(items.get(limit).map(|item| too_many(item.column, limit, what)));
    items.truncate(limit);
}

/// The mistake of the first item that is one too many.
fn too_many(column: usize, limit: usize, what: &str) -> Mistake {
    Mistake::at(column, format!("there are more than {limit} {what}"))
}

/// Whether there is nothing in a text but white space.
pub(crate) fn is_blank_text(text: &str) -> bool {
    text.chars().all(is_blank)
}

/// Whether a character is white space between items.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
}

/// The column of what follows `before` in an item.
pub(crate) fn column_after(item: Item<'_>, before: &str) -> usize {
    item.column + before.chars().count()
}

struct Splitter<'a> {
    text: &'a str,
    items: Vec<Item<'a>>,
    mistakes: Vec<Mistake>,
    /// The item that has not ended yet: its column, and where in the text it begins and ends, in bytes.
    open: Option<(usize, usize, usize)>,
    /// The column of the last comma, if no item has followed it yet, and whether a mistake was reported
    /// there.
    comma: Option<(usize, bool)>,
}

impl Splitter<'_> {
    /// Makes a character part of the item that has not ended yet, or the beginning of one.
    fn take(&mut self, column: usize, start: usize, end: usize) {
        self.comma = None;
        match &mut self.open {
            Some((_, _, open_end)) => *open_end = end,
            None => self.open = Some((column, start, end)),
        }
    }

    /// Ends the item.
    fn close(&mut self) {
        if let Some((column, start, end)) = self.open.take() {
            self.items.extend(self.text.get(start..end).map(|text| Item { column, text }));
        }
    }

    /// Ends the item at a comma.
    fn comma(&mut self, column: usize) {
        self.close();
        let missing = if self.comma.is_some() {
            Some("nothing stands between the commas")
        } else if self.items.is_empty() {
            Some("nothing stands before the first comma")
        } else {
            None
        };
        self.mistakes.extend(missing.map(|what| Mistake::at(column, what).hint("leave the comma out")));
        self.comma = Some((column, missing.is_some()));
    }

    /// Ends the text.
    fn end(&mut self) {
        self.close();
        if let Some((column, false)) = self.comma {
            self.mistakes
                .push(Mistake::at(column, "nothing stands after the last comma").hint("leave the comma out"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, separators: Separators) -> Vec<(usize, &str)> {
        let (items, mistakes) = split(text, 1, separators);
        assert_eq!(mistakes, []);
        items.iter().map(|item| (item.column, item.text)).collect()
    }

    #[test]
    fn blanks_separate_as_commas_do() {
        let expected = [(1, "1"), (3, "2"), (7, "3")];
        assert_eq!(texts("1,2 , 3", Separators::CommasAndBlanks), expected);
        assert_eq!(texts("1\t2\n\t 3 ", Separators::CommasAndBlanks), expected);
    }

    #[test]
    fn brackets_hold_together() {
        assert_eq!(texts("[1, 2],3", Separators::CommasAndBlanks), [(1, "[1, 2]"), (8, "3")]);
        assert_eq!(texts("é@[1,2] , a b@3", Separators::Commas), [(1, "é@[1,2]"), (11, "a b@3")]);
        assert_eq!(texts("a[,b", Separators::EveryComma), [(1, "a["), (4, "b")]);
    }

    #[test]
    fn every_missing_item_is_one_mistake() {
        let columns = |text| {
            split(text, 1, Separators::CommasAndBlanks)
                .1
                .iter()
                .filter_map(|mistake| mistake.column)
                .collect::<Vec<_>>()
        };
        assert_eq!(columns("1,,2"), [3]);
        assert_eq!(columns("1, ,2"), [4]);
        assert_eq!(columns(",1"), [1]);
        assert_eq!(columns("1,"), [2]);
        assert_eq!(columns(","), [1]);
        assert_eq!(columns(",,"), [1, 2]);
        assert_eq!(columns(" "), []);
        assert_eq!(columns("1,[2"), [3]);
    }
}
