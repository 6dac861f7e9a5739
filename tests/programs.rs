//! A program behaves under the library exactly as without it: what it prints and how it ends are the
//! same, and its threads are on their set. One small program for each behaviour, in `programs/`.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use harness::{
    Finished, Program, Scratch, Source, TimeLimit, TwoCpus, compile, compile_library, pipe,
    pipe_without_reader, two_cpus,
};

/// A program and how it is run, in pairs: as it is, and under the library.
struct Pair {
    scratch: Scratch,
    program: PathBuf,
    cpus: TwoCpus,
    args: Vec<String>,
    log: Option<&'static str>,
    _limit: TimeLimit,
}

impl Pair {
    /// `None` where the test is skipped.
    fn of(file: &str) -> Option<Self> {
        Self::with_flags(file, &[])
    }

    fn with_flags(file: &str, flags: &[&str]) -> Option<Self> {
        let limit = TimeLimit::seconds(240);
        let cpus = two_cpus()?;
        let scratch = Scratch::new();
        let program = compile(&scratch, &Source { file, flags });
        Some(Self { scratch, program, cpus, args: Vec::new(), log: None, _limit: limit })
    }

    fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    fn log(mut self, filter: &'static str) -> Self {
        self.log = Some(filter);
        self
    }

    /// The program as it is.
    fn plain(&self) -> Program {
        Program::new(&self.program).args(&self.args).env("FROM_CPU", self.cpus.first.to_string())
    }

    /// The program as a target whose threads belong on the second CPU, without the library yet. It is
    /// started on the first, so that no thread is in place by chance.
    fn target(&self) -> Program {
        let name = self.program.file_name().expect("a program has a name");
        let cpu = self.cpus.second.to_string();
        let elsewhere = [self.cpus.first];
        let target = self
            .plain()
            .affinity(&elsewhere)
            .env("PIN_TARGET", name)
            .env("PIN_CPUS", &cpu)
            .env("EXPECT_CPU", &cpu);
        match self.log {
            Some(filter) => target.env("PIN_LOG", filter),
            None => target,
        }
    }

    /// Runs it both ways and gives what both had in common.
    #[track_caller]
    fn same(&self) -> Finished {
        self.same_as(self.plain(), self.target().with_library())
    }

    #[track_caller]
    fn same_as(&self, plain: Program, under_the_library: Program) -> Finished {
        let plain = plain.run();
        let mut under = under_the_library.run();
        if self.log.is_some() {
            assert!(!under.stderr.is_empty(), "a log was asked for");
            under.stderr.clear();
        }
        assert_eq!(under.stderr, plain.stderr);
        assert_eq!((under.code(), &*under.stdout), (plain.code(), &*plain.stdout));
        plain
    }
}

/// Runs the program both ways and checks that it did what it is for.
#[track_caller]
fn same(file: &str, code: i32, last_line: &str) {
    let Some(pair) = Pair::of(file) else { return };
    expect(&pair.same(), code, last_line);
}

#[track_caller]
fn expect(finished: &Finished, code: i32, last_line: &str) {
    assert_eq!((finished.code(), finished.stdout.lines().last()), (code, Some(last_line)), "{finished:?}");
}

#[test]
fn a_hundred_thousand_threads_are_on_the_set_and_leave_nothing_behind() {
    same("many_threads.c", 0, "100000 threads, 0 off the set");
}

#[test]
fn argument_result_errno_and_signal_mask_are_kept() {
    same("create.c", 7, "0, errno 4321, 0x7fffffff00000064");
}

#[test]
fn a_creator_that_was_moved_stays_and_its_children_are_in_place() {
    same("creator_stays.c", 0, "done");
}

/// One of QEMU's threads that a library has narrowed must not narrow those that it creates.
#[test]
fn a_creator_that_narrows_itself_stays_so_and_its_children_have_their_whole_set() {
    let Some(pair) = Pair::of("narrows.c") else { return };
    let seen =
        |children: u32| format!("the new thread: {children} CPUs\nthe creator: where it wants to be\n");
    let under = pair.target().with_library().env("PIN_CPUS", pair.cpus.both()).run();
    assert_eq!(under.assert_clean().stdout, seen(2));
    // Without the library they inherit.
    assert_eq!(pair.plain().run().assert_clean().stdout, seen(1));
}

#[test]
fn threads_leave_by_pthread_exit() {
    same("leave.c", 0, "main has left");
}

#[test]
fn threads_are_cancelled() {
    same("cancel.c", 0, "late: 2000 have begun");
}

/// Where a slot were not given back, the register would be full after some thousand threads, and the log would say so.
#[test]
fn a_thread_is_forgotten_however_it_ends() {
    let Some(pair) = Pair::of("ends.c") else { return };
    let under = pair.target().with_library().env("PIN_LOG", "warn,pinshim::thread_start=info");
    expect(&pair.same_as(pair.plain(), under), 0, "thrd_exit: 4200 right");
}

#[test]
fn all_keys_of_thread_specific_data_are_the_programs() {
    same("keys.c", 0, "end: 1024 of C11");
}

#[test]
fn a_log_line_is_no_cancellation_point() {
    let Some(pair) = Pair::of("cancel.c") else { return };
    expect(&pair.log("trace").same(), 0, "late: 2000 have begun");
}

#[test]
fn exceptions_are_caught() {
    same("throw.cpp", 0, "std::thread has run");
}

#[test]
fn an_exception_that_nobody_catches_ends_the_program() {
    let Some(pair) = Pair::of("throw.cpp") else { return };
    let finished = pair.arg("uncaught").same();
    assert_eq!(finished.code(), -libc::SIGABRT, "{finished:?}");
    assert!(finished.stderr.contains("nobody catches this"), "{finished:?}");
}

#[test]
fn threads_are_detached() {
    same("detached.c", 0, "done");
}

#[test]
fn a_thread_has_the_stack_it_was_given() {
    same("own_stack.c", 0, "on its own stack: 1");
}

#[test]
fn the_smallest_stack_suffices() {
    same("small_stack.c", 0, "200 threads");
}

#[test]
fn the_smallest_stack_suffices_with_a_log() {
    let Some(pair) = Pair::of("small_stack.c") else { return };
    expect(&pair.log("trace").same(), 0, "200 threads");
}

#[test]
fn two_creators_share_an_attribute() {
    same("shared_attr.c", 0, "attribute changed: 0");
}

#[test]
fn a_refusal_comes_back_as_it_is() {
    let Some(pair) = Pair::of("refused.c") else { return };
    let finished = pair.same();
    let all = |start: &str| finished.stdout.lines().filter(|l| l.starts_with(start)).count();
    assert_eq!(all(&format!("stack too large: result {},", libc::EAGAIN)), 10, "{finished:?}");
    assert_eq!(all(&format!("no CPU: result {},", libc::EINVAL)), 10, "{finished:?}");
}

/// A user who has no process but the one that the test runs.
const NEWCOMER: harness::Uid = harness::Uid(54_321);

#[track_caller]
fn refused_by_the_limit(file: &str, arg: Option<&str>, start: &str) {
    if let Some(why) = harness::root_missing() {
        return harness::skip(why);
    }
    let Some(mut pair) = Pair::of(file) else { return };
    pair.args.extend(arg.map(str::to_owned));
    let limited = |program: Program| program.limit(libc::RLIMIT_NPROC, 1).user(NEWCOMER);
    let library = pair.scratch.copy(harness::library());
    let finished = pair.same_as(limited(pair.plain()), limited(pair.target().preload(library)));
    assert!(finished.stdout.starts_with(start), "{finished:?}");
}

#[test]
fn a_user_who_has_too_many_threads_is_told_so() {
    let start = format!("no more threads for this user: result {},", libc::EAGAIN);
    refused_by_the_limit("refused.c", Some("limit"), &start);
}

#[test]
fn a_c11_thread_that_cannot_be_had_is_refused_as_it_is() {
    refused_by_the_limit("c11_refused.c", None, "success 0, nomem 0, error 1,");
}

#[test]
fn the_handle_is_written_before_the_thread_runs() {
    same("handle_first.c", 0, "late: 0");
}

#[test]
fn a_thread_that_leaves_its_creators_cpus_is_in_place_with_its_handle_written() {
    let Some(pair) = Pair::of("handed_over.c") else { return };
    let workers = pair.cpus.first.to_string();
    let under = pair.target().with_library().env("PIN_WORKERS", &workers).env("EXPECT_CPU", &workers);
    expect(&pair.same_as(pair.plain(), under), 0, "24000 threads, 0 off the set, 0 late handles");
}

#[test]
fn c11_threads_are_on_the_set() {
    same("c11_threads.c", 0, "1");
}

#[test]
fn a_thread_of_another_librarys_constructor_is_on_the_set() {
    let Some(pair) = Pair::of("with_early.c") else { return };
    let early = compile_library(&pair.scratch, &Source { file: "early.c", flags: &[] });
    let plain = || pair.plain().preload(&early);
    // The loader runs the constructors of the last one first.
    let before = pair.target().with_library().preload(&early);
    expect(&pair.same_as(plain(), before), 0, "early thread off its set: 0");
    let after = pair.target().preload(&early).with_library();
    expect(&pair.same_as(plain(), after), 0, "early thread off its set: 0");
}

#[test]
fn a_thread_of_a_needed_librarys_constructor_is_on_the_set() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    compile_library(&scratch, &Source { file: "early.c", flags: &[] });
    let folder = scratch.path().to_str().expect("a printable path");
    let rpath = format!("-Wl,-rpath,{folder}");
    let flags = ["-L", folder, &rpath, "-Wl,--no-as-needed", "-learly"];
    let program = compile(&scratch, &Source { file: "with_early.c", flags: &flags });
    let cpu = cpus.second.to_string();
    let under = Program::new(&program)
        .affinity(&[cpus.first])
        .env("PIN_TARGET", "with_early")
        .env("PIN_CPUS", &cpu)
        .env("EXPECT_CPU", &cpu)
        .with_library()
        .run();
    expect(under.assert_clean(), 0, "early thread off its set: 0");
}

/// The library itself allocates at the start, as it reads the environment. Tried as a target and as none.
#[track_caller]
fn an_allocator_that_creates_a_thread_does_not_hang_the_start(at_use: &str) {
    let _limit = TimeLimit::seconds(30);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let program = compile(&scratch, &Source { file: "with_allocator.c", flags: &[] });
    let allocator = compile_library(&scratch, &Source { file: "allocator.c", flags: &[at_use] });
    let run = |target: &str, cpu: usize, preload: [&Path; 2]| {
        let [first, second] = preload;
        Program::new(&program)
            .affinity(&[cpus.first])
            .env("PIN_TARGET", target)
            .env("PIN_CPUS", cpus.second.to_string())
            .env("EXPECT_CPU", cpu.to_string())
            .preload(first)
            .preload(second)
            .run()
    };
    let library = harness::library();
    for preload in [[library, &allocator], [&allocator, library]] {
        for (target, cpu) in [("with_allocator", cpus.second), ("another", cpus.first)] {
            let finished = run(target, cpu, preload);
            assert_eq!(finished.assert_clean().stdout, "the allocator's threads: 1\n", "target {target}");
        }
    }
}

#[test]
fn an_allocator_that_creates_a_thread_on_its_first_use_does_not_hang_the_start() {
    an_allocator_that_creates_a_thread_does_not_hang_the_start("-DAT=1");
}

#[test]
fn an_allocator_that_creates_a_thread_on_its_third_use_does_not_hang_the_start() {
    an_allocator_that_creates_a_thread_does_not_hang_the_start("-DAT=3");
}

#[test]
fn an_empty_mask_is_refused() {
    let Some(pair) = Pair::of("empty_mask.c") else { return };
    let (error, plain) = (libc::EINVAL, pair.same());
    let refused = format!("pthread: {error}, errno 4321\nsched: -1, errno {error}\nstays: 1\n");
    assert_eq!(plain.stdout, refused);
}

#[test]
fn ioctl_passes_everything_on() {
    let Some(pair) = Pair::of("ioctl_calls.c") else { return };
    let seen = compile_library(&pair.scratch, &Source { file: "ioctl_seen.c", flags: &[] });
    let finished = pair.same_as(pair.plain().preload(&seen), pair.target().with_library().preload(&seen));
    assert!(
        finished.stdout.contains("request fedcba9876543210, argument 0xffffffffffffffff"),
        "{finished:?}"
    );
    assert_eq!(finished.stdout.lines().count(), 56, "{finished:?}");
}

#[test]
fn ioctl_fails_as_the_kernel_says() {
    same("ioctl_calls.c", 0, "MSHV_RUN_VP, sign-extended: ffffffff, errno 9");
}

#[test]
fn a_program_with_threads_forks() {
    same("fork_threads.c", 0, "200 of 200 children did well");
}

#[test]
fn a_fork_while_the_log_is_written_hangs_nobody() {
    let Some(pair) = Pair::of("fork_threads.c") else { return };
    expect(&pair.log("trace").same(), 0, "200 of 200 children did well");
}

#[test]
fn other_programs_are_started() {
    same("spawn.c", 6, "popen: piped");
}

#[test]
fn a_program_that_binds_all_its_symbols_at_the_start() {
    let Some(pair) = Pair::with_flags("create.c", &["-Wl,-z,now", "-pie", "-fPIE"]) else { return };
    assert_eq!(pair.same().code(), 7);
}

#[test]
fn a_program_at_a_fixed_address() {
    let Some(pair) = Pair::with_flags("create.c", &["-no-pie", "-Wl,-z,lazy"]) else { return };
    assert_eq!(pair.same().code(), 7);
}

#[test]
fn a_library_is_loaded_and_unloaded() {
    let Some(pair) = Pair::of("loads_plugin.c") else { return };
    let plugin = compile_library(&pair.scratch, &Source { file: "plugin.c", flags: &[] });
    expect(&pair.arg(text(&plugin)).same(), 0, "50 good runs");
}

/// RTLD_DEEPBIND puts the C library's own `pthread_create` before ours: such a thread has to work,
/// and being made by a thread that is in place it inherits its place.
#[test]
fn a_library_that_prefers_its_own_symbols_is_loaded() {
    let Some(pair) = Pair::of("loads_plugin.c") else { return };
    let plugin = compile_library(&pair.scratch, &Source { file: "plugin.c", flags: &[] });
    expect(&pair.arg(text(&plugin)).arg("deepbind").same(), 0, "50 good runs");
}

#[test]
fn a_path_with_spaces() {
    let Some(mut pair) = Pair::of("create.c") else { return };
    let folder = pair.scratch.join("a folder");
    std::fs::create_dir(&folder).expect("make a folder");
    let moved = folder.join("my program");
    std::fs::rename(&pair.program, &moved).expect("move the program");
    pair.program = moved;
    assert_eq!(pair.same().code(), 7);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a printable path")
}

mod stderr {
    //! A standard error that is closed, full or without a reader.

    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    fn closed(program: Program) -> Program {
        program.before_exec(|| {
            // SAFETY: takes no pointer.
            unsafe { libc::close(2) };
            Ok(())
        })
    }

    #[test]
    fn nothing_is_written_into_what_has_become_descriptor_2() {
        let Some(pair) = Pair::of("fd_two.c") else { return };
        let file = pair.scratch.join("file");
        let pair = pair.arg(text(&file));
        let plain = closed(pair.plain()).run();
        let under = closed(pair.target().env("PIN_LOG", "trace").with_library()).run();
        expect(&plain, 0, "descriptor 2, 0 bytes");
        assert_eq!(under.stdout, plain.stdout);
    }

    #[test]
    fn a_bad_value_ends_a_target_also_where_nobody_can_be_told() {
        let Some(pair) = Pair::of("fd_two.c") else { return };
        let file = pair.scratch.join("file");
        let under = closed(pair.arg(text(&file)).target().env("PIN_CPUS", "x").with_library()).run();
        assert_eq!(under.code(), harness::EX_CONFIG, "{under:?}");
        assert!(!file.exists(), "the program has not begun");
    }

    #[test]
    fn a_full_pipe_holds_nobody_up() {
        let Some(pair) = Pair::of("talks.c") else { return };
        let (reader, mut writer) = pipe();
        nonblocking(&writer, true);
        while writer.write(&[b'x'; 4096]).is_ok() {}
        while writer.write(b"x").is_ok() {}
        nonblocking(&writer, false);
        let under = pair.target().env("PIN_LOG", "trace").with_library().stderr(writer).run();
        expect(&under, 0, "done, 0");
        drop(reader);
    }

    #[test]
    fn a_full_pipe_gets_no_new_flags() {
        let Some(pair) = Pair::of("talks.c") else { return };
        let (reader, writer) = pipe();
        let kept = writer.try_clone().expect("a second handle");
        let under = pair.target().env("PIN_LOG", "info").with_library().stderr(writer).start();
        // Nobody reads: after 64 KiB the pipe is full.
        let under = under.wait();
        expect(&under, 0, "done, 0");
        // O_NONBLOCK belongs to the open file, and so to every process that shares it.
        // SAFETY: takes no pointer.
        let flags = unsafe { libc::fcntl(kept.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
        drop(reader);
    }

    #[test]
    fn a_pipe_without_a_reader_kills_nobody() {
        let Some(pair) = Pair::of("talks.c") else { return };
        let default = pair.target().env("PIN_LOG", "trace").with_library().before_exec(|| {
            // Rust programs start with SIGPIPE ignored, which an exec would keep.
            // SAFETY: takes no pointer but the constant handler.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            Ok(())
        });
        expect(&default.stderr(pipe_without_reader()).run(), 0, "done, 0");
        let handled = pair.target().arg("handler").env("PIN_LOG", "trace").with_library();
        expect(&handled.stderr(pipe_without_reader()).run(), 0, "done, 0");
    }

    #[test]
    fn a_full_disk_is_no_matter() {
        let Some(pair) = Pair::of("talks.c") else { return };
        let full = File::options().write(true).open("/dev/full").expect("open /dev/full");
        let under = pair.target().env("PIN_LOG", "trace").with_library().stderr(full).run();
        expect(&under, 0, "done, 0");
    }

    fn nonblocking(pipe: &impl AsRawFd, on: bool) {
        // SAFETY: takes no pointer, and the descriptor is open.
        let result =
            unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, if on { libc::O_NONBLOCK } else { 0 }) };
        assert_eq!(result, 0);
    }
}
