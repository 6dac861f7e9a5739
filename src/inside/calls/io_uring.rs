//! `io_uring_submit` and its kin: placing io_uring's workers, threads that the kernel makes when a request
//! would block.
//!
//! They belong to the thread that submits (`iou-wrk-<its tid>`). Each thread's pool of workers has a mask of
//! its own, which only that thread can set (IORING_REGISTER_IOWQ_AFF, from Linux 5.14 on), and only after its
//! first submission. So it is set after a submission, and workers that exist already are put on their set by
//! a rescan.

use crate::placing::kernel_threads::look_for_kernel_threads;
use crate::report::targets;
use crate::state::current;
use crate::state::ownership;
use crate::state::shim;
use crate::state::slots;
use crate::sys::errno::keeping_errno;
use crate::sys::path::StackPath;
use crate::sys::sched;
use crate::sys::thread;
use libc::c_int;
use pinning::{KernelThread, Policy, SetId, Tid};
use std::ffi::c_void;
use std::fmt::Write;

/// Where liburing keeps the ring's descriptor in `struct io_uring` (liburing.h). It has been there since 0.7,
/// as the submission and completion queues before it are padded to keep their size.
const RING_FD_AT: usize = 196;

/// Does what is to be done after a submission to a ring of liburing's, and returns its result, with its errno.
///
/// # Safety
/// `ring` is what the caller of `io_uring_submit` passed: liburing has just used it.
pub unsafe fn after_submission(ring: *const c_void, result: c_int) -> c_int {
    if result > 0 && shim::shim().is_some() {
        // SAFETY: as the caller upholds.
        keeping_errno(|| unsafe { submitted(ring) });
    }
    result
}

/// Places the workers of the calling thread, which has submitted to a ring of liburing's.
///
/// # Safety
/// As for [`after_submission`].
unsafe fn submitted(ring: *const c_void) {
    if current::thread().ring_tries == 0 {
        return;
    }
    // SAFETY: `struct io_uring` is at least 216 bytes long.
    let fd = unsafe { ring.byte_add(RING_FD_AT) };
    // SAFETY: this is an aligned int in it.
    place_workers(unsafe { *fd.cast::<i32>() });
}

/// Sets the mask of the calling thread's workers. It holds for all rings of the thread, so it is set once.
/// The kernel refuses it while the thread has no pool.
#[cold]
fn place_workers(ring: i32) {
    let Some(shim) = shim::shim().filter(|_| ownership::is_ours()) else { return };
    let current = slots::as_it_stands(&shim.policy, current::thread());
    let home = if current.known { current.home } else { shim.policy.emulator() };
    let workers = set_of_workers(&shim.policy, thread::gettid(), home);
    let placed = is_ring(ring)
        && match sched::set_io_uring_workers(ring, shim.policy.set(workers).words()) {
            Ok(()) => true,
            Err(errno) => {
                log::debug!(target: targets::URING, "io_uring {ring}: its workers' mask could not be set: {errno}");
                false
            }
        };
    current::update(|current| current.ring_tries = if placed { 0 } else { current.ring_tries - 1 });
    look_for_kernel_threads();
}

/// The set of the workers of a thread, which the kernel names after it. The mask is one for all of them, so a rule that
/// matches their name decides here too.
fn set_of_workers(policy: &Policy, Tid(submitter): Tid, home: SetId) -> SetId {
    let mut name = StackPath::default();
    let _ = write!(name, "iou-wrk-{submitter}");
    let worker = KernelThread::IoUringWorker { submitter: submitter.unsigned_abs() };
    let name = name.as_c_str().to_bytes();
    policy.cpus_for_kernel_thread(worker, name, 0, Some(home)).unwrap_or_else(|| policy.workers_of(home))
}

/// Whether this is a ring's descriptor. It is not, if liburing's layout is another than the one known here.
fn is_ring(fd: i32) -> bool {
    StackPath::of_descriptor(fd).as_c_str() == c"anon_inode:[io_uring]"
}
