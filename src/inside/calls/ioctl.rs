//! The ioctl requests that matter, and what is done around them.
//!
//! Every VM exit to user space is an ioctl: the way of a request that is none of our business is a few
//! compares and a jump. Nothing on KVM_RUN's way locks or allocates, and once every vCPU has run it
//! costs a load and a branch.

use crate::affinity::scan::Scope;
use crate::broker;
use crate::identity::role;
use crate::placing::enlist;
use crate::placing::rescan::{look, look_for_kernel_threads, put_self};
use crate::state::first_run::{self, DUE, LOOKS, ONE_LOOK, vcpu_arrives};
use crate::state::{current, ownership, shim, slots};
use crate::sys::{errno, thread, wait};
use libc::{c_int, c_ulong};
use pinning::RoleKind;
use std::sync::atomic::{AtomicU32, Ordering};

/// linux/kvm.h: _IO(KVMIO, 0x41).
const KVM_CREATE_VCPU: u32 = 0xAE41;
/// linux/kvm.h: _IO(KVMIO, 0x80).
const KVM_RUN: u32 = 0xAE80;
/// linux/vhost.h: _IO(VHOST_VIRTIO, 0x01).
const VHOST_SET_OWNER: u32 = 0xAF01;

/// Whether there is something to do before or after an ioctl with this request. Asked at every ioctl of every thread.
#[inline(always)]
pub fn ioctl_is_of_interest(request: c_ulong) -> bool {
    // Some callers sign-extend the request; the kernel looks at its low 32 bits.
    match request as u32 {
        KVM_RUN => first_run::something_is_due(),
        KVM_CREATE_VCPU | VHOST_SET_OWNER => true,
        _ => first_run::kernel_thread_is_due(),
    }
}

/// Makes an ioctl by `real`, which is called exactly once, with what is to be done before and after it. Returns
/// what `real` returned, with its errno.
#[inline(always)]
pub fn around_ioctl(request: c_ulong, real: impl FnOnce() -> c_int) -> c_int {
    let number = request as u32;
    let before = errno::errno();
    let first = quietly(|| match number {
        KVM_RUN => before_run(),
        _ => {
            meanwhile();
            false
        }
    });
    errno::set_errno(before);
    let result = real();
    let after = errno::errno();
    quietly(|| match number {
        KVM_RUN if first => after_first_run(),
        KVM_CREATE_VCPU if result >= 0 => vcpu_created(),
        VHOST_SET_OWNER if result >= 0 => look_for_kernel_threads(),
        _ => {}
    });
    errno::set_errno(after);
    result
}

/// What is done besides the real call must not take it along if it panics, which it never should.
fn quietly<R: Default>(work: impl FnOnce() -> R) -> R {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_default()
}

/// The calling thread has created a vCPU. On x86, Arm and s390 that is the vCPU's own thread; the main thread
/// creates them for ppc64, and scratch ones for Arm, and is no vCPU itself.
#[cold]
fn vcpu_created() {
    let Some(shim) = shim::shim() else { return };
    let tid = thread::gettid();
    if tid.0 == thread::getpid() || !ownership::is_ours() {
        return;
    }
    let me = current::me();
    if me.role == RoleKind::Vcpu {
        put_self(shim, &me);
    } else if !me.named {
        let newborn = role::of_unnamed_vcpu(&shim.policy);
        current::update(|me| (me.role, me.set, me.home) = (newborn.role, newborn.set, newborn.home));
        if let Some(slot) = me.slot {
            slots::reintroduce(slot, &newborn);
        }
        enlist::enlist(shim, tid, &newborn, me.slot, true);
        vcpu_arrives(newborn.role);
    }
}

/// The calling thread is about to enter KVM_RUN, and something is due. True if it is the first vCPU of the VM
/// to do so, which then has [`after_first_run`] to do.
#[cold]
fn before_run() -> bool {
    let me = current::me();
    let Some(shim) = shim::shim().filter(|_| me.before_first_run) else {
        meanwhile();
        return false;
    };
    current::update(|me| me.before_first_run = false);
    DUE.fetch_sub(1, Ordering::Relaxed);
    put_self(shim, &me);
    let first = SETTLING.compare_exchange(UNSETTLED, LOOKING, Ordering::AcqRel, Ordering::Acquire).is_ok();
    if first {
        look(shim, Scope::All);
        SETTLING.store(SETTLED, Ordering::Release);
        if let Some(page) = shim.page {
            page.header.settled.store(1, Ordering::Relaxed);
        }
        DUE.fetch_add(LOOKS, Ordering::Relaxed);
        broker::look_soon(shim);
    } else {
        wait_until_settled();
    }
    first
}

/// Whether everything was looked over. The guest's first instruction is any vCPU's, so the others wait for the one
/// that looks.
static SETTLING: AtomicU32 = AtomicU32::new(UNSETTLED);
const UNSETTLED: u32 = 0;
const LOOKING: u32 = 1;
const SETTLED: u32 = 2;

fn wait_until_settled() {
    // 100 ms; a look takes less than one.
    for _ in 0..1000 {
        if SETTLING.load(Ordering::Acquire) != LOOKING {
            return;
        }
        wait::sleep_us(100);
    }
}

/// The first KVM_RUN of all has returned: what the kernel made inside it is there now.
#[cold]
fn after_first_run() {
    DUE.fetch_and(ONE_LOOK - 1, Ordering::Relaxed);
    look_for_kernel_threads();
}

/// An ioctl of any thread: a look is due while that first KVM_RUN goes on.
#[cold]
fn meanwhile() {
    let one_less = |due: u32| due.checked_sub(ONE_LOOK);
    if DUE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        look_for_kernel_threads();
    }
}
