//! Which warnings were given already: there is one for each role, cause and place.

use crate::hash::fnv1a;
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
    /// The kernel refused a scheduling class.
    ClassRefused = 3,
    /// A real-time class would have hung other threads.
    ClassWithheld = 4,
    /// The kernel gives no slices.
    NoSlices = 5,
}

/// So many warnings are told apart; then there are no more.
const KEPT: usize = 64;

/// True the first time it is asked about this role and cause.
pub(crate) fn first_time(role: RoleKind, cause: Cause) -> bool {
    first_time_in(role, cause, b"")
}

/// True the first time it is asked about this role and cause in this place: the path of a cgroup. Where each
/// thread has a cgroup of its own, each has a cause of its own.
pub(crate) fn first_time_in(role: RoleKind, cause: Cause, place: &[u8]) -> bool {
    static SAID: [AtomicU64; KEPT] = [const { AtomicU64::new(0) }; KEPT];
    // Two places with the same hash are taken for one.
    let key = fnv1a([role as u8, cause as u8].into_iter().chain(place.iter().copied()));
    for said in &SAID {
        match said.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(known) if known == key => return false,
            Err(_) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Cause, KEPT, first_time, first_time_in};
    use pinning::RoleKind;

    #[test]
    fn each_role_cause_and_place_is_said_once_and_no_more_than_can_be_kept() {
        for role in (0..=u8::MAX).filter_map(RoleKind::from_number) {
            for cause in [Cause::Cut, Cause::Refused, Cause::ListTooShort, Cause::NoSlices] {
                assert!(first_time(role, cause), "{role} {}", cause as u8);
                assert!(!first_time(role, cause), "{role} {}", cause as u8);
            }
        }
        assert!(first_time_in(RoleKind::Vcpu, Cause::Refused, b"/vcpu0"));
        assert!(first_time_in(RoleKind::Vcpu, Cause::Refused, b"/vcpu1"));
        assert!(!first_time_in(RoleKind::Vcpu, Cause::Refused, b"/vcpu0"));
        let more = (0..2 * KEPT)
            .filter(|number| first_time_in(RoleKind::Vcpu, Cause::Cut, number.to_string().as_bytes()));
        assert!(more.count() < KEPT);
    }
}
