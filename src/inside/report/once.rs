//! Which warnings were given already: there is one for each role and cause.

use pinning::RoleKind;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a warning is about.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Cause {
    /// The cpuset left only a part of the set.
    Cut = 0,
    /// The kernel refused.
    Refused = 1,
    /// An ordered list had no entry for it.
    ListTooShort = 2,
}

/// True the first time it is asked about this role and cause.
pub(crate) fn first_time(role: RoleKind, cause: Cause) -> bool {
    static SAID: AtomicU64 = AtomicU64::new(0);
    let bit = 1u64 << ((role as u8 & 7) * 8 + cause as u8);
    SAID.fetch_or(bit, Ordering::Relaxed) & bit == 0
}

#[cfg(test)]
mod tests {
    use super::{Cause, first_time};
    use pinning::RoleKind;

    #[test]
    fn each_role_and_cause_is_said_once() {
        for role in (0..=u8::MAX).filter_map(RoleKind::from_number) {
            for cause in [Cause::Cut, Cause::Refused, Cause::ListTooShort] {
                assert!(first_time(role, cause), "{role} {}", cause as u8);
                assert!(!first_time(role, cause), "{role} {}", cause as u8);
            }
        }
    }
}
