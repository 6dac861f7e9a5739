//! `ioctl`: the requests that tell something of a thread, and what is done around them.
//!
//! KVM_CREATE_VCPU shows that a thread is a vCPU. At its first KVM_RUN a vCPU puts itself back on its set,
//! and the first of them rescans all threads, since libvirt moves threads while the VM is paused. After
//! VHOST_SET_OWNER and VHOST_NEW_WORKER, and in the first KVM_RUN of all, the kernel makes a thread in the
//! process. On a host with Microsoft's hypervisor (`-accel mshv`) MSHV_RUN_VP is what KVM_RUN is with KVM.
//!
//! Every VM exit to user space is an ioctl, so a request of no interest costs a few compares and a jump, and
//! a KVM_RUN after the first ones a load and a branch more. Nothing around KVM_RUN locks or allocates.

use crate::affinity::scan::Scope;
use crate::broker;
use crate::identity::role;
use crate::placing::kernel_threads::look_for_kernel_threads;
use crate::placing::rescan::{put_back_self, rescan};
use crate::placing::{class, enlist, unmet};
use crate::state::first_run::FIRST_RUN;
use crate::state::{current, ownership, shim, slots};
use crate::sys::errno::keeping_errno;
use crate::sys::{thread, wait};
use libc::{c_int, c_ulong};
use pinning::RoleKind;
use std::sync::atomic::Ordering;

/// linux/kvm.h: _IO(KVMIO, 0x41).
const KVM_CREATE_VCPU: u32 = 0xAE41;
/// linux/kvm.h: _IO(KVMIO, 0x80).
const KVM_RUN: u32 = 0xAE80;
/// linux/mshv.h: _IOR(MSHV_IOCTL, 0x00, struct mshv_run_vp), a struct of 256 bytes.
const MSHV_RUN_VP: u32 = 0x8100_B800;
/// linux/vhost.h: _IO(VHOST_VIRTIO, 0x01).
const VHOST_SET_OWNER: u32 = 0xAF01;
/// linux/vhost.h: _IOR(VHOST_VIRTIO, 0x8, struct vhost_worker_state), a struct of 4 bytes. From Linux 6.4 on.
const VHOST_NEW_WORKER: u32 = 0x8004_AF08;

/// Whether there is something to do before or after an ioctl with this request. Asked at every ioctl of every
/// thread.
#[inline(always)]
pub fn ioctl_is_of_interest(request: c_ulong) -> bool {
    // Some callers sign-extend the request; the kernel looks at its low 32 bits.
    match request as u32 {
        KVM_RUN | MSHV_RUN_VP => FIRST_RUN.something_is_due(),
        KVM_CREATE_VCPU | VHOST_SET_OWNER | VHOST_NEW_WORKER => true,
        _ => FIRST_RUN.kernel_thread_is_due(),
    }
}

/// Makes an ioctl by `real`, which is called exactly once, and does what is to be done before and after it.
/// Returns what `real` returned, with its errno.
#[inline(always)]
pub fn around_ioctl(request: c_ulong, real: impl FnOnce() -> c_int) -> c_int {
    let number = request as u32;
    let first = quietly(|| match number {
        KVM_RUN | MSHV_RUN_VP => before_run(),
        _ => {
            look_during_first_run();
            false
        }
    });
    let result = real();
    quietly(|| match number {
        KVM_RUN | MSHV_RUN_VP if first => after_first_run(),
        KVM_CREATE_VCPU if result >= 0 => vcpu_created(),
        VHOST_SET_OWNER | VHOST_NEW_WORKER if result >= 0 => look_for_kernel_threads(),
        _ => {}
    });
    result
}

/// Does `work` beside the real call. It leaves errno as it was, and if `work` panics, which it never should,
/// the real call is still made and its result returned.
fn quietly<R: Default>(work: impl FnOnce() -> R) -> R {
    keeping_errno(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_default())
}

/// The calling thread has created a vCPU. On x86, Arm and s390 it is that vCPU's own thread. For ppc64 the
/// main thread creates the vCPUs, and for Arm some to try; it is no vCPU itself.
#[cold]
fn vcpu_created() {
    let Some(shim) = shim::shim() else { return };
    let tid = thread::gettid();
    if tid.0 == thread::getpid() || !ownership::is_ours() {
        return;
    }
    let current = slots::as_it_stands(&shim.policy, current::thread());
    if current.role == RoleKind::Vcpu {
        put_back_self(shim, &current);
    } else if !current.named {
        let identity = role::unnamed_vcpu(&shim.policy, current.standing);
        enlist::enlist_as(shim, tid, &current, &identity);
    }
}

/// The calling thread is about to enter KVM_RUN, and something is due. True if it is the first vCPU of the VM
/// to do so: then [`after_first_run`] is to be called afterwards.
#[cold]
fn before_run() -> bool {
    let Some(shim) = shim::shim().filter(|_| current::update(|current| FIRST_RUN.vcpu_enters(current)))
    else {
        look_during_first_run();
        return false;
    };
    put_back_self(shim, &slots::as_it_stands(&shim.policy, current::thread()));
    let first = FIRST_RUN.begin_rescan();
    if first {
        rescan(shim, Scope::All);
        class::give_withheld(shim);
        FIRST_RUN.end_rescan();
        unmet::guest_runs(shim);
        if let Some(page) = shim.page {
            page.header.settled.store(1, Ordering::Relaxed);
        }
        FIRST_RUN.begin_looks();
        broker::look_soon();
    } else {
        wait_for_the_rescan();
    }
    first
}

/// Waits until the vCPU that is rescanning is done, for 100 ms at most. A rescan takes less than one.
fn wait_for_the_rescan() {
    for _ in 0..1000 {
        if !FIRST_RUN.rescan_is_under_way() {
            return;
        }
        wait::sleep_us(100);
    }
}

/// The first KVM_RUN of all has returned, so the thread that the kernel makes in it exists.
#[cold]
fn after_first_run() {
    FIRST_RUN.end_looks();
    look_for_kernel_threads();
}

/// Some thread makes an ioctl. While the first KVM_RUN of all goes on, it looks for the thread that the
/// kernel makes.
#[cold]
fn look_during_first_run() {
    if FIRST_RUN.take_look() {
        look_for_kernel_threads();
    }
}
