//! Threads of a pinned VM of which nobody can say where they belong.

use crate::output::text::count;
use crate::vm::expected::VmThread;
use pinning::{KernelThread, RoleKind};

/// A sentence on the io_uring workers that are not judged, if there are any.
pub(crate) fn not_judged(threads: &[VmThread]) -> Option<String> {
    let is_one = |thread: &&VmThread| {
        let of_ring =
            matches!(KernelThread::from_comm(&thread.thread.comm), Some(KernelThread::IoUringWorker { .. }));
        thread.expected.is_none() && thread.role == RoleKind::Worker && of_ring
    };
    let workers = threads.iter().filter(is_one).count();
    (workers > 0).then(|| {
        format!(
            "{} not judged: in a container it cannot be told for which thread they work; PIN_WORKERS says where all \
             workers belong",
            count(workers, "io_uring worker")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::not_judged;
    use crate::sys::fake::cpus;
    use crate::vm::expected::VmThread;
    use crate::vm::sample::vm_thread;
    use pinning::RoleKind;

    #[test]
    fn only_io_urings_workers_without_a_set_are_counted() {
        let worker = |comm: &str| vm_thread(7, RoleKind::Worker, comm);
        let known = VmThread { expected: Some(cpus("1")), ..worker("iou-wrk-7") };
        assert_eq!(not_judged(&[known.clone(), worker("worker")]), None);
        let said = not_judged(&[known, worker("iou-wrk-7"), worker("iou-wrk-8")]).unwrap();
        assert!(said.starts_with("2 io_uring workers not judged: "), "{said}");
    }
}
