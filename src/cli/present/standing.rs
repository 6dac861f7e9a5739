//! How things stand with libvirt, as a table for people and as JSON for programs.

use crate::libvirt::standing::Row;
use crate::output::failure::Failure;
use crate::output::line::{Emphasis, Line};
use crate::output::print::Output;
use crate::output::text::one_line;
use crate::present::json;
use serde::Serialize;

/// The document of `pinshim libvirt status --json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    host: &'a [Row],
    domains: &'a [Row],
}

/// Prints the document.
pub(crate) fn print_json(output: &mut Output, host: &[Row], domains: &[Row]) -> Result<(), Failure> {
    json::print(output, &Document { version: json::VERSION, host, domains })
}

/// A line for each row: what, in a word, and more about it.
pub(crate) fn table<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> Vec<Line> {
    // Made harmless before it is measured.
    let subject = |row: &Row| one_line(&row.subject).into_owned();
    let width = rows.clone().map(|row| subject(row).chars().count()).max().unwrap_or(0);
    let state_width = rows.clone().map(|row| row.state.len()).max().unwrap_or(0);
    let line = |row: &Row| {
        let text = format!("{:width$}  {:state_width$}  {}", subject(row), row.state, row.detail);
        Line::new(text.trim_end().to_owned(), (!row.in_order).then_some(Emphasis::Red))
    };
    rows.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_stand_below_each_other_whatever_a_domain_is_called() {
        let rows = [
            Row::good("hook", "ok", "there"),
            Row::bad("we\u{1b}\nb", "unpinned", ""),
            Row::good("größe 1", "plain", "x"),
        ];
        let lines: Vec<String> = table(rows.iter()).iter().map(|line| line.written(false)).collect();
        let expected = ["hook     ok        there\n", "we??b    unpinned\n", "größe 1  plain     x\n"];
        assert_eq!(lines, expected);
    }
}
