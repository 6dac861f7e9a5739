//! The role and the set of a thread.
//!
//! The creator asks before the thread exists. QEMU's name for the thread decides; for a worker also its pool, since a
//! worker may be created by any worker of the pool, or by a vCPU that happens to poll the main loop's context.
//! Any thread may create threads, so nothing here locks or allocates.

use crate::identity::pools;
use crate::identity::qemu::Thread;
use crate::report::{self, Cause, targets};
use crate::state::current;
use crate::state::shim::Shim;
use crate::state::thread_identity::ThreadIdentity;
use pinning::{Policy, Role, RoleKind, VcpuIndex};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Who the thread is that the calling thread is about to create. `thread` is what QEMU says of it; `None` if it is no
/// thread of QEMU's.
pub(crate) fn new_thread(shim: &Shim, thread: Option<&Thread<'_>>) -> ThreadIdentity {
    let policy = &shim.policy;
    let Some(thread) = thread else {
        return ThreadIdentity::unnamed(RoleKind::Emulator, policy.emulator(), policy.emulator());
    };
    // A thread of QEMU's with a name that is not known here belongs to the emulator.
    let role = Role::of_qemu_name(thread.name).unwrap_or(Role::Emulator);
    let home = if role == Role::Worker {
        pools::pool_home(policy, thread.argument, &current::thread())
    } else {
        policy.emulator()
    };
    let order = match role {
        Role::IoThread(id) => iothread_order(id),
        _ => 0,
    };
    warn_if_list_too_short(policy, role, order);
    let rule = policy.rule_for(thread.name);
    // A user whose rule names an exempt thread wants it placed.
    let role = if rule.is_some() && role == Role::Exempt { Role::Emulator } else { role };
    let set = rule.unwrap_or_else(|| policy.cpus_for(role, order, home));
    let index = match role {
        Role::Vcpu(index) => Some(index.0),
        Role::IoThread(_) => Some(order),
        _ => None,
    };
    let home = if role.kind() == RoleKind::IoThread { set } else { home };
    ThreadIdentity::unnamed(role.kind(), set, home).numbered(index).with_name(thread.name)
}

/// Who the main thread is.
pub(crate) fn main_thread(policy: &Policy) -> ThreadIdentity {
    ThreadIdentity::unnamed(RoleKind::Emulator, policy.emulator(), policy.emulator())
}

/// Who a thread is whose name could not be read, and whose KVM_CREATE_VCPU shows that it is a vCPU. The order of these
/// calls stands for the index, since the number in the ioctl is the APIC id on x86, which has gaps.
pub(crate) fn unnamed_vcpu(policy: &Policy) -> ThreadIdentity {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let index = NEXT.fetch_add(1, Ordering::Relaxed);
    let role = Role::Vcpu(VcpuIndex(index));
    warn_if_list_too_short(policy, role, 0);
    let set = policy.cpus_for(role, 0, policy.emulator());
    ThreadIdentity::unnamed(RoleKind::Vcpu, set, policy.emulator()).numbered(Some(index))
}

fn warn_if_list_too_short(policy: &Policy, role: Role<'_>, order: u32) {
    if !policy.list_too_short(role, order) || !report::first_time(role.kind(), Cause::ListTooShort) {
        return;
    }
    let set = policy.set(policy.cpus_for(role, order, policy.emulator()));
    match role {
        Role::Vcpu(index) => log::warn!(target: targets::IDENTITY,
            "PIN_VCPUS has no entry for vCPU {index} and perhaps others; they run on {set}, the base set"
        ),
        _ => log::warn!(target: targets::IDENTITY,
            "PIN_IOTHREADS has no entry for IOThread number {order} and perhaps others; they run on {set}, the base set"
        ),
    }
}

/// An IOThread's number in the order of creation. One that is deleted and made again with the same id keeps its number,
/// since the id is all that a user sees of it.
fn iothread_order(id: &[u8]) -> u32 {
    static SEEN: [AtomicU64; 256] = [const { AtomicU64::new(0) }; 256];
    // Beyond so many an id is not remembered: each gets the next number.
    static BEYOND: AtomicU32 = AtomicU32::new(256);
    let key = fnv1a(id);
    for (order, seen) in (0u32..).zip(&SEEN) {
        let before = seen.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed);
        if before.is_ok() || before == Err(key) {
            return order;
        }
    }
    BEYOND.fetch_add(1, Ordering::Relaxed)
}

/// The FNV-1a hash of 64 bits, but never 0, which marks a free place.
fn fnv1a(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.max(1)
}
