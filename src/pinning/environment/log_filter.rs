//! Checking `PIN_LOG`, a filter of env_logger: levels, targets, `target=level`, and one pattern at the end
//! after a `/`.
//!
//! env_logger's own parser prints to stderr about what it cannot read, and ignores it. So a filter is checked
//! here first, and the library passes on only one that env_logger can read.

use super::items::{self, Separators};
use super::mistake::Mistake;

/// No filter has more directives. env_logger compares each with all that stand before it.
const DIRECTIVES_LIMIT: usize = 64;

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Everything wrong with a filter.
pub(crate) fn mistakes(value: &str) -> Vec<Mistake> {
    if items::is_blank_text(value) {
        return vec![
            Mistake::at(1, "the value is empty").hint("write a level, such as info, or unset the variable"),
        ];
    }
    let (directives, pattern) = value.split_once('/').unwrap_or((value, ""));
    let mut mistakes = Vec::new();
    if pattern.contains('/') {
        let column = directives.chars().count() + 2 + pattern.chars().take_while(|&c| c != '/').count();
        mistakes.push(Mistake::at(column, "a filter has one pattern at most").hint("write one / at most"));
    }
    let (mut directives, empty) = items::split(directives, 1, Separators::EveryComma);
    items::limit(&mut directives, DIRECTIVES_LIMIT, "directives", &mut mistakes);
    // A pattern alone is a filter too.
    mistakes.extend(empty.into_iter().filter(|_| !value.starts_with('/')));
    for directive in directives {
        let mut parts = directive.text.split('=').skip(1);
        let (level, more) = (parts.next().map(str::trim), parts.next());
        let known = |level: &str| level.is_empty() || LEVELS.iter().any(|l| l.eq_ignore_ascii_case(level));
        if more.is_some() || !level.is_none_or(known) {
            let hint = format!("write TARGET=LEVEL with a level of {}", LEVELS.join(", "));
            mistakes.push(Mistake::at(directive.column, "this is no target and level").hint(hint));
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::mistakes;

    #[test]
    fn levels_targets_and_a_pattern_are_read() {
        for good in
            ["info", "pinshim=debug", "warn,pinshim::settle=TRACE", "pinshim=", "info/vcpu", "/vcpu", "off"]
        {
            assert_eq!(mistakes(good), [], "{good}");
        }
    }

    #[test]
    fn what_env_logger_would_complain_of_is_a_mistake_with_its_column() {
        for (bad, column) in [("", 1), (" ", 1), ("a=b=c", 1), ("info,pinshim=loud", 6), ("info/a/b", 7)] {
            let found = mistakes(bad);
            assert_eq!(
                found.iter().filter_map(|mistake| mistake.column).collect::<Vec<_>>(),
                [column],
                "{bad}: {found:?}"
            );
        }
    }
}
