//! The ioctl requests that matter, and what is done around them.
//!
//! Every VM exit to user space is an ioctl: the way of a request that is none of our business is a few
//! compares and a jump. Nothing on KVM_RUN's way locks or allocates, and once every vCPU has run it
//! costs a load and a branch.

use crate::affinity::scan::Scope;
use crate::broker;
use crate::identity::role;
use crate::placing::enlist;
pub use crate::placing::rescan::look_for_kernel_threads;
use crate::placing::rescan::{look, put_self};
use crate::state::first_run::{DUE, LOOKS, ONE_LOOK, vcpu_arrives};
use crate::state::{current, ownership, shim, slots};
use crate::sys::{thread, wait};
use pinning::RoleKind;
use std::sync::atomic::{AtomicU32, Ordering};

/// linux/kvm.h: _IO(KVMIO, 0x41).
pub const KVM_CREATE_VCPU: u32 = 0xAE41;
/// linux/kvm.h: _IO(KVMIO, 0x80).
pub const KVM_RUN: u32 = 0xAE80;
/// linux/vhost.h: _IO(VHOST_VIRTIO, 0x01).
pub const VHOST_SET_OWNER: u32 = 0xAF01;

/// The calling thread has created a vCPU. On x86, Arm and s390 that is the vCPU's own thread; the main thread
/// creates them for ppc64, and scratch ones for Arm, and is no vCPU itself.
#[cold]
pub fn vcpu_created() {
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
pub fn before_run() -> bool {
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
pub fn after_first_run() {
    DUE.fetch_and(ONE_LOOK - 1, Ordering::Relaxed);
    look_for_kernel_threads();
}

/// An ioctl of any thread: a look is due while that first KVM_RUN goes on.
#[cold]
pub fn meanwhile() {
    let one_less = |due: u32| due.checked_sub(ONE_LOOK);
    if DUE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        look_for_kernel_threads();
    }
}
