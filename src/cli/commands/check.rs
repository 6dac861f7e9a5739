//! `pinshim check`: the proof, for people and scripts.

use crate::arguments::Check;
use crate::output::exit_status::{NOT_PINNED, OFF, SUCCESS};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::output::text::count;
use crate::present::json::{self, Checked};
use crate::present::table;
use crate::sys::kernel::Kernel;
use crate::verdict::watch::{self, Offence, Watched};
use crate::verdict::{against_qmp, diagnosis};
use crate::vm::find;
use crate::vm::look::{Ask, Vm};
use crate::vm::page::Missing;

/// Watches a VM and judges.
pub(crate) fn check(arguments: &Check, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let vm = find::named(kernel, &arguments.vm)?;
    if let Err(missing) = vm.look(&Ask::default())?.content {
        let why = diagnosis::why_not_pinned(vm.process, &missing);
        if missing == Missing::NotPermitted {
            return Err(Failure::new(format!("process {} cannot be checked: {why}", vm.process.shown())));
        }
        if arguments.json {
            json::print(output, &Checked::not_pinned(&vm, why))?;
        } else {
            output.line(format_args!("{} is not pinned: {why}", vm.title()));
        }
        return Ok(NOT_PINNED);
    }
    let differences = match &arguments.qmp {
        Some(socket) => against_qmp::differences(&vm, socket)?,
        None => Vec::new(),
    };
    let watched = watch::watch(&vm, arguments.time.unwrap_or_default())?;
    let is_ok = watched.offences.is_empty() && differences.is_empty();
    if arguments.json {
        json::print(output, &Checked::new(&vm, &watched, differences))?;
    } else {
        output.lines(lines(&vm, &watched, &differences));
    }
    // Silence could be the word of somebody who only calls himself so.
    if is_ok && vm.is_anothers() && !arguments.json {
        let all = count(watched.threads, "thread");
        output.note(format_args!("{}: {all}, all where its own status page says", vm.title()));
    }
    Ok(if is_ok { SUCCESS } else { OFF })
}

/// Silent on success.
fn lines(vm: &Vm<'_>, watched: &Watched, differences: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    if !watched.offences.is_empty() {
        let (off, all) = (watched.offences.len(), count(watched.threads, "thread"));
        lines.push(format!("{}: {off} of {all} NOT where they belong", vm.title()));
        lines.extend(watched.offences.iter().map(|offence| line(offence, watched.looks)));
    }
    lines.extend(differences.iter().map(|difference| format!("{}: {difference}", vm.title())));
    lines
}

fn line(offence: &Offence, of: u64) -> String {
    let Offence { vm_thread, verdict, looks } = offence;
    let expected = vm_thread.expected_shown().unwrap_or_default();
    let looks =
        if *looks == of { String::new() } else { format!(" (in {looks} of {})", count(of as usize, "look")) };
    format!(
        "  {} {} ({}) belongs on {expected}: {verdict}{looks}",
        vm_thread.thread.tid,
        vm_thread.name,
        table::role(vm_thread)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, from_words};
    use crate::output::transcript::said;
    use crate::sys::fake::{FakeKernel, ms};
    use crate::vm::sample::{WEB, threads_of_web, web};

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
        let document = concat!(
            r#"{"version":1,"pid":100,"name":"web","user":1000,"pinned":true,"ok":false,"looks":2,"seconds":0.02,"threads":5,"#,
            r#""offenders":[{"tid":101,"role":"vcpu","role_from":"library","vcpu":0,"name":"CPU 0/KVM","#,
            r#""expected":"1","allowed":"0","last_cpu":1,"cpu_seconds":0.0,"migrations":null,"#,
            r#""register":"placed","verdict":"off","words":"OFF: may run on 0","looks":2}],"notes":[]}"#,
            "\n"
        );
        assert_eq!(checked(&kernel, "web --json"), (1, document.to_owned()));
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
             \"seconds\":0.0,\"threads\":0,\"offenders\":[],\"notes\":[\"{why}\"]}}\n"
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
                       or its rights since its start (as -runas does), so that only root (CAP_SYS_PTRACE) may \
                       look into it\n";
        assert_eq!(checked(&kernel, "100"), (2, changed.to_owned()));
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
