//! What `pinshim record` draws of a real VM: a picture, a page and a trace.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{
    Accel, Process, Program, Scratch, TimeLimit, Vm, VmBuilder, command, kvm_and_tcg, move_thread, skip,
    threads, two_cpus, until,
};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long something may take on a busy machine, in seconds.
const PATIENCE: u64 = 60;

fn recorder(vm: &Vm, file: &Path) -> Process {
    let pid = vm.pid().to_string();
    Program::new(command()).args(["record", &pid, "--for", "600", "-o"]).arg(file).start()
}

/// Whether a recording has the kernel write down every switch: it has, once it holds perf events, and for a second no more
/// of them.
fn begins(recorder: &Process) -> bool {
    let folder = format!("/proc/{}/fd", recorder.pid());
    let is_event = |link: &PathBuf| link.to_string_lossy().contains("perf_event");
    let (mut events, mut steady) = (0, 0);
    for _ in 0..100 * PATIENCE {
        let links = fs::read_dir(&folder).into_iter().flatten().flatten();
        let now = links.filter_map(|link| fs::read_link(link.path()).ok()).filter(is_event).count();
        steady = if now > 0 && now == events { steady + 1 } else { 0 };
        events = now;
        if steady == 100 {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Ends a recording early. Gives what it has written.
fn finished(recorder: Process, file: &Path) -> String {
    recorder.signal(libc::SIGINT);
    let finished = recorder.wait();
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

/// How often a thread was put on a CPU: proc(5), /proc/PID/schedstat, the third number.
fn runs(pid: u32, tid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
    text.split_whitespace().nth(2)?.parse().ok()
}

/// Moves a thread to a CPU, and waits until it has run there.
fn run_on(pid: u32, tid: u32, cpu: usize) {
    move_thread(tid, &[cpu]);
    let before = runs(pid, tid);
    until(PATIENCE, "a run on another CPU", || (runs(pid, tid) > before).then_some(()));
}

fn a_moment_off_the_set_is_red_in_every_picture(accel: Accel) {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let name = "<b>\"evil\"&";
    let vm = VmBuilder::usual(accel).name(name).env("PIN_CPUS", &cpus.second.to_string());
    let Some(mut vm) = vm.start() else { return };
    vm.wait_visits(1);
    let scratch = Scratch::new();
    let files = ["vm.svg", "vm.html", "vm.perfetto.json"].map(|name| scratch.join(name));
    let recorders = [0, 1, 2].map(|file| recorder(&vm, &files[file]));
    if !recorders.iter().all(begins) {
        return skip("not every switch may be recorded here (perf_event_open)");
    }
    let vcpu = vm.qmp.vcpu_tids()[0].1;
    run_on(vm.pid(), vcpu, cpus.first);
    run_on(vm.pid(), vcpu, cpus.second);
    vm.burst();
    let alive = threads(vm.pid());
    let [svg, html, trace] = {
        let mut files = files.iter();
        recorders.map(|recorder| finished(recorder, files.next().unwrap()))
    };
    for text in [&svg, &html] {
        assert!(text.contains(&format!("vCPU 0 (thread {vcpu}) on CPU {}, ", cpus.first)), "no red mark");
        assert!(text.contains("OFF ITS SET: ") && text.contains("threads ran off CPU"));
        assert!(text.contains("&lt;b&gt;&quot;evil&quot;&amp;") && !text.contains("<b>"));
    }
    for tid in alive.keys() {
        assert!(html.contains(&format!("<td class=\"n\">{tid}<td>")), "{tid} has no row in the table");
    }
    let trace: Value = serde_json::from_str(&trace).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let is_off = |event: &&Value| event["cat"] == "off its set" && event["tid"] == vcpu;
    let off = events.iter().find(is_off).unwrap();
    assert_eq!(off["name"], format!("CPU {}", cpus.first));
    for tid in alive.keys() {
        let is_track = |event: &Value| event["name"] == "thread_name" && event["tid"] == *tid;
        assert!(events.iter().any(is_track), "{tid} has no track");
    }
    assert!(events.iter().any(|event| event["name"] == "born"), "the burst's workers were born");
}

kvm_and_tcg!(
    a_moment_of_a_kvm_vcpu_off_its_set_is_red_in_every_picture,
    a_moment_of_a_tcg_vcpu_off_its_set_is_red_in_every_picture,
    a_moment_off_the_set_is_red_in_every_picture
);
