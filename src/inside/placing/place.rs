//! Putting a thread on its set: with QEMU's own rights, or by the broker where QEMU's sandbox forbids that.

use crate::affinity::direct::{Outcome, place_directly, place_thread_of};
use crate::affinity::threads::OwnThreads;
use crate::broker;
use crate::state::shim::Shim;
use crate::sys::errno::Errno;
use crate::sys::sched;
use pinning::{SetId, Tid, same_cpus};

/// Puts the calling thread, `tid`, on a set of the policy.
pub(crate) fn place_self(shim: &Shim, tid: Tid, id: SetId) -> Outcome {
    let outcome = place_directly(tid, shim.policy.set(id));
    by_the_broker_if_denied(shim, tid, id, outcome)
}

/// Puts another thread of this process on a set of the policy. The thread may end at any moment.
pub(crate) fn place_other(shim: &Shim, tid: Tid, id: SetId) -> Outcome {
    let outcome = place_thread_of(&OwnThreads::new(), tid, shim.policy.set(id));
    by_the_broker_if_denied(shim, tid, id, outcome)
}

/// What became of a thread; where QEMU's or another program's filter does not let it place itself, what the broker made of it.
fn by_the_broker_if_denied(shim: &Shim, tid: Tid, id: SetId, outcome: Outcome) -> Outcome {
    let Outcome::Refused(refusal @ (Errno(libc::EPERM) | Errno::FILTERED)) = outcome else { return outcome };
    let set = shim.policy.set(id);
    let answer = broker::ask(shim, tid, id, refusal);
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
