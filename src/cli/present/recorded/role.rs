//! What a recorded thread is called.

use crate::record::recording::ThreadLane;
use pinning::RoleKind;

/// What it does, with its number where it has one; `?` where that is assumed.
pub(crate) fn role(lane: &ThreadLane) -> String {
    let doubt = if lane.role_assumed { "?" } else { "" };
    match (lane.role, lane.index) {
        (RoleKind::Vcpu | RoleKind::Vhost, Some(index)) => format!("{} {index}{doubt}", lane.role),
        (role, _) => format!("{role}{doubt}"),
    }
}
