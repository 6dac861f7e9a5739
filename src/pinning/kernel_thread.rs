//! The threads that the kernel makes in QEMU's process, told apart by their comm.

use crate::role::{Role, decimal};

/// A thread that the kernel makes in QEMU's process, without any `pthread_create`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelThread {
    /// KVM's `kvm-nx-lpage-recovery`, made in the first vCPU's first `KVM_RUN` (arch/x86/kvm/mmu/mmu.c).
    NxRecovery,
    /// A vhost worker, `vhost-<pid>` (kernel/vhost_task.c).
    Vhost,
    /// An io_uring worker (io_uring/io-wq.c).
    IoUringWorker {
        /// The tid of the thread whose requests it serves.
        submitter: u32,
    },
}

impl Role<'_> {
    /// What the kernel made this thread of the process for, by its comm.
    pub fn of_kernel_comm(comm: &[u8]) -> Option<KernelThread> {
        if comm.starts_with(b"kvm-nx-lpage-re") {
            Some(KernelThread::NxRecovery)
        } else if let Some(submitter) = comm.strip_prefix(b"iou-wrk-") {
            Some(KernelThread::IoUringWorker { submitter: decimal(submitter)? })
        } else {
            decimal(comm.strip_prefix(b"vhost-")?).map(|_| KernelThread::Vhost)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_threads_by_comm() {
        let of = |comm: &str| Role::of_kernel_comm(comm.as_bytes());
        assert_eq!(of("kvm-nx-lpage-re"), Some(KernelThread::NxRecovery));
        assert_eq!(of("vhost-4194304"), Some(KernelThread::Vhost));
        assert_eq!(of("iou-wrk-4194304"), Some(KernelThread::IoUringWorker { submitter: 4_194_304 }));
        for comm in ["vhost-", "vhost-user", "iou-wrk-", "iou-sqp-7", "CPU 0/KVM", ""] {
            assert_eq!(of(comm), None, "{comm}");
        }
    }
}
