//! `pinshim show`: every thread, where it belongs, where it may run and where it ran.

use crate::arguments::{Show, Wanted};
use crate::commands::leases;
use crate::output::exit_status::{FAILED, SUCCESS};
use crate::output::failure::{Done, Failure, sorted};
use crate::output::line::Line;
use crate::output::print::Output;
use crate::output::style::Style;
use crate::output::text::count;
use crate::present::by_cpu;
use crate::present::json::{self, ByCpu, Shown, ShownVm};
use crate::present::table::{self, Row};
use crate::present::vm_report::{Delays, VmReport};
use crate::sys::cpuset;
use crate::sys::held::Held;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::verdict::waits::Waits;
use crate::verdict::watch::PAUSE;
use crate::vm::find;
use crate::vm::look::Vm;
use std::collections::HashMap;
use std::time::Duration;

/// So many pids of QEMUs that are not shown are named.
const PIDS: usize = 100;

/// Shows the VMs that were named, or all pinned ones, once or again and again.
pub(crate) fn show(arguments: &Show, kernel: &dyn Kernel, output: &mut Output) -> Done {
    output.set_colour(arguments.color);
    let done = if arguments.leases {
        leases::show(arguments, kernel, output)
    } else {
        shown(arguments, kernel, output)
    };
    done.or_else(|failure| Ok(failure.report_as(arguments.json, output)))
}

fn shown(arguments: &Show, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let mut before = Before::default();
    loop {
        let report = Report::take(arguments, kernel, &mut before)?;
        if arguments.json && arguments.by_cpu {
            let errors = report.failures.iter().map(ToString::to_string).collect();
            json::print(output, &ByCpu::new(by_cpu::document(&report.vms, &cpuset::online(kernel)), errors))?;
        } else if arguments.json {
            json::print(output, &report.document())?;
        } else if arguments.watch.is_some() {
            draw(&report, arguments, kernel, output);
        } else {
            output.lines(report.text(arguments, kernel, output.style()));
        }
        if arguments.json || !report.goes_on(arguments) || !output.notes_disturb() {
            report.failures.iter().for_each(|failure| output.note(failure));
        }
        match arguments.watch {
            Some(pause) if report.goes_on(arguments) => wait(pause, &report, arguments, kernel, output),
            _ if report.failures.is_empty() => return Ok(SUCCESS),
            _ => return Ok(FAILED),
        }
    }
}

/// Shows a report in place of the one before. What could not be shown is a part of it where a note on stderr, which is the same
/// terminal, would scroll the rest away.
fn draw(report: &Report<'_>, arguments: &Show, kernel: &dyn Kernel, output: &mut Output) {
    let mut lines = report.text(arguments, kernel, output.style());
    if report.goes_on(arguments) && output.notes_disturb() {
        lines.extend(report.failures.iter().map(|failure| Line::from(format!("pinshim: {failure}"))));
    }
    output.instead(lines);
}

/// Waits for the next report, and shows this one again on a terminal that gets another size.
fn wait(pause: Duration, report: &Report<'_>, arguments: &Show, kernel: &dyn Kernel, output: &mut Output) {
    let until = kernel.now() + pause;
    let mut size = None;
    loop {
        let left = until.saturating_sub(kernel.now());
        if left.is_zero() {
            return;
        }
        kernel.sleep(left.min(RESIZED));
        // Not while somebody drags its border.
        let before = std::mem::replace(&mut size, output.new_size());
        if size.is_some() && size == before {
            draw(report, arguments, kernel, output);
        }
    }
}

/// How soon a terminal's new size is noticed.
const RESIZED: Duration = Duration::from_millis(100);

/// What is known of the VMs that were shown before.
#[derive(Default)]
struct Before<'k> {
    /// The processes by the ids that the user named.
    held: HashMap<i32, Held<'k>>,
    /// What their threads had waited then.
    waits: HashMap<i32, Waits>,
}

/// All there is to show at one moment.
struct Report<'k> {
    vms: Vec<VmReport<'k>>,
    not_pinned: Vec<Process<'k>>,
    unreadable: Vec<Process<'k>>,
    failures: Vec<Failure>,
    /// The user named no VM, so that all are shown.
    none_named: bool,
}

impl<'k> Report<'k> {
    fn take(arguments: &Show, kernel: &'k dyn Kernel, before: &mut Before<'k>) -> Result<Self, Failure> {
        let Before { held, waits } = before;
        let mut delays = |vm: &Vm<'_>| match waits.remove(&vm.process.pid) {
            _ if !arguments.shows_delays() => Delays::NotAsked,
            Some(waits) => Delays::Since(waits),
            None => Delays::SinceFirstLook,
        };
        let wanted = arguments.which.wanted();
        let none_named = wanted.is_empty();
        if arguments.qmp.is_some() && wanted.len() != 1 {
            return Err(Failure::new("--qmp asks one QEMU").next("name it by its PID or its name"));
        }
        let mut report = if none_named {
            let mut found = find::all(kernel)?;
            let mut vms: Vec<Vm<'_>> = found.pinned.drain(..).chain(found.bad.drain(..)).collect();
            if arguments.by_cpu {
                // One that is not pinned runs on other VMs' CPUs.
                vms.extend(found.not_pinned.drain(..).chain(found.unreadable.drain(..)).map(Vm::new));
                vms.sort_by_key(|vm| vm.process.pid);
            }
            let until = kernel.now() + find::PATIENCE;
            let (mut reports, mut failures) = (Vec::new(), Vec::new());
            for vm in vms {
                let (process, namesakes) = (vm.process, found.namesakes(&vm));
                if kernel.now() > until {
                    found.not_looked_at += 1;
                    continue;
                }
                let delays = delays(&vm);
                match VmReport::first(vm, namesakes, delays) {
                    Ok(report) => reports.push(report),
                    Err(failure) if process.is_alive() => failures.push(failure),
                    // A VM that ends while it is looked at is no failure.
                    Err(_) => {}
                }
            }
            if found.not_looked_at > 0 {
                failures.push(found.not_all());
            }
            Self {
                vms: reports,
                not_pinned: found.not_pinned,
                unreadable: found.unreadable,
                failures,
                none_named,
            }
        } else {
            let named = wanted.iter().map(|wanted| {
                let vm = find::wanted(kernel, wanted)?;
                // A name may go over to another process, an id may not.
                if is_named_by_id(wanted, vm.process.pid)
                    && !held.entry(vm.process.pid).or_insert_with(|| Held::new(vm.process)).is_same()
                {
                    return Err(vm.ended());
                }
                let delays = delays(&vm);
                match &arguments.qmp {
                    Some(socket) => VmReport::asking(vm, socket, delays),
                    None => VmReport::first(vm, Vec::new(), delays),
                }
            });
            let (vms, failures) = sorted(named);
            Self { vms, not_pinned: Vec::new(), unreadable: Vec::new(), failures, none_named }
        };
        // One pause for all of them, and none where nothing is open.
        if report.vms.iter().any(VmReport::is_open) {
            kernel.sleep(PAUSE);
            let (vms, failures) = sorted(report.vms.into_iter().map(VmReport::again));
            report.vms = vms;
            if !none_named {
                report.failures.extend(failures);
            }
        }
        *waits = report.vms.iter().map(|vm| (vm.vm.process.pid, vm.waits.clone())).collect();
        Ok(report)
    }

    /// Whether there is another report after this one: the VMs that are left are worth watching; without any there is nothing to
    /// wait for.
    fn goes_on(&self, arguments: &Show) -> bool {
        arguments.watch.is_some() && (self.none_named || !self.vms.is_empty())
    }

    fn document(&self) -> Shown {
        let pids = |processes: &[Process<'_>]| processes.iter().map(|process| process.pid).collect();
        let vm = |VmReport { vm, look, verdicts, notes, interval, .. }: &VmReport<'_>| {
            ShownVm::new(vm, look, verdicts, notes.clone(), *interval)
        };
        let vms = self.vms.iter().map(vm);
        let errors = self.failures.iter().map(ToString::to_string).collect();
        Shown::new(vms.collect(), pids(&self.not_pinned), pids(&self.unreadable), errors)
    }

    /// What is written for people: the table that was asked for, or everything.
    fn text(&self, arguments: &Show, kernel: &dyn Kernel, style: Style) -> Vec<Line> {
        if arguments.by_cpu {
            return by_cpu::lines(&self.vms, &cpuset::online(kernel), style);
        }
        if !arguments.columns.is_empty() {
            let rows: Vec<Row<'_>> = self.vms.iter().flat_map(VmReport::rows).collect();
            return table::render_columns(&rows, &arguments.columns, style);
        }
        self.lines(style)
    }

    fn lines(&self, style: Style) -> Vec<Line> {
        let mut parts: Vec<Vec<Line>> = self.vms.iter().map(|vm| vm.lines(style)).collect();
        let rest = self.rest();
        if !rest.is_empty() {
            parts.push(rest.into_iter().map(Line::from).collect());
        }
        parts.join(&Line::from(String::new()))
    }

    /// What is to be said of the QEMUs that are not shown.
    fn rest(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let pids = |processes: &[Process<'_>]| {
            let pids = processes.iter().take(PIDS).map(|process| process.pid.to_string());
            let more = processes.len().checked_sub(PIDS).filter(|more| *more > 0);
            let more = more.map(|more| format!("and {more} more"));
            pids.chain(more).collect::<Vec<_>>().join(", ")
        };
        if self.none_named && self.vms.is_empty() {
            lines.push("No pinned VM is running that you may look into.".to_owned());
        }
        if !self.not_pinned.is_empty() {
            let are = if self.not_pinned.len() == 1 { "is" } else { "are" };
            let pids = pids(&self.not_pinned);
            lines.push(format!(
                "{} {are} not pinned: {pids} (`pinshim show PID` says why).",
                count(self.not_pinned.len(), "QEMU")
            ));
        }
        if !self.unreadable.is_empty() {
            let pids = pids(&self.unreadable);
            let who = "their owner or root may";
            lines.push(format!(
                "{} could not be looked into: {pids} ({who}).",
                count(self.unreadable.len(), "QEMU")
            ));
        }
        lines
    }
}

/// Whether a process was named by its id.
fn is_named_by_id(wanted: &Wanted, pid: i32) -> bool {
    match wanted {
        Wanted::Pid(_) => true,
        Wanted::Word(word) => word.parse() == Ok(pid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, from_words};
    use crate::output::transcript::said;
    use crate::sys::fake::{FakeKernel, ms};
    use crate::vm::sample::{WEB, threads_of_web, web, web_with_a_librarys_thread};
    use pinning::status_page::{Header, State};
    use pinning::{Class, ClassKind, Role};
    use std::mem::offset_of;

    fn said_of(kernel: &FakeKernel, words: &str) -> (u8, String) {
        let Command::Show(arguments) = from_words(&format!("pinshim show {words}")) else {
            panic!("{words}")
        };
        said(|output| show(&arguments, kernel, output))
    }

    #[test]
    fn a_pinned_vm_is_shown_thread_by_thread() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.change(101, |thread| (thread.cpu_time, thread.migrations) = (9512, Some(1)));
        let text = "\
web (PID 100): 5 threads, all where they belong
  PIN_VCPUS=1,2 PIN_IOTHREADS=io1@3 PIN_EMULATOR=0
TID  ROLE      NAME             EXPECTED  ALLOWED  LAST    TIME  MIGR  DELAY  STATE
100  emulator  qemu-system-x86  0         0           0   0.00s     0      0  ok
101  vcpu 0    CPU 0/KVM        1         1           1  95.12s     1      0  ok
102  vcpu 1    CPU 1/KVM        2         2           2   0.00s     0      0  ok
103  iothread  IO io1           3         3           3   0.00s     0      0  ok
104  worker    worker           0         0           0   0.00s     0      0  ok
";
        assert_eq!(said_of(&kernel, "web"), (0, text.to_owned()));
        assert_eq!(kernel.now(), ms(20), "how long threads wait takes two looks");
        assert_eq!(said_of(&kernel, ""), (0, text.to_owned()));
    }

    #[test]
    fn there_is_a_column_for_classes_where_one_is_not_the_usual_one() {
        let kernel = FakeKernel::new();
        let sched = ("PIN_SCHED", "vcpus@fifo:1");
        web_with_a_librarys_thread(&kernel, &[("PIN_VCPUS", "1,2"), ("PIN_EMULATOR", "0"), sched])
            .header(offset_of!(Header, start_class), &0x1_0001u64.to_ne_bytes());
        let class = |kind, value| Class { kind, value: Some(value), slice_us: 0 };
        kernel.change(101, |thread| thread.class = class(ClassKind::Fifo, 1));
        kernel.change(103, |thread| thread.class = class(ClassKind::Rr, 9));
        kernel.change(104, |thread| thread.class = class(ClassKind::Batch, 3));
        let text = "\
TID  CLASS           STATE
100  -               ok
101  fifo:1          ok
102  other:0         CLASS other:0: should be fifo:1
103  rr:9 (its own)  ok, has not run since
104  batch:3         CLASS batch:3: should be other:0
";
        assert_eq!(said_of(&kernel, "web -o tid,class,state"), (0, text.to_owned()));
        let (_, said) = said_of(&kernel, "web");
        assert!(said.contains("  ALLOWED  CLASS "), "{said}");
        let (_, json) = said_of(&kernel, "web --json");
        for words in [
            r#""class":"fifo:1","expected_class":"fifo:1""#,
            r#""class":"batch:3","expected_class":null"#,
            r#""verdict":"class","words":"CLASS batch:3: should be other:0""#,
        ] {
            assert!(json.contains(words), "{words}: {json}");
        }
    }

    #[test]
    fn threads_off_their_sets_are_named_with_what_to_do() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel).header(offset_of!(Header, cut), &1u64.to_ne_bytes());
        vm.thread(105, "SPICE Worker", "0");
        kernel.move_to(101, "0-3");
        kernel.move_to(102, "3");
        let text = "\
web (PID 100): 2 of 6 threads NOT where they belong
  PIN_VCPUS=1,2 PIN_IOTHREADS=io1@3 PIN_EMULATOR=0
TID  ROLE       NAME             EXPECTED  ALLOWED  LAST   TIME  MIGR  DELAY  STATE
100  emulator   qemu-system-x86  0         0           0  0.00s     0      0  ok
101  vcpu 0     CPU 0/KVM        1         0-3         1  0.00s     0      0  OFF: may also run on 0,2-3
102  vcpu 1     CPU 1/KVM        2         3           2  0.00s     0      0  OFF: may run on 3
103  iothread   IO io1           3         3           3  0.00s     0      0  ok
104  worker     worker           0         0           0  0.00s     0      0  ok
105  emulator?  SPICE Worker     0         0           0  0.00s     0      0  ok
  `pinshim apply 100` puts threads back where they belong, or says what is in the way
  EXPECTED is what QEMU was started with; a policy given to `pinshim apply` is not remembered
  so far 1 pin cut by a cpuset
";
        assert_eq!(said_of(&kernel, "web"), (0, text.to_owned()));
    }

    #[test]
    fn each_cpu_is_shown_with_who_may_run_there() {
        let kernel = FakeKernel::new();
        web(&kernel).thread(105, "worker", "0").lists(105, Role::Worker, 0, "worker");
        kernel.process(200, &["/usr/bin/qemu-system-x86_64"]).thread(200, "qemu-system-x86", "1-3");
        let text = "\
CPU  THREADS  WHO
  0        3  web: emulator, worker (2)
  1        2  web: vcpu 0; PID 200: emulator
  2        2  web: vcpu 1; PID 200: emulator
  3        2  web: IO io1; PID 200: emulator
";
        assert_eq!(said_of(&kernel, "--by-cpu"), (0, text.to_owned()));
        let (_, text) = said_of(&kernel, "web --by-cpu --json");
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["cpus"][3]["cpu"], 3);
        let threads = document["cpus"][1]["threads"].as_array().unwrap();
        assert_eq!((threads.len(), &threads[0]["vcpu"], &threads[0]["vm"]), (1, &0.into(), &"web".into()));
        kernel.process(300, &WEB).thread(300, "qemu-system-x86", "0");
        assert!(said_of(&kernel, "--by-cpu").1.contains("web (PID 100): vcpu 0"));
    }

    #[test]
    fn columns_that_are_asked_for_make_one_table_of_all_vms() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let qemu = kernel.process(200, &["/usr/bin/qemu-system-x86_64"]).thread(200, "q", "1");
        qemu.page(&[("PIN_CPUS", "1")]).lists(200, Role::Emulator, 0, "");
        let text = "\
PID  VM   TID  ROLE      ALLOWED
100  web  100  emulator  0
100  web  101  vcpu 0    1
100  web  102  vcpu 1    2
100  web  103  iothread  3
100  web  104  worker    0
200  -    200  emulator  1
";
        assert_eq!(said_of(&kernel, "-o pid,VM,tid,role,allowed"), (0, text.to_owned()));
        assert_eq!(kernel.now(), ms(0), "a look that leaves nothing open needs no second one");
    }

    #[test]
    fn how_long_threads_waited_since_the_look_before_is_shown() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let waits = |tid, ns: u64| {
            move |kernel: &FakeKernel| kernel.change(tid, |thread| thread.schedstat = Some((0, ns, 2)))
        };
        waits(101, 500_000_000)(&kernel);
        kernel.at(ms(20), waits(101, 503_100_000));
        kernel.at(ms(20), |kernel| kernel.change(102, |thread| thread.schedstat = None));
        let delays = |text: &str| {
            let words = text.lines().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned);
            words.collect::<Vec<_>>().join(" ")
        };
        let (_, text) = said_of(&kernel, "web -o tid,delay");
        assert_eq!(delays(&text), "DELAY 0 3.1ms - 0 0");
        // Then since the round before, and of a thread that is new all that it has waited.
        kernel.at(ms(500), waits(101, 503_200_000));
        kernel.at(ms(1500), waits(101, 520_200_000));
        kernel.at(ms(1500), |kernel| {
            let vm = kernel.existing(100).thread(105, "worker", "0");
            vm.lists(105, Role::Worker, 0, "worker");
        });
        kernel.at(ms(1500), waits(105, 7_000_000));
        kernel.at(ms(2500), |kernel| kernel.end_process(100));
        let (_, text) = said_of(&kernel, "100 --watch 1 -o tid,delay");
        let (text, _) = text.split_once("2> ").unwrap();
        assert_eq!(delays(text), "DELAY 0 0 - 0 0 DELAY 0 100µs - 0 0 DELAY 0 17ms - 0 0 7.0ms DELAY");
    }

    #[test]
    fn colours_can_be_asked_for() {
        let kernel = FakeKernel::new();
        web(&kernel);
        assert!(said_of(&kernel, "web --color always").1.contains("\x1b[1m"));
        for words in ["web", "web --color never", "web --color auto"] {
            assert!(!said_of(&kernel, words).1.contains('\x1b'), "{words}");
        }
    }

    #[test]
    fn one_qemu_alone_can_be_asked() {
        let kernel = FakeKernel::new();
        web(&kernel);
        for words in ["--qmp x", "web 100 --qmp x"] {
            let (status, text) = said_of(&kernel, words);
            assert_eq!((status, text.starts_with("2> pinshim: --qmp asks one QEMU;")), (2, true), "{text}");
        }
        let (status, text) = said_of(&kernel, "web --qmp /nonexistent/qmp");
        assert_eq!((status, text.contains("could not be asked over /nonexistent/qmp")), (2, true), "{text}");
    }

    #[test]
    fn a_thread_that_qemu_places_itself_is_expected_nowhere() {
        let kernel = FakeKernel::new();
        web(&kernel).thread(105, "TC tc0", "2-3").lists(105, Role::Exempt, 0, "TC tc0");
        let (status, text) = said_of(&kernel, "web");
        let last = "105  exempt    TC tc0           -         2-3         2  0.00s     0      0  exempt: placed by QEMU";
        assert_eq!((status, text.lines().last().unwrap()), (0, last));
        assert!(said_of(&kernel, "web --json").1.contains(r#""expected":null,"allowed":"2-3""#));
    }

    #[test]
    fn what_one_look_leaves_open_a_second_one_decides() {
        let kernel = FakeKernel::new();
        // Neither is listed: one places itself in between, the other stays where it is.
        web(&kernel).thread(105, "live_migration", "1").thread(106, "SPICE Worker", "1");
        kernel.at(ms(20), |kernel| kernel.move_to(105, "0"));
        let (status, text) = said_of(&kernel, "web");
        assert_eq!((status, kernel.now()), (0, ms(20)));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "web (PID 100): 1 of 7 threads NOT where they belong");
        let last = "105  emulator?  live_migration   0         0           1  0.00s     0      0  ok, has not run since";
        assert_eq!(lines[8], last);
        let last =
            "106  emulator?  SPICE Worker     0         1           1  0.00s     0      0  OFF: may run on 1";
        assert_eq!(lines[9], last);
    }

    #[test]
    fn a_vm_without_the_library_is_shown_by_the_names_of_its_threads() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel).thread(105, "qemu-system-x86", "0-3");
        let text = "\
web (PID 100): NOT PINNED, 6 threads
TID  ROLE       NAME             EXPECTED  ALLOWED  LAST   TIME  MIGR  DELAY  STATE
100  emulator   qemu-system-x86  -         0           0  0.00s     0      0  -
101  vcpu 0     CPU 0/KVM        -         1           1  0.00s     0      0  -
102  vcpu 1     CPU 1/KVM        -         2           2  0.00s     0      0  -
103  iothread   IO io1           -         3           3  0.00s     0      0  -
104  worker     worker           -         0           0  0.00s     0      0  -
105  emulator?  qemu-system-x86  -         0-3         0  0.00s     0      0  -
  it was started without the library (LD_PRELOAD in /proc/100/environ does not name it)
  roles with a ? could not be told from the threads' names
";
        assert_eq!(said_of(&kernel, "100"), (0, text.to_owned()));
    }

    #[test]
    fn qemus_that_are_not_shown_are_counted() {
        let kernel = FakeKernel::new();
        assert_eq!(said_of(&kernel, ""), (0, "No pinned VM is running that you may look into.\n".to_owned()));
        threads_of_web(&kernel);
        kernel.process(200, &WEB).thread(200, "qemu-system-x86", "0").user(0);
        kernel.deny("/proc/200/fd");
        kernel.deny("/proc/200/environ");
        let text = "\
No pinned VM is running that you may look into.
1 QEMU is not pinned: 100 (`pinshim show PID` says why).
1 QEMU could not be looked into: 200 (their owner or root may).
";
        assert_eq!(said_of(&kernel, ""), (0, text.to_owned()));
        let text = "\
web (PID 200, user root): 1 thread, where they belong is not known
TID  ROLE      NAME             EXPECTED  ALLOWED  LAST   TIME  MIGR  DELAY  STATE
200  emulator  qemu-system-x86  -         0           0  0.00s     0      0  -
  it belongs to user root, and only user root or root (CAP_SYS_PTRACE) may look into it
";
        assert_eq!(said_of(&kernel, "200"), (0, text.to_owned()));
    }

    #[test]
    fn a_vm_that_is_not_there_is_a_failure_beside_those_that_are() {
        let kernel = FakeKernel::new();
        kernel.process(100, &["/bin/sh"]).thread(100, "sh", "0-3");
        let text = "\
sh (PID 100): NOT PINNED, 1 thread
TID  ROLE      NAME  EXPECTED  ALLOWED  LAST   TIME  MIGR  DELAY  STATE
100  emulator  sh    -         0-3         0  0.00s     0      0  -
  it was started without the library (LD_PRELOAD in /proc/100/environ does not name it)
  process 100 (sh) does not look like a QEMU
2> pinshim: no QEMU is called \"db\"; `pinshim show` without a name lists the pinned VMs
2> pinshim: there is no process 99; `pinshim show` without a name lists the pinned VMs
";
        assert_eq!(said_of(&kernel, "100 db 99"), (2, text.to_owned()));
    }

    #[test]
    fn a_watch_goes_on_until_every_vm_that_was_named_has_ended() {
        let kernel = FakeKernel::new();
        kernel.process(100, &["/bin/sh"]).thread(100, "sh", "0");
        kernel.at(ms(1500), |kernel| kernel.end_process(100));
        let once = "\
sh (PID 100): NOT PINNED, 1 thread
TID  ROLE      NAME  EXPECTED  ALLOWED  LAST   TIME  MIGR  DELAY  STATE
100  emulator  sh    -         0           0  0.00s     0      0  -
  it was started without the library (LD_PRELOAD in /proc/100/environ does not name it)
  process 100 (sh) does not look like a QEMU
";
        let end = "2> pinshim: there is no process 100; `pinshim show` without a name lists the pinned VMs\n";
        assert_eq!(said_of(&kernel, "100 --watch 1"), (2, format!("{once}{once}{end}")));
        assert_eq!(kernel.now(), ms(2020));
    }

    #[test]
    fn what_was_not_looked_at_is_said() {
        let kernel = FakeKernel::new();
        web(&kernel);
        (200..301).for_each(|pid| {
            kernel.process(pid, &["/usr/bin/qemu-system-x86_64"]).thread(pid, "q", "0");
        });
        assert!(said_of(&kernel, "").1.ends_with(", 299, and 1 more (`pinshim show PID` says why).\n"));
        kernel.slow("/proc/100/cmdline", find::PATIENCE * 2);
        let (status, text) = said_of(&kernel, "");
        let slow =
            "2> pinshim: looking at all processes takes longer than 10 s: 101 processes not looked at\n";
        assert!(status == 2 && text.contains("PIN_VCPUS=1,2") && text.ends_with(slow), "{text}");
    }

    #[test]
    fn a_process_with_more_threads_than_a_qemu_is_not_shown_and_said_to_be_there() {
        let kernel = FakeKernel::new();
        web(&kernel);
        for tid in 1000..1000 + crate::sys::threads::THREADS {
            std::fs::create_dir(kernel.path(format!("/proc/100/task/{tid}"))).unwrap();
        }
        let text = "\
No pinned VM is running that you may look into.
2> pinshim: process 100 (qemu-system-x86_64) has more than 8192 threads and is not looked at
";
        assert_eq!(said_of(&kernel, ""), (2, text.to_owned()));
    }

    #[test]
    fn a_name_that_another_process_gives_itself_too_is_marked() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.process(50, &WEB).thread(50, "qemu-system-x86", "0").user(0);
        kernel.process(60, &["/bin/sh", "-name", "web"]).thread(60, "sh", "0");
        let (_, text) = said_of(&kernel, "");
        let mark = "  process 50 (user root) is called \"web\" too\n";
        assert!(text.contains(mark) && text.matches("is called").count() == 1, "{text}");
        let (status, text) = said_of(&kernel, "web");
        let both = "2> pinshim: 2 QEMUs are called \"web\"; name one by its PID: 50 (user root), 100\n";
        assert!(status == 2 && text.ends_with(both), "{text}");
    }

    #[test]
    fn a_watch_of_an_id_does_not_go_on_with_another_process() {
        let kernel = FakeKernel::new();
        kernel.process(100, &["/bin/sh"]).thread(100, "sh", "0");
        kernel.at(ms(500), |kernel| {
            kernel.end_process(100);
            kernel.process(100, &["/bin/bash"]).thread(100, "bash", "0");
        });
        let (status, text) = said_of(&kernel, "100 --watch 1");
        assert!(!text.contains("bash"), "{text}");
        assert!(text.ends_with("\n2> pinshim: process 100 has ended\n"), "{text}");
        assert_eq!((status, kernel.now()), (2, ms(1020)));
    }

    #[test]
    fn the_json_document_says_all_of_it() {
        let kernel = FakeKernel::new();
        web(&kernel).state(104, State::Born);
        kernel.end(103);
        kernel.end(102);
        kernel.process(200, &["/usr/bin/qemu-system-x86_64"]).thread(200, "qemu-system-x86", "0");
        let document = concat!(
            r#"{"version":1,"vms":[{"pid":100,"name":"web","user":1000,"pinned":true,"notes":["PIN_IOTHREADS places io1, and there is no such IOThread"],"#,
            r#""policy":{"PIN_EMULATOR":"0","PIN_IOTHREADS":"io1@3","PIN_VCPUS":"1,2"},"#,
            r#""broker":null,"sandboxed":false,"settled":false,"#,
            r#""counters":{"created":0,"unlisted":0,"brokered":0,"cut":0,"refused":0,"put_back":0,"filtered":0,"class_refused":0},"#,
            r#""interval_seconds":0.02,"threads":["#,
            r#"{"tid":100,"role":"emulator","role_from":"library","vcpu":null,"vhost_worker":null,"#,
            r#""name":"qemu-system-x86","#,
            r#""expected":"0","allowed":"0","class":null,"expected_class":null,"last_cpu":0,"cpu_seconds":0.0,"migrations":0,"delay_seconds":0.0,"#,
            r#""register":"placed","verdict":"ok","words":"ok"},"#,
            r#"{"tid":101,"role":"vcpu","role_from":"library","vcpu":0,"vhost_worker":null,"#,
            r#""name":"CPU 0/KVM","#,
            r#""expected":"1","allowed":"1","class":null,"expected_class":null,"last_cpu":1,"cpu_seconds":0.0,"migrations":0,"delay_seconds":0.0,"#,
            r#""register":"placed","verdict":"ok","words":"ok"},"#,
            r#"{"tid":104,"role":"worker","role_from":"library","vcpu":null,"vhost_worker":null,"#,
            r#""name":"worker","#,
            r#""expected":"0","allowed":"0","class":null,"expected_class":null,"last_cpu":0,"cpu_seconds":0.0,"migrations":0,"delay_seconds":0.0,"#,
            r#""register":"born","verdict":"newborn","words":"being born"}]}],"#,
            r#""not_pinned":[200],"unreadable":[],"errors":[]}"#,
            "\n"
        );
        assert_eq!(said_of(&kernel, "--json"), (0, document.to_owned()));
    }
}
