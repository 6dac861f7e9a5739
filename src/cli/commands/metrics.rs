//! `pinshim metrics`: all VMs in numbers, for Prometheus.

use crate::arguments::Metrics;
use crate::output::exit_status::{FAILED, NOT_WRITTEN, SUCCESS};
use crate::output::failure::{Done, Failure, sorted};
use crate::output::print::Output;
use crate::present::metrics::{self, VmMetrics};
use crate::sys::held_folder::HeldFolder;
use crate::sys::kernel::Kernel;
use crate::sys::threads::Migrations;
use crate::verdict::judge::{Judge, Verdict};
use crate::verdict::watch::PAUSE;
use crate::vm::find;
use crate::vm::look::{Ask, Look, Vm};
use std::ffi::OsStr;
use std::io;
use std::path::Path;

/// The mode of the file: node_exporter is another user.
const MODE: u32 = 0o644;

/// Writes the numbers of all VMs.
pub(crate) fn metrics(arguments: &Metrics, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let file = arguments.textfile.as_deref().map(target).transpose()?;
    let found = find::all(kernel)?;
    let mut failures: Vec<Failure> = (found.not_looked_at > 0).then(|| found.not_all()).into_iter().collect();
    let not_looked_at = found.not_looked_at;
    let others = found.not_pinned.into_iter().chain(found.unreadable).map(Vm::new);
    let mut vms: Vec<Vm<'_>> = found.pinned.into_iter().chain(found.bad).chain(others).collect();
    vms.sort_by_key(|vm| vm.process.pid);
    let (seen, too_large) = sorted(looked_at(&vms, kernel));
    let lines = metrics::lines(&seen, not_looked_at + too_large.len());
    failures.extend(too_large);
    match file {
        None => output.lines(lines),
        Some((folder, name)) => {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let put = HeldFolder::open(folder, kernel.user()).and_then(|held| held.put(name, &text, MODE));
            put.map_err(|error| not_written(&folder.join(name), &error))?;
        }
    }
    Ok(failures.iter().map(|failure| failure.report(output)).max().unwrap_or(SUCCESS))
}

/// The folder and the name of the file.
fn target(file: &Path) -> Result<(&Path, &OsStr), Failure> {
    let named = file.file_name().filter(|_| file.extension().is_some_and(|ending| ending == "prom"));
    let Some(name) = named else {
        return Err(Failure::new(format!("node_exporter does not read {}", file.display()))
            .next("give the file a name that ends with .prom")
            .status(FAILED));
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok((folder.unwrap_or(Path::new(".")), name))
}

fn not_written(file: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} could not be written: {error}", file.display())).status(NOT_WRITTEN)
}

/// A VM that is looked at.
struct Seen<'a, 'k> {
    vm: &'a Vm<'k>,
    judge: Judge,
    look: Look,
    verdicts: Vec<Verdict>,
}

impl<'a, 'k> Seen<'a, 'k> {
    /// `None`: it has ended meanwhile.
    fn first(vm: &'a Vm<'k>) -> Option<Result<Self, Failure>> {
        let mut judge = Judge::default();
        match vm.look(&ASK) {
            Ok(look) => Some(Ok(Self { vm, verdicts: judge.judge(&look.threads), judge, look })),
            Err(failure) => vm.is_alive().then_some(Err(failure)),
        }
    }

    /// Another look, where the first has left it open whether a thread is off its set.
    fn again(seen: Result<Self, Failure>) -> Option<Result<Self, Failure>> {
        let Ok(mut seen) = seen else { return Some(seen) };
        if seen.is_open() {
            match seen.vm.look(&ASK) {
                Ok(look) => (seen.verdicts, seen.look) = (seen.judge.judge(&look.threads), look),
                Err(failure) => return seen.vm.is_alive().then_some(Err(failure)),
            }
        }
        Some(Ok(seen))
    }

    fn is_open(&self) -> bool {
        self.verdicts.iter().any(Verdict::needs_another_look)
    }
}

/// Migrations are counted, too.
const ASK: Ask<'static> = Ask { migrations: Migrations::Count, ids: None, policy: None };

/// The VMs that are still there, or why one of them could not be looked at.
fn looked_at(vms: &[Vm<'_>], kernel: &dyn Kernel) -> Vec<Result<VmMetrics, Failure>> {
    let mut seen: Vec<Result<Seen<'_, '_>, Failure>> = vms.iter().filter_map(Seen::first).collect();
    if seen.iter().flatten().any(Seen::is_open) {
        kernel.sleep(PAUSE);
        seen = seen.into_iter().filter_map(Seen::again).collect();
    }
    seen.into_iter()
        .map(|seen| seen.map(|seen| VmMetrics::new(seen.vm, &seen.look, &seen.verdicts)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, from_words};
    use crate::output::transcript::said;
    use crate::sys::fake::{FakeKernel, ms};
    use crate::vm::sample::{WEB, threads_of_web, web};
    use pinning::status_page::Header;
    use std::collections::HashSet;
    use std::fs;
    use std::mem::offset_of;
    use std::os::unix::fs::PermissionsExt;

    fn said_of(kernel: &FakeKernel, words: &str) -> (u8, String) {
        let Command::Metrics(arguments) = from_words(&format!("pinshim metrics {words}")) else {
            panic!("{words}")
        };
        said(|output| metrics(&arguments, kernel, output))
    }

    /// The samples of a text: each series once, each family with its two lines first and all its samples together.
    #[track_caller]
    fn samples(text: &str) -> Vec<(String, String)> {
        let (mut samples, mut families): (Vec<(String, String)>, HashSet<String>) =
            (Vec::new(), HashSet::new());
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = line.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert!(families.insert(name.to_owned()) && help.ends_with('.'), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            let before = samples.len();
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(series == name || series.starts_with(&format!("{name}{{")), "{line}");
                assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
                assert!(!samples.iter().any(|(known, _)| known == series), "{line}");
                samples.push((series.to_owned(), value.to_owned()));
            }
            assert!(samples.len() > before, "{name} has no sample");
        }
        samples
    }

    fn value(text: &str, series: &str) -> Option<String> {
        samples(text).into_iter().find(|(known, _)| known == series).map(|(_, value)| value)
    }

    #[test]
    fn a_vm_is_counted_by_role() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel).header(offset_of!(Header, created), &7u64.to_ne_bytes());
        vm.thread(105, "worker", "0").lists(105, pinning::Role::Worker, 0, "worker");
        let stat = |tid, stat| kernel.change(tid, |thread| thread.schedstat = stat);
        stat(101, Some((1_500_000_000, 250_000_000, 40)));
        stat(102, Some((500_000_000, 0, 2)));
        stat(104, None);
        stat(105, None);
        kernel.change(104, |thread| (thread.cpu_time, thread.migrations) = (30, None));
        kernel.change(105, |thread| (thread.cpu_time, thread.migrations) = (20, None));
        kernel.change(100, |thread| thread.cpu_time = 1234);
        kernel.move_to(102, "0-3");
        let (status, text) = said_of(&kernel, "");
        let of = |name: &str, role: &str| {
            let role = if role.is_empty() { String::new() } else { format!(",role=\"{role}\"") };
            value(&text, &format!("pinshim_vm_{name}{{vm=\"web\",pid=\"100\"{role}}}"))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!((status, of("threads", "vcpu"), of("threads", "worker")), (0, some("2"), some("2")));
        assert_eq!((of("threads_off", "vcpu"), of("threads_off", "worker")), (some("1"), some("0")));
        assert_eq!((of("threads_cpu_seconds", "vcpu"), of("threads_runs", "vcpu")), (some("2"), some("42")));
        assert_eq!(of("threads_delay_seconds", "vcpu"), some("0.25"));
        // What the kernel does not tell is not there.
        assert_eq!(
            (of("threads_cpu_seconds", "worker"), of("threads_delay_seconds", "worker")),
            (some("0.5"), None)
        );
        assert_eq!((of("threads_migrations", "vcpu"), of("threads_migrations", "worker")), (some("0"), None));
        assert_eq!(
            (of("cpu_seconds_total", ""), of("threads_created_total", "")),
            (some("12.34"), some("7"))
        );
        assert_eq!((of("pinned", ""), of("broker_up", "")), (some("1"), None));
        let info = "pinshim_vm_info{vm=\"web\",pid=\"100\",user=\"alice\"}";
        assert_eq!(
            (value(&text, info), value(&text, "pinshim_vms{state=\"pinned\"}")),
            (some("1"), some("1"))
        );
        assert!(!text.contains("tid"), "{text}");
    }

    #[test]
    fn a_broker_that_has_ended_is_noticed() {
        let kernel = FakeKernel::new();
        let up = |broker: u32| {
            web_again(&kernel).header(offset_of!(Header, broker), &broker.to_ne_bytes());
            value(&said_of(&kernel, "").1, "pinshim_vm_broker_up{vm=\"web\",pid=\"100\"}")
        };
        kernel.process(200, &["pinshim-broker"]).thread(200, "pinshim-broker", "0");
        assert_eq!([up(200), up(201)], [Some("1".to_owned()), Some("0".to_owned())]);
    }

    fn web_again(kernel: &FakeKernel) -> crate::sys::fake::FakeProcess<'_> {
        if kernel.path("/proc/100").exists() { kernel.existing(100) } else { web(kernel) }
    }

    #[test]
    fn every_qemu_is_in_it_and_two_of_one_name_are_two() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.process(200, &WEB).thread(200, "qemu-system-x86", "0");
        kernel.process(300, &WEB).thread(300, "qemu-system-x86", "0").user(0);
        kernel.deny("/proc/300/fd");
        let name = "a\"b\\c\nd\x1b[2J";
        kernel.process(400, &["/usr/bin/qemu-system-x86_64", "-name", name]).thread(400, "q", "0");
        let (_, text) = said_of(&kernel, "");
        let pinned =
            |vm: &str, pid: &str| value(&text, &format!("pinshim_vm_pinned{{vm=\"{vm}\",pid=\"{pid}\"}}"));
        let values = [pinned("web", "100"), pinned("web", "200"), pinned("web", "300")];
        assert_eq!(values, [Some("1".to_owned()), Some("0".to_owned()), None]);
        assert_eq!(pinned("a\\\"b\\\\c?d?[2J", "400"), Some("0".to_owned()), "{text}");
        let vms = ["pinned", "not_pinned", "unreadable", "bad_page"]
            .map(|state| value(&text, &format!("pinshim_vms{{state=\"{state}\"}}")).unwrap());
        assert_eq!(vms, ["1", "2", "1", "0"]);
        let off = |pid: &str| format!("pinshim_vm_threads_off{{vm=\"web\",pid=\"{pid}\",role=\"emulator\"}}");
        assert_eq!((value(&text, &off("100")), value(&text, &off("200"))), (Some("0".to_owned()), None));
    }

    #[test]
    fn without_a_vm_there_are_none() {
        let (status, text) = said_of(&FakeKernel::new(), "");
        assert_eq!((status, value(&text, "pinshim_vms{state=\"pinned\"}")), (0, Some("0".to_owned())));
        assert!(!text.contains("pinshim_vm_"), "{text}");
    }

    #[test]
    fn what_one_look_leaves_open_a_second_one_decides() {
        let kernel = FakeKernel::new();
        web(&kernel).thread(105, "SPICE Worker", "1");
        let (_, text) = said_of(&kernel, "");
        let off = "pinshim_vm_threads_off{vm=\"web\",pid=\"100\",role=\"emulator\"}";
        assert_eq!((value(&text, off), kernel.now()), (Some("1".to_owned()), ms(20)));
    }

    #[test]
    fn the_file_is_for_everybody_to_read_and_has_the_same_text() {
        let kernel = FakeKernel::new();
        web(&kernel);
        // What is printed goes through the one writer; the file does not.
        let name = "a\n\x1b[2J\u{202e}b";
        kernel.process(200, &["/usr/bin/qemu-system-x86_64", "-name", name]).thread(200, "q", "0");
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("pinshim.prom");
        fs::write(&file, "old").unwrap();
        assert_eq!(said_of(&kernel, &format!("--textfile {}", file.display())), (0, String::new()));
        assert_eq!(fs::read_to_string(&file).unwrap(), said_of(&kernel, "").1);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, MODE);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        for name in ["pinshim.txt", "pinshim", ".prom", "x.prom/.."] {
            let (status, text) =
                said_of(&kernel, &format!("--textfile {}", scratch.path().join(name).display()));
            assert!(
                status == 2 && text.contains("give the file a name that ends with .prom"),
                "{name}: {text}"
            );
        }
        let (status, text) = said_of(&kernel, "--textfile /nonexistent/x.prom");
        let why =
            "2> pinshim: /nonexistent/x.prom could not be written: No such file or directory (os error 2)\n";
        assert_eq!((status, &*text), (NOT_WRITTEN, why));
    }

    #[test]
    fn what_could_not_be_looked_at_is_counted_and_said() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        for tid in 1000..1000 + crate::sys::threads::THREADS {
            fs::create_dir(kernel.path(format!("/proc/100/task/{tid}"))).unwrap();
        }
        let (status, text) = said_of(&kernel, "");
        let (text, note) = text.split_once("2> ").unwrap();
        assert_eq!((status, value(text, "pinshim_processes_not_looked_at")), (2, Some("1".to_owned())));
        assert!(note.contains("has more than 8192 threads"), "{note}");
    }
}
