//! The ioctl requests that matter, and what is done around them.
//!
//! Every VM exit to user space is an ioctl: the way of a request that is none of our business is a few
//! compares and a jump. Nothing on KVM_RUN's way locks or allocates, and once every vCPU has run it
//! costs a load and a branch.

use crate::affinity::direct::{self as affinity, About};
use crate::affinity::scan::{self as settle, Astray, Scope, View};
use crate::broker;
use crate::identity::role as identity;
use crate::start::{self as process, Shim};
use crate::state::current::{self as me, Me};
use crate::state::ownership;
use crate::state::slots as register;
use crate::sys::thread;
use crate::sys::wait;
use pinning::RoleKind;
use std::sync::atomic::{AtomicU32, Ordering};

/// linux/kvm.h: _IO(KVMIO, 0x41).
pub(crate) const KVM_CREATE_VCPU: u32 = 0xAE41;
/// linux/kvm.h: _IO(KVMIO, 0x80).
pub(crate) const KVM_RUN: u32 = 0xAE80;
/// linux/vhost.h: _IO(VHOST_VIRTIO, 0x01).
pub(crate) const VHOST_SET_OWNER: u32 = 0xAF01;

/// What is left to be done at ioctls, in one word, since it is asked at every one: in the lower half, the vCPUs
/// that have not entered KVM_RUN yet; in the upper half, while a vCPU is in the very first KVM_RUN, where the kernel
/// makes a thread, how many looks for it are left.
static DUE: AtomicU32 = AtomicU32::new(0);
const ONE_LOOK: u32 = 0x1_0000;
/// How often threads other than that vCPU look: with the kernel's thread there, the first time is enough;
/// without (an older kernel, an Arm host), no look finds anything.
const LOOKS: u32 = 16 * ONE_LOOK;

/// Whether a look for a kernel thread is due.
#[inline(always)]
pub(crate) fn kernel_thread_is_due() -> bool {
    DUE.load(Ordering::Relaxed) >= ONE_LOOK
}

/// Whether that is due, or some vCPU has not run yet.
#[inline(always)]
pub(crate) fn something_is_due() -> bool {
    DUE.load(Ordering::Relaxed) != 0
}

/// A thread with this role has come.
pub(crate) fn vcpu_arrives(role: RoleKind) {
    if role == RoleKind::Vcpu {
        DUE.fetch_add(1, Ordering::Relaxed);
        me::update(|me| me.before_first_run = true);
    }
}

/// The calling thread ends.
pub(crate) fn vcpu_ends(me: &Me) {
    if me.before_first_run {
        DUE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The calling thread has created a vCPU. On x86, Arm and s390 that is the vCPU's own thread; the main thread
/// creates them for ppc64, and scratch ones for Arm, and is no vCPU itself.
#[cold]
pub(crate) fn vcpu_created() {
    let Some(shim) = process::shim() else { return };
    let tid = thread::gettid();
    if tid.0 == thread::getpid() || !ownership::is_ours() {
        return;
    }
    let me = me::me();
    if me.role == RoleKind::Vcpu {
        put_self(shim, &me);
    } else if !me.named {
        let newborn = identity::of_unnamed_vcpu(&shim.policy);
        me::update(|me| (me.role, me.set, me.home) = (newborn.role, newborn.set, newborn.home));
        if let Some(slot) = me.slot {
            register::reintroduce(slot, &newborn);
        }
        crate::calls::create::enlist(shim, tid, &newborn, me.slot, true);
        vcpu_arrives(newborn.role);
    }
}

/// The calling thread is about to enter KVM_RUN, and something is due. True if it is the first vCPU of the VM
/// to do so, which then has [`after_first_run`] to do.
#[cold]
pub(crate) fn before_run() -> bool {
    let me = me::me();
    let Some(shim) = process::shim().filter(|_| me.before_first_run) else {
        meanwhile();
        return false;
    };
    me::update(|me| me.before_first_run = false);
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
pub(crate) fn after_first_run() {
    DUE.fetch_and(ONE_LOOK - 1, Ordering::Relaxed);
    look_for_kernel_threads();
}

/// An ioctl of any thread: a look is due while that first KVM_RUN goes on.
#[cold]
pub(crate) fn meanwhile() {
    let one_less = |due: u32| due.checked_sub(ONE_LOOK);
    if DUE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        look_for_kernel_threads();
    }
}

/// The kernel has just made a vhost worker, or may have made another thread of its own.
#[cold]
pub(crate) fn look_for_kernel_threads() {
    if let Some(shim) = process::shim() {
        look(shim, Scope::KernelThreads);
    }
}

/// Puts the calling vCPU back on its set, if somebody has moved it.
fn put_self(shim: &Shim, me: &Me) {
    let astray = Astray { tid: thread::gettid(), role: me.role, set: me.set };
    place_and_account(shim, &astray);
}

fn look(shim: &Shim, scope: Scope) {
    let Some(page) = process::owned_page() else { return };
    let view = View { pid: thread::getpid(), policy: &shim.policy, page, proc_folder: libc::AT_FDCWD };
    // Without /proc (`-chroot`) there is nothing to look at.
    let _ = settle::look(&view, scope, |astray| place_and_account(shim, astray));
}

fn place_and_account(shim: &Shim, astray: &Astray) {
    let outcome = affinity::place(shim, astray.tid, astray.set);
    if matches!(outcome, affinity::Outcome::Placed { moved: false }) {
        return;
    }
    if let Some(page) = shim.page {
        if matches!(outcome, affinity::Outcome::Placed { .. }) {
            page.header.put_back.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(entry) = register::entry_of(page, astray.tid) {
            entry.state.store(outcome.state() as u8, Ordering::Release);
        }
    }
    let who = About { tid: astray.tid, role: astray.role, name: b"", set: astray.set };
    affinity::account(shim, shim.page, &who, &outcome);
}
