//! A domain's XML.

use crate::cost::Limit;
use crate::libvirt::domain_xml::Domain;
use pinning::VARIABLES;

/// What is kept of a text is no more than some copies of it.
const LIMIT: Limit = Limit { memory: (64 << 10, 256), allocations: (1_000, 32) };

/// Whatever the text, it is read at a bounded cost. What it places are known variables, each value one line.
pub(crate) fn run(data: &[u8]) {
    let Ok(domain) = LIMIT.holds(data.len(), || Domain::read(data)) else {
        return;
    };
    for (name, value) in domain.placement.iter().flatten() {
        assert!(VARIABLES.iter().any(|variable| variable.places() && variable.name == name), "{name}");
        assert!(!value.contains(char::is_control), "{value:?}");
    }
    let faults = domain.faults.lines();
    assert!(faults.len() <= 13 && faults.iter().all(|fault| fault.len() <= 2_048), "{faults:?}");
    assert!(domain.uuid.chars().all(|c| c.is_ascii_hexdigit() || c == '-'), "{:?}", domain.uuid);
    for (name, _) in &domain.environment {
        assert!(name.starts_with("PIN_"), "{name}");
    }
}
