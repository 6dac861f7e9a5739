//! `PIN_TARGET`.

use super::{glob, hosts, policy};
use pinning::{DEFAULT_TARGETS, acts_in};

/// A list of globs and a basename, separated by a line feed. An accepted list acts where one of its globs
/// matches; any list has an answer.
pub(crate) fn run(data: &[u8]) {
    let data = &data[..data.len().min(4_096)];
    let (host, data) = hosts::choose(data);
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (list, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let acts = acts_in(Some(list), name);
    let environment = [("PIN_TARGET".to_owned(), list.to_vec()), ("PIN_CPUS".to_owned(), b"all".to_vec())];
    if policy::check(&environment, &host).policy.is_some() {
        let text = std::str::from_utf8(list).expect("what is accepted is text");
        let globs = text.split(',').map(|item| item.trim_matches([' ', '\t', '\n']));
        let any = globs.map(str::as_bytes).any(|item| glob::matches(item, name));
        assert_eq!(acts, any);
        assert!(!list.contains(&b'/'));
    }
    assert_eq!(acts_in(None, name), acts_in(Some(DEFAULT_TARGETS.as_bytes()), name));
}
