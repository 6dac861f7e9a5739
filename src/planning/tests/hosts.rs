//! What is chosen on hosts as people have them.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod harness;

use harness::{all_free, changed, cpus, regular, request};
use pinning::CpuId;
use planning::{Free, HostCpu, NoPlan, Plan, Reason, Request, Taken, Topology, plan};

fn words(plan: &Plan) -> String {
    let list: Vec<String> = plan.vcpus.iter().map(|cpu| cpu.0.to_string()).collect();
    let iothreads: Vec<String> = plan.iothreads.iter().map(ToString::to_string).collect();
    format!("vcpus {}; iothreads {}; emulator {}", list.join(","), iothreads.join(" "), plan.emulator)
}

#[track_caller]
fn expect(host: &Topology, free: &Free, request: &Request, expected: &str) -> Plan {
    let plan = plan(host, free, request).unwrap();
    assert_eq!(words(&plan), expected);
    plan
}

#[test]
fn a_machine_of_two_cpus_has_room_for_one_vcpu() {
    let host = regular(1, 1, 1, 2, 1);
    let chosen = expect(&host, &all_free(&host), &request(1, 1), "vcpus 1; iothreads 0; emulator 0");
    assert_eq!(chosen.guest.to_string(), "1,sockets=1,cores=1,threads=1");
    let why = plan(&host, &all_free(&host), &request(2, 0)).unwrap_err().to_string();
    assert_eq!(
        why,
        "no room for 2 vCPUs (one a core) and a core for the emulator: that is 3 cores, 2 are free (0-1); a VM with 1 vCPU \
         would fit"
    );
}

#[test]
fn siblings_of_a_core_are_siblings_in_the_guest() {
    let host = regular(1, 1, 2, 4, 2);
    let chosen =
        expect(&host, &all_free(&host), &request(4, 2), "vcpus 1,9,2,10; iothreads 3 11; emulator 0,8");
    assert_eq!(chosen.guest.to_string(), "4,sockets=1,cores=2,threads=2");
    assert_eq!(chosen.reasons, [Reason::Together { packages: 1, nodes: 1, caches: 1 }, Reason::Siblings]);
}

#[test]
fn an_odd_number_has_whole_cores() {
    let host = regular(1, 1, 2, 4, 2);
    let chosen = expect(&host, &all_free(&host), &request(3, 0), "vcpus 1,2,3; iothreads ; emulator 0,8");
    assert_eq!(chosen.guest.to_string(), "3,sockets=1,cores=3,threads=1");
    assert_eq!(chosen.idle, cpus([9, 10, 11]));
    // Where there are not so many cores, siblings do.
    let chosen = expect(
        &host,
        &all_free(&host),
        &request(13, 0),
        "vcpus 2,10,3,11,4,12,5,13,6,14,7,15,1; iothreads ; emulator 0,8",
    );
    assert!(chosen.reasons.contains(&Reason::Odd));
    assert_eq!(chosen.guest.to_string(), "13,sockets=1,cores=13,threads=1");
}

#[test]
fn the_cache_with_room_is_found_where_a_greedy_choice_would_straddle_two() {
    let host = regular(1, 1, 3, 4, 1);
    // Two free cores in the first cache, one in the second, four in the third.
    let free = Free { reserved: cpus([0, 1, 4, 5, 6]), ..all_free(&host) };
    expect(&host, &free, &request(3, 0), "vcpus 8,9,10; iothreads ; emulator 11");
    // The tightest fit leaves the others whole; the emulator goes where it spoils least.
    expect(&host, &free, &request(2, 0), "vcpus 2,3; iothreads ; emulator 7");
}

#[test]
fn one_node_comes_before_one_cache_too_many() {
    let host = regular(2, 2, 2, 2, 1);
    let chosen = expect(&host, &all_free(&host), &request(3, 0), "vcpus 1,2,3; iothreads ; emulator 0");
    assert_eq!(chosen.reasons, [Reason::Together { packages: 1, nodes: 1, caches: 2 }]);
    let chosen =
        expect(&host, &all_free(&host), &request(7, 0), "vcpus 1,2,3,4,5,6,7; iothreads ; emulator 0");
    assert_eq!(chosen.guest.to_string(), "7,sockets=1,cores=7,threads=1");
    let chosen = expect(
        &host,
        &all_free(&host),
        &request(12, 0),
        "vcpus 4,5,6,7,8,9,10,11,12,13,14,15; iothreads ; emulator 0",
    );
    assert_eq!(chosen.guest.to_string(), "12,sockets=1,cores=12,threads=1");
}

#[test]
fn a_hybrid_laptop_gives_the_vcpus_its_fast_cores() {
    // Two fast cores with siblings, four slow ones without.
    let about = |core, capacity| HostCpu { core, capacity, ..HostCpu::default() };
    let fast = (0..4).map(|cpu| (CpuId(cpu), about(cpu / 2, 1024)));
    let slow = (4..8).map(|cpu| (CpuId(cpu), about(cpu, 640)));
    let host = Topology::new(fast.chain(slow));
    expect(&host, &all_free(&host), &request(4, 0), "vcpus 0,1,2,3; iothreads ; emulator 4");
    expect(&host, &all_free(&host), &request(2, 1), "vcpus 2,3; iothreads 4; emulator 0-1");
    let mixed = plan(&host, &all_free(&host), &request(6, 0)).unwrap();
    assert!(mixed.reasons.contains(&Reason::Slower(cpus([4, 5]))), "{:?}", mixed.reasons);
}

#[test]
fn isolated_cpus_are_for_vcpus() {
    let host = changed(&regular(1, 1, 1, 8, 1), |cpu, about| about.is_isolated = (2..6).contains(&cpu.0));
    let chosen = expect(&host, &all_free(&host), &request(3, 1), "vcpus 2,3,4; iothreads 1; emulator 0");
    assert!(chosen.reasons.contains(&Reason::Isolated));
}

#[test]
fn a_device_draws_its_vm_near() {
    let host = regular(2, 1, 1, 4, 1);
    let near = Request { near: Some(cpus(4..8)), ..request(2, 1) };
    expect(&host, &all_free(&host), &near, "vcpus 4,5; iothreads 7; emulator 6");
    let far = Request { near: Some(cpus(0..4)), ..request(4, 0) };
    let free = Free { reserved: cpus([1, 2]), ..all_free(&host) };
    let chosen = plan(&host, &free, &far).unwrap();
    assert!(chosen.reasons.iter().any(|reason| matches!(reason, Reason::Far(_))), "{:?}", chosen.reasons);
}

#[test]
fn memory_decides_between_nodes_and_a_named_node_over_everything() {
    let host = regular(2, 1, 1, 4, 1);
    let free = Free { memory: [(0, 8 << 30), (1, 1 << 30)].into(), ..all_free(&host) };
    let vm = Request { memory: Some(4 << 30), ..request(3, 0) };
    expect(&host, &free, &vm, "vcpus 1,2,3; iothreads ; emulator 0");
    let named = Request { node: Some(1), ..vm };
    let chosen = expect(&host, &free, &named, "vcpus 4,5,6; iothreads ; emulator 7");
    assert!(chosen.reasons.contains(&Reason::LackingMemory));
    let none = Request { node: Some(2), ..request(1, 0) };
    assert_eq!(plan(&host, &free, &none), Err(NoPlan::Node(2)));
}

#[test]
fn what_other_vms_have_is_left_to_them() {
    let host = regular(1, 1, 1, 6, 2);
    let web = Taken { cpus: cpus([0, 1, 6, 7]), by: "web (pid 12)".to_owned(), is_leased: true };
    let free = Free { taken: vec![web], ..all_free(&host) };
    expect(&host, &free, &request(4, 0), "vcpus 2,8,3,9; iothreads ; emulator 4,10");
    let why = plan(&host, &free, &request(8, 0)).unwrap_err().to_string();
    let expected = "no room for 8 vCPUs (2 a core) and a core for the emulator: that is 5 cores, 4 are free \
                    (2-5,8-11); web (pid 12) has leased 0-1,6-7; a VM with 6 vCPUs would fit";
    assert_eq!(why, expected);
}

#[test]
fn three_odd_cpus_of_a_container_do() {
    let host = regular(1, 1, 1, 4, 2);
    let free = Free { available: cpus([1, 3, 5]), ..Free::default() };
    // 1 and 5 are siblings; 7, the sibling of 3, is somebody else's.
    let chosen = expect(&host, &free, &request(2, 0), "vcpus 1,5; iothreads ; emulator 3");
    assert_eq!(chosen.reasons, [Reason::Together { packages: 1, nodes: 1, caches: 1 }, Reason::Siblings]);
    let single = Request { threads_per_core: Some(1), ..request(2, 0) };
    let why = plan(&host, &free, &single).unwrap_err().to_string();
    assert!(
        why.ends_with(
            "that is 3 cores, 2 are free (1,3,5); outside the cpuset: 0,2,4,6-7; a VM with 1 vCPU would fit, or with 2 \
             with all siblings of a core"
        ),
        "{why}"
    );
}

#[test]
fn iothreads_share_where_there_are_no_cores_for_them() {
    let host = regular(1, 1, 1, 4, 1);
    let chosen = expect(&host, &all_free(&host), &request(2, 3), "vcpus 1,2; iothreads 3 3 3; emulator 0");
    assert!(chosen.reasons.contains(&Reason::IoThreadsShare));
}

#[test]
fn a_plan_says_where_a_free_host_would_have_been_better() {
    let host = regular(2, 1, 1, 4, 1);
    let compromises = |free: &Free, vcpus| {
        let reasons = plan(&host, free, &request(vcpus, 0)).unwrap().reasons;
        reasons.into_iter().filter(Reason::is_compromise).collect::<Vec<_>>()
    };
    assert_eq!(compromises(&all_free(&host), 3), []);
    // One vCPU is together with nobody.
    assert_eq!(plan(&host, &all_free(&host), &request(1, 0)).unwrap().reasons, []);
    let few = Free { reserved: cpus([3]), shared: vec![cpus([4])], ..all_free(&host) };
    let few = Free { reserved: few.reserved.union(&cpus([0, 5, 6, 7])), ..few };
    assert_eq!(compromises(&few, 2), [Reason::Away, Reason::Others(cpus([4]))]);
}

#[test]
fn holes_in_the_numbers_do_no_harm() {
    let host = Topology::new(
        [3u32, 64, 700, 8000]
            .map(|cpu| (CpuId(cpu), HostCpu { core: cpu, capacity: 1024, ..HostCpu::default() })),
    );
    expect(&host, &all_free(&host), &request(3, 0), "vcpus 3,64,700; iothreads ; emulator 8000");
}

#[test]
fn hosts_with_many_cpus_are_planned_whole() {
    let host = regular(4, 4, 6, 6, 2);
    assert_eq!(host.cpus().len(), 1152);
    let chosen = plan(&host, &all_free(&host), &request(300, 4)).unwrap();
    assert_eq!(chosen.guest.to_string(), "300,sockets=1,cores=150,threads=2");
    assert_eq!(chosen.reasons.first(), Some(&Reason::Together { packages: 2, nodes: 5, caches: 25 }));
}
