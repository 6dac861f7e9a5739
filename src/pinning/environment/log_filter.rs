//! What env_logger's filter may look like (`PIN_LOG`): levels, targets, `target=level`, and one pattern at
//! the end after a `/`.
//!
//! The library hands the text to env_logger, whose parser prints what it does not understand in its own words:
//! so a filter gets there only when it can be read.

use super::items::{self, Separators};
use super::mistake::Slip;

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Everything wrong with a filter.
pub(crate) fn slips(value: &str) -> Vec<Slip> {
    if items::is_blank_text(value) {
        return vec![
            Slip::new(1, "the value is empty").hint("write a level, such as info, or unset the variable"),
        ];
    }
    let (directives, pattern) = value.split_once('/').unwrap_or((value, ""));
    let mut slips = Vec::new();
    if pattern.contains('/') {
        let column = directives.chars().count() + 2 + pattern.chars().take_while(|&c| c != '/').count();
        slips.push(Slip::new(column, "a filter has one pattern at most").hint("write one / at most"));
    }
    let (directives, empty) = items::split(directives, 1, Separators::EveryComma);
    // A pattern alone is a filter too.
    slips.extend(empty.into_iter().filter(|_| !value.starts_with('/')));
    for directive in directives {
        let mut parts = directive.text.split('=').skip(1);
        let (level, more) = (parts.next().map(str::trim), parts.next());
        let known = |level: &str| level.is_empty() || LEVELS.iter().any(|l| l.eq_ignore_ascii_case(level));
        if more.is_some() || !level.is_none_or(known) {
            let hint = format!("write TARGET=LEVEL with a level of {}", LEVELS.join(", "));
            slips.push(Slip::new(directive.column, "this is no target and level").hint(hint));
        }
    }
    slips
}

#[cfg(test)]
mod tests {
    use super::slips;

    #[test]
    fn levels_targets_and_a_pattern_are_read() {
        for good in
            ["info", "pinshim=debug", "warn,pinshim::settle=TRACE", "pinshim=", "info/vcpu", "/vcpu", "off"]
        {
            assert_eq!(slips(good), [], "{good}");
        }
    }

    #[test]
    fn what_env_logger_would_complain_of_is_a_slip_with_its_column() {
        for (bad, column) in [("", 1), (" ", 1), ("a=b=c", 1), ("info,pinshim=loud", 6), ("info/a/b", 7)] {
            let found = slips(bad);
            assert_eq!(
                found.iter().map(|slip| slip.column).collect::<Vec<_>>(),
                [column],
                "{bad}: {found:?}"
            );
        }
    }
}
