//! The ioctl requests that matter, and what is done around them.
//!
//! Every VM exit to user space is an ioctl: the way of a request that is none of our business is a few
//! compares and a jump. Nothing on KVM_RUN's way locks or allocates, and once every vCPU has run it
//! costs a load and a branch.

use crate::affinity::{self, About};
use crate::kernel;
use crate::me::{self, Me};
use crate::ownership;
use crate::process::{self, Shim};
use crate::register;
use crate::settle::{self, Astray, Scope, View};
use crate::thread_start::BIRTHS;
use crate::{broker, identity};
use pinning::RoleKind;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// linux/kvm.h: _IO(KVMIO, 0x41).
pub(crate) const KVM_CREATE_VCPU: u32 = 0xAE41;
/// linux/kvm.h: _IO(KVMIO, 0x80).
pub(crate) const KVM_RUN: u32 = 0xAE80;
/// linux/vhost.h: _IO(VHOST_VIRTIO, 0x01).
pub(crate) const VHOST_SET_OWNER: u32 = 0xAF01;

/// vCPUs that have not entered KVM_RUN yet.
static NOT_YET_RUN: AtomicU32 = AtomicU32::new(0);
/// A vCPU is in its first KVM_RUN, where the kernel makes a thread: looks that are left until somebody
/// has found it.
static KERNEL_THREAD_DUE: AtomicU32 = AtomicU32::new(0);
/// How often threads other than that vCPU look for it: with the kernel thread there, the first time is
/// enough; without (an older kernel, an Arm host), no look finds anything.
const LOOKS: u32 = 16;

/// Whether a look for a kernel thread is due: asked at every ioctl.
#[inline(always)]
pub(crate) fn kernel_thread_is_due() -> bool {
    KERNEL_THREAD_DUE.load(Ordering::Relaxed) != 0
}

/// Whether some vCPU has not run yet: asked at every KVM_RUN.
#[inline(always)]
pub(crate) fn some_vcpu_has_not_run() -> bool {
    NOT_YET_RUN.load(Ordering::Relaxed) != 0
}

/// A thread with this role has come.
pub(crate) fn vcpu_arrives(role: RoleKind) {
    if role == RoleKind::Vcpu {
        NOT_YET_RUN.fetch_add(1, Ordering::Relaxed);
        me::update(|me| me.before_first_run = true);
    }
}

/// The calling thread ends.
pub(crate) fn vcpu_ends(me: &Me) {
    if me.before_first_run {
        NOT_YET_RUN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The calling thread has created a vCPU. On x86, Arm and s390 that is the vCPU's own thread; the main thread
/// creates them for ppc64, and scratch ones for Arm, and is no vCPU itself.
#[cold]
pub(crate) fn vcpu_created() {
    let Some(shim) = process::shim() else { return };
    let tid = kernel::gettid();
    if tid.0 == kernel::getpid() || !ownership::is_ours() {
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
        crate::thread_start::enlist(shim, tid, &newborn, me.slot, true);
        vcpu_arrives(newborn.role);
    }
}

/// The calling thread is about to enter KVM_RUN, and some vCPU has not run yet. True if it is the first
/// one of the VM, which then has [`after_first_run`] to do.
#[cold]
pub(crate) fn before_run() -> bool {
    static SETTLED: AtomicBool = AtomicBool::new(false);
    let me = me::me();
    let Some(shim) = process::shim().filter(|_| me.before_first_run) else { return false };
    me::update(|me| me.before_first_run = false);
    NOT_YET_RUN.fetch_sub(1, Ordering::Relaxed);
    put_self(shim, &me);
    if SETTLED.swap(true, Ordering::AcqRel) {
        return false;
    }
    let all_listed = shim.page.is_some_and(|page| page.header.unlisted.load(Ordering::Relaxed) == 0);
    let unlisted_are_strangers = all_listed && BIRTHS.load(Ordering::Acquire) == 0;
    look(shim, Scope::All { unlisted_are_strangers });
    if let Some(page) = shim.page {
        page.header.settled.store(1, Ordering::Relaxed);
    }
    KERNEL_THREAD_DUE.store(LOOKS, Ordering::Relaxed);
    broker::look_soon(shim);
    true
}

/// The first KVM_RUN of all has returned: what the kernel made inside it is there now.
#[cold]
pub(crate) fn after_first_run() {
    KERNEL_THREAD_DUE.store(0, Ordering::Relaxed);
    look_for_kernel_threads();
}

/// An ioctl of any thread: a look is due while that first KVM_RUN goes on.
#[cold]
pub(crate) fn meanwhile() {
    let left = KERNEL_THREAD_DUE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    if left.is_ok() {
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
    let astray = Astray { tid: kernel::gettid(), role: me.role, set: me.set };
    place_and_account(shim, &astray);
}

fn look(shim: &Shim, scope: Scope) {
    let Some(page) = process::owned_page() else { return };
    let view = View { pid: kernel::getpid(), policy: &shim.policy, page, proc_folder: libc::AT_FDCWD };
    // Without /proc (`-chroot`) there is nothing to look at.
    let _ = settle::look(&view, scope, |astray| place_and_account(shim, astray));
}

fn place_and_account(shim: &Shim, astray: &Astray) {
    let outcome = affinity::place(shim, astray.tid, astray.set);
    if matches!(outcome, affinity::Outcome::Placed { moved: false }) {
        return;
    }
    if let Some(page) = shim.page {
        page.header.put_back.fetch_add(1, Ordering::Relaxed);
        if let Some(entry) = register::entry_of(page, astray.tid) {
            entry.state.store(outcome.state() as u8, Ordering::Release);
        }
    }
    let who = About { tid: astray.tid, role: astray.role, name: b"", set: astray.set };
    affinity::account(shim, shim.page, &who, &outcome);
}
