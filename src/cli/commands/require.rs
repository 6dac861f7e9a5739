//! `pinshim run --require`: sees from outside that the QEMU of a command is pinned, and ends it where it is not.
//!
//! `run` becomes its command by execve(2), so another process must look: it is started before that, twice, so that it is
//! no child of QEMU's, and ends as soon as it knows. It has the command's stderr.

use crate::arguments::Require;
use crate::output::exit_status::{FAILED, OWN_FAILURE, SUCCESS};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::preload::library;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::verdict::{diagnosis, wait};
use crate::vm::family::Family;
use crate::vm::find::is_qemu;
use crate::vm::look::Vm;
use crate::vm::page::Missing;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Starts the process that looks at what this process becomes. It has a time to be pinned.
pub(crate) fn begin(time: Duration) -> Result<(), Failure> {
    let started = itself(std::process::id()).args([&seconds(time), "--detach"]).status();
    match started {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("it ended with {status}")),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|why| Failure::new(format!("nothing can see to --require: {why}")).status(OWN_FAILURE))
}

/// This program, to look at a process.
fn itself(pid: u32) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["require", &pid.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn seconds(time: Duration) -> String {
    time.as_secs_f64().to_string()
}

/// Looks at a command until its QEMU is pinned, or it is known that it is not.
pub(crate) fn require(arguments: &Require, kernel: &dyn Kernel, output: &mut Output) -> Done {
    if arguments.detach {
        let pid = u32::try_from(arguments.pid).unwrap_or_default();
        let started = itself(pid).arg(seconds(arguments.time)).spawn();
        return started.map(|_| SUCCESS).map_err(|error| Failure::new(error.to_string()));
    }
    let Ok(first) = Process::new(kernel, arguments.pid) else { return Ok(FAILED) };
    let mut family = Family::new(first);
    let end = kernel.now() + arguments.time;
    loop {
        family.grow().ok_or_else(|| Failure::new("/proc cannot be read"))?;
        let is_late = kernel.now() >= end;
        match look(&family) {
            Seen::Pinned => return Ok(SUCCESS),
            Seen::Ended => return Ok(said(output, "the command has ended before a pinned VM was there")),
            Seen::Hopeless(why) => return Ok(failed(&mut family, &why, output)),
            Seen::NotYet(why) if is_late => {
                let why = format!("{why} after {} s", seconds(arguments.time));
                return Ok(failed(&mut family, &why, output));
            }
            Seen::NotYet(_) => kernel.sleep(PAUSE),
        }
    }
}

/// What a look at a command has shown.
enum Seen {
    /// Every QEMU of it is pinned and in place.
    Pinned,
    /// No process is left.
    Ended,
    /// A QEMU of it will never be pinned.
    Hopeless(String),
    /// It may be soon.
    NotYet(String),
}

fn look(family: &Family<'_>) -> Seen {
    if family.processes().next().is_none() {
        return Seen::Ended;
    }
    let qemus: Vec<Vm<'_>> = family.processes().filter(|process| is_qemu(*process)).map(Vm::new).collect();
    let mut not_yet = None;
    for vm in &qemus {
        let why = match &vm.page {
            Ok(_) if wait::is_in_place(vm) => continue,
            Ok(_) => "not every thread is where it belongs".to_owned(),
            Err(missing) => diagnosis::why_not_pinned(vm.process, missing),
        };
        let why = format!("process {} is not pinned: {why}", vm.process.shown());
        // ld.so maps what is preloaded before anything else that QEMU needs (its rtld.c).
        let has_libc = vm.process.maps_file("libc.so.6").unwrap_or(false);
        let has_library = vm.process.maps_file(library::NAME).unwrap_or(true);
        if matches!(vm.page, Err(Missing::None)) && has_libc && !has_library {
            return Seen::Hopeless(why);
        }
        not_yet = Some(why);
    }
    match not_yet {
        Some(why) => Seen::NotYet(why),
        None if qemus.is_empty() => Seen::NotYet("no QEMU that the library acts in was seen".to_owned()),
        None => Seen::Pinned,
    }
}

/// Says it, and ends the command as long as no guest can run.
fn failed(family: &mut Family<'_>, why: &str, output: &mut Output) -> u8 {
    let end = if family.end_before_a_guest() {
        "it was ended before a guest could run"
    } else {
        "a guest may be running, and is not ended"
    };
    said(output, &format!("{why}; {end}"))
}

fn said(output: &mut Output, what: &str) -> u8 {
    output.note(format_args!("--require: {what}"));
    FAILED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::transcript::said as transcript;
    use crate::sys::fake::{FakeKernel, ms};
    use crate::vm::sample::{WEB, threads_of_web, web};

    /// What is said of process 50, which has 5 seconds.
    fn required(kernel: &FakeKernel) -> (u8, String) {
        let arguments = Require { pid: 50, time: ms(5000), detach: false };
        transcript(|output| require(&arguments, kernel, output))
    }

    /// A script, process 50, that starts `web`, process 100, after a while.
    fn script(kernel: &FakeKernel, starts: impl FnOnce(&FakeKernel) + 'static) {
        kernel.process(50, &["/bin/sh"]).thread(50, "sh", "0");
        kernel.at(ms(1000), move |kernel| {
            starts(kernel);
            kernel.change(100, |thread| thread.parent = 50);
        });
    }

    fn is_there(kernel: &FakeKernel, pid: i32) -> bool {
        Process::new(kernel, pid).is_ok()
    }

    #[test]
    fn nothing_is_said_of_a_vm_that_is_pinned_in_time() {
        let kernel = FakeKernel::new();
        script(&kernel, |kernel| {
            web(kernel);
        });
        assert_eq!(required(&kernel), (0, String::new()));
        assert!((1000..1200).contains(&kernel.now().as_millis()));
        assert!(is_there(&kernel, 50) && is_there(&kernel, 100));
    }

    #[test]
    fn a_qemu_that_has_not_loaded_the_library_is_ended_at_once() {
        let kernel = FakeKernel::new();
        script(&kernel, |kernel| {
            let qemu = kernel.process(100, &WEB).thread(100, "qemu-system-x86", "0");
            qemu.write("maps", "7f00-7f01 r-xp 0 00:00 0 /usr/lib/libc.so.6\n");
        });
        let text = "2> pinshim: --require: process 100 (qemu-system-x86_64) is not pinned: it was started without the \
                    library (LD_PRELOAD in /proc/100/environ does not name it); it was ended before a guest could run\n";
        assert_eq!(required(&kernel), (2, text.to_owned()));
        assert!(kernel.now() < ms(1200) && !is_there(&kernel, 50) && !is_there(&kernel, 100));
    }

    #[test]
    fn a_qemu_whose_guest_may_run_is_not_ended() {
        let kernel = FakeKernel::new();
        script(&kernel, |kernel| {
            threads_of_web(kernel);
        });
        let (status, text) = required(&kernel);
        assert!(text.ends_with(" after 5 s; a guest may be running, and is not ended\n"), "{text}");
        assert_eq!((status, is_there(&kernel, 50), is_there(&kernel, 100)), (2, true, true));
    }

    #[test]
    fn a_thread_off_its_set_is_a_failure_after_the_time() {
        let kernel = FakeKernel::new();
        script(&kernel, |kernel| {
            web(kernel);
            kernel.move_to(101, "0-3");
        });
        let (status, text) = required(&kernel);
        assert!(text.contains("not every thread is where it belongs after 5 s"), "{text}");
        assert_eq!((status, is_there(&kernel, 100)), (2, true));
    }

    #[test]
    fn a_command_that_starts_no_qemu_is_ended_after_the_time() {
        let kernel = FakeKernel::new();
        kernel.process(50, &["/bin/sh"]).thread(50, "sh", "0");
        let text = "2> pinshim: --require: no QEMU that the library acts in was seen after 5 s; it was ended before a \
                    guest could run\n";
        assert_eq!(required(&kernel), (2, text.to_owned()));
        assert!(!is_there(&kernel, 50));
    }

    #[test]
    fn a_command_that_ends_first_is_a_failure() {
        let kernel = FakeKernel::new();
        kernel.process(50, &["/bin/sh"]).thread(50, "sh", "0");
        kernel.at(ms(500), |kernel| kernel.end_process(50));
        let text = "2> pinshim: --require: the command has ended before a pinned VM was there\n";
        assert_eq!(required(&kernel), (2, text.to_owned()));
    }
}
