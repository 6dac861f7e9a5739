//! `pinshim doctor`: what on this host works against pinning, and what to do about each.

use crate::arguments::Doctor;
use crate::commands::plan;
use crate::doctor::examine;
use crate::doctor::host::{Host, SeenVm};
use crate::doctor::subject::Subject;
use crate::output::exit_status::{FAILED, SUCCESS, TO_FIX};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::output::text::count;
use crate::present::doctor::{Document, Examined, print_json};
use crate::present::json;
use crate::sys::host_tree::HostTree;
use crate::sys::kernel::Kernel;
use crate::vm::find;
use crate::vm::page::Missing;
use pinning::CpuSet;

/// So many pids of QEMUs that are not pinned are named.
const PIDS: usize = 20;

/// Looks at the VMs that were named, at CPUs, or at all pinned VMs.
pub(crate) fn doctor(arguments: &Doctor, kernel: &dyn Kernel, output: &mut Output) -> Done {
    output.set_colour(arguments.color);
    let done = examined(arguments, kernel).and_then(|found| say(arguments, &found, output));
    done.or_else(|failure| Ok(failure.report_as(arguments.json, output)))
}

/// All that was found.
#[derive(Default)]
struct Found {
    examined: Vec<Examined>,
    not_pinned: Vec<i32>,
    failures: Vec<Failure>,
}

fn examined(arguments: &Doctor, kernel: &dyn Kernel) -> Result<Found, Failure> {
    let host = Host::look(kernel);
    let look = |subject: &Subject<'_, '_>| Examined::new(subject, examine::all(subject));
    if let Some(text) = &arguments.cpus {
        let all = HostTree::here(kernel).cpus("sys/devices/system/cpu/possible");
        let all = if all.is_empty() { host.online.clone() } else { all };
        let cpus = set(text, &host.online, &all)?;
        return Ok(Found { examined: vec![look(&Subject::cpus(&host, cpus))], ..Found::default() });
    }
    let mut found = Found::default();
    let wanted = arguments.which.wanted();
    for wanted in &wanted {
        match find::wanted(kernel, wanted).and_then(SeenVm::look) {
            Ok(seen) => found.examined.push(look(&Subject::vm(&host, &seen))),
            Err(failure) => found.failures.push(failure),
        }
    }
    if wanted.is_empty() {
        for seen in host.vms.as_ref().map_err(Clone::clone)? {
            // One that may not be looked into may be pinned, and where its threads may run everybody can read.
            match seen.vm.page {
                Err(Missing::None | Missing::OfParent(_)) => found.not_pinned.push(seen.vm.process.pid),
                _ => found.examined.push(look(&Subject::vm(&host, seen))),
            }
        }
    }
    Ok(found)
}

/// The set that a user names, of CPUs that the host may have.
fn set(text: &str, online: &CpuSet, possible: &CpuSet) -> Result<CpuSet, Failure> {
    let set = plan::set("--cpus", text, online)?;
    let none = set.difference(possible);
    if none.is_empty() {
        return Ok(set);
    }
    Err(Failure::new(format!("--cpus={text}: this host has no CPU {none}"))
        .next(format!("it has {possible}")))
}

fn say(arguments: &Doctor, found: &Found, output: &mut Output) -> Done {
    let Found { examined, not_pinned, failures } = found;
    let status = match () {
        () if !failures.is_empty() => FAILED,
        () if examined.iter().any(Examined::has_fix) => TO_FIX,
        () => SUCCESS,
    };
    if arguments.json {
        let document = Document {
            version: json::VERSION,
            ok: status == SUCCESS,
            exit_status: status,
            examined,
            not_pinned,
            errors: failures.iter().map(ToString::to_string).collect(),
        };
        print_json(output, &document)?;
    } else {
        let style = output.style();
        for (number, examined) in examined.iter().enumerate() {
            if number > 0 {
                output.line("");
            }
            output.lines(examined.lines(style));
        }
        if examined.is_empty() && failures.is_empty() {
            output.line("No pinned VM is running; pinshim doctor --cpus SET looks at CPUs without one.");
        }
        if !not_pinned.is_empty() {
            let pids: Vec<String> = not_pinned.iter().take(PIDS).map(ToString::to_string).collect();
            let more = if not_pinned.len() > PIDS { ", …" } else { "" };
            let are = if not_pinned.len() == 1 { "is" } else { "are" };
            let all = count(not_pinned.len(), "QEMU");
            output.line(format_args!(
                "{all} {are} not pinned: {}{more} (`pinshim doctor PID`)",
                pids.join(", ")
            ));
        }
    }
    failures.iter().for_each(|failure| output.note(failure));
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, from_words};
    use crate::output::style::Style;
    use crate::output::transcript::said;
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::{WEB, threads_of_web, web};
    use serde_json::Value;

    fn examined(kernel: &FakeKernel, words: &str) -> (u8, String) {
        let Command::Doctor(arguments) = from_words(&format!("pinshim doctor {words}")) else {
            panic!("{words}")
        };
        said(|output| doctor(&arguments, kernel, output))
    }

    fn document(kernel: &FakeKernel, words: &str) -> (u8, Value) {
        let (status, text) = examined(kernel, &format!("--json {words}"));
        let line = text.lines().find(|line| !line.starts_with("2> ")).unwrap();
        (status, serde_json::from_str(line).unwrap())
    }

    #[test]
    fn a_vm_without_a_fault_has_nothing_to_fix() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.write("/proc/interrupts", "  CPU0 CPU1 CPU2 CPU3\n");
        let (status, text) = examined(&kernel, "web");
        assert_eq!(status, SUCCESS, "{text}");
        assert!(text.starts_with("web (PID 100), vCPUs on 1-2\n"), "{text}");
        assert!(text.contains("\n0 to fix, "), "{text}");
        // The same VM, if none is named.
        assert_eq!(examined(&kernel, ""), (status, text));
    }

    #[test]
    fn something_to_fix_is_an_exit_status() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(100, "1");
        let (status, text) = examined(&kernel, "web");
        assert_eq!(status, TO_FIX, "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("fix   own-threads "), "{text}");
        let (status, document) = document(&kernel, "web");
        assert_eq!((status, &document["exit_status"], &document["ok"]), (1, &1.into(), &false.into()));
        let web = &document["examined"][0];
        assert_eq!((&web["pid"], &web["name"], &web["cpus"]), (&100.into(), &"web".into(), &"1-2".into()));
        let first = &web["findings"][0];
        assert_eq!((&first["grade"], &first["topic"]), (&"fix".into(), &"own-threads".into()));
        assert_eq!(first["read"][0]["file"], "/proc/100/task/100/status");
        assert_eq!(first["read"][0]["value"], "Cpus_allowed_list 1");
        let number = |grade: &str| {
            let findings = web["findings"].as_array().unwrap();
            findings.iter().filter(|finding| finding["grade"] == grade).count()
        };
        let counts = ["fixes", "notes", "oks"].map(|name| web[name].as_u64().unwrap() as usize);
        assert_eq!(counts, ["fix", "note", "ok"].map(number));
    }

    #[test]
    fn cpus_are_looked_at_without_a_vm() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let (status, text) = examined(&kernel, "--cpus 3");
        assert!(status == TO_FIX && text.starts_with("CPU 3\nfix   other-vms "), "{text}");
        let (_, document) = document(&kernel, "--cpus all,^1");
        assert_eq!(
            (&document["examined"][0]["cpus"], &document["examined"][0]["pid"]),
            (&"0,2-3".into(), &Value::Null)
        );
        for (words, expected) in [
            ("--cpus 9", "--cpus=9: this host has no CPU 9; it has 0-3"),
            ("--cpus x", "--cpus=x: column 1: "),
        ] {
            let (status, text) = examined(&kernel, words);
            assert!(status == FAILED && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_qemu_that_is_not_pinned_is_counted_and_one_that_is_hidden_is_looked_at() {
        let kernel = FakeKernel::new();
        let none = "No pinned VM is running; pinshim doctor --cpus SET looks at CPUs without one.\n";
        assert_eq!(examined(&kernel, ""), (SUCCESS, none.to_owned()));
        threads_of_web(&kernel);
        let not_pinned = "1 QEMU is not pinned: 100 (`pinshim doctor PID`)\n";
        assert_eq!(examined(&kernel, ""), (SUCCESS, format!("{none}{not_pinned}")));
        assert_eq!(document(&kernel, "").1["not_pinned"], serde_json::json!([100]));
        kernel.deny("/proc/100/fd");
        assert!(examined(&kernel, "").1.starts_with("web (PID 100), vCPUs on 1-2\n"));
    }

    #[test]
    fn what_is_not_there_is_a_failure_and_the_others_are_looked_at() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let (status, text) = examined(&kernel, "web db");
        assert_eq!(status, FAILED);
        assert!(
            text.starts_with("web (PID 100)") && text.contains("2> pinshim: no QEMU is called \"db\""),
            "{text}"
        );
        let (status, document) = document(&kernel, "web db");
        assert_eq!((status, document["errors"].as_array().unwrap().len()), (FAILED, 1));
        assert_eq!(document["examined"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn on_a_terminal_what_to_do_is_a_line_of_its_own() {
        let kernel = FakeKernel::new();
        kernel.process(200, &WEB).thread(200, "q", "1");
        let host = Host::look(&kernel);
        let subject = Subject::cpus(&host, crate::sys::fake::cpus("1"));
        let examined = Examined::new(&subject, examine::all(&subject));
        let lines =
            |style| -> Vec<String> { examined.lines(style).iter().map(|line| line.written(false)).collect() };
        let terminal = Style { size: Some((80, 24)), ..Style::default() };
        let (piped, shown) = (lines(Style::default()), lines(terminal));
        assert!(piped[1].starts_with("fix ") && piped[1].ends_with(" -> pinshim apply 200 --cpus 0,2-3\n"));
        assert_eq!(shown[2], "      -> pinshim apply 200 --cpus 0,2-3\n");
    }
}
