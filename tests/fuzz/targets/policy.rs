//! What holds of every environment, and of every policy that is made of one.

use crate::cost::Limit;
use pinning::status_page::{MAX_BYTES, NewPage, Snapshot};
use pinning::{Host, KernelThread, ParsedEnvironment, Policy, Role, VcpuIndex};

/// A policy of the largest size has two copies of 8198 sets of 1 KiB, and a list of vCPUs 65536 entries.
const PARSE: Limit = Limit { memory: (24 << 20, 128), allocations: (300_000, 24) };

/// A page, and what is read of one.
pub(crate) const PAGE: Limit = Limit { memory: (2 * MAX_BYTES, 0), allocations: (100_000, 0) };

/// Parses an environment and panics if anything does not hold.
pub(crate) fn check(environment: &[(String, Vec<u8>)], host: &Host) -> ParsedEnvironment {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let pairs = || environment.iter().map(|(name, value)| (name, OsStr::from_bytes(value)));
    let bytes = environment.iter().map(|(name, value)| name.len() + value.len()).sum();
    let parsed = PARSE.holds(bytes, || Policy::parse(pairs(), host));
    for fault in parsed.faults.iter().chain(&parsed.warnings) {
        assert!(!fault.to_string().contains(char::is_control), "{fault:?}");
        assert!(fault.to_string().len() <= 8_192, "{fault:?}");
    }
    assert!(parsed.faults.len() <= 19 * 33);
    let names = Policy::names_placement(environment.iter().map(|(name, value)| (name, value)));
    assert!(names || (parsed.policy.is_none() && parsed.faults.is_empty()));
    if let Some(policy) = &parsed.policy {
        check_policy(policy, host);
    }
    parsed
}

/// A policy has a set for every thread, is made again of its own entries, and is the same after it was written
/// to a page and read.
fn check_policy(policy: &Policy, host: &Host) {
    is_total(policy, host);
    let again = |entries: &[(String, String)], host: &Host| {
        let again = Policy::parse(entries.iter().map(|(name, value)| (name, value)), host);
        assert_eq!(again.faults, []);
        assert_eq!(format!("{:?}", again.policy), format!("{:?}", Some(policy)));
    };
    again(policy.entries(), host);
    let page = PAGE.holds(0, || NewPage::new(policy, host)).expect("every policy has a page");
    let mut bytes = page.beginning().to_vec();
    bytes.resize(page.page_bytes(), 0);
    bytes[12..16].copy_from_slice(&1u32.to_ne_bytes()); // the owner
    let snapshot = PAGE.holds(0, || Snapshot::parse(&bytes)).expect("a page that was made is read");
    assert_eq!(snapshot.sets, policy.sets());
    let read = snapshot.host.expect("a page of this library says the host");
    assert_eq!(&read, host);
    again(&snapshot.environment, &read);
}

/// Every thread has a set that the policy has, and that is not empty unless the host has no CPU.
fn is_total(policy: &Policy, host: &Host) {
    let has = |id: pinning::SetId| {
        assert!(usize::from(id.0) < policy.sets().len());
        assert!(!policy.set(id).is_empty() || (host.available.is_empty() && host.start.is_empty()));
    };
    let names: [&[u8]; 9] = [
        b"CPU 0/KVM",
        b"CPU 7/TCG",
        b"CPU 4294967295/KVM",
        b"ALL CPUs/TCG",
        b"IO io1",
        b"IO \xff",
        b"worker",
        b"mig/src/main",
        b"",
    ];
    for name in names {
        let role = Role::of_qemu_name(name).unwrap_or(Role::Emulator);
        for order in [0, 1, 9, u32::MAX] {
            has(policy.cpus_for(role, order, policy.emulator()));
            let _ = policy.list_too_short(role, order);
            assert!(policy.class_for(role).is_none() || policy.has_classes());
        }
        policy.rule_for(name).into_iter().for_each(has);
    }
    for index in 0..100 {
        has(policy.cpus_for(Role::Vcpu(VcpuIndex(index)), 0, policy.base()));
    }
    for comm in [&b"kvm-nx-lpage-re"[..], b"vhost-7", b"iou-wrk-7"] {
        let thread = KernelThread::from_comm(comm).expect("a comm of the kernel's");
        for order in [0, 7, u32::MAX] {
            policy.cpus_for_kernel_thread(thread, comm, order, None).into_iter().for_each(has);
            policy
                .cpus_for_kernel_thread(thread, comm, order, Some(policy.emulator()))
                .into_iter()
                .for_each(has);
        }
    }
    has(policy.base());
    has(policy.vhost(0));
    policy.workers().into_iter().for_each(has);
}
