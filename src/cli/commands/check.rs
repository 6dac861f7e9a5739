//! `pinshim check`: the proof, for people and scripts.

use crate::arguments::{Check, Wanted, role_word};
use crate::output::exit_status::{NOT_PINNED, OFF, SUCCESS};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::output::text::{count, short};
use crate::present::json::{self, Checked, CheckedAll, CheckedOne};
use crate::present::table;
use crate::sys::host::stay_off;
use crate::sys::kernel::Kernel;
use crate::verdict::against_qmp::{self, Comparison};
use crate::verdict::at_start;
use crate::verdict::max_delay::{Late, Limits, Source};
use crate::verdict::not_judged::not_judged;
use crate::verdict::watch::{self, Offence, Watched};
use crate::verdict::{diagnosis, vhost_in_kernel, wait};
use crate::vm::find;
use crate::vm::look::{Ask, Look, Vm};
use crate::vm::page::Missing;
use crate::vm::unmet::unmet_by;
use pinning::CpuSet;
use std::time::Duration;

/// Watches VMs and judges.
pub(crate) fn check(arguments: &Check, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let done = Limits::new(&arguments.max_delay).and_then(|limits| {
        let subjects = found(arguments, kernel)?;
        let outcomes = outcomes(arguments, &limits, kernel, &subjects, output);
        say(arguments, &subjects, outcomes, output)
    });
    done.or_else(|failure| Ok(failure.report_as(arguments.json, output)))
}

/// A VM that is to be checked, or why there is none.
type Subject<'k> = Result<Vm<'k>, Failure>;

/// What became of the check of a VM.
enum Outcome {
    Judged(Box<Watched>, Comparison),
    NotPinned(String),
    Failed(Failure),
}

impl Outcome {
    fn exit_status(&self) -> u8 {
        match self {
            Outcome::Judged(watched, comparison)
                if watched.offences.is_empty()
                    && watched.late.is_empty()
                    && comparison.differences.is_empty() =>
            {
                SUCCESS
            }
            Outcome::Judged(..) => OFF,
            Outcome::NotPinned(_) => NOT_PINNED,
            Outcome::Failed(failure) => failure.exit_status(),
        }
    }
}

/// The VMs that are to be checked, once they are in place where they are to be waited for.
fn found<'k>(arguments: &Check, kernel: &'k dyn Kernel) -> Result<Vec<Subject<'k>>, Failure> {
    let time = arguments.wait.unwrap_or_default();
    let wanted = arguments.which.wanted();
    if arguments.qmp.is_some() && wanted.len() > 1 {
        let named = count(wanted.len(), "VM");
        return Err(Failure::new(format!("--qmp asks one QEMU, and {named} were named")));
    }
    if arguments.all {
        let is_in_place = |found: &Result<Vec<Vm<'_>>, Failure>| match found {
            Ok(vms) => !vms.is_empty() && vms.iter().all(wait::is_in_place),
            Err(_) => true,
        };
        let find = || find::all(kernel).and_then(find::Found::into_vms);
        let found = if time.is_zero() { find() } else { wait::until(kernel, time, find, is_in_place) };
        return Ok(found?.into_iter().map(Ok).collect());
    }
    Ok(wanted.iter().map(|wanted| one(wanted, kernel, time)).collect())
}

/// A VM, waited for until a time has passed.
fn one<'k>(wanted: &Wanted, kernel: &'k dyn Kernel, time: Duration) -> Subject<'k> {
    if !time.is_zero() {
        let find = || find::look_up(kernel, wanted);
        wait::until(kernel, time, find, |found| match found {
            Ok(Some(vm)) => wait::is_in_place(vm),
            Ok(None) => !find::may_appear(wanted),
            Err(_) => true,
        })?;
    }
    find::wanted(kernel, wanted)
}

/// What becomes of the check of each of them.
fn outcomes(
    arguments: &Check,
    limits: &Limits,
    kernel: &dyn Kernel,
    subjects: &[Subject<'_>],
    output: &mut Output,
) -> Vec<Outcome> {
    let began = subjects.iter().map(|subject| begin(arguments, subject.as_ref().map_err(Clone::clone)));
    let began: Vec<Result<Comparison, Outcome>> = began.collect();
    let to_watch = subjects.iter().zip(&began).filter(|(_, began)| began.is_ok());
    let vms: Vec<&Vm<'_>> = to_watch.filter_map(|(subject, _)| subject.as_ref().ok()).collect();
    let time = arguments.time.unwrap_or_default();
    step_aside(kernel, &vms, limits);
    let mut said = 0;
    let progress = |elapsed: Duration, off: usize, late: usize| {
        if elapsed.as_secs() > said {
            said = elapsed.as_secs();
            let off = if off == 0 { "no thread".to_owned() } else { count(off, "thread") };
            let late = if limits.is_empty() { String::new() } else { format!(", {late} too late") };
            output.progress(&format!("{said} of {} s, {off} off{late} so far", time.as_secs_f64().ceil()));
        }
    };
    let mut watched = watch::watch(kernel, &vms, time, limits, progress).into_iter();
    output.end_progress();
    let outcome = |began: Result<Comparison, Outcome>| match began {
        Err(outcome) => outcome,
        Ok(mut comparison) => match watched.next() {
            Some(Ok(watched)) => {
                let unseen = watched
                    .unseen
                    .iter()
                    .map(|role| format!("no thread was seen for which --max-delay {}= is", role_word(*role)));
                comparison.not_told.extend(unseen);
                Outcome::Judged(Box::new(watched), comparison)
            }
            Some(Err(failure)) => Outcome::Failed(failure),
            None => Outcome::Failed(Failure::new("it was not watched")),
        },
    };
    began.into_iter().map(outcome).collect()
}

/// Leaves the CPUs of threads that may not wait, if there are others: they would wait for this command.
/// Where it may not, it is one of those who use the CPU, and is named.
fn step_aside(kernel: &dyn Kernel, vms: &[&Vm<'_>], limits: &Limits) {
    if limits.is_empty() {
        return;
    }
    let looks = vms.iter().filter_map(|vm| vm.look(&Ask::default()).ok()).flat_map(|look| look.threads);
    let theirs = looks.filter(|vm_thread| limits.of(vm_thread.role).is_some());
    let cpus = theirs.fold(CpuSet::new(), |all, vm_thread| all.union(&vm_thread.thread.allowed));
    stay_off(kernel, &cpus);
}

/// Compares a VM with what its policy names and, where that is asked for, with QEMU's own answer. `Err`: there is nothing to watch.
fn begin(arguments: &Check, vm: Result<&Vm<'_>, Failure>) -> Result<Comparison, Outcome> {
    let vm = vm.map_err(Outcome::Failed)?;
    let Look { content, threads } = vm.look(&Ask::default()).map_err(Outcome::Failed)?;
    let content = match content {
        Ok(content) => content,
        Err(missing) => {
            let why = diagnosis::why_not_pinned(vm.process, &missing);
            if missing != Missing::NotPermitted {
                return Err(Outcome::NotPinned(why));
            }
            let process = vm.process.shown();
            return Err(Outcome::Failed(Failure::new(format!("process {process} cannot be checked: {why}"))));
        }
    };
    if !arguments.max_delay.is_empty() && threads.iter().all(|thread| thread.thread.schedstat.is_none()) {
        let why = "this kernel does not tell how long threads wait (CONFIG_SCHED_INFO)";
        return Err(Outcome::Failed(Failure::new(format!(
            "process {} cannot be checked: {why}",
            vm.process.pid
        ))));
    }
    let mut comparison = match &arguments.qmp {
        Some(socket) => against_qmp::compared(vm, socket).map_err(Outcome::Failed)?.1,
        None => Comparison::default(),
    };
    let unmet = unmet_by(vm, &content.policy, &threads);
    comparison.differences.extend(unmet.iter().map(ToString::to_string));
    comparison.not_told.extend(not_judged(&threads));
    comparison.not_told.extend(vhost_in_kernel::notes(vm, &content.policy, &threads));
    let at_start = at_start::judge(vm, &content, &threads);
    comparison.differences.extend(at_start.differences);
    comparison.not_told.extend(at_start.notes);
    Ok(comparison)
}

/// Says what became of them. The answer is the worst exit status.
fn say(arguments: &Check, subjects: &[Subject<'_>], outcomes: Vec<Outcome>, output: &mut Output) -> Done {
    let statuses = outcomes.iter().map(Outcome::exit_status);
    let status = statuses.max_by_key(|status| how_bad(*status)).unwrap_or(SUCCESS);
    if subjects.is_empty() {
        output.note("no QEMU is running");
    }
    let mut documents = Vec::new();
    for (subject, outcome) in subjects.iter().zip(outcomes) {
        match (subject, &outcome) {
            (Ok(vm), Outcome::Judged(watched, comparison)) => {
                for not_told in &comparison.not_told {
                    output.note(format_args!("{}: {not_told}", vm.title()));
                }
                // Silence could be the word of somebody who only calls himself so.
                if outcome.exit_status() == SUCCESS && vm.is_anothers() && !arguments.json {
                    let all = count(watched.threads, "thread");
                    output.note(format_args!("{}: {all}, all where its own status page says", vm.title()));
                }
                if !arguments.json {
                    output.lines(lines(vm, watched, &comparison.differences));
                }
                documents.push(Checked::new(vm, watched, comparison, outcome.exit_status()).into());
            }
            (Ok(vm), Outcome::NotPinned(why)) => {
                if !arguments.json {
                    output.line(format_args!("{} is not pinned: {why}", vm.title()));
                }
                documents.push(Checked::not_pinned(vm, why.clone()).into());
            }
            (vm, Outcome::Failed(failure)) => {
                output.note(failure);
                documents.push(CheckedOne::failed(vm.as_ref().ok(), failure));
            }
            (Err(failure), _) => documents.push(CheckedOne::failed(None, failure)),
        }
    }
    if arguments.json {
        // One VM that was named is the whole document.
        match documents.as_slice() {
            [only] if !arguments.all => json::print(output, only)?,
            _ => json::print(output, &CheckedAll::new(status, documents))?,
        }
    }
    Ok(status)
}

/// The order of the outcomes: not known, not pinned, off, in place.
fn how_bad(status: u8) -> u8 {
    match status {
        SUCCESS => 0,
        OFF => 1,
        NOT_PINNED => 2,
        _ => 3,
    }
}

/// Silent on success.
fn lines(vm: &Vm<'_>, watched: &Watched, differences: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    if !watched.offences.is_empty() {
        let (off, all) = (watched.offences.len(), count(watched.threads, "thread"));
        lines.push(format!("{}: {off} of {all} NOT where they belong", vm.title()));
        lines.extend(watched.offences.iter().map(|offence| line(offence, watched.looks)));
    }
    if !watched.late.is_empty() {
        let (late, all) = (watched.late.len(), count(watched.threads, "thread"));
        let have = match watched.late.iter().filter(|late| late.is_proven()).count() {
            0 => "MAY have waited",
            proven if proven == late => "waited",
            _ => "waited, or MAY have waited,",
        };
        let by = watched.delays_by();
        lines.push(format!("{}: {late} of {all} {have} too long for a CPU (by {by})", vm.title()));
        lines.extend(watched.late.iter().flat_map(|late| late_lines(late, watched.looks)));
    }
    lines.extend(differences.iter().map(|difference| format!("{}: {difference}", vm.title())));
    lines
}

fn line(offence: &Offence, of: u64) -> String {
    let Offence { vm_thread, verdict, looks } = offence;
    let expected = vm_thread.expected_shown().unwrap_or_default();
    let looks =
        if *looks == of { String::new() } else { format!(" (in {looks} of {})", count(of as usize, "look")) };
    let belongs = if expected.is_empty() { String::new() } else { format!(" belongs on {expected}") };
    let waited = vm_thread.delay.filter(|delay| !delay.is_zero());
    let waited = waited.map(|delay| format!(", waited {} for its CPU", short(delay))).unwrap_or_default();
    format!(
        "  {} {} ({}){belongs}: {verdict}{looks}{waited}",
        vm_thread.thread.tid,
        vm_thread.name,
        table::role(vm_thread)
    )
}

fn late_lines(late: &Late, looks: u64) -> Vec<String> {
    let Late { vm_thread, intervals, .. } = late;
    let of = looks.saturating_sub(1);
    let often = match late.source {
        Source::Records if *intervals == 1 => String::new(),
        Source::Records => format!(" ({})", count(*intervals as usize, "time")),
        Source::Schedstat if *intervals == of || late.goes_on => String::new(),
        Source::Schedstat => format!(" (in {intervals} of {})", count(of as usize, "time")),
    };
    let (tid, name, role) = (vm_thread.thread.tid, &vm_thread.name, table::role(vm_thread));
    let mut lines = vec![format!("  {tid} {name} ({role}) {}{often}", late.words())];
    lines.extend(late.culprits.iter().map(|culprits| format!("    {}", culprits.words())));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, from_words};
    use crate::output::transcript::said;
    use crate::sys::fake::{FakeKernel, ms};
    use crate::vm::sample::{WEB, threads_of_web, web, web_with_a_librarys_thread};
    use pinning::{Class, ClassKind, Tid};

    fn checked(kernel: &FakeKernel, words: &str) -> (u8, String) {
        let Command::Check(arguments) = from_words(&format!("pinshim check {words}")) else {
            panic!("{words}")
        };
        said(|output| check(&arguments, kernel, output))
    }

    #[test]
    fn nothing_is_said_where_every_thread_is_where_it_belongs() {
        let kernel = FakeKernel::new();
        web(&kernel);
        assert_eq!(checked(&kernel, "web"), (0, String::new()));
        assert_eq!(kernel.now(), ms(20), "two looks");
        assert_eq!(checked(&kernel, "100 --for 1"), (0, String::new()));
        assert_eq!(kernel.now(), ms(1020));
        assert_eq!(kernel.asked(), [""; 0]);
    }

    #[test]
    fn a_thread_off_its_set_is_named() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(102, "0-3");
        let text = "\
web (PID 100): 1 of 5 threads NOT where they belong
  102 CPU 1/KVM (vcpu 1) belongs on 2: OFF: may also run on 0-1,3
";
        assert_eq!(checked(&kernel, "web"), (1, text.to_owned()));
        assert_eq!(kernel.asked(), [""; 0], "a check moves nothing");
    }

    #[test]
    fn a_thread_whose_class_differs_is_named() {
        let kernel = FakeKernel::new();
        let sched = ("PIN_SCHED", "vcpus@rr:2,workers@batch:0:3ms");
        web_with_a_librarys_thread(&kernel, &[("PIN_VCPUS", "1,2"), ("PIN_EMULATOR", "0"), sched]);
        let class = |kind, value, slice_us| Class { kind, value: Some(value), slice_us };
        kernel.change(101, |thread| thread.class = class(ClassKind::Rr, 2, 0));
        kernel.change(102, |thread| thread.class = class(ClassKind::Fifo, 2, 0));
        kernel.change(104, |thread| thread.class = class(ClassKind::Batch, 0, 2800));
        // A library's own thread may choose.
        kernel.change(103, |thread| thread.class = class(ClassKind::Rr, 9, 0));
        let text = "\
web (PID 100): 2 of 5 threads NOT where they belong
  102 CPU 1/KVM (vcpu 1) belongs on 2: CLASS fifo:2: should be rr:2
  104 worker (worker) belongs on 0: CLASS batch:0:2800us: should be batch:0:3ms
";
        assert_eq!(checked(&kernel, "web"), (1, text.to_owned()));
        kernel.change(102, |thread| thread.class = class(ClassKind::Rr, 2, 0));
        kernel.change(104, |thread| thread.class = class(ClassKind::Batch, 0, 3000));
        assert_eq!(checked(&kernel, "web"), (0, String::new()));
    }

    #[test]
    fn a_thread_that_was_off_for_a_while_is_named_with_how_often_it_was_seen() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.at(ms(40), |kernel| kernel.move_to(104, "1"));
        kernel.at(ms(80), |kernel| kernel.move_to(104, "0"));
        let text = "\
web (PID 100): 1 of 5 threads NOT where they belong
  104 worker (worker) belongs on 0: OFF: may run on 1 (in 2 of 6 looks)
";
        assert_eq!(checked(&kernel, "web --for 0.1"), (1, text.to_owned()));
    }

    #[test]
    fn the_json_document_has_the_threads_that_were_off() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "0");
        kernel.at(ms(20), |kernel| kernel.change(101, |thread| thread.schedstat = Some((0, 3_000_000, 2))));
        let document = concat!(
            r#"{"version":1,"pid":100,"name":"web","user":1000,"pinned":true,"ok":false,"looks":2,"seconds":0.02,"threads":5,"#,
            r#""offenders":[{"tid":101,"role":"vcpu","role_from":"library","vcpu":0,"vhost_worker":null,"#,
            r#""name":"CPU 0/KVM","#,
            r#""expected":"1","allowed":"0","class":null,"expected_class":null,"last_cpu":1,"cpu_seconds":0.0,"migrations":null,"delay_seconds":0.003,"#,
            r#""register":"placed","verdict":"off","words":"OFF: may run on 0","looks":2}],"#,
            r#""delays":[{"role":"emulator","threads":1,"delay_seconds":0.0,"longest_at_most_seconds":0.0},"#,
            r#"{"role":"vcpu","threads":2,"delay_seconds":0.003,"longest_at_most_seconds":0.003},"#,
            r#"{"role":"iothread","threads":1,"delay_seconds":0.0,"longest_at_most_seconds":0.0},"#,
            r#"{"role":"worker","threads":1,"delay_seconds":0.0,"longest_at_most_seconds":0.0}],"delays_by":"schedstat","late":[],"notes":[],"#,
            r#""exit_status":1,"error":null}"#,
            "\n"
        );
        assert_eq!(checked(&kernel, "web --json"), (1, document.to_owned()));
    }

    /// The VM `web`, whose vCPU 0 waits twice for CPU 1, on which a hog runs.
    fn web_beside_a_hog() -> FakeKernel {
        let kernel = FakeKernel::new();
        web(&kernel);
        (100..105).for_each(|tid| kernel.change(tid, |thread| thread.is_asleep = true));
        kernel.process(50, &["/bin/hog"]).thread(50, "hog", "1");
        let stat =
            |tid, stat| move |kernel: &FakeKernel| kernel.change(tid, |thread| thread.schedstat = Some(stat));
        kernel.at(ms(20), stat(101, (0, 3_100_000, 5)));
        kernel.at(ms(20), stat(50, (17_000_000, 0, 1)));
        kernel.at(ms(40), stat(101, (0, 3_150_000, 7)));
        kernel.at(ms(40), stat(103, (0, 900_000, 7)));
        kernel
    }

    #[test]
    fn a_thread_that_waits_longer_than_it_may_is_named_with_who_used_its_cpu() {
        let kernel = web_beside_a_hog();
        let text = "\
web (PID 100): 1 of 5 threads waited too long for a CPU (by schedstat)
  101 CPU 0/KVM (vcpu 0) waited 3.1ms in 20ms, in at most 4 stretches: one of at least 775µs; it may wait 40µs (in 2 of 5 times)
    on CPU 1 in these 20ms: hog (PID 50) 17ms
";
        assert_eq!(checked(&kernel, "web --for 0.1 --max-delay 40us"), (1, text.to_owned()));
        let kernel = web_beside_a_hog();
        let text = "\
web (PID 100): 2 of 5 threads MAY have waited too long for a CPU (by schedstat)
  101 CPU 0/KVM (vcpu 0) waited 3.1ms in 20ms, in at most 4 stretches: MAY have waited longer than 1.0ms in one of them \
                    (in 1 of 5 times)
    on CPU 1 in these 20ms: hog (PID 50) 17ms
  103 IO io1 (iothread) waited 900µs in 20ms, in at most 6 stretches: MAY have waited longer than 500µs in one of them \
                    (in 1 of 5 times)
    on CPU 3 in these 20ms: no other thread that can be seen
";
        let words = "web --for 0.1 --max-delay 1ms --max-delay iothreads=500us";
        assert_eq!(checked(&kernel, words), (1, text.to_owned()));
        let kernel = web_beside_a_hog();
        let (status, text) = checked(&kernel, "web --for 0.1 --json --max-delay 1ms");
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (status, &document["ok"], &document["offenders"]),
            (1, &false.into(), &serde_json::json!([]))
        );
        let late = &document["late"][0];
        assert_eq!([&late["tid"], &late["cpu"], &late["stretches"]], [101, 1, 4]);
        assert_eq!([&late["waited_seconds"], &late["at_least_seconds"]], [0.0031, 0.000775]);
        assert_eq!(late["culprits"]["threads"][0]["pid"], 50);
    }

    #[test]
    fn threads_that_keep_their_limits_are_in_order() {
        let kernel = web_beside_a_hog();
        let words = "web --for 0.1 --max-delay 10s --max-delay iothreads=0.9ms";
        assert_eq!(checked(&kernel, words), (0, String::new()));
        // It has left the CPUs of those that may not wait, and stays where there is no other.
        let own = || kernel.affinity(Tid(0)).unwrap().to_string();
        assert_eq!(own(), "0");
        assert_eq!(checked(&kernel, "web --max-delay workers=1us"), (0, String::new()));
        assert_eq!(own(), "0");
        let text = "2> pinshim: web (PID 100): no thread was seen for which --max-delay migration= is\n";
        assert_eq!(checked(&kernel, "web --max-delay migration=1ms"), (0, text.to_owned()));
    }

    /// Has the kernel tell every switch: thread 101 is preempted by the hog at these moments, in microseconds, for so long.
    fn records(kernel: &FakeKernel, preempted: &[(u64, u64)]) {
        use crate::record::encoded::encoded;
        use crate::record::records::{Record, What};
        kernel.perf.everybody.set(true);
        for &(at, long) in preempted {
            for (at, pid, tid, what) in [
                (at, 100, 101, What::Left { preempted: true }),
                (at, 50, 50, What::Named { pid: 50, tid: 50, comm: "hog".to_owned() }),
                (at, 50, 50, What::On),
                (at + long, 50, 50, What::Left { preempted: true }),
                (at + long, 100, 101, What::On),
            ] {
                let record = Record { time: at * 1000, cpu: 1, pid, tid, what };
                let time = Duration::from_micros(at);
                kernel.at(time, move |kernel| kernel.perf.write(1, &encoded(&record)));
            }
        }
    }

    fn with_wakings(kernel: &FakeKernel) {
        let folder = "/sys/kernel/tracing/events/sched/sched_waking";
        kernel.write(format!("{folder}/id"), "375\n");
        kernel.write(format!("{folder}/format"), "\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;\n");
    }

    #[test]
    fn where_every_wait_is_recorded_no_doubt_is_left() {
        let recorded = |preempted: &[(u64, u64)], words: &str| {
            let kernel = web_beside_a_hog();
            with_wakings(&kernel);
            records(&kernel, preempted);
            checked(&kernel, &format!("web --for 0.1 {words}"))
        };
        // The counts alone would say MAY.
        assert_eq!(recorded(&[(10_000, 900), (30_000, 800)], "--max-delay 1ms"), (0, String::new()));
        let text = "\
web (PID 100): 1 of 5 threads waited too long for a CPU (by records)
  101 CPU 0/KVM (vcpu 0) waited 2.0ms at a stretch; it may wait 1.0ms (2 times)
    on CPU 1 in these 3.5ms: hog (PID 50) 3.5ms
";
        let waits = [(10_000, 1_500), (30_000, 2_000), (50_000, 900)];
        assert_eq!(recorded(&waits, "--max-delay 1ms"), (1, text.to_owned()));
        let (status, text) = recorded(&waits, "--max-delay 1ms --json");
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let late = &document["late"][0];
        assert_eq!((status, &document["delays_by"], &late["intervals"]), (1, &"records".into(), &2.into()));
        assert_eq!([&late["proven"], &late["goes_on"]], [true, false]);
        assert_eq!([&late["waited_seconds"], &late["at_least_seconds"]], [0.002, 0.002]);
    }

    /// Without wakings the waits of threads that slept are only bounded, and those of threads that were preempted known.
    #[test]
    fn where_only_some_waits_are_recorded_they_prove_what_they_can() {
        let kernel = web_beside_a_hog();
        records(&kernel, &[(10_000, 1_500)]);
        let (status, text) = checked(&kernel, "web --for 0.1 --max-delay 1ms --max-delay iothreads=500us");
        assert_eq!(status, 1);
        let first =
            "web (PID 100): 2 of 5 threads waited, or MAY have waited, too long for a CPU (by schedstat)\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains(" (vcpu 0) waited 1.5ms at a stretch; it may wait 1.0ms\n"), "{text}");
        assert!(
            text.contains(" (iothread) waited 900µs in 20ms, in at most 6 stretches: MAY have "),
            "{text}"
        );
        let kernel = web_beside_a_hog();
        records(&kernel, &[(10_000, 900)]);
        let (status, text) = checked(&kernel, "web --for 0.1 --max-delay 1ms");
        assert!(status == 1 && text.contains("MAY have waited longer than 1.0ms"), "{text}");
    }

    #[test]
    fn a_vcpu_that_gets_no_cpu_at_all_does_not_pass() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let text = "\
web (PID 100): 2 of 5 threads waited too long for a CPU (by schedstat)
  101 CPU 0/KVM (vcpu 0) has been ready to run for 2.00s and has not run; it may wait 1.0ms
    on CPU 1 in these 20ms: no other thread that can be seen
  102 CPU 1/KVM (vcpu 1) has been ready to run for 2.00s and has not run; it may wait 1.0ms
    on CPU 2 in these 20ms: no other thread that can be seen
";
        assert_eq!(checked(&kernel, "web --max-delay 1ms"), (1, text.to_owned()));
        assert_eq!(kernel.now(), ms(2000));
    }

    #[test]
    fn where_the_kernel_does_not_tell_no_limit_can_be_checked() {
        let kernel = FakeKernel::new();
        web(&kernel);
        (100..105).for_each(|tid| kernel.change(tid, |thread| thread.schedstat = None));
        assert_eq!(checked(&kernel, "web"), (0, String::new()));
        let why = "2> pinshim: process 100 cannot be checked: this kernel does not tell how long threads wait \
                   (CONFIG_SCHED_INFO)\n";
        assert_eq!(checked(&kernel, "web --max-delay 1ms"), (2, why.to_owned()));
        let why = "2> pinshim: --max-delay has two limits for vcpus\n";
        assert_eq!(checked(&kernel, "web --max-delay 1ms --max-delay vcpus=2ms"), (2, why.to_owned()));
    }

    #[test]
    fn a_process_that_is_not_pinned_is_said_to_be_so() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel).environment(&[("PIN_CPUS", "1")]);
        let why = "it was started without the library, although it has PIN_* variables \
                   (LD_PRELOAD in /proc/100/environ does not name it)";
        assert_eq!(checked(&kernel, "web"), (3, format!("web (PID 100) is not pinned: {why}\n")));
        let document = format!(
            "{{\"version\":1,\"pid\":100,\"name\":\"web\",\"user\":1000,\"pinned\":false,\"ok\":false,\"looks\":0,\
             \"seconds\":0.0,\"threads\":0,\"offenders\":[],\"delays\":[],\"delays_by\":null,\"late\":[],\"notes\":[\"{why}\"],\"exit_status\":3,\"error\":null}}\n"
        );
        assert_eq!(checked(&kernel, "web --json"), (3, document));
    }

    #[test]
    fn what_cannot_be_checked_is_a_failure() {
        let kernel = FakeKernel::new();
        let no_vm =
            "2> pinshim: no QEMU is called \"web\"; `pinshim show` without a name lists the pinned VMs\n";
        assert_eq!(checked(&kernel, "web"), (2, no_vm.to_owned()));
        web(&kernel).user(0);
        kernel.deny("/proc/100/fd");
        let hidden = "2> pinshim: process 100 (qemu-system-x86_64) cannot be checked: it belongs to user root, \
                      and only user root or root (CAP_SYS_PTRACE) may look into it\n";
        assert_eq!(checked(&kernel, "100"), (2, hidden.to_owned()));
        kernel.act_as(0);
        let changed = "2> pinshim: process 100 (qemu-system-x86_64) cannot be checked: it has changed its user \
                       or its rights since its start (as -run-with user= does), so that only root (CAP_SYS_PTRACE) may \
                       look into it\n";
        assert_eq!(checked(&kernel, "100"), (2, changed.to_owned()));
    }

    #[test]
    fn each_failure_is_a_json_document_with_the_exit_status() {
        let kernel = FakeKernel::new();
        let document = |words: &str| {
            let (status, text) = checked(&kernel, words);
            let (stdout, stderr): (Vec<&str>, Vec<&str>) =
                text.lines().partition(|line| !line.starts_with("2> "));
            assert_eq!((stdout.len(), stderr.len()), (1, 1), "{text}");
            let document: serde_json::Value = serde_json::from_str(stdout[0]).unwrap();
            assert_eq!(document["exit_status"], status);
            (status, document["error"].as_str().unwrap().to_owned(), document)
        };
        let (status, why, _) = document("web --json");
        assert_eq!((status, why.starts_with("no QEMU is called")), (2, true), "{why}");
        let (status, why, _) = document("-p 7 --json");
        assert_eq!((status, why.starts_with("there is no process 7;")), (2, true), "{why}");
        kernel.process(100, &WEB).thread(100, "q", "0");
        kernel.process(50, &WEB).thread(50, "q", "0");
        let (status, why, _) = document("web --json");
        assert_eq!((status, why.starts_with("2 QEMUs are called")), (2, true), "{why}");
        kernel.deny("/proc/50/fd");
        kernel.existing(50).user(0);
        let (status, why, all) = document("50 --json");
        assert_eq!((status, why.contains("cannot be checked"), &all["pid"]), (2, true, &50.into()), "{why}");
        let (_, why, _) = document("50 100 --qmp x --json");
        assert_eq!(why, "--qmp asks one QEMU, and 2 VMs were named");
    }

    #[test]
    fn of_several_vms_each_is_said_and_the_worst_counts() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let qemu = |pid| kernel.process(pid, &["/usr/bin/qemu-system-x86_64"]).thread(pid, "q", "1");
        qemu(200).page(&[("PIN_CPUS", "1")]);
        assert_eq!(checked(&kernel, "web 200"), (0, String::new()));
        assert_eq!(checked(&kernel, "--all"), (0, String::new()));
        assert_eq!(kernel.now(), ms(40), "both at the same time");
        kernel.move_to(102, "0-3");
        let off = "\
web (PID 100): 1 of 5 threads NOT where they belong
  102 CPU 1/KVM (vcpu 1) belongs on 2: OFF: may also run on 0-1,3
";
        assert_eq!(checked(&kernel, "--all"), (1, off.to_owned()));
        qemu(300);
        let not_pinned = "qemu-system-x86_64 (PID 300) is not pinned: it was started without the library \
                          (LD_PRELOAD in /proc/300/environ does not name it)\n";
        assert_eq!(checked(&kernel, "--all"), (3, format!("{off}{not_pinned}")));
        let (status, text) = checked(&kernel, "web -p 200,7 --json");
        let (note, document) = text.split_once('\n').unwrap();
        assert!(note.starts_with("2> pinshim: there is no process 7;"), "{text}");
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        assert_eq!((status, &document["exit_status"], &document["ok"]), (2, &2.into(), &false.into()));
        let of = |at: usize| (document["vms"][at]["pid"].clone(), document["vms"][at]["exit_status"].clone());
        assert_eq!([of(0), of(1)], [(100.into(), 1.into()), (200.into(), 0.into())]);
        assert_eq!(document["vms"][2]["exit_status"], 2);
    }

    #[test]
    fn where_no_qemu_runs_all_of_them_are_in_place_and_it_is_said_that_there_is_none() {
        let kernel = FakeKernel::new();
        assert_eq!(checked(&kernel, "--all"), (0, "2> pinshim: no QEMU is running\n".to_owned()));
        let document = "{\"version\":1,\"ok\":true,\"exit_status\":0,\"vms\":[]}\n";
        assert!(checked(&kernel, "--all --json").1.ends_with(document));
    }

    #[test]
    fn a_vm_that_starts_soon_is_waited_for() {
        let kernel = FakeKernel::new();
        kernel.at(ms(500), |kernel| {
            web(kernel);
            kernel.move_to(101, "0-3");
        });
        kernel.at(ms(700), |kernel| kernel.move_to(101, "1"));
        assert_eq!(checked(&kernel, "web --wait 5"), (0, String::new()));
        assert!((700..1000).contains(&kernel.now().as_millis()), "{:?}", kernel.now());
        // What never comes is what it is without a wait.
        let (status, text) = checked(&kernel, "db --wait 2");
        assert_eq!((status, text.starts_with("2> pinshim: no QEMU is called \"db\";")), (2, true), "{text}");
        let before = kernel.now();
        assert_eq!((checked(&kernel, "99 --wait 5").0, kernel.now()), (2, before), "no id is waited for");
        kernel.process(200, &["/usr/bin/qemu-system-x86_64"]).thread(200, "q", "1");
        assert_eq!(checked(&kernel, "--all --wait 5").0, 3);
        assert!(kernel.now() - before >= ms(5000), "until then it might have become pinned");
    }

    #[test]
    fn a_vm_that_ends_while_it_is_watched_is_a_failure() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.at(ms(500), |kernel| kernel.end_process(100));
        let ended = "2> pinshim: process 100 has ended\n";
        assert_eq!(checked(&kernel, "web --for 1"), (2, ended.to_owned()));
    }

    #[test]
    fn a_vm_of_another_user_is_never_vouched_for_without_a_word() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.act_as(0);
        let text = "2> pinshim: web (PID 100, user alice): 5 threads, all where its own status page says\n";
        assert_eq!(checked(&kernel, "web"), (0, text.to_owned()));
        assert_eq!(checked(&kernel, "100"), (0, text.to_owned()));
        kernel.move_to(102, "0-3");
        let text = "\
web (PID 100, user alice): 1 of 5 threads NOT where they belong
  102 CPU 1/KVM (vcpu 1) belongs on 2: OFF: may also run on 0-1,3
";
        assert_eq!(checked(&kernel, "web"), (1, text.to_owned()));
    }

    #[test]
    fn a_name_that_two_users_processes_give_themselves_is_refused() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.process(50, &WEB).thread(50, "qemu-system-x86", "0").user(0);
        let both = "2> pinshim: 2 QEMUs are called \"web\"; name one by its PID: 50 (user root), 100\n";
        assert_eq!(checked(&kernel, "web"), (2, both.to_owned()));
    }

    #[test]
    fn another_process_that_gets_the_id_is_not_checked_in_its_place() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.at(ms(500), |kernel| {
            kernel.end_process(100);
            threads_of_web(kernel);
        });
        let ended = "2> pinshim: process 100 has ended\n";
        assert_eq!(checked(&kernel, "web --for 1"), (2, ended.to_owned()));
    }
}
