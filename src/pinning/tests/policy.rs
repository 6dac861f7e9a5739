//! Which CPUs a good environment gives to which thread.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use pinning::{CpuSet, Host, KernelThread, Manager, OnError, Policy, Role, RuleIndex, SetId, VcpuIndex};

fn host() -> Host {
    Host { available: CpuSet::from_words(&[0xff]), start: CpuSet::from_words(&[0x0f]) }
}

#[track_caller]
fn policy(environment: &[(&str, &str)]) -> Policy {
    let parsed = Policy::parse(environment.iter().copied(), &host());
    assert_eq!(parsed.faults, []);
    assert_eq!(parsed.warnings, []);
    parsed.policy.unwrap()
}

fn cpus(policy: &Policy, role: Role<'_>, order: u32) -> String {
    policy.set(policy.cpus_for(role, order, policy.emulator())).to_string()
}

fn vcpu(policy: &Policy, index: u32) -> String {
    cpus(policy, Role::Vcpu(VcpuIndex(index)), 0)
}

#[test]
fn one_set_is_for_every_thread() {
    let policy = policy(&[("PIN_CPUS", "1")]);
    assert_eq!(policy.sets(), [CpuSet::from_words(&[2])]);
    for role in
        [Role::Emulator, Role::AllVcpus, Role::IoThread(b"io1"), Role::Worker, Role::Migration, Role::Vhost]
    {
        assert_eq!(policy.cpus_for(role, 0, policy.base()), SetId(0));
    }
    assert_eq!(vcpu(&policy, 70_000), "1");
    assert_eq!((policy.log_filter(), policy.names_threads(), policy.manager()), ("warn", true, None));
}

#[test]
fn a_role_without_a_variable_has_its_default() {
    let policy = policy(&[("PIN_VCPUS", "6"), ("PIN_EMULATOR", "5")]);
    assert_eq!(policy.set(policy.base()).to_string(), "0-3", "the affinity QEMU was started with");
    assert_eq!(cpus(&policy, Role::IoThread(b"io1"), 0), "0-3");
    for role in [Role::Emulator, Role::Migration, Role::Vhost] {
        assert_eq!(cpus(&policy, role, 0), "5");
    }
    let home = policy.cpus_for(Role::Vcpu(VcpuIndex(0)), 0, policy.base());
    assert_eq!(policy.cpus_for(Role::Worker, 0, home), home);
    assert_eq!(policy.workers_of(home), home);
}

#[test]
fn each_variable_places_its_threads() {
    let policy = policy(&[
        ("PIN_CPUS", "0"),
        ("PIN_WORKERS", "1"),
        ("PIN_MIGRATION", "2"),
        ("PIN_VHOST", "3"),
        ("PIN_IOTHREADS", "io1@4,io-2@[5,6],*@7"),
    ]);
    assert_eq!(cpus(&policy, Role::Worker, 0), "1");
    assert_eq!(cpus(&policy, Role::Migration, 0), "2");
    assert_eq!(policy.set(policy.vhost(0)).to_string(), "3");
    assert_eq!(cpus(&policy, Role::Vhost, 0), "3");
    assert_eq!(cpus(&policy, Role::IoThread(b"io1"), 9), "4");
    assert_eq!(cpus(&policy, Role::IoThread(b"io-2"), 9), "5-6");
    assert_eq!(cpus(&policy, Role::IoThread(b"io"), 0), "7");
    assert_eq!(cpus(&policy, Role::IoThread(b"\xff"), 0), "7");
    assert!(!policy.list_too_short(Role::IoThread(b"io"), 9));
}

#[test]
fn an_ordered_list_goes_by_order() {
    let policy = policy(&[("PIN_CPUS", "0"), ("PIN_VCPUS", "2,3,6-7,[4-5]"), ("PIN_IOTHREADS", "1")]);
    let placed: Vec<String> = (0..6).map(|index| vcpu(&policy, index)).collect();
    assert_eq!(placed, ["2", "3", "6", "7", "4-5", "0"]);
    assert!(!policy.list_too_short(Role::Vcpu(VcpuIndex(4)), 0));
    assert!(policy.list_too_short(Role::Vcpu(VcpuIndex(5)), 0));
    assert_eq!(cpus(&policy, Role::IoThread(b"any"), 0), "1");
    assert_eq!(cpus(&policy, Role::IoThread(b"any"), 1), "0");
    assert!(policy.list_too_short(Role::IoThread(b"any"), 1));
    assert!(!policy.list_too_short(Role::Worker, 1));
    assert_eq!(cpus(&policy, Role::AllVcpus, 0), "2-7");
}

#[test]
fn a_map_goes_by_name() {
    let policy = policy(&[("PIN_VCPUS", "*@[4-7] 2-3@[6-7] 0@2")]);
    let placed: Vec<String> = (0..5).map(|index| vcpu(&policy, index)).collect();
    assert_eq!(placed, ["2", "4-7", "6-7", "6-7", "4-7"]);
    assert_eq!(cpus(&policy, Role::AllVcpus, 0), "2,4-7");
    assert!(!policy.list_too_short(Role::Vcpu(VcpuIndex(9)), 0));
}

#[test]
fn a_class_goes_by_role_and_the_narrowest_rule_wins() {
    let policy = policy(&[
        ("PIN_CPUS", "0"),
        ("PIN_VCPUS", "*@1"),
        ("PIN_SCHED", "vcpus[1,3-4]@rr:2 vcpus@fifo:1,iothreads[io1]@batch:5:3ms,workers@idle,all@other:-5"),
    ]);
    let class = |role| policy.class_for(role).map(|class| class.to_string());
    let vcpu = |index| class(Role::Vcpu(VcpuIndex(index))).unwrap();
    assert_eq!([0, 1, 2, 3, 4, 5].map(vcpu), ["fifo:1", "rr:2", "fifo:1", "rr:2", "rr:2", "fifo:1"]);
    assert_eq!(class(Role::AllVcpus).as_deref(), Some("fifo:1"));
    assert_eq!(class(Role::IoThread(b"io1")).as_deref(), Some("batch:5:3ms"));
    for role in [Role::IoThread(b"io2"), Role::Emulator, Role::Migration] {
        assert_eq!(class(role).as_deref(), Some("other:-5"));
    }
    assert_eq!(class(Role::Worker).as_deref(), Some("idle"));
    assert_eq!([class(Role::Vhost), class(Role::Exempt)], [None, None]);
    let plain = self::policy(&[("PIN_CPUS", "0")]);
    assert!(!plain.has_classes() && plain.class_for(Role::Worker).is_none());
}

#[test]
fn classes_alone_are_a_placement() {
    let policy = policy(&[("PIN_SCHED", "workers@batch")]);
    assert_eq!(cpus(&policy, Role::Worker, 0), "0-3", "the affinity QEMU was started with");
    assert!(policy.class_for(Role::Worker).is_some() && policy.class_for(Role::Emulator).is_none());
}

#[test]
fn the_first_rule_that_matches_wins() {
    let policy = policy(&[("PIN_THREADS", "CPU 1/*@1, CPU */KVM@[2,3],SPICE Worker@0x10,a@b@5")]);
    let rule = |name: &str| policy.rule_for(name.as_bytes()).map(|set| policy.set(set).to_string());
    assert_eq!(rule("CPU 1/KVM").as_deref(), Some("1"));
    assert_eq!(rule("CPU 0/KVM").as_deref(), Some("2-3"));
    assert_eq!(rule("SPICE Worker").as_deref(), Some("4"));
    assert_eq!(rule("a@b").as_deref(), Some("5"));
    assert_eq!(rule("worker"), None);
}

#[test]
fn a_rule_matches_a_name_in_full_or_as_the_kernel_cuts_it() {
    let policy = policy(&[
        ("PIN_CPUS", "0"),
        ("PIN_THREADS", "IO a-long-id-of-a-disk@1,IO a-long-id-of@2,IO short@3"),
    ]);
    let rule = |name: &str| policy.first_rule(name.as_bytes());
    assert_eq!(rule("IO a-long-id-of-a-disk"), Some(RuleIndex(0)));
    assert_eq!(rule("IO a-long-id-of-another"), Some(RuleIndex(1)), "its comm is what the glob names");
    assert_eq!(rule("IO a-long-id-of"), Some(RuleIndex(1)));
    assert_eq!(rule("IO a-long-id-o"), None);
    assert_eq!(rule("IO short"), Some(RuleIndex(2)));
}

#[test]
fn of_a_thread_s_names_any_may_match_and_the_first_rule_in_the_list_wins() {
    let policy = policy(&[("PIN_CPUS", "0"), ("PIN_THREADS", "SPICE*@1,worker@2")]);
    let set = |names: &[&str]| {
        let rule = policy.first_rule_of(names.iter().map(|name| name.as_bytes()));
        rule.map(|rule| policy.set(policy.set_of_rule(rule)).to_string())
    };
    assert_eq!(set(&["worker", "SPICE Worker"]).as_deref(), Some("1"));
    assert_eq!(set(&["SPICE Worker", "worker"]).as_deref(), Some("1"));
    assert_eq!(set(&["worker", "gl"]).as_deref(), Some("2"));
    assert_eq!(set(&["gl"]), None);
    assert_eq!(set(&[]), None);
    assert_eq!(policy.set_of_rule(RuleIndex(9)), policy.base(), "a foreign number is no panic");
}

#[test]
fn each_distinct_set_is_kept_once() {
    let policy = policy(&[("PIN_CPUS", "0-1"), ("PIN_VCPUS", "1,0,1"), ("PIN_EMULATOR", "0x3")]);
    let sets: Vec<String> = policy.sets().iter().map(ToString::to_string).collect();
    assert_eq!(sets, ["0-1", "1", "0"]);
    assert_eq!(policy.set(SetId(u16::MAX)), policy.set(policy.base()), "a foreign number is no panic");
}

#[test]
fn a_thread_of_the_kernels_has_the_set_of_its_role() {
    let environment =
        [("PIN_EMULATOR", "1"), ("PIN_VHOST", "2"), ("PIN_IOTHREADS", "io1@3"), ("PIN_CPUS", "0")];
    let unset = policy(&environment);
    assert_eq!(unset.workers(), None);
    let home = unset.cpus_for(Role::IoThread(b"io1"), 0, unset.base());
    let cpus = |policy: &Policy, comm: &str| {
        let thread = KernelThread::from_comm(comm.as_bytes()).unwrap();
        policy.set(policy.cpus_for_kernel_thread(thread, comm.as_bytes(), 0, Some(home)).unwrap()).to_string()
    };
    assert_eq!(cpus(&unset, "kvm-nx-lpage-re"), "1");
    assert_eq!(cpus(&unset, "vhost-7"), "2");
    assert_eq!(cpus(&unset, "iou-wrk-7"), "3");

    let set = policy(&[environment.as_slice(), &[("PIN_WORKERS", "4")]].concat());
    assert_eq!(set.workers().map(|workers| set.set(workers).to_string()), Some("4".to_owned()));
    assert_eq!(cpus(&set, "iou-wrk-7"), "4");
}

#[test]
fn a_worker_whose_home_is_not_known_has_a_set_only_where_no_other_home_would_give_it_another() {
    let of = |environment: &[(&str, &str)]| {
        let policy = policy(environment);
        let thread = KernelThread::IoUringWorker { submitter: 7 };
        policy.cpus_for_kernel_thread(thread, b"iou-wrk-7", 0, None).map(|set| policy.set(set).to_string())
    };
    assert_eq!(of(&[("PIN_CPUS", "0"), ("PIN_IOTHREADS", "io1@3")]), None);
    assert_eq!(of(&[("PIN_CPUS", "0"), ("PIN_EMULATOR", "1")]), None);
    assert_eq!(of(&[("PIN_CPUS", "2"), ("PIN_VCPUS", "*@1")]).as_deref(), Some("2"));
    assert_eq!(of(&[("PIN_EMULATOR", "1"), ("PIN_WORKERS", "4")]).as_deref(), Some("4"));
    assert_eq!(of(&[("PIN_EMULATOR", "1"), ("PIN_THREADS", "iou-*@3")]).as_deref(), Some("3"));
}

#[test]
fn a_rule_places_a_thread_of_the_kernels_by_its_comm_or_by_its_full_name() {
    let cpus = |rules: &str, comm: &str| {
        let policy = policy(&[("PIN_CPUS", "0"), ("PIN_VHOST", "1"), ("PIN_THREADS", rules)]);
        let thread = KernelThread::from_comm(comm.as_bytes()).unwrap();
        policy.set(policy.cpus_for_kernel_thread(thread, comm.as_bytes(), 0, None).unwrap()).to_string()
    };
    assert_eq!(cpus("kvm-nx-lpage-recovery@5", "kvm-nx-lpage-re"), "5");
    assert_eq!(cpus("kvm-nx-lpage-re@5", "kvm-nx-lpage-re"), "5");
    assert_eq!(cpus("kvm-*@5", "kvm-nx-lpage-re"), "5");
    assert_eq!(cpus("vhost-7@5", "vhost-7"), "5");
    assert_eq!(cpus("vhost-7@5", "vhost-8"), "1");
    assert_eq!(cpus("iou-wrk-*@5", "iou-wrk-7"), "5");
}

#[test]
fn of_two_rules_for_a_thread_of_the_kernels_the_first_wins_whichever_of_its_names_it_matches() {
    let cpus = |rules: &str| {
        let policy = policy(&[("PIN_CPUS", "0"), ("PIN_THREADS", rules)]);
        let comm = b"kvm-nx-lpage-re";
        let set = policy.cpus_for_kernel_thread(KernelThread::NxRecovery, comm, 0, None);
        policy.set(set.unwrap()).to_string()
    };
    assert_eq!(cpus("kvm-nx-lpage-recovery@1,kvm*@2"), "1");
    assert_eq!(cpus("kvm*@2,kvm-nx-lpage-recovery@1"), "2");
    assert_eq!(cpus("kvm-nx-lpage-re@1,kvm-nx-lpage-recovery@2"), "1");
    assert_eq!(cpus("vhost-*@1,*-recovery@2"), "2");
}

#[test]
fn settings_alone_and_the_variables_of_other_software_make_no_policy() {
    for environment in [
        [("PIN_LOG", "")],
        [("PIN_ERRORS", "x")],
        [("PIN_TARGET", "")],
        [("PIN_ROOT", "/opt/pin")],
        [("PIN_HOST", "x")],
        [("pin_cpus", "9")],
    ] {
        let parsed = Policy::parse(environment, &host());
        assert!(parsed.policy.is_none() && parsed.faults.is_empty(), "{environment:?}");
        assert!(!Policy::names_placement(environment));
    }
}

#[test]
fn a_warning_leaves_the_faulty_variable_out() {
    let environment = [("PIN_CPUS", "9"), ("PIN_VCPUS", "1"), ("PIN_ERRORS", "warn"), ("PIN_CPU", "1")];
    let parsed = Policy::parse(environment, &host());
    assert_eq!((parsed.on_error, parsed.faults.len()), (OnError::Warn, 2));
    let policy = parsed.policy.unwrap();
    assert_eq!(policy.set(policy.base()).to_string(), "0-3");
    assert_eq!(vcpu(&policy, 0), "1");
    let names: Vec<&str> = policy.entries().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["PIN_VCPUS", "PIN_ERRORS"]);
    let none_left = Policy::parse([("PIN_CPUS", "9"), ("PIN_ERRORS", "warn")], &host());
    assert!(none_left.policy.is_none());
}

#[test]
fn a_manager_makes_an_absent_cpu_a_warning() {
    let parsed = Policy::parse([("PIN_CPUS", "0,9"), ("PIN_MANAGER", "libvirt")], &host());
    assert_eq!(parsed.faults, []);
    let warnings: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["PIN_CPUS=0,9: column 3: CPU 9 is not available here (0-7)"]);
    let policy = parsed.policy.unwrap();
    assert_eq!(policy.set(policy.base()).to_string(), "0,9");
    assert_eq!(policy.manager(), Some(Manager::Libvirt));
    // A syntax fault stays one, and so does what no kernel has.
    for value in ["x", "8192"] {
        assert_eq!(Policy::parse([("PIN_CPUS", value), ("PIN_MANAGER", "libvirt")], &host()).faults.len(), 1);
    }
}

#[test]
fn the_first_of_a_name_counts() {
    let policy = policy(&[("PIN_CPUS", "1"), ("PIN_CPUS", "x")]);
    assert_eq!(policy.entries(), [("PIN_CPUS".to_owned(), "1".to_owned())]);
}

#[test]
fn a_long_range_does_not_take_up_the_memory() {
    let parsed = Policy::parse(
        [("PIN_VCPUS", ["0-8191"; 10].join(",")), ("PIN_MANAGER", "libvirt".to_owned())],
        &host(),
    );
    let whats: Vec<&str> = parsed.faults.iter().map(|fault| fault.mistake.what.as_str()).collect();
    assert_eq!(whats, ["the list has more than 65536 entries"; 2]);
    let parsed = Policy::parse([("PIN_VCPUS", "0-8191"), ("PIN_MANAGER", "libvirt")], &host());
    let whats: Vec<&str> = parsed.faults.iter().map(|fault| fault.mistake.what.as_str()).collect();
    assert_eq!(whats, ["there are more than 8192 different sets"]);
    assert_eq!(Policy::parse([("PIN_VCPUS", "0-65535@0")], &host()).faults, []);
}

#[test]
fn a_value_with_too_many_sets_leaves_none_of_them_behind() {
    let environment = [
        ("PIN_ERRORS", "warn"),
        ("PIN_MANAGER", "libvirt"),
        ("PIN_VCPUS", "0-8191"),
        ("PIN_IOTHREADS", "5,6"),
    ];
    let parsed = Policy::parse(environment, &host());
    assert_eq!(parsed.faults.len(), 1);
    let policy = parsed.policy.unwrap();
    let sets: Vec<String> = policy.sets().iter().map(CpuSet::to_string).collect();
    assert_eq!(sets, ["0-3", "5", "6"]);
}

/// What a VM with these vCPUs and IOThreads leaves unmet.
fn unmet(environment: &[(&str, &str)], vcpus: &[u32], iothreads: &[&str]) -> Vec<String> {
    let iothreads: Vec<&[u8]> = iothreads.iter().map(|id| id.as_bytes()).collect();
    policy(environment).unmet(vcpus, &iothreads).iter().map(ToString::to_string).collect()
}

#[test]
fn names_of_a_map_that_match_nobody_are_wishes_unmet() {
    let environment = [("PIN_VCPUS", "0-5@[1],7@1,*@0"), ("PIN_IOTHREADS", "io1@1,fre@1,*@0")];
    let expected = [
        "PIN_VCPUS places vCPU 0, and there is no such vCPU",
        "PIN_VCPUS places vCPUs 3-5, and there are no such vCPUs",
        "PIN_VCPUS places vCPU 7, and there is no such vCPU",
        "PIN_IOTHREADS places fre, and there is no such IOThread",
    ];
    assert_eq!(unmet(&environment, &[2, 1], &["io1", "other"]), expected);
    assert_eq!(unmet(&environment, &[7, 0, 1, 2, 3, 4, 5], &["fre", "io1"]), [""; 0]);
    let named = policy(&environment);
    assert_eq!(named.named_iothreads().collect::<Vec<_>>(), ["fre", "io1"]);
}

#[test]
fn a_rule_that_matches_no_name_is_a_wish_unmet() {
    let policy = policy(&[("PIN_THREADS", "SPICE*@1,worker@0")]);
    let unmet = policy.unmet_rules(|glob| pinning::glob_matches(glob.as_bytes(), b"worker"));
    let said: Vec<String> = unmet.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["PIN_THREADS places SPICE*, and no thread has such a name"]);
}

#[test]
fn an_ordered_list_that_is_longer_than_the_vm_is_no_wish_unmet() {
    assert_eq!(unmet(&[("PIN_VCPUS", "0,1,2"), ("PIN_IOTHREADS", "1,2")], &[0], &[]), [""; 0]);
}

#[test]
fn vhost_workers_are_placed_by_the_order_in_which_they_appear() {
    let policy = policy(&[("PIN_EMULATOR", "1"), ("PIN_VHOST", "0@4,2-3@[6-7],*@5")]);
    let on = |order| cpus(&policy, Role::Vhost, order);
    assert_eq!([0, 1, 2, 3, 4].map(on), ["4", "5", "6-7", "6-7", "5"]);
    assert!(policy.tells_vhost_workers_apart() && !policy.places_vcpus_alone());
    let thread = KernelThread::Vhost;
    let of_kernel = |order| policy.cpus_for_kernel_thread(thread, b"vhost-7", order, None).unwrap();
    assert_eq!(policy.set(of_kernel(0)).to_string(), "4");
    let unmet: Vec<String> = policy.unmet_vhost_workers(&[3]).iter().map(ToString::to_string).collect();
    let expected = [
        "PIN_VHOST places vhost worker 0, and there is no such worker",
        "PIN_VHOST places vhost worker 2, and there is no such worker",
    ];
    assert_eq!(unmet, expected);
    // Without `*` the others are the emulator's, and a set is for all of them.
    let policy = self::policy(&[("PIN_EMULATOR", "1"), ("PIN_VHOST", "1@4")]);
    assert_eq!([0, 1, 9].map(|order| cpus(&policy, Role::Vhost, order)), ["1", "4", "1"]);
    let policy = self::policy(&[("PIN_EMULATOR", "1"), ("PIN_VHOST", "2,4")]);
    assert_eq!([0, 9].map(|order| cpus(&policy, Role::Vhost, order)), ["2,4", "2,4"]);
    assert!(!policy.tells_vhost_workers_apart() && policy.unmet_vhost_workers(&[]).is_empty());
}
