//! A domain's XML.

use crate::cost::Limit;
use crate::libvirt::domain_xml::Domain;
use pinning::VARIABLES;

/// What is kept of a text is no more than some copies of it.
const LIMIT: Limit = Limit { memory: (64 << 10, 256), allocations: (1_000, 32) };

/// Whatever the text, it is read at a bounded cost. What it places are known variables, each value one line.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(domain) = LIMIT.holds(text.len(), || Domain::read(text)) else {
        return;
    };
    for (name, value) in domain.placement.iter().flatten() {
        assert!(VARIABLES.iter().any(|variable| variable.places() && variable.name == name), "{name}");
        assert!(!value.contains(char::is_control), "{value:?}");
    }
    for (name, _) in &domain.environment {
        assert!(name.starts_with("PIN_"), "{name}");
    }
}
