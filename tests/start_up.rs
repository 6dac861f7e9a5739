//! A bad value is named, in one line for each fault, and QEMU does not start.

use harness::{
    ChildCpuset, EX_CONFIG, Finished, Program, TimeLimit, available, or_skip, qemu, skip, two_cpus,
};

/// What QEMU says of itself, asked under the library with this environment.
fn version(env: &[(&str, &str)]) -> Option<Finished> {
    Some(ask_version(env)?.run())
}

fn ask_version(env: &[(&str, &str)]) -> Option<Program> {
    let program = Program::new(or_skip(qemu())?).arg("--version").with_library();
    Some(env.iter().fold(program, |program, (name, value)| program.env(name, value)))
}

#[track_caller]
fn assert_started(finished: &Finished) {
    assert!(finished.code() == 0 && finished.stdout.starts_with("QEMU emulator version"), "{finished:?}");
}

/// It has ended with these lines and nothing else, before QEMU could say anything.
#[track_caller]
fn assert_refused(finished: &Finished, lines: &[&str]) {
    assert_eq!((finished.code(), &*finished.stdout), (EX_CONFIG, ""), "{finished:?}");
    assert_eq!(finished.stderr.lines().collect::<Vec<_>>(), lines);
}

/// A CPU that no machine of today has, and that is still within what the library takes for a CPU (below 8192).
const ABSENT: &str = "8000";

#[test]
fn a_cpu_that_is_not_there() {
    let _limit = TimeLimit::seconds(60);
    let Some(finished) = version(&[("PIN_CPUS", ABSENT)]) else { return };
    let line = format!("pinshim: PIN_CPUS={ABSENT}: CPU {ABSENT} is not available here ({})", available());
    assert_refused(&finished, &[&line]);
}

#[test]
fn a_cpu_that_is_not_there_among_others() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let value = format!("{},{ABSENT}", cpus.first);
    let Some(finished) = version(&[("PIN_CPUS", &value)]) else { return };
    let column = cpus.first.to_string().len() + 2;
    let line = format!(
        "pinshim: PIN_CPUS={value}: column {column}: CPU {ABSENT} is not available here ({})",
        available()
    );
    assert_refused(&finished, &[&line]);
}

#[test]
fn a_cpu_that_is_offline() {
    let _limit = TimeLimit::seconds(60);
    let offline = std::fs::read_to_string("/sys/devices/system/cpu/offline").unwrap_or_default();
    let Some(cpu) = offline.trim().split([',', '-']).next().filter(|cpu| !cpu.is_empty()) else {
        return skip("every CPU is online");
    };
    let Some(finished) = version(&[("PIN_CPUS", cpu)]) else { return };
    let line = format!("pinshim: PIN_CPUS={cpu}: CPU {cpu} is not available here ({})", available());
    assert_refused(&finished, &[&line]);
}

/// What is said of a value that is no list of CPUs at all.
const NO_SET: &str = "is not a set of CPUs; write it like 1, 0-3, 0-6:2, all,^1 or 0x3";

#[test]
fn values_that_are_no_set() {
    let _limit = TimeLimit::seconds(60);
    let empty = "the value is empty; name at least one CPU or unset the variable";
    let too_large = format!("99999999999999999999 is not available here ({})", available());
    for (value, what) in [
        ("x", &*format!("x {NO_SET}")),
        ("3-1", "the range 3-1 runs backwards; did you mean 1-3?"),
        ("", empty),
        (" ", empty),
        ("0x0", "the set holds no CPU; name at least one"),
        ("0,,0", "column 3: nothing stands between the commas; leave the comma out"),
        ("^1", "nothing stands before ^1 that it could be left out of; did you mean all,^1?"),
        ("+1", &format!("+1 {NO_SET}")),
        ("-1", &format!("-1 {NO_SET}")),
        ("1e0", &format!("1e0 {NO_SET}")),
        ("0-1:0", "0-1:0 has a step of 0; every second CPU is 0-1:2"),
        ("[0]", "[0] is not a set of CPUs; brackets have no place here, did you mean 0?"),
        ("0;1", &format!("0;1 {NO_SET}")),
        ("99999999999999999999", &too_large),
    ] {
        let Some(finished) = version(&[("PIN_CPUS", value)]) else { return };
        assert_refused(&finished, &[&format!("pinshim: PIN_CPUS={value}: {what}")]);
    }
}

#[test]
fn a_value_cannot_write_to_the_terminal() {
    let _limit = TimeLimit::seconds(60);
    let Some(finished) = version(&[("PIN_CPUS", "\u{1b}[31m\u{7}")]) else { return };
    let line = r"pinshim: PIN_CPUS=\u{1b}[31m\u{7}: column 2: this bracket is never closed; close it with ]";
    assert_refused(&finished, &[line]);
}

#[test]
fn a_value_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let _limit = TimeLimit::seconds(60);
    let Some(program) = ask_version(&[]) else { return };
    let value = std::ffi::OsStr::from_bytes(b"\xff\xfe1");
    let line = "pinshim: PIN_CPUS=\u{fffd}\u{fffd}1: the value is not UTF-8 text";
    assert_refused(&program.env("PIN_CPUS", value).run(), &[line]);
}

#[test]
fn all_faults_are_named_at_once_whatever_the_log_says() {
    let _limit = TimeLimit::seconds(60);
    let env = [
        ("PIN_CPUS", "x"),
        ("PIN_VCPUS", "0@y"),
        ("PIN_WORKERS", ABSENT),
        ("PIN_CPU", "0"),
        ("PIN_NAMES", "maybe"),
        ("PIN_LOG", "off"),
    ];
    let Some(finished) = version(&env) else { return };
    let lines = [
        &*format!("pinshim: PIN_CPUS=x: x {NO_SET}"),
        &format!("pinshim: PIN_VCPUS=0@y: column 3: y {NO_SET}"),
        &format!("pinshim: PIN_WORKERS={ABSENT}: CPU {ABSENT} is not available here ({})", available()),
        "pinshim: PIN_NAMES=maybe: the value is no word it knows; write on or off or unset the variable",
        "pinshim: PIN_CPU=0: no such variable; did you mean PIN_CPUS?",
    ];
    assert_refused(&finished, &lines);
}

#[test]
fn slips_of_the_pen_name_the_right_variable() {
    let _limit = TimeLimit::seconds(60);
    for (slip, meant) in [
        ("PIN_CPU", "PIN_CPUS"),
        ("PIN_VCPU", "PIN_VCPUS"),
        ("PIN_IOTHREAD", "PIN_IOTHREADS"),
        ("PIN_WORKER", "PIN_WORKERS"),
        ("PIN_EMULATORS", "PIN_EMULATOR"),
        ("PIN_THREAD", "PIN_THREADS"),
    ] {
        let Some(finished) = version(&[(slip, "0")]) else { return };
        assert_refused(&finished, &[&format!("pinshim: {slip}=0: no such variable; did you mean {meant}?")]);
    }
}

#[test]
fn variables_of_other_software_are_left_alone() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let cpu = cpus.second.to_string();
    let env = [("PIN_ROOT", "/opt/pin"), ("PIN_HOST", "x"), ("PIN_CPUS", &cpu)];
    let Some(finished) = version(&env) else { return };
    assert_started(&finished);
    assert_eq!(finished.stderr, "");
}

#[test]
fn with_warn_qemu_starts_without_the_faulty_variable() {
    let _limit = TimeLimit::seconds(60);
    let Some(finished) = version(&[("PIN_CPUS", ABSENT), ("PIN_ERRORS", "warn")]) else { return };
    assert_started(&finished);
    let line = format!("pinshim: PIN_CPUS={ABSENT}: CPU {ABSENT} is not available here ({})\n", available());
    assert_eq!(finished.stderr, line);
}

#[test]
fn with_exit_said_aloud_qemu_does_not_start() {
    let _limit = TimeLimit::seconds(60);
    let Some(finished) = version(&[("PIN_CPUS", "x"), ("PIN_ERRORS", "exit")]) else { return };
    assert_refused(&finished, &[&format!("pinshim: PIN_CPUS=x: x {NO_SET}")]);
}

#[test]
fn a_word_for_errors_that_does_not_exist_is_itself_a_fault() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let cpu = cpus.second.to_string();
    let Some(finished) = version(&[("PIN_CPUS", &cpu), ("PIN_ERRORS", "ignore")]) else { return };
    let line =
        "pinshim: PIN_ERRORS=ignore: the value is no word it knows; write exit or warn or unset the variable";
    assert_refused(&finished, &[line]);
}

#[test]
fn a_cpu_outside_the_cpuset_is_named_with_what_the_cpuset_has() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let Some(cpuset) = or_skip(ChildCpuset::new(&[cpus.second])) else { return };
    let inside = |cpu: &str| Some(ask_version(&[("PIN_CPUS", cpu)])?.cpuset(&cpuset).run());
    let (first, second) = (cpus.first.to_string(), cpus.second.to_string());
    let Some(outside) = inside(&first) else { return };
    let line = format!("pinshim: PIN_CPUS={first}: CPU {first} is not available here ({second})");
    assert_refused(&outside, &[&line]);
    let Some(finished) = inside(&second) else { return };
    assert_started(&finished);
}
