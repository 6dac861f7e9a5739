//! The text of `PIN_MEMORY`: `strict:0`, `preferred:0-1`, `interleave:0-1,3`, or `local`.

use super::items::{self, Item, Separators};
use super::mistake::{self, Mistake, shown};
use super::range::{backwards, range};
use crate::memory::{MemoryPolicy, NODE_LIMIT, NodeSet};

const HINT: &str = "write strict:NODES, preferred:NODES, interleave:NODES or local";

/// What the text of a memory policy says.
pub(crate) struct ParsedMemoryPolicy {
    /// The policy; `None` if something is wrong for good.
    pub(crate) policy: Option<MemoryPolicy>,
    /// What is wrong for good.
    pub(crate) mistakes: Vec<Mistake>,
    /// The nodes that there are not now, one message for each item that names some.
    pub(crate) absent: Vec<Mistake>,
}

/// Parses a memory policy. `available` are the nodes that there are; `None`: that is not known, and each is taken for one.
pub(crate) fn parse(text: &str, available: Option<&NodeSet>) -> ParsedMemoryPolicy {
    let mut parsed = ParsedMemoryPolicy { policy: None, mistakes: Vec::new(), absent: Vec::new() };
    let (word, nodes) = match text.split_once(':') {
        Some((word, nodes)) => (word, Some(nodes)),
        None => (text, None),
    };
    let make = match word.trim_matches(items::is_blank) {
        "strict" => MemoryPolicy::Strict,
        "preferred" => MemoryPolicy::Preferred,
        "interleave" => MemoryPolicy::Interleave,
        "local" => {
            match nodes {
                None => parsed.policy = Some(MemoryPolicy::Local),
                Some(_) => {
                    let column = word.chars().count() + 1;
                    let what = "local takes no nodes: memory is the node's whose CPU first touches it";
                    parsed
                        .mistakes
                        .push(Mistake::at(column, what).hint("write local alone, or preferred:NODES"));
                }
            }
            return parsed;
        }
        "" => {
            parsed.mistakes.push(Mistake::at(1, "the value names no policy").hint(HINT));
            return parsed;
        }
        other => {
            let meant = match other {
                "bind" | "membind" => Some("strict"),
                "prefer" => Some("preferred"),
                "interleaved" => Some("interleave"),
                _ => None,
            };
            let hint = meant.map_or_else(|| HINT.to_owned(), |meant| format!("did you mean {meant}?"));
            let what = format!("{} is no memory policy", shown(other));
            parsed.mistakes.push(Mistake::at(1, what).hint(hint));
            return parsed;
        }
    };
    let first = word.chars().count() + 2;
    match nodes {
        Some(list) if !items::is_blank_text(list) => {
            let nodes = parsed.nodes(list, first, available);
            parsed.policy = parsed.mistakes.is_empty().then(|| make(nodes));
        }
        _ => {
            let word = word.trim_matches(items::is_blank);
            let mistake = Mistake::at(1, format!("{word} names no node")).hint(format!("write {word}:0"));
            parsed.mistakes.push(mistake);
        }
    }
    parsed
}

impl ParsedMemoryPolicy {
    /// Reads a list of nodes, whose first character stands in column `first`.
    fn nodes(&mut self, list: &str, first: usize, available: Option<&NodeSet>) -> NodeSet {
        let (items, mistakes) = items::split(list, first, Separators::CommasAndBlanks);
        self.mistakes.extend(mistakes);
        let mut all = NodeSet::default();
        for item in items {
            if mistake::are_enough(&self.mistakes) {
                break;
            }
            match nodes_of(item) {
                Ok((first, last)) => {
                    let nodes = || first..=last;
                    nodes().for_each(|node| all.insert(node));
                    let absent = available.filter(|available| nodes().any(|node| !available.contains(node)));
                    let absent = absent.map(|available| Mistake::at(item.column, not_there(item, available)));
                    mistake::add(absent.into_iter().collect(), &mut self.absent);
                }
                Err(mistake) => self.mistakes.push(mistake),
            }
        }
        all
    }
}

/// The first and the last node of an item.
fn nodes_of(item: Item<'_>) -> Result<(u32, u32), Mistake> {
    let Some((first, last)) = range(item.text) else {
        let what = format!("{} is not a node or a range of nodes", shown(item.text));
        return Err(Mistake::at(item.column, what).hint("write nodes like 0, 0-1 or 0,2"));
    };
    if first > last {
        return Err(backwards(item, first, last));
    }
    let node = |number: u64| u32::try_from(number).ok().filter(|node| *node < NODE_LIMIT);
    match (node(first), node(last)) {
        (Some(first), Some(last)) => Ok((first, last)),
        _ => {
            let what =
                format!("{} names a node past the last there can be, {}", shown(item.text), NODE_LIMIT - 1);
            Err(Mistake::at(item.column, what))
        }
    }
}

/// What is said of an item with a node that is not there.
fn not_there(item: Item<'_>, available: &NodeSet) -> String {
    match item.text.contains('-') {
        true => format!("not all of the nodes {} are available here ({available})", item.text),
        false => format!("node {} is not available here ({available})", item.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a text, on a machine with the nodes 0 and 1.
    fn wrong(text: &str) -> String {
        let parsed = parse(text, NodeSet::parse("0-1").as_ref());
        let all = parsed.mistakes.into_iter().chain(parsed.absent);
        let said = all.map(|m| {
            let column = m.column.map(|column| format!("{column}: ")).unwrap_or_default();
            format!("{column}{}{}", m.what, m.hint.map(|hint| format!("; {hint}")).unwrap_or_default())
        });
        said.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn each_policy_is_printed_as_it_was_written() {
        for text in ["strict:0", "preferred:0-1", "interleave:0-1,3", "local"] {
            let parsed = parse(text, None);
            assert_eq!((parsed.policy.unwrap().to_string().as_str(), parsed.mistakes), (text, Vec::new()));
        }
        assert_eq!(parse(" strict : 0 1 ", None).policy.unwrap().to_string(), "strict:0-1");
    }

    #[test]
    fn a_node_that_is_not_there_is_named_with_those_that_are() {
        assert_eq!(wrong("strict:2"), "8: node 2 is not available here (0-1)");
        assert_eq!(wrong("interleave:0,1-2"), "14: not all of the nodes 1-2 are available here (0-1)");
        assert_eq!(wrong("preferred:0-1"), "");
    }

    #[test]
    fn every_mistake_says_what_would_be_right() {
        for (text, said) in [
            (
                "",
                "1: the value names no policy; write strict:NODES, preferred:NODES, interleave:NODES or local",
            ),
            ("bind:0", "1: bind is no memory policy; did you mean strict?"),
            ("0", "1: 0 is no memory policy; write strict:NODES, preferred:NODES, interleave:NODES or local"),
            ("strict", "1: strict names no node; write strict:0"),
            ("strict:", "1: strict names no node; write strict:0"),
            (
                "local:0",
                "6: local takes no nodes: memory is the node's whose CPU first touches it; write local alone, or \
                 preferred:NODES",
            ),
            ("strict:x", "8: x is not a node or a range of nodes; write nodes like 0, 0-1 or 0,2"),
            ("strict:1-0", "8: the range 1-0 runs backwards; did you mean 0-1?"),
            ("strict:1024", "8: 1024 names a node past the last there can be, 1023"),
            ("strict:0,,1", "10: nothing stands between the commas; leave the comma out"),
        ] {
            assert_eq!(wrong(text), said, "{text}");
            assert!(parse(text, None).policy.is_none(), "{text}");
        }
    }
}
