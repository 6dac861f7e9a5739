//! `PIN_LOG`.

use super::{hosts, policy};

/// A filter that is accepted is one that env_logger reads without a complaint, which it would print to stderr.
pub(crate) fn run(data: &[u8]) {
    let (host, text) = hosts::choose(data);
    let environment = [("PIN_LOG".to_owned(), text.to_vec()), ("PIN_CPUS".to_owned(), b"all".to_vec())];
    let Some(policy) = policy::check(&environment, &host).policy else {
        return;
    };
    assert_eq!(policy.log_filter().as_bytes(), text);
    let read = env_filter::Builder::new().try_parse(policy.log_filter()).map(drop);
    assert!(read.is_ok(), "{:?}: {read:?}", policy.log_filter());
}
