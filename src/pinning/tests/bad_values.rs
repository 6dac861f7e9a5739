//! The messages about a bad environment, word for word: a user has nothing else to find the mistake by.

use pinning::{CpuSet, Host, MAX_VALUE_BYTES, MemoryPolicy, NodeSet, OnError, ParsedEnvironment, Policy};

fn parse(environment: &[(&str, &str)]) -> ParsedEnvironment {
    let host = Host { available: CpuSet::from_words(&[0b11]), start: CpuSet::from_words(&[0b11]) };
    Policy::parse(environment.iter().copied(), &host)
}

#[track_caller]
fn is_reported_as(environment: &[(&str, &str)], lines: &[&str]) {
    let parsed = parse(environment);
    let faults: Vec<String> = parsed.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults, lines);
    assert!(parsed.policy.is_none());
    assert_eq!(parsed.on_error, OnError::Exit);
}

#[track_caller]
fn value_is_reported_as(name: &str, value: &str, faults: &[&str]) {
    let lines: Vec<String> = faults.iter().map(|fault| format!("{name}={value}: {fault}")).collect();
    is_reported_as(&[(name, value)], &lines.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn bad_sets() {
    let cpus = |value, faults| value_is_reported_as("PIN_CPUS", value, faults);
    cpus("9", &["CPU 9 is not available here (0-1)"]);
    cpus("x", &["x is not a set of CPUs; write it like 1, 0-3, 0-6:2, all,^1 or 0x3"]);
    cpus("3-1", &["the range 3-1 runs backwards; did you mean 1-3?"]);
    cpus("", &["the value is empty; name at least one CPU or unset the variable"]);
    cpus("  ", &["the value is empty; name at least one CPU or unset the variable"]);
    cpus("0x0", &["the set holds no CPU; name at least one"]);
    cpus("1,,0", &["column 3: nothing stands between the commas; leave the comma out"]);
    cpus(
        "1,,2",
        &[
            "column 3: nothing stands between the commas; leave the comma out",
            "column 4: CPU 2 is not available here (0-1)",
        ],
    );
    cpus("1,", &["column 2: nothing stands after the last comma; leave the comma out"]);
    cpus("^1", &["nothing stands before ^1 that it could be left out of; did you mean all,^1?"]);
    cpus("7-9", &["CPUs 7-9 are not available here (0-1)"]);
    cpus("0,9", &["column 3: CPU 9 is not available here (0-1)"]);
    cpus("01", &["01 can be read in two ways; write 1 for CPU 1, or 0x1 for CPU 0"]);
    cpus(
        "00000000,00000003",
        &["column 1: 00000000,00000003 can be read in two ways; write 0,3 for CPUs 0,3, or 0x3 for CPUs 0-1"],
    );
    cpus("[0", &["this bracket is never closed; close it with ]"]);
}

#[test]
fn a_cpu_that_is_offline_or_outside_the_cpuset_is_not_available() {
    let host = Host { available: CpuSet::from_words(&[0b1011]), start: CpuSet::from_words(&[1]) };
    let parsed = Policy::parse([("PIN_CPUS", "0-3")], &host);
    let lines: Vec<String> = parsed.faults.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["PIN_CPUS=0-3: CPU 2 is not available here (0-1,3)"]);
    // Outside the affinity that QEMU was started with is fine.
    assert_eq!(Policy::parse([("PIN_CPUS", "3")], &host).faults, []);
}

#[test]
fn bad_placements() {
    let vcpus = |value, faults| value_is_reported_as("PIN_VCPUS", value, faults);
    vcpus(
        "2-3@6-7",
        &[
            "column 5: 6-7 stands without brackets; did you mean 2-3@[6-7] for all of these CPUs each, or 2@6,3@7?",
        ],
    );
    vcpus("0@0-1", &["column 3: 0-1 stands without brackets; did you mean 0@[0-1]?"]);
    vcpus("all", &["all is more than a CPU or a range; did you mean [all]?"]);
    vcpus("^1", &["nothing stands before ^1 that it could be left out of; did you mean [all,^1]?"]);
    vcpus("0@9", &["column 3: CPU 9 is not available here (0-1)"]);
    vcpus("[0,9]", &["column 4: CPU 9 is not available here (0-1)"]);
    vcpus("*", &["* names everyone but no CPU; did you mean *@[all]?"]);
    vcpus("0@", &["0@ names no CPU; write WHO@CPU or WHO@[CPUS]"]);
    vcpus("@0", &["no vCPU is named before the @; write vCPUs like 0, 2-3 or *"]);
    vcpus("0@[]", &["column 3: the brackets are empty; name at least one CPU"]);
    vcpus("65536@0", &["65536 names a vCPU past the last there can be, 65535"]);
    vcpus("0-3@0,5@0,2@1", &["column 11: vCPU 2 is placed twice; leave one out"]);
    vcpus("*@0,*@1", &["column 5: * is placed twice; leave one out"]);
    vcpus(
        "0@1,0",
        &["column 5: 0 names nobody while other entries do; \
           write WHO@CPU for each; several CPUs for one stand in brackets, as in 0@[2,3]"],
    );
    vcpus(
        "0,1@9",
        &[
            "column 3: 1@9 names somebody while other entries do not; \
             write either WHO@CPU for each or an ordered list without keys",
            "column 5: CPU 9 is not available here (0-1)",
        ],
    );
    vcpus(
        "0@1,x",
        &["column 5: x names nobody while other entries do; \
           write WHO@CPU for each; several CPUs for one stand in brackets, as in 0@[2,3]"],
    );
    vcpus("01", &["01 can be read in two ways; write 1 for CPU 1, or 0x1 for CPU 0"]);
    vcpus("0@01", &["column 3: 01 can be read in two ways; write 1 for CPU 1, or 0x1 for CPU 0"]);
    vcpus("[01]", &["column 2: 01 can be read in two ways; write 1 for CPU 1, or 0x1 for CPU 0"]);
    vcpus("00-01@0", &["00-01 has a number that begins with a zero; did you mean 0-1?"]);
    let iothreads = |value, faults| value_is_reported_as("PIN_IOTHREADS", value, faults);
    iothreads(
        "0@1",
        &[
            "0 is not the id of an IOThread; write its id, as in io1@5 (libvirt's IOThread 4 is iothread4), or an ordered list without keys, as in 5,6",
        ],
    );
    iothreads(
        "a!@1",
        &["a! is not the id of an IOThread; an id is a letter, then letters, digits, -, . and _"],
    );
    iothreads("io1@0,io1@1", &["column 7: IOThread io1 is placed twice; leave one out"]);
}

#[test]
fn bad_rules() {
    let threads = |value, faults| value_is_reported_as("PIN_THREADS", value, faults);
    threads("w@01", &["column 3: 01 can be read in two ways; write 1 for CPU 1, or 0x1 for CPU 0"]);
    threads("", &["the value is empty; write GLOB@SET or unset the variable"]);
    threads(
        "worker@0,1",
        &["column 10: 1 is not a rule; \
           write GLOB@SET; a set of several items stands in brackets, as in worker@[0,1]"],
    );
    threads("w@1 0", &["column 3: 1 0 stands without brackets; did you mean w@[1 0]?"]);
    threads("w@ 9", &["column 4: CPU 9 is not available here (0-1)"]);
    threads("w@", &["column 2: no CPU is named after the @; write GLOB@SET"]);
    threads("@1", &["no thread is named before the @; write GLOB@SET"]);
    threads("w@0,w@1", &["column 5: w is placed twice, and the first rule wins; leave one out"]);
}

#[test]
fn bad_classes() {
    let sched = |value, faults| value_is_reported_as("PIN_SCHED", value, faults);
    sched("", &["the value is empty; write WHO@CLASS or unset the variable"]);
    sched("vcpus", &["vcpus is not a rule; write WHO@CLASS, as in vcpus@fifo:1"]);
    let roles = "write vcpus, vcpus[1-3], iothreads, iothreads[io1], emulator, workers, migration or all";
    let not_role = format!("cpus names no role that can have a class; {roles}");
    value_is_reported_as("PIN_SCHED", "cpus@batch", &[&not_role]);
    let nobody = format!("nobody is named before the @; {roles}");
    value_is_reported_as("PIN_SCHED", "@batch", &[&nobody]);
    sched("worker@batch", &["worker names no role that can have a class; did you mean workers?"]);
    sched(
        "vhost@batch",
        &[
            "vhost names no role that can have a class; vhost workers are the kernel's own threads, and keep its class",
        ],
    );
    sched("vcpus[]@idle", &["vcpus[] names nobody; did you mean vcpus?"]);
    sched("vcpus[x]@idle", &["column 7: x is not a vCPU; write vcpus, or some of them: vcpus[0,2-3]"]);
    sched(
        "iothreads[1]@idle",
        &["column 11: 1 is not the id of an IOThread; write iothreads, or some of them: iothreads[io1,io2]"],
    );
    sched(
        "vcpus@",
        &["column 7: no class is named after the @; write other, batch, idle, fifo:PRIORITY or rr:PRIORITY"],
    );
    sched(
        "vcpus@deadline",
        &["column 7: deadline is not a class; write other, batch, idle, fifo:PRIORITY or rr:PRIORITY"],
    );
    sched("vcpus@SCHED_FIFO:1", &["column 7: SCHED_FIFO is not a class; did you mean fifo?"]);
    sched("vcpus@fifo", &["column 7: fifo needs a priority; did you mean fifo:1?"]);
    sched("vcpus@rr:0", &["column 10: 0 is not a priority; write a number from 1 (last) to 99 (first)"]);
    sched(
        "vcpus@fifo:100",
        &["column 12: 100 is not a priority; write a number from 1 (last) to 99 (first)"],
    );
    sched("vcpus@fifo:1:3ms", &["column 14: fifo has no slice; a slice is for other and batch"]);
    sched(
        "all@other:20",
        &["column 11: 20 is not a nice value; write a number from -20 (first) to 19 (last)"],
    );
    sched(
        "all@other:3ms",
        &["column 11: 3ms is not a nice value; a slice stands after one: did you mean other:0:3ms?"],
    );
    sched("all@batch:0:3", &["column 13: 3 is not a slice; write a time from 100us to 100ms, such as 3ms"]);
    sched("all@batch:0:1s", &["column 13: 1s is not a slice; write a time from 100us to 100ms, such as 3ms"]);
    sched("all@batch:0:1ms:1", &["column 17: 1 stands after the slice; write CLASS:VALUE:SLICE and no more"]);
    sched("all@idle:5", &["column 10: 5 stands after idle, which has no value; write idle"]);
    sched("all@batch,all@idle", &["column 11: all has a class twice; leave one out"]);
    sched("vcpus[0-3]@batch,vcpus[2]@idle", &["column 24: a class is given twice to vCPU 2; leave one out"]);
    sched("iothreads[a,a]@batch", &["column 13: a class is given twice to IOThread a; leave one out"]);
    sched(
        "vcpus@x,worker@y",
        &[
            "column 7: x is not a class; write other, batch, idle, fifo:PRIORITY or rr:PRIORITY",
            "column 9: worker names no role that can have a class; did you mean workers?",
            "column 16: y is not a class; write other, batch, idle, fifo:PRIORITY or rr:PRIORITY",
        ],
    );
}

#[test]
fn a_real_time_class_that_would_hang_qemu_is_a_fault() {
    let sched = |value: &'static str, others: &[(&'static str, &'static str)], fault: &str| {
        let environment: Vec<_> = others.iter().copied().chain([("PIN_SCHED", value)]).collect();
        is_reported_as(&environment, &[&*format!("PIN_SCHED={value} with {fault}")]);
    };
    let vcpus = "the vCPUs may have a real-time class and share CPU 1 with the emulator's threads, which have none and \
                 would wait for ever; name other CPUs in PIN_VCPUS or PIN_EMULATOR, or a class that is not real-time";
    let (on_1, emulator_on_0) = (("PIN_VCPUS", "1"), ("PIN_EMULATOR", "0"));
    sched(
        "vcpus@fifo:1",
        &[on_1, ("PIN_EMULATOR", "1")],
        &format!("PIN_VCPUS=1 and PIN_EMULATOR=1: {vcpus}"),
    );
    sched("vcpus@rr:9", &[on_1], &format!("PIN_VCPUS=1 and no PIN_EMULATOR: {vcpus}"));
    sched("vcpus@fifo:1", &[("PIN_CPUS", "1")], &format!("PIN_CPUS=1: {vcpus}"));
    // A vCPU that has a class and no CPU of its own.
    sched(
        "vcpus[3]@fifo:1",
        &[on_1, emulator_on_0],
        &format!("PIN_VCPUS=1 and PIN_EMULATOR=0: {}", vcpus.replace("CPU 1", "CPU 0")),
    );
    sched(
        "vcpus[0]@fifo:1",
        &[("PIN_VCPUS", "1,1"), emulator_on_0],
        "PIN_VCPUS=1,1: the vCPUs may have a real-time class and share CPU 1 with others of them, which have none and \
         would wait for ever; name other CPUs in PIN_VCPUS, or a class that is not real-time",
    );
    for (others, words, variable, value) in [
        ([("PIN_IOTHREADS", "[0-1]")], "the IOThreads", "PIN_IOTHREADS", "[0-1]"),
        ([("PIN_WORKERS", "1")], "the workers", "PIN_WORKERS", "1"),
        ([("PIN_MIGRATION", "1")], "the migration threads", "PIN_MIGRATION", "1"),
        ([("PIN_VHOST", "1")], "the vhost workers", "PIN_VHOST", "1"),
    ] {
        let fault = vcpus.replace("the emulator's threads", words).replace("PIN_EMULATOR", variable);
        let all = [&[on_1, emulator_on_0][..], &others].concat();
        sched("vcpus@fifo:1", &all, &format!("PIN_VCPUS=1 and {variable}={value}: {fault}"));
    }
    sched(
        "iothreads[io1]@rr:1",
        &[on_1, emulator_on_0],
        "no PIN_IOTHREADS and PIN_EMULATOR=0: the IOThreads may have a real-time class and share CPU 0 with the emulator's \
         threads, which have none and would wait for ever; name other CPUs in PIN_IOTHREADS or PIN_EMULATOR, or a class that \
         is not real-time",
    );
    sched(
        "all@fifo:1",
        &[on_1, emulator_on_0],
        "PIN_EMULATOR=0: real-time classes take every CPU of the VM, 0-1, and nothing else would run there; leave the \
         emulator's threads and the workers a CPU and a class that is not real-time",
    );
}

#[test]
fn a_real_time_class_that_has_its_cpus_alone_is_no_fault() {
    for (sched, iothreads) in [
        ("vcpus@fifo:1", None),
        ("vcpus@fifo:1", Some("0")),
        ("vcpus@fifo:1,workers@idle", None),
        ("vcpus[0]@fifo:1,all@batch", Some("io1@0")),
        ("all@other:-5,vcpus@rr:99", Some("io1@0,*@0")),
    ] {
        let both = [("PIN_VCPUS", "1"), ("PIN_EMULATOR", "0"), ("PIN_SCHED", sched)];
        let all: Vec<_> = both.into_iter().chain(iothreads.map(|value| ("PIN_IOTHREADS", value))).collect();
        let parsed = parse(&all);
        assert_eq!(parsed.faults, [], "{sched}");
        assert!(parsed.policy.is_some_and(|policy| policy.has_classes()));
    }
}

#[test]
fn without_a_faulty_class_qemu_runs_with_the_rest_if_the_user_wants_it() {
    for sched in ["vcpus@fifo:1", "vcpus@no"] {
        let parsed = parse(&[("PIN_ERRORS", "warn"), ("PIN_CPUS", "1"), ("PIN_SCHED", sched)]);
        assert_eq!(parsed.faults.len(), 1);
        let policy = parsed.policy.unwrap();
        assert!(!policy.has_classes() && policy.entries().iter().all(|(name, _)| name != "PIN_SCHED"));
    }
    // The emulator falls back to CPUs that a vCPU takes.
    let environment =
        [("PIN_ERRORS", "warn"), ("PIN_VCPUS", "1"), ("PIN_EMULATOR", "9"), ("PIN_SCHED", "vcpus@rr:1")];
    let names: Vec<_> = parse(&environment).faults.iter().map(|fault| fault.variable).collect();
    assert_eq!(names, ["PIN_EMULATOR", "PIN_SCHED"]);
    // And where QEMU does not start anyway, that is not said.
    let names: Vec<_> = parse(&environment[1..]).faults.iter().map(|fault| fault.variable).collect();
    assert_eq!(names, ["PIN_EMULATOR"]);
}

#[test]
fn misspelt_names_name_the_variable_that_was_meant() {
    for (misspelt, meant) in [
        ("PIN_CPU", "PIN_CPUS"),
        ("PIN_VCPU", "PIN_VCPUS"),
        ("PIN_IOTHREAD", "PIN_IOTHREADS"),
        ("PIN_WORKER", "PIN_WORKERS"),
        ("PIN_EMULATORS", "PIN_EMULATOR"),
        ("PIN_THREAD", "PIN_THREADS"),
    ] {
        value_is_reported_as(misspelt, "1", &[&format!("no such variable; did you mean {meant}?")]);
        assert!(Policy::names_placement([(misspelt, "1")]));
    }
}

#[test]
fn settings_know_their_words() {
    is_reported_as(
        &[
            ("PIN_LOG", ""),
            ("PIN_NAMES", "yes"),
            ("PIN_WATCH", "5s"),
            ("PIN_MANAGER", "Libvirt"),
            ("PIN_ERRORS", "wran"),
            ("PIN_TARGET", "/usr/bin/kvm"),
            ("PIN_CPUS", "1"),
        ],
        &[
            "PIN_TARGET=/usr/bin/kvm: executables go by basename, and a basename holds no /; did you mean kvm?",
            "PIN_ERRORS=wran: the value is no word it knows; write exit or warn or unset the variable",
            "PIN_MANAGER=Libvirt: the value is no word it knows; write libvirt or unset the variable",
            "PIN_WATCH=5s: the value is no whole number of seconds from 1 to 86400; write 10 or unset the variable",
            "PIN_NAMES=yes: the value is no word it knows; write on or off or unset the variable",
            "PIN_LOG=: the value is empty; write a level, such as info, or unset the variable",
        ],
    );
    is_reported_as(
        &[("PIN_TARGET", " "), ("PIN_CPUS", "1")],
        &["PIN_TARGET= : the value is empty; name executables by basename or unset the variable"],
    );
}

#[test]
fn seconds_are_a_plain_whole_number() {
    for (value, seconds) in [("1", 1), ("10", 10), ("86400", 86400)] {
        let parsed = parse(&[("PIN_WATCH", value), ("PIN_CPUS", "1")]);
        assert_eq!(parsed.policy.unwrap().watch(), Some(seconds));
    }
    for value in ["", " ", "0", "01", "-1", "+1", "1.5", " 1", "86401", "99999999999999999999", "x"] {
        let parsed = parse(&[("PIN_WATCH", value), ("PIN_CPUS", "1")]);
        assert_eq!((parsed.faults.len(), parsed.policy.is_some()), (1, false), "{value}");
    }
    assert_eq!(parse(&[("PIN_CPUS", "1")]).policy.unwrap().watch(), None);
    assert!(parse(&[("PIN_WATCH", "5")]).policy.is_none(), "a watch alone places nothing");
}

#[test]
fn a_fault_is_one_line_whatever_the_value_holds() {
    let parsed = parse(&[("PIN_CPUS", "x\n\u{1b}[31m\r")]);
    for fault in &parsed.faults {
        assert!(!fault.to_string().contains(char::is_control), "{fault:?}");
    }
    let long = "x,".repeat(3_000);
    let parsed = parse(&[("PIN_CPUS", &long)]);
    assert!(parsed.faults.iter().all(|fault| fault.to_string().len() < 400));
}

#[test]
fn of_very_many_mistakes_the_first_are_listed() {
    let more = "more is wrong with the value than what is listed here";
    for (name, value) in [
        ("PIN_CPUS", "x,".repeat(3_000)),
        ("PIN_CPUS", ",".repeat(3_000)),
        ("PIN_CPUS", "9,".repeat(3_000)),
        ("PIN_VCPUS", "x ".repeat(3_000)),
        ("PIN_VCPUS", "0@0 ".repeat(3_000)),
        ("PIN_IOTHREADS", "[9],".repeat(3_000)),
        ("PIN_THREADS", "x,".repeat(900)),
        ("PIN_THREADS", "w@0,".repeat(900)),
        ("PIN_TARGET", "/,".repeat(60)),
        ("PIN_LOG", "a=b,".repeat(60)),
    ] {
        let parsed = parse(&[("PIN_CPUS", "1"), (name, &value)][usize::from(name == "PIN_CPUS")..]);
        let (last, listed) = parsed.faults.split_last().unwrap();
        assert_eq!((listed.len(), &*last.mistake.what), (32, more), "{name}={}", &value[..5]);
    }
    // Under a manager a CPU that is not available is a warning, however many there are.
    let many = "9,".repeat(3_000) + "1";
    let parsed = parse(&[("PIN_CPUS", &many), ("PIN_MANAGER", "libvirt")]);
    assert_eq!((parsed.faults.len(), parsed.warnings.len()), (0, 33));
    assert!(parsed.policy.is_some());
}

#[test]
fn a_value_that_holds_more_than_can_be_meant_is_a_fault_that_names_the_limit() {
    let one = |name: &str, value: &str| {
        let environment = [("PIN_EMULATOR", "1"), (name, value)];
        let parsed = parse(&environment);
        let faults: Vec<String> = parsed.faults.iter().map(|fault| fault.mistake.what.clone()).collect();
        faults.join("; ")
    };
    let items = |count: usize, item: &str| vec![item; count].join(",");
    for (name, limit, item, what) in [
        ("PIN_CPUS", 8_192, "0", "there are more than 8192 items"),
        ("PIN_CPUS", 8_192, "all", "there are more than 8192 items"),
        ("PIN_VCPUS", 8_192, "1", "there are more than 8192 items"),
        ("PIN_LOG", 64, "info", "there are more than 64 directives"),
        ("PIN_TARGET", 64, "kvm", "there are more than 64 globs"),
    ] {
        assert_eq!(one(name, &items(limit, item)), "", "{name}");
        assert_eq!(one(name, &items(limit + 1, item)), what, "{name}");
        assert_eq!(one(name, &items(4 * limit, item)), what, "{name}");
    }
    let rules = |count: usize| (0..count).map(|rule| format!("w{rule}@1")).collect::<Vec<_>>().join(",");
    assert_eq!(one("PIN_THREADS", &rules(1_024)), "");
    assert_eq!(one("PIN_THREADS", &rules(1_025)), "there are more than 1024 rules");
    for name in ["PIN_THREADS", "PIN_TARGET"] {
        let glob = |bytes: usize| "x".repeat(bytes) + if name == "PIN_THREADS" { "@1" } else { "" };
        assert_eq!(one(name, &glob(256)), "", "{name}");
        assert_eq!(one(name, &glob(257)), "a glob has 256 bytes at most", "{name}");
    }
    let blanks = |bytes: usize| "1".to_owned() + &" ".repeat(bytes - 1);
    assert_eq!(one("PIN_CPUS", &blanks(MAX_VALUE_BYTES)), "");
    assert_eq!(one("PIN_CPUS", &blanks(MAX_VALUE_BYTES + 1)), "the value has more than 131072 bytes");
    assert!(CpuSet::parse(&blanks(MAX_VALUE_BYTES + 1), &CpuSet::new()).is_err());
}

/// A page says which CPUs are available, and may be hostile.
#[test]
fn a_message_names_few_of_the_available_cpus() {
    let host = Host { available: CpuSet::from_words(&[0x5555_5555_5555_5555; 128]), start: CpuSet::new() };
    let parsed = Policy::parse([("PIN_CPUS", "0-8191")], &host);
    let lines: Vec<String> = parsed.faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["PIN_CPUS=0-8191: CPUs 1,3,5,7,9,11,13,15,… are not available here (0,2,4,6,8,10,12,14,…)"]
    );
}

#[test]
fn a_value_that_holds_a_nul_is_a_fault() {
    for (name, value) in [("PIN_LOG", "info\0"), ("PIN_TARGET", "kvm\0PIN_CPUS=1"), ("PIN_THREADS", "a\0b@1")]
    {
        let parsed = parse(&[("PIN_EMULATOR", "1"), (name, value)]);
        let whats: Vec<&str> = parsed.faults.iter().map(|fault| &*fault.mistake.what).collect();
        assert_eq!(whats, ["the value holds a NUL"], "{name}");
    }
}

#[test]
fn a_value_that_is_not_text_is_a_fault() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let host = Host { available: CpuSet::from_words(&[1]), start: CpuSet::from_words(&[1]) };
    let parsed = Policy::parse([("PIN_CPUS", OsStr::from_bytes(b"1\xff"))], &host);
    let lines: Vec<String> = parsed.faults.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["PIN_CPUS=1\u{fffd}: the value is not UTF-8 text"]);
}

#[test]
fn bad_memory_policies() {
    let host = Host { available: CpuSet::from_words(&[0b11]), start: CpuSet::from_words(&[0b11]) };
    let nodes = NodeSet::parse("0-1").unwrap();
    let faults = |value: &str, manager: &[(&str, &str)]| {
        let environment = manager.iter().copied().chain([("PIN_MEMORY", value)]);
        let parsed = Policy::parse_with_nodes(environment, &host, Some(&nodes));
        let said = parsed.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let warned = parsed.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        (said, warned, parsed.policy.and_then(|policy| policy.memory()))
    };
    let absent = "PIN_MEMORY=strict:2: column 8: node 2 is not available here (0-1)";
    assert_eq!(faults("strict:2", &[]), (absent.to_owned(), String::new(), None));
    // libvirt gives QEMU its nodes later.
    let two = MemoryPolicy::Strict(NodeSet::parse("2").unwrap());
    assert_eq!(
        faults("strict:2", &[("PIN_MANAGER", "libvirt")]),
        (String::new(), absent.to_owned(), Some(two))
    );
    let both = MemoryPolicy::Interleave(nodes);
    assert_eq!(faults("interleave:0-1", &[]), (String::new(), String::new(), Some(both)));
    let word = "write strict:NODES, preferred:NODES, interleave:NODES or local";
    value_is_reported_as("PIN_MEMORY", "all", &[&format!("all is no memory policy; {word}")]);
    value_is_reported_as("PIN_MEMORY", "bind:0", &["bind is no memory policy; did you mean strict?"]);
    // Where it is not known which nodes there are, each is taken for one.
    assert!(parse(&[("PIN_MEMORY", "strict:2")]).faults.is_empty());
}

#[test]
fn core_scheduling_is_one_of_two_words() {
    let word = "the value is no word it knows; write vm or off or unset the variable";
    value_is_reported_as("PIN_CORE", "on", &[word]);
    for (value, is_on) in [("vm", true), ("off", false)] {
        assert_eq!(parse(&[("PIN_CORE", value)]).policy.unwrap().core_scheduling(), is_on);
    }
    assert!(!parse(&[("PIN_CPUS", "0")]).policy.unwrap().core_scheduling());
}

#[test]
fn bad_maps_of_vhost_workers() {
    let vhost = |value, faults| value_is_reported_as("PIN_VHOST", value, faults);
    vhost("9", &["CPU 9 is not available here (0-1)"]);
    vhost("0@9", &["column 3: CPU 9 is not available here (0-1)"]);
    vhost("x@1", &["x is not a vhost worker; write vhost workers like 0, 2-3 or *"]);
    vhost("0@1,0@0", &["column 5: vhost worker 0 is placed twice; leave one out"]);
    vhost("0-3@1,2-4@0", &["column 7: vhost workers 2-3 are placed twice; leave one out"]);
    let mixed = "column 3: 1@0 names somebody while other entries do not; write either WHO@CPU for each or an ordered \
                 list without keys";
    vhost("0,1@0", &[mixed]);
}
