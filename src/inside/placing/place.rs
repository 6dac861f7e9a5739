//! Putting a thread on its set: with QEMU's own rights, or by the broker where QEMU's sandbox forbids that.

use crate::affinity::direct::{Outcome, place_directly};
use crate::broker;
use crate::state::shim::Shim;
use crate::sys::errno::Errno;
use crate::sys::sched;
use pinning::{SetId, Tid, same_cpus};

/// Puts a thread of this process on a set of the policy.
pub(crate) fn place(shim: &Shim, tid: Tid, id: SetId) -> Outcome {
    let set = shim.policy.set(id);
    match place_directly(tid, set) {
        Outcome::Refused(Errno(libc::EPERM)) => {}
        outcome => return outcome,
    }
    let answer = broker::ask(shim, tid, id);
    // What the kernel answers is what counts. QEMU before 6.1 forbids to read affinities too; then the
    // broker's answer counts.
    match sched::affinity(tid) {
        Ok(mask) if same_cpus(mask.words(), set.words()) => Outcome::Placed { moved: true },
        Ok(mask) if matches!(answer, broker::Answer::Cut | broker::Answer::Placed) => {
            Outcome::Cut(Some(mask))
        }
        _ => match answer {
            broker::Answer::Placed => Outcome::Placed { moved: true },
            broker::Answer::Cut => Outcome::Cut(None),
            broker::Answer::Refused(errno) => Outcome::Refused(errno),
            broker::Answer::None => Outcome::Unanswered,
        },
    }
}
