//! Threads that the kernel makes in QEMU's process, without any `pthread_create`.

use crate::role::{Role, decimal};

/// A thread that the kernel makes in QEMU's process, told from others by its comm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelThread {
    /// KVM's `kvm-nx-lpage-recovery`, made in the first vCPU's first `KVM_RUN` (arch/x86/kvm/mmu/mmu.c).
    NxRecovery,
    /// A vhost worker, `vhost-<pid>` (kernel/vhost_task.c).
    Vhost,
    /// An io_uring worker, `iou-wrk-<tid>` (io_uring/io-wq.c).
    IoUringWorker {
        /// The tid of the thread whose requests it serves.
        submitter: u32,
    },
}

impl KernelThread {
    /// The kernel's thread with this comm; `None` if it is the comm of no such thread.
    pub fn from_comm(comm: &[u8]) -> Option<Self> {
        if comm.starts_with(b"kvm-nx-lpage-re") {
            Some(KernelThread::NxRecovery)
        } else if let Some(submitter) = comm.strip_prefix(b"iou-wrk-") {
            Some(KernelThread::IoUringWorker { submitter: decimal(submitter)? })
        } else {
            decimal(comm.strip_prefix(b"vhost-")?).map(|_| KernelThread::Vhost)
        }
    }

    /// The role of such a thread, which gives it its set.
    pub fn role(self) -> Role<'static> {
        match self {
            KernelThread::NxRecovery => Role::Emulator,
            KernelThread::Vhost => Role::Vhost,
            KernelThread::IoUringWorker { .. } => Role::Worker,
        }
    }

    /// The name that the kernel gave it, where that is longer than the 15 bytes of a comm.
    pub fn full_name(self) -> Option<&'static str> {
        match self {
            KernelThread::NxRecovery => Some("kvm-nx-lpage-recovery"),
            KernelThread::Vhost | KernelThread::IoUringWorker { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comm_tells_what_the_kernel_made_the_thread_for() {
        let of = |comm: &str| KernelThread::from_comm(comm.as_bytes());
        assert_eq!(of("kvm-nx-lpage-re"), Some(KernelThread::NxRecovery));
        assert_eq!(of("vhost-4194304"), Some(KernelThread::Vhost));
        assert_eq!(of("iou-wrk-4194304"), Some(KernelThread::IoUringWorker { submitter: 4_194_304 }));
        for comm in ["vhost-", "vhost-user", "iou-wrk-", "iou-sqp-7", "CPU 0/KVM", ""] {
            assert_eq!(of(comm), None, "{comm}");
        }
    }

    #[test]
    fn a_full_name_begins_with_the_comm_that_the_kernel_cuts_it_to() {
        let name = KernelThread::NxRecovery.full_name().unwrap();
        assert_eq!(KernelThread::from_comm(&name.as_bytes()[..15]), Some(KernelThread::NxRecovery));
    }
}
