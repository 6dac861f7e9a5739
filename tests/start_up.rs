//! A bad value is named, in one line for each fault, and QEMU does not start.

use harness::{ChildCpuset, EX_CONFIG, Finished, Program, TimeLimit, available, qemu, skip, two_cpus};

/// What QEMU says of itself, asked under the library with this environment.
fn version(env: &[(&str, &str)]) -> Option<Finished> {
    Some(ask_version(env)?.run())
}

fn ask_version(env: &[(&str, &str)]) -> Option<Program> {
    let binary = match qemu() {
        Ok(binary) => binary,
        Err(why) => {
            skip(why);
            return None;
        }
    };
    let program = Program::new(binary).arg("--version").with_library();
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

/// It has ended with one line that begins and goes on like this.
#[track_caller]
fn assert_refused_for(finished: &Finished, begins: &str, holds: &str) {
    assert_eq!((finished.code(), &*finished.stdout), (EX_CONFIG, ""), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    assert!(
        finished.stderr.starts_with(begins) && finished.stderr.contains(holds),
        "{begins}…{holds}: {finished:?}"
    );
    assert!(finished.stderr.ends_with('\n'), "{finished:?}");
}

/// A CPU that no machine of today has, and that one is not past all sense.
const ABSENT: &str = "60000";

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

#[test]
fn values_that_are_no_set() {
    let _limit = TimeLimit::seconds(60);
    for (value, holds) in [
        ("x", "x is not a set of CPUs"),
        ("3-1", "1-3"),
        ("", ""),
        (" ", ""),
        ("0x0", ""),
        ("0,,0", "column 3"),
        ("^1", "all,^1"),
        ("+1", ""),
        ("-1", ""),
        ("1e0", ""),
        ("0-1:0", ""),
        ("[0]", ""),
        ("0;1", ""),
        ("99999999999999999999", ""),
    ] {
        let Some(finished) = version(&[("PIN_CPUS", value)]) else { return };
        assert_refused_for(&finished, &format!("pinshim: PIN_CPUS={value}: "), holds);
    }
}

#[test]
fn a_value_cannot_write_to_the_terminal() {
    let _limit = TimeLimit::seconds(60);
    let Some(finished) = version(&[("PIN_CPUS", "\u{1b}[31m\u{7}")]) else { return };
    assert_refused_for(&finished, "pinshim: PIN_CPUS=", "");
    assert!(!finished.stderr.trim_end().contains(|c: char| c.is_control()), "{finished:?}");
}

#[test]
fn a_value_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let _limit = TimeLimit::seconds(60);
    let Some(program) = ask_version(&[]) else { return };
    let value = std::ffi::OsStr::from_bytes(b"\xff\xfe1");
    assert_refused_for(&program.env("PIN_CPUS", value).run(), "pinshim: PIN_CPUS=", "");
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
    assert_eq!((finished.code(), &*finished.stdout), (EX_CONFIG, ""), "{finished:?}");
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    for start in
        ["PIN_CPUS=x: ", "PIN_VCPUS=0@y: ", "PIN_WORKERS=60000: ", "PIN_CPU=0: ", "PIN_NAMES=maybe: "]
    {
        let start = format!("pinshim: {start}");
        assert_eq!(lines.iter().filter(|l| l.starts_with(&start)).count(), 1, "{start} in {lines:?}");
    }
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
    assert_refused_for(&finished, "pinshim: PIN_CPUS=x: ", "");
}

#[test]
fn a_word_for_errors_that_does_not_exist_is_itself_a_fault() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let cpu = cpus.second.to_string();
    let Some(finished) = version(&[("PIN_CPUS", &cpu), ("PIN_ERRORS", "ignore")]) else { return };
    assert_refused_for(&finished, "pinshim: PIN_ERRORS=ignore: ", "warn");
}

#[test]
fn a_cpu_outside_the_cpuset_is_named_with_what_the_cpuset_has() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let cpuset = match ChildCpuset::new(&[cpus.second]) {
        Ok(cpuset) => cpuset,
        Err(why) => return skip(why),
    };
    let inside = |cpu: &str| Some(ask_version(&[("PIN_CPUS", cpu)])?.cpuset(&cpuset).run());
    let (first, second) = (cpus.first.to_string(), cpus.second.to_string());
    let Some(outside) = inside(&first) else { return };
    let line = format!("pinshim: PIN_CPUS={first}: CPU {first} is not available here ({second})");
    assert_refused(&outside, &[&line]);
    let Some(finished) = inside(&second) else { return };
    assert_started(&finished);
}
