//! `pinshim metrics` of a real VM, as Prometheus and its library read it, and the files that node_exporter gets.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use harness::{
    Accel, Finished, NOBODY, Program, Scratch, TimeLimit, VmBuilder, command, kvm_and_tcg, pinshim,
    root_missing, skip, until,
};

/// A sample: its metric, its labels and its value.
#[derive(Debug, PartialEq)]
struct Sample {
    metric: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads a line as <https://prometheus.io/docs/instrumenting/exposition_formats/> has it, with nothing between that need not
/// be there. `None`: it is none.
fn sample(line: &str) -> Option<Sample> {
    fn name(text: &str) -> Option<(&str, &str)> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let is_name = end > 0 && !text.starts_with(|c: char| c.is_ascii_digit());
        is_name.then(|| text.split_at(end))
    }
    let (metric, mut rest) = name(line)?;
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = name(rest)?;
            let (mut value, mut letters) = (String::new(), after.strip_prefix("=\"")?.chars());
            loop {
                match letters.next()? {
                    '"' => break,
                    '\\' => value.push(letters.next().filter(|c| "\\\"".contains(*c))?),
                    letter => value.push(letter),
                }
            }
            if labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = letters.as_str();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.strip_prefix(' ')?;
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    Some(Sample { metric: metric.to_owned(), labels, value: value.parse().ok().filter(|_| is_plain)? })
}

/// The value of a metric with these labels among others.
#[track_caller]
fn value(samples: &[Sample], metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has = |sample: &Sample, (name, value): &(&str, &str)| {
        sample.labels.get(*name).is_some_and(|of| of == value)
    };
    let mut found = samples
        .iter()
        .filter(|sample| sample.metric == metric && labels.iter().all(|label| has(sample, label)));
    let value = found.next()?.value;
    assert!(found.next().is_none(), "{metric} {labels:?} twice");
    Some(value)
}

/// Has the parsers of Prometheus itself and of its library for Python read a text, and reads it.
#[track_caller]
fn read(text: &str) -> Vec<Sample> {
    let scratch = Scratch::new();
    let file = scratch.join("metrics");
    fs::write(&file, text).unwrap();
    let python = "import sys, prometheus_client.parser as p\n\
                  print(sum(len(f.samples) for f in p.text_fd_to_metric_families(sys.stdin) if f.type != 'unknown'))";
    let shell = |line: &str| Program::new("sh").args(["-c", line]).run();
    let promtool = shell(&format!("promtool check metrics <'{}'", file.display()));
    match promtool.code() {
        127 => skip("there is no promtool (Debian's package prometheus)"),
        _ => assert_eq!((promtool.code(), &*promtool.stdout, &*promtool.stderr), (0, "", ""), "{text}"),
    }
    let samples: Vec<Sample> = text
        .lines()
        .filter(|line| !line.starts_with("# "))
        .map(|line| sample(line).unwrap_or_else(|| panic!("{line}")))
        .collect();
    let counted = shell(&format!("python3 -c \"{python}\" <'{}'", file.display()));
    if counted.stderr.contains("No module named") || counted.code() == 127 {
        skip("there is no python3-prometheus-client");
    } else {
        assert_eq!((&*counted.stdout, &*counted.stderr), (&*format!("{}\n", samples.len()), ""), "{text}");
    }
    samples
}

#[test]
fn what_is_no_sample_is_noticed() {
    let labels = BTreeMap::from([("b".to_owned(), "c\\}\",d".to_owned()), ("e".to_owned(), String::new())]);
    let read = sample(r#"a{b="c\\}\",d",e=""} 1.5"#);
    assert_eq!(read, Some(Sample { metric: "a".to_owned(), labels, value: 1.5 }));
    for line in [
        "a",
        "a ",
        "1a 1",
        "a x",
        "a{} 1",
        "a{b=c} 1",
        r#"a{b="c} 1"#,
        r#"a{b="\d"} 1"#,
        r#"a{b="1",b="2"} 1"#,
        "a -1",
    ] {
        assert_eq!(sample(line), None, "{line}");
    }
}

fn a_vm_is_there_in_numbers(accel: Accel) {
    let _limit = TimeLimit::seconds(100);
    let name = "we\"ird\\ {x=1}";
    let vm = VmBuilder::usual(accel).env("PIN_CPUS", "all").sandbox(harness::LIBVIRT_SANDBOX).name(name);
    let Some(vm) = vm.start() else { return };
    vm.wait_visits(1);
    let (pid, taken) = (vm.pid().to_string(), pinshim(&["metrics"]));
    assert_eq!((taken.code(), &*taken.stderr), (0, ""));
    let samples = read(&taken.stdout);
    let of = |metric: &str| value(&samples, metric, &[("pid", &pid)]);
    let of_role = |metric: &str, role: &str| value(&samples, metric, &[("pid", &pid), ("role", role)]);
    assert_eq!((of("pinshim_vm_pinned"), of("pinshim_vm_broker_up")), (Some(1.0), Some(1.0)));
    assert_eq!(
        (of_role("pinshim_vm_threads", "vcpu"), of_role("pinshim_vm_threads_off", "vcpu")),
        (Some(2.0), Some(0.0))
    );
    assert!(of("pinshim_vm_threads_created_total") > Some(3.0), "{}", taken.stdout);
    assert!(of("pinshim_vm_cpu_seconds_total") > Some(0.0), "{}", taken.stdout);
    assert!(of_role("pinshim_vm_threads_cpu_seconds", "vcpu") > Some(0.0), "{}", taken.stdout);
    let info =
        samples.iter().find(|sample| sample.metric == "pinshim_vm_info" && sample.labels["pid"] == pid);
    assert_eq!(info.unwrap().labels["vm"], name);
    // The process beside QEMU ends, and it is seen.
    let broker = harness::brokers_of(vm.pid()).remove(0);
    broker.signal(libc::SIGKILL);
    until(20, "the broker's end", || (!broker.lives()).then_some(()));
    let samples = read(&pinshim(&["metrics"]).stdout);
    assert_eq!(value(&samples, "pinshim_vm_broker_up", &[("pid", &pid)]), Some(0.0));
}

kvm_and_tcg!(a_kvm_guest_is_there_in_numbers, a_tcg_guest_is_there_in_numbers, a_vm_is_there_in_numbers);

/// The service's line in the document, with another file.
fn of_service(file: &str) -> Finished {
    let document = include_str!("../docs/command.md");
    let line =
        document.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/pinshim ")).unwrap();
    let (words, documented) = line.rsplit_once(' ').unwrap();
    assert_eq!(documented, "/var/lib/prometheus/node-exporter/pinshim.prom");
    let words: Vec<&str> = words.split(' ').collect();
    Program::new(command()).args(words).arg(file).run()
}

#[test]
fn the_service_of_the_document_writes_a_file_that_everybody_may_read() {
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    let file = scratch.join("pinshim.prom");
    of_service(file.to_str().unwrap()).assert_clean();
    read(&fs::read_to_string(&file).unwrap());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn no_link_of_another_users_leads_root_elsewhere() {
    let _limit = TimeLimit::seconds(60);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let scratch = Scratch::new();
    let (theirs, target) = (scratch.join("theirs"), scratch.join("target"));
    fs::create_dir(&theirs).unwrap();
    fs::create_dir(&target).unwrap();
    symlink(&target, theirs.join("link")).unwrap();
    symlink(target.join("x"), theirs.join("a.prom")).unwrap();
    std::os::unix::fs::chown(&theirs, Some(NOBODY.0), None).unwrap();
    std::os::unix::fs::lchown(theirs.join("link"), Some(NOBODY.0), None).unwrap();
    let refused = of_service(theirs.join("link/pinshim.prom").to_str().unwrap());
    assert_eq!(refused.code(), 74, "{refused:?}");
    assert!(
        refused.stderr.contains("link is a symbolic link that another user may have made"),
        "{refused:?}"
    );
    // In the place of the file one is replaced, and in the folder itself there is no harm.
    of_service(theirs.join("a.prom").to_str().unwrap()).assert_clean();
    assert!(!theirs.join("a.prom").is_symlink());
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
}
