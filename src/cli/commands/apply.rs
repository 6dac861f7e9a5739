//! `pinshim apply`: puts the threads of a running QEMU where they belong.

use crate::arguments::{Apply, Folders};
use crate::commands::repair::Repair;
use crate::libvirt::left_for::left_for;
use crate::output::exit_status::{FAILED, NOT_PINNED, OFF, SUCCESS};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::present::json::{self, Applied, Moved, Unmoved};
use crate::sys::cpuset;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::verdict::{diagnosis, wait};
use crate::vm::expected::VmThread;
use crate::vm::find::{self, is_qemu};
use crate::vm::look::{Ask, Look, Vm};
use crate::vm::page::Missing;
use pinning::{CpuSet, Host, Policy, Tid, VARIABLES};
use std::time::Duration;

/// Puts the threads where the policy given on the command line says, or else the VM's own.
pub(crate) fn apply(arguments: &Apply, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let done = applied(arguments, kernel, output);
    done.or_else(|failure| Ok(failure.report_as(arguments.json, output)))
}

fn applied(arguments: &Apply, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let vm = find::wanted(kernel, &arguments.which.wanted())?;
    let look = vm.look(&Ask::default())?;
    let given = arguments.placement.variables().into_iter().map(|(name, value)| (name.to_owned(), value));
    let given: Vec<(String, String)> = given.collect();
    only_at_the_start(&given)?;
    // Another user's VM has no say, but root may have: in the file that libvirt's hook has left for it.
    let says_classes_alone = !given.is_empty() && given.iter().all(|(name, _)| name == "PIN_SCHED");
    let variables = if says_classes_alone {
        let mut variables = places(&vm, &look, arguments);
        variables.extend(given);
        variables
    } else if given.is_empty() && !is_trusted(&vm, arguments) {
        by_root(&vm)
    } else {
        given
    };
    let leaves_cpus = variables.iter().all(|(name, _)| name == "PIN_SCHED");
    let policy = if variables.is_empty() {
        needs_own_policy(&vm, look)?;
        must_be_trusted(&vm, arguments)?;
        None
    } else {
        let Some(policy) = given_policy(&vm, &look, &variables, arguments, output)? else {
            return Ok(FAILED);
        };
        Some(policy)
    };
    let mut repair = Repair::new(&vm, arguments, policy.as_ref());
    repair.leaves_cpus = policy.is_some() && leaves_cpus;
    let mut is_first = true;
    loop {
        let threads = match repair.run(output) {
            Err(_) if arguments.watch.is_some() && ends_soon(&vm) => {
                output.note(vm.ended());
                return Ok(SUCCESS);
            }
            threads => threads?,
        };
        let status = if repair.is_complete() { SUCCESS } else { OFF };
        // Of further rounds, those that have done something; what they move is said as it is moved.
        if arguments.json && (is_first || repair.has_acted()) {
            json::print(output, &document(&vm, arguments, &repair, &threads, status))?;
        } else if !arguments.json && is_first {
            output.lines(repair.summary(&threads));
        }
        let Some(pause) = arguments.watch else { return Ok(status) };
        is_first = false;
        kernel.sleep(pause);
    }
}

/// The longest time from the end of QEMU's threads to that of its process.
const ENDING: Duration = Duration::from_secs(1);

/// Fails where something is asked for that only QEMU's own threads can do, as it starts.
fn only_at_the_start(given: &[(String, String)]) -> Result<(), Failure> {
    let has = |name: &str| given.iter().any(|(given, _)| given == name);
    if has("PIN_MEMORY") {
        return Err(Failure::new(
            "a memory policy acts on the thread that sets it, so none can be applied from outside (set_mempolicy(2))",
        )
        .next("start QEMU with `pinshim run --memory`; migratepages(8) moves pages that are there already"));
    }
    if has("PIN_CORE") {
        return Err(Failure::new("core scheduling begins with QEMU, and is not applied later")
            .next("start QEMU with `pinshim run --core vm`"));
    }
    Ok(())
}

/// Whether its QEMU has ended, or is about to: its threads are gone a moment before the process is.
fn ends_soon(vm: &Vm<'_>) -> bool {
    !wait::until(vm.process.kernel, ENDING, || vm.is_alive(), |is_alive| !is_alive)
}

/// What a run has done.
fn document(
    vm: &Vm<'_>,
    arguments: &Apply,
    repair: &Repair<'_>,
    threads: &[VmThread],
    status: u8,
) -> Applied {
    let moves = repair.moves.iter().map(|of| Moved::new(&of.thread, &of.to)).collect();
    let classes = repair.classes.iter().map(|of| Moved::class(&of.thread, &of.from, &of.to)).collect();
    let failures = repair.failures.iter().map(|of| Unmoved::new(&of.thread, &of.why)).collect();
    Applied::new(
        vm,
        arguments.dry_run,
        status,
        threads.len(),
        moves,
        classes,
        failures,
        repair.notes(threads),
    )
}

/// Fails for a VM that has no policy of its own.
fn needs_own_policy(vm: &Vm<'_>, look: Look) -> Result<(), Failure> {
    let Err(missing) = look.content else { return Ok(()) };
    let why = diagnosis::why_not_pinned(vm.process, &missing);
    let status = if missing == Missing::NotPermitted { FAILED } else { NOT_PINNED };
    Err(Failure::new(format!("process {} has no policy to apply: {why}", vm.process.shown()))
        .next("say where its threads belong, with --cpus and the like")
        .status(status))
}

/// Whether the VM's own word on where its threads belong is enough. Its user may move its threads anyway;
/// anybody else would lend it further rights.
fn is_trusted(vm: &Vm<'_>, arguments: &Apply) -> bool {
    !vm.is_anothers() || arguments.trust_vm
}

/// The variables that root's own files hold for a VM of libvirt's; none for any other.
fn by_root(vm: &Vm<'_>) -> Vec<(String, String)> {
    let name = vm.name.as_deref().unwrap_or_default();
    left_for(vm.process.kernel, &Folders::default(), vm.process, name).unwrap_or_default()
}

/// The variables that say where the threads of a VM belong already, but for their classes: its own, if its word counts, or
/// those that root's files hold. None where nothing says it.
fn places(vm: &Vm<'_>, look: &Look, arguments: &Apply) -> Vec<(String, String)> {
    let mut variables = match &look.content {
        Ok(content) if is_trusted(vm, arguments) => content.policy.entries().to_vec(),
        _ => by_root(vm),
    };
    variables.retain(|(name, _)| {
        let is_of_cpus = |value| matches!(value, "set" | "placement");
        let variable = VARIABLES.iter().find(|variable| variable.name == name);
        name == "PIN_THREADS" || variable.is_some_and(|variable| is_of_cpus(variable.value))
    });
    variables
}

/// Fails for a VM whose own policy must not be followed.
fn must_be_trusted(vm: &Vm<'_>, arguments: &Apply) -> Result<(), Failure> {
    if is_trusted(vm, arguments) {
        return Ok(());
    }
    let whose = vm.process.other_user().unwrap_or_else(|| "another user".to_owned());
    let process = vm.process.shown();
    Err(Failure::new(format!(
        "process {process} belongs to {whose}, and only it says where its threads belong: it can write to its own \
         status page"
    ))
    .next("say where they belong, with --cpus and the like, or give --trust-vm to follow its word"))
}

/// The policy that was given on the command line, or by root's files; `None` if it is faulty, and then the faults
/// have been said.
fn given_policy(
    vm: &Vm<'_>,
    look: &Look,
    variables: &[(String, String)],
    arguments: &Apply,
    output: &mut Output,
) -> Result<Option<Policy>, Failure> {
    if look.content.is_err() && !is_qemu(vm.process) {
        return Err(Failure::new(format!("process {} does not look like a QEMU", vm.process.shown()))
            .next("if it is one, name its executable in PIN_TARGET"));
    }
    // Threads that nothing names get the base set that QEMU has; without the library, or where its page is not
    // to be followed, its main thread's CPUs.
    let start = match &look.content {
        Ok(content) if is_trusted(vm, arguments) => content.snapshot.sets.first(),
        _ => {
            let main_thread = look.threads.iter().find(|thread| thread.thread.tid == Tid(vm.process.pid));
            main_thread.map(|thread| &thread.thread.allowed)
        }
    };
    let host =
        Host { available: cpuset::available_to(vm.process), start: start.cloned().unwrap_or_default() };
    let parsed = Policy::parse(variables.iter().map(|(name, value)| (name, value)), &host);
    for fault in &parsed.faults {
        output.note(fault);
    }
    if !parsed.faults.is_empty() {
        say_whose_limit(vm.process, &host.available, output);
        let faults: Vec<String> = parsed.faults.iter().map(ToString::to_string).collect();
        if arguments.json {
            output.document(&Failure::new(faults.join("; ")).document());
        }
    }
    Ok(parsed.policy)
}

/// Names the cpuset, where one limits the process to fewer CPUs than are online.
fn say_whose_limit(process: Process<'_>, available: &CpuSet, output: &mut Output) {
    if *available == cpuset::online(process.kernel) {
        return;
    }
    if let Some(cpuset) = cpuset::of_thread(process, Tid(process.pid)) {
        output.note(format_args!(
            "process {} is limited to {available} by its cgroup ({})",
            process.shown(),
            cpuset.file.display()
        ));
    } else if let Some(why) = cpuset::why_unreadable(process, Tid(process.pid)) {
        output.note(format_args!("process {} is limited to {available}, and {why}", process.shown()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, from_words};
    use crate::output::transcript::said;
    use crate::sys::fake::{FakeKernel, cpus, ms};
    use crate::vm::sample::{WEB, threads_of_web, web, web_with};
    use pinning::Role;
    use pinning::status_page::State;

    fn applied(kernel: &FakeKernel, words: &str) -> (u8, String) {
        let Command::Apply(arguments) = from_words(&format!("pinshim apply {words}")) else {
            panic!("{words}")
        };
        said(|output| apply(&arguments, kernel, output))
    }

    #[test]
    fn threads_go_back_where_the_vms_own_policy_says() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(103, "0-3");
        kernel.move_to(101, "2");
        let text = "\
moved 101 CPU 0/KVM (vcpu 0) from 2 to 1
moved 103 IO io1 (iothread) from 0-3 to 3
web (PID 100): 5 threads, 2 moved
";
        assert_eq!(applied(&kernel, "web"), (0, text.to_owned()));
        assert_eq!(kernel.asked(), ["101 on 1", "103 on 3"]);
        let text = "web (PID 100): 5 threads, all where they belong\n";
        assert_eq!(applied(&kernel, "web"), (0, text.to_owned()));
        assert_eq!(kernel.asked(), [""; 0]);
    }

    #[test]
    fn threads_go_where_the_options_say() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let text = "\
moved 100 qemu-system-x86 (emulator) from 0 to 2
moved 101 CPU 0/KVM (vcpu 0) from 1 to 0
moved 103 IO io1 (iothread) from 3 to 2-3
moved 104 worker (worker) from 0 to 2
web (PID 100): 5 threads, 4 moved
";
        let options = "--vcpus 0,2 --iothreads *@[2-3] --emulator 2";
        assert_eq!(applied(&kernel, &format!("web {options}")), (0, text.to_owned()));
        assert_eq!(kernel.asked(), ["100 on 2", "101 on 0", "103 on 2-3", "104 on 2"]);
    }

    #[test]
    fn what_only_qemu_can_do_at_its_start_is_said_and_nothing_is_moved() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let (status, text) = applied(&kernel, "web --vcpus 0,2 --memory strict:0");
        assert_eq!(status, FAILED);
        assert!(text.contains("acts on the thread that sets it") && text.contains("run --memory"), "{text}");
        let (status, text) = applied(&kernel, "web --core vm");
        assert!(status == FAILED && text.contains("run --core vm"), "{text}");
        assert_eq!(kernel.asked(), [""; 0]);
    }

    #[test]
    fn classes_alone_leave_every_thread_where_it_belongs() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.change(102, |thread| thread.class.value = Some(9));
        let sched = "web --sched vcpus@fifo:1,workers@batch:5";
        let would = "\
would give 101 CPU 0/KVM (vcpu 0) fifo:1 in place of other:0
would give 102 CPU 1/KVM (vcpu 1) fifo:1 in place of other:9
would give 104 worker (worker) batch:5 in place of other:0
";
        assert_eq!(applied(&kernel, &format!("{sched} --dry-run")), (0, would.to_owned()));
        assert_eq!(kernel.asked(), [""; 0]);
        let text = would.replace("would give", "gave") + "web (PID 100): 5 threads, 3 given their class\n";
        assert_eq!(applied(&kernel, sched), (0, text));
        assert_eq!(kernel.asked(), ["101 as fifo:1", "102 as fifo:1", "104 as batch:5"]);
        let text = "web (PID 100): 5 threads, all where they belong\n";
        assert_eq!(applied(&kernel, sched), (0, text.to_owned()));
    }

    #[test]
    fn classes_alone_leave_the_threads_of_a_vm_without_the_library_where_they_are() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        assert_eq!(applied(&kernel, "web --sched vcpus@batch").0, 0);
        assert_eq!(kernel.asked(), ["101 as batch:0", "102 as batch:0"]);
        let (status, said) = applied(&kernel, "web --sched vcpus@rr:1");
        assert!(
            status == 2 && said.contains("PIN_SCHED=vcpus@rr:1 with no PIN_VCPUS and no PIN_EMULATOR: "),
            "{said}"
        );
    }

    #[test]
    fn a_class_that_cannot_be_given_is_said_with_who_may() {
        let kernel = FakeKernel::new();
        web_with(&kernel, &[("PIN_SCHED", "vcpus[0]@fifo:1,emulator@other:-1")]);
        kernel.change(101, |thread| thread.class_refusal = Some(libc::EPERM));
        let (status, said) = applied(&kernel, "web");
        let text = "\
gave 100 qemu-system-x86 (emulator) other:-1 in place of other:0
2> pinshim: 101 CPU 0/KVM (vcpu 0) could not be given fifo:1: not permitted; ";
        assert!(status == 1 && said.starts_with(text), "{said}");
        assert!(said.ends_with(", 1 given its class, 1 could NOT be given its class\n"), "{said}");
    }

    #[test]
    fn a_real_time_class_waits_until_no_thread_is_off_its_set() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(100, "1");
        kernel.change(100, |thread| thread.refusal = Some(libc::EPERM));
        let (status, said) = applied(&kernel, "web --sched vcpus@fifo:1");
        assert!(
            status == 1 && said.contains("would keep threads that are not where they belong from its CPUs"),
            "{said}"
        );
        assert_eq!(kernel.asked(), ["100 on 0"]);
        kernel.change(100, |thread| thread.refusal = None);
        assert_eq!(applied(&kernel, "web --sched vcpus@fifo:1").0, 0);
        assert_eq!(kernel.asked(), ["100 on 0", "101 as fifo:1", "102 as fifo:1"]);
    }

    #[test]
    fn a_thread_that_qemu_places_itself_is_not_moved() {
        let kernel = FakeKernel::new();
        web(&kernel).thread(105, "TC tc0", "2-3").lists(105, Role::Exempt, 0, "TC tc0");
        let text = "web (PID 100): 6 threads, all where they belong\n";
        assert_eq!(applied(&kernel, "web"), (0, text.to_owned()));
        assert_eq!(kernel.asked(), [""; 0]);
    }

    #[test]
    fn a_dry_run_moves_nothing() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "2");
        let text = "would move 101 CPU 0/KVM (vcpu 0) from 2 to 1\n";
        assert_eq!(applied(&kernel, "web --dry-run"), (0, text.to_owned()));
        assert_eq!((kernel.asked(), kernel.allowed(101)), (Vec::new(), "2".to_owned()));
    }

    #[test]
    fn without_the_library_what_was_only_assumed_is_said() {
        let kernel = FakeKernel::new();
        // The last one has no name of its own.
        threads_of_web(&kernel).thread(105, "qemu-system-x86", "1");
        let text = "\
moved 100 qemu-system-x86 (emulator) from 0 to 2
moved 102 CPU 1/KVM (vcpu 1) from 2 to 3
moved 103 IO io1 (iothread) from 3 to 0
moved 104 worker (worker?) from 0 to 2
moved 105 qemu-system-x86 (emulator?) from 1 to 2
1 thread could not be told by name and counted as the emulator's: 105; --qmp SOCKET tells vCPUs and IOThreads
1 worker counted as the main loop's, whose home could not be told: 104; --workers says where workers belong
web (PID 100): 6 threads, 5 moved
";
        let options = "--vcpus 1,3 --iothreads io1@0 --emulator 2";
        assert_eq!(applied(&kernel, &format!("100 {options}")), (0, text.to_owned()));
        // None of them is listed: each is moved at the second look.
        assert_eq!(kernel.asked(), ["100 on 2", "102 on 3", "103 on 0", "104 on 2", "105 on 2"]);
        assert_eq!(kernel.now(), ms(40));
    }

    #[test]
    fn a_thread_that_places_itself_between_two_looks_is_not_moved() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel).thread(105, "SPICE Worker", "1").thread(106, "worker", "1");
        vm.lists(106, Role::Worker, 0, "worker").state(106, State::Born);
        kernel.at(ms(20), |kernel| kernel.move_to(105, "0"));
        kernel.at(ms(40), |kernel| {
            kernel.move_to(106, "0");
            kernel.existing(100).state(106, State::Placed);
        });
        let text = "web (PID 100): 7 threads, all where they belong\n";
        assert_eq!(applied(&kernel, "web"), (0, text.to_owned()));
        assert_eq!(kernel.asked(), [""; 0]);
    }

    #[test]
    fn a_cpuset_that_cuts_a_set_is_named() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel).cpuset(100, "/vm", "0-3");
        vm.cpuset(101, "/vm/vcpu0", "0-1").cpuset(102, "/vm/vcpu1", "0-1");
        let text = "\
2> pinshim: 101 CPU 0/KVM (vcpu 0) could not be put on 1-2: its cpuset leaves it 1 \
(/sys/fs/cgroup/vm/vcpu0/cpuset.cpus.effective has 0-1)
2> pinshim: 102 CPU 1/KVM (vcpu 1) could not be put on 3: its cgroup is in the way: \
/sys/fs/cgroup/vm/vcpu1/cpuset.cpus.effective has only 0-1; whoever made that group (libvirt, systemd, a container) \
must give it more
moved 103 IO io1 (iothread) from 3 to 0
web (PID 100): 5 threads, 1 moved, 2 could NOT be put where they belong
";
        assert_eq!(applied(&kernel, "web --vcpus [1-2],3 --cpus 0"), (1, text.to_owned()));
        // Each is asked for once, although there are further looks.
        assert_eq!(kernel.asked(), ["101 on 1-2", "102 on 3", "103 on 0"]);
    }

    #[test]
    fn a_refusal_says_who_may_move_the_thread() {
        let kernel = FakeKernel::new();
        web(&kernel).user(0);
        kernel.move_to(101, "2");
        kernel.change(101, |thread| thread.refusal = Some(libc::EPERM));
        let text = "\
2> pinshim: 101 CPU 0/KVM (vcpu 0) could not be put on 1: not permitted; user root or root (CAP_SYS_NICE) may move it
web (PID 100, user root): 5 threads, 0 moved, 1 could NOT be put where they belong
";
        assert_eq!(applied(&kernel, "web --trust-vm"), (1, text.to_owned()));
    }

    #[test]
    fn an_option_that_names_what_is_not_there_is_said_and_counts() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let said = "\
PIN_VCPUS places vCPUs 2-3, and there are no such vCPUs
PIN_IOTHREADS places io2, and there is no such IOThread
PIN_THREADS places SPICE*, and no thread has such a name
web (PID 100): 5 threads, all where they belong
";
        let options = "--vcpus 0@1,1@2,2-3@[1] --iothreads io1@3,io2@1 --thread SPICE*@1 --emulator 0";
        assert_eq!(applied(&kernel, &format!("web {options}")), (1, said.to_owned()));
        assert_eq!(applied(&kernel, &format!("web --dry-run {options}")).0, 1);
        // What QEMU was started with may name a vCPU that is plugged in some day.
        let kernel = FakeKernel::new();
        let vm = threads_of_web(&kernel).page(&[("PIN_VCPUS", "0@1,7@1"), ("PIN_CPUS", "0")]);
        vm.lists(100, Role::Emulator, 0, "");
        assert_eq!(applied(&kernel, "web --dry-run").0, 0);
    }

    #[test]
    fn an_iothread_without_a_name_is_a_wish_unmet_that_qemu_can_tell() {
        let kernel = FakeKernel::new();
        let arguments = [&WEB[..], &["-object", "iothread,id=block-io-device-1"]].concat();
        let vm = kernel.process(100, &arguments).thread(100, "qemu-system-x86", "0");
        vm.thread(101, "qemu-system-x86", "0");
        let text = "\
1 thread could not be told by name and counted as the emulator's: 101; --qmp SOCKET tells vCPUs and IOThreads
PIN_IOTHREADS places block-io-device-1, and no thread's name tells which one that is; --qmp SOCKET tells IOThreads
web (PID 100): 2 threads, all where they belong
";
        assert_eq!(applied(&kernel, "web --cpus 0 --iothreads block-io-device-1@3"), (1, text.to_owned()));
    }

    #[test]
    fn an_iothread_whose_long_id_leaves_a_doubt_is_left_where_it_is() {
        let kernel = FakeKernel::new();
        let object = |id: &str| format!("iothread,id=block-io-device-{id}");
        let start = |ids: &[&str]| {
            let objects: Vec<String> = ids.iter().map(|id| object(id)).collect();
            let mut arguments = WEB.to_vec();
            objects.iter().for_each(|object| arguments.extend(["-object", object]));
            let vm = kernel.process(100, &arguments).thread(100, "qemu-system-x86", "0");
            vm.thread(101, "IO block-io-dev", "0-3");
        };
        let options = "web --cpus 0 --iothreads block-io-device-1@3";
        start(&["1"]);
        let text = "\
moved 101 IO block-io-device-1 (iothread) from 0-3 to 3
web (PID 100): 2 threads, 1 moved
";
        assert_eq!(applied(&kernel, options), (0, text.to_owned()));
        kernel.end_process(100);
        start(&["1", "2"]);
        let text = "\
101 IO block-io-dev may be block-io-device-1 or block-io-device-2 and is left where it is, on 0-3; --qmp SOCKET tells \
IOThreads
web (PID 100): 2 threads, all else where they belong
";
        assert_eq!(applied(&kernel, options), (1, text.to_owned()));
        assert_eq!((kernel.asked(), kernel.allowed(101)), (vec!["101 on 3".to_owned()], "0-3".to_owned()));
    }

    #[test]
    fn the_json_document_has_what_was_moved_and_what_was_not() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "2");
        kernel.move_to(103, "0");
        kernel.change(103, |thread| thread.refusal = Some(libc::EPERM));
        let document = |words: &str| {
            let (status, text) = applied(&kernel, words);
            let lines = text.lines().filter(|line| !line.starts_with("2> "));
            let documents: Vec<serde_json::Value> =
                lines.map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(documents.len(), 1, "{text}");
            assert_eq!(documents[0]["exit_status"], status);
            documents[0].clone()
        };
        let would = document("web --json --dry-run");
        assert_eq!((&would["dry_run"], would["moves"].as_array().unwrap().len()), (&true.into(), 2));
        let did = document("web --json");
        let of = |list: &str, field: &str| did[list][0][field].clone();
        assert_eq!(
            [of("moves", "tid"), of("moves", "from"), of("moves", "to")],
            [serde_json::json!(101), serde_json::json!("2"), serde_json::json!("1")]
        );
        assert_eq!(
            (of("failures", "tid"), &did["ok"], &did["exit_status"]),
            (103.into(), &false.into(), &1.into())
        );
        assert!(of("failures", "why").as_str().unwrap().starts_with("could not be put on 3: not permitted"));
        let faulty = document("web --json --cpus 9 --vcpus x");
        assert!(
            faulty["error"].as_str().unwrap().starts_with("PIN_CPUS=9: CPU 9 is not available"),
            "{faulty}"
        );
        document("db --json");
    }

    #[test]
    fn a_thread_that_ends_before_it_is_moved_is_no_failure() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "2");
        kernel.change(101, |thread| thread.refusal = Some(libc::ESRCH));
        assert_eq!(applied(&kernel, "web").0, 0);
        assert_eq!(kernel.asked(), ["101 on 1"]);
    }

    #[test]
    fn a_thread_that_somebody_moves_in_the_same_moment_is_put_back_again() {
        let kernel = FakeKernel::new();
        web(&kernel).cpuset(101, "/vm/vcpu0", "0-3");
        kernel.move_to(101, "2");
        kernel.change(101, |thread| thread.moved_again = vec![cpus("0")]);
        let text = "\
moved 101 CPU 0/KVM (vcpu 0) from 2 to 1
moved 101 CPU 0/KVM (vcpu 0) from 0 to 1
web (PID 100): 5 threads, 2 moved
";
        assert_eq!(applied(&kernel, "web"), (0, text.to_owned()));
        assert_eq!((kernel.asked(), kernel.allowed(101)), (vec!["101 on 1".to_owned(); 2], "1".to_owned()));
    }

    #[test]
    fn a_thread_that_is_moved_away_each_time_is_given_up_for_this_run_alone() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "2");
        // Four times: three tries of the first run, one of the second.
        kernel.change(101, |thread| thread.moved_again = vec![cpus("2"); 4]);
        let once = "moved 101 CPU 0/KVM (vcpu 0) from 2 to 1\n";
        let given_up = "\
2> pinshim: 101 CPU 0/KVM (vcpu 0) is moved away from 1 each time that it is put there
web (PID 100): 5 threads, 3 moved, 1 could NOT be put where they belong
";
        assert_eq!(applied(&kernel, "web"), (1, once.repeat(3) + given_up));
        assert_eq!(kernel.asked().len(), 3);
        kernel.change(101, |thread| thread.moved_again = vec![cpus("2"); 4]);
        kernel.at(ms(5500), |kernel| kernel.end_process(100));
        let (status, text) = applied(&kernel, "web --watch 5");
        let end = "2> pinshim: process 100 has ended\n";
        assert_eq!((status, text), (0, once.repeat(3) + given_up + &once.repeat(2) + end));
        assert_eq!(kernel.asked().len(), 5);
    }

    #[test]
    fn a_watch_puts_back_what_is_moved_later_and_says_each_failure_once() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.at(ms(1500), |kernel| kernel.move_to(101, "2"));
        kernel.at(ms(2500), |kernel| {
            kernel.change(102, |thread| thread.refusal = Some(libc::EPERM));
            kernel.move_to(102, "0");
        });
        kernel.at(ms(9500), |kernel| kernel.end_process(100));
        let text = "\
web (PID 100): 5 threads, all where they belong
moved 101 CPU 0/KVM (vcpu 0) from 2 to 1
2> pinshim: 102 CPU 1/KVM (vcpu 1) could not be put on 2: not permitted; user alice or root (CAP_SYS_NICE) may move it
2> pinshim: process 100 has ended
";
        assert_eq!(applied(&kernel, "web --watch 1"), (0, text.to_owned()));
        // Each round tries: what was in the way may be gone.
        let asked = kernel.asked();
        assert_eq!(asked[..3], ["101 on 1", "102 on 2", "102 on 2"]);
    }

    #[test]
    fn a_watch_puts_a_thread_back_once_its_cpuset_has_grown() {
        let kernel = FakeKernel::new();
        web(&kernel).cpuset(102, "/small", "0").cpuset(104, "/small", "0");
        kernel.move_to(102, "0");
        kernel.at(ms(2500), |kernel| kernel.change(102, |thread| thread.cpuset = None));
        kernel.at(ms(5500), |kernel| kernel.end_process(100));
        let (_, text) = applied(&kernel, "web --watch 1");
        assert_eq!(text.matches("could not be put on 2").count(), 1, "{text}");
        assert!(text.contains("moved 102 CPU 1/KVM (vcpu 1) from 0 to 2\n"), "{text}");
    }

    #[test]
    fn another_users_vm_does_not_choose_the_cpus() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "2");
        for (user, is_followed) in [(0, false), (1001, false), (1000, true)] {
            kernel.act_as(user);
            for words in ["web --dry-run", "web --watch 1", "web"] {
                if is_followed {
                    continue;
                }
                let text = "2> pinshim: process 100 (qemu-system-x86_64) belongs to user alice, and only it says \
                            where its threads belong: it can write to its own status page; say where they belong, \
                            with --cpus and the like, or give --trust-vm to follow its word\n";
                assert_eq!(applied(&kernel, words), (2, text.to_owned()), "{user}");
                assert_eq!((kernel.asked(), kernel.allowed(101)), (Vec::new(), "2".to_owned()));
            }
        }
        assert_eq!(applied(&kernel, "web").0, 0);
        assert_eq!(kernel.asked(), ["101 on 1"]);
    }

    #[test]
    fn another_users_vm_is_put_where_the_file_of_libvirts_hook_says() {
        let kernel = FakeKernel::new();
        web(&kernel).user(1001);
        kernel.act_as_owner();
        kernel.write("/run/libvirt/qemu/web.pid", "100\n");
        kernel.lock("/run/libvirt/qemu/web.pid", 100);
        let uuid = "7430d5d9-a334-461e-af4e-526061963a0d";
        let status_file = format!("<domstatus><domain><uuid>{uuid}</uuid></domain></domstatus>");
        kernel.write("/run/libvirt/qemu/web.xml", status_file);
        let left = format!("UUID={uuid}\nPIN_CPUS=0\nPIN_VCPUS=1,3\nPIN_IOTHREADS=io1@3\n");
        kernel.write("/run/pinshim/domains/web.env", left);
        let (status, text) = applied(&kernel, "web");
        assert_eq!(status, 0, "{text}");
        assert_eq!(kernel.asked(), ["102 on 3"]);
        // libvirt says of no other process that it is this domain's.
        kernel.lock("/run/libvirt/qemu/web.pid", 200);
        assert_eq!((applied(&kernel, "web").0, kernel.asked()), (2, Vec::new()));
    }

    #[test]
    fn with_trust_vm_another_users_vm_is_followed() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "2");
        kernel.act_as(0);
        let text = "\
moved 101 CPU 0/KVM (vcpu 0) from 2 to 1
web (PID 100, user alice): 5 threads, 1 moved
";
        assert_eq!(applied(&kernel, "web --trust-vm"), (0, text.to_owned()));
        assert_eq!(kernel.asked(), ["101 on 1"]);
    }

    #[test]
    fn options_place_another_users_vm_and_its_page_only_says_who_is_who() {
        let kernel = FakeKernel::new();
        // The base set of the page is 0-3: a thread that no option names does not get it.
        web(&kernel);
        kernel.act_as(0);
        assert_eq!(applied(&kernel, "web --vcpus 3,1").0, 0);
        assert_eq!(kernel.asked(), ["101 on 3", "102 on 1", "103 on 0"]);
        kernel.act_as(1000);
        assert_eq!(applied(&kernel, "web --vcpus 3,1").0, 0);
        assert_eq!(kernel.asked(), ["100 on 0-3", "103 on 0-3", "104 on 0-3"]);
    }

    #[test]
    fn a_watch_ends_with_its_qemu_although_another_process_gets_the_id() {
        for has_pidfds in [true, false] {
            let kernel = FakeKernel::new();
            if !has_pidfds {
                kernel.without_pidfds();
            }
            web(&kernel);
            kernel.at(ms(500), |kernel| {
                kernel.end_process(100);
                // As hostile as can be: it is called the same, and has QEMU's thread ids.
                threads_of_web(kernel);
                kernel.move_to(101, "0-3");
                kernel.change(100, |thread| thread.started = 9000);
            });
            let text = "\
web (PID 100): 5 threads, all where they belong
2> pinshim: process 100 has ended
";
            assert_eq!(applied(&kernel, "web --watch 1"), (0, text.to_owned()));
            assert_eq!(kernel.asked(), [""; 0]);
        }
    }

    #[test]
    fn without_a_policy_there_is_nothing_to_apply() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        let text = "2> pinshim: process 100 (qemu-system-x86_64) has no policy to apply: it was started without \
                    the library (LD_PRELOAD in /proc/100/environ does not name it); say where its threads belong, \
                    with --cpus and the like\n";
        assert_eq!(applied(&kernel, "web"), (3, text.to_owned()));
        kernel.deny("/proc/100/fd");
        let (status, text) = applied(&kernel, "web");
        assert_eq!(status, 2, "{text}");
        assert_eq!(kernel.asked(), [""; 0]);
    }

    #[test]
    fn a_faulty_policy_moves_nothing_and_names_the_cpuset_that_limits_it() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel).cpuset(100, "/vm", "0-1");
        let text = "\
2> pinshim: PIN_CPUS=3: CPU 3 is not available here (0-1)
2> pinshim: process 100 (qemu-system-x86_64) is limited to 0-1 by its cgroup (/sys/fs/cgroup/vm/cpuset.cpus.effective)
";
        assert_eq!(applied(&kernel, "web --cpus 3"), (2, text.to_owned()));
        assert_eq!(kernel.asked(), [""; 0]);
    }

    #[test]
    fn a_process_that_is_no_qemu_is_not_touched() {
        let kernel = FakeKernel::new();
        kernel.process(100, &["/bin/sh"]).thread(100, "sh", "0-3");
        let text = "2> pinshim: process 100 (sh) does not look like a QEMU; if it is one, name its executable in \
                    PIN_TARGET\n";
        assert_eq!(applied(&kernel, "100 --cpus 1"), (2, text.to_owned()));
        assert_eq!(kernel.asked(), [""; 0]);
    }
}
