//! The role and the set of a thread.
//!
//! The creator asks before the thread exists. QEMU's name for the thread decides; for a worker also its pool, since a
//! worker may be created by any worker of the pool, or by a vCPU that happens to poll the main loop's context.
//! Any thread may create threads, so nothing here locks or allocates.

use crate::identity::iothreads::IOTHREADS;
use crate::identity::pools::POOLS;
use crate::identity::qemu::{self, Thread};
use crate::report::once::{self, Cause};
use crate::report::targets;
use crate::state::shim::Shim;
use crate::state::standing::Standing;
use crate::state::thread_identity::ThreadIdentity;
use crate::state::{bypass, current};
use pinning::{Policy, Role, RoleKind, SetId, VcpuIndex};
use std::sync::atomic::{AtomicU32, Ordering};

/// Who the thread is that the calling thread is about to create. `thread` is what QEMU says of it; `None` if it is no
/// thread of QEMU's.
pub(crate) fn new_thread(shim: &Shim, thread: Option<&Thread<'_>>) -> ThreadIdentity {
    let policy = &shim.policy;
    let Some(thread) = thread else {
        return main_thread(policy);
    };
    // A thread of QEMU's with a name that is not known here belongs to the emulator.
    let role = Role::of_qemu_name(thread.name).unwrap_or(Role::Emulator);
    let home = if role == Role::Worker {
        POOLS.home(policy, thread.argument, &current::thread())
    } else {
        policy.emulator()
    };
    by_role(policy, role, home, thread.name)
}

/// Who a thread with this role and this name of QEMU's is.
fn by_role(policy: &Policy, role: Role<'_>, home: SetId, name: &[u8]) -> ThreadIdentity {
    let order = match role {
        Role::IoThread(id) => IOTHREADS.number_of(id),
        _ => 0,
    };
    warn_if_list_too_short(policy, role, order);
    let standing =
        Standing::of_role(role.kind(), policy.cpus_for(role, order, home)).named_by_qemu(policy, name);
    let index = match role {
        Role::Vcpu(index) => Some(index.0),
        Role::IoThread(_) => Some(order),
        _ => None,
    };
    let identity = ThreadIdentity::standing(standing, policy, home).numbered(index).with_name(name);
    match role {
        Role::Vcpu(_) | Role::IoThread(_) => identity.with_class(policy.class_for(role)),
        _ => identity,
    }
}

/// Whether a thread's own name is all that tells who it is: another library creates QEMU's threads with a routine of its
/// own, so that QEMU's name for them cannot be read.
pub(crate) fn names_are_all_there_is() -> bool {
    bypass::is_possible() && !qemu::thread_start_is_known()
}

/// Who a thread is that was created unseen, by the name that it gives itself: QEMU names its threads so with
/// debug-threads=on. A worker's home cannot be told; it counts as the main loop's.
pub(crate) fn by_own_name(policy: &Policy, name: &[u8]) -> ThreadIdentity {
    match Role::of_qemu_name(name) {
        Some(role) => by_role(policy, role, policy.emulator(), name),
        None => {
            let standing = main_thread(policy).standing.renamed(policy, name);
            ThreadIdentity::standing(standing, policy, policy.emulator())
        }
    }
}

/// Who the main thread is.
pub(crate) fn main_thread(policy: &Policy) -> ThreadIdentity {
    let standing = Standing::of_role(RoleKind::Emulator, policy.emulator());
    ThreadIdentity::standing(standing, policy, policy.emulator())
}

/// Who a thread is whose name could not be read, and whose KVM_CREATE_VCPU shows that it is a vCPU. The order of these
/// calls stands for the index, since the number in the ioctl is the APIC id on x86, which has gaps.
/// `standing` is what was known of it before: a rule may match the name that it has been given.
pub(crate) fn unnamed_vcpu(policy: &Policy, standing: Standing) -> ThreadIdentity {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let index = NEXT.fetch_add(1, Ordering::Relaxed);
    let role = Role::Vcpu(VcpuIndex(index));
    warn_if_list_too_short(policy, role, 0);
    let set = policy.cpus_for(role, 0, policy.emulator());
    let standing = standing.with_role(RoleKind::Vcpu, set);
    let identity = ThreadIdentity::standing(standing, policy, policy.emulator()).numbered(Some(index));
    identity.with_class(policy.class_for(role))
}

fn warn_if_list_too_short(policy: &Policy, role: Role<'_>, order: u32) {
    if !policy.list_too_short(role, order) || !once::first_time(role.kind(), Cause::ListTooShort) {
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

#[cfg(test)]
mod tests {
    use super::{main_thread, new_thread, unnamed_vcpu};
    use crate::identity::qemu::Thread;
    use crate::testing;
    use pinning::{CpuId, RoleKind, SetId};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_name_gives_an_identity_with_a_set_of_the_policy(name in prop::collection::vec(any::<u8>(), 0..100)) {
            let shim = testing::shim(&[("PIN_CPUS", "0"), ("PIN_VCPUS", "*@1"), ("PIN_THREADS", "*x*@3")]);
            let identity = new_thread(&shim, Some(&Thread { name: &name, argument: 0x1000 }));
            prop_assert!(usize::from(identity.set.0) < shim.policy.sets().len());
            prop_assert!(name.starts_with(identity.name()));
            prop_assert_eq!(identity.name().len(), name.len().min(64));
        }
    }

    #[test]
    fn a_name_gives_role_index_set_and_home() {
        let shim = testing::shim(&[
            ("PIN_CPUS", "0"),
            ("PIN_VCPUS", "1,2"),
            ("PIN_IOTHREADS", "fast@3,*@4"),
            ("PIN_EMULATOR", "5"),
            ("PIN_MIGRATION", "6"),
            ("PIN_THREADS", "TC named*@7,special@8"),
        ]);
        let cpu_of = |set: SetId| shim.policy.set(set).iter().next().map(|CpuId(cpu)| cpu);
        for (name, role, index, cpu, home) in [
            ("CPU 0/KVM", RoleKind::Vcpu, Some(0), 1, 5),
            ("CPU 1/KVM", RoleKind::Vcpu, Some(1), 2, 5),
            ("IO fast", RoleKind::IoThread, None, 3, 3),
            ("IO slow", RoleKind::IoThread, None, 4, 4),
            ("call_rcu", RoleKind::Emulator, None, 5, 5),
            ("a new name", RoleKind::Emulator, None, 5, 5),
            ("special", RoleKind::Emulator, None, 8, 5),
            ("TC named pc", RoleKind::Emulator, None, 7, 5),
            ("TC other", RoleKind::Exempt, None, 5, 5),
        ] {
            let identity = new_thread(&shim, Some(&Thread { name: name.as_bytes(), argument: 0 }));
            assert_eq!(identity.role, role, "{name}");
            if role != RoleKind::Exempt {
                assert_eq!(cpu_of(identity.set), Some(cpu), "{name}");
            }
            assert_eq!(cpu_of(identity.home), Some(home), "{name}");
            assert_eq!(identity.name(), name.as_bytes());
            assert!(identity.named);
            // An IOThread's number depends on the other tests.
            if role != RoleKind::IoThread {
                assert_eq!(identity.index, index, "{name}");
            }
        }
    }

    #[test]
    fn a_thread_without_a_name_is_an_emulator_thread() {
        let shim = testing::shim(&[("PIN_CPUS", "0"), ("PIN_EMULATOR", "5")]);
        for identity in [new_thread(&shim, None), main_thread(&shim.policy)] {
            assert!(identity.role == RoleKind::Emulator && !identity.named);
            assert_eq!((identity.set, identity.home), (shim.policy.emulator(), shim.policy.emulator()));
        }
    }

    #[test]
    fn vcpus_without_a_name_are_numbered_in_the_order_of_creation() {
        let shim = testing::shim(&[("PIN_CPUS", "0"), ("PIN_VCPUS", "*@[1-2]")]);
        for index in 0..3 {
            let identity = unnamed_vcpu(&shim.policy, main_thread(&shim.policy).standing);
            assert_eq!((identity.role, identity.index), (RoleKind::Vcpu, Some(index)));
            assert_eq!(shim.policy.set(identity.set).len(), 2);
        }
    }
}
