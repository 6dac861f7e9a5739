//! Programs that filter their own system calls, and would be killed by a call that the filter does not know: they live on
//! under the library, and each of their threads that may be placed is.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use harness::{
    Finished, Program, Scratch, Source, TimeLimit, TwoCpus, compile, cpus_of, pinshim, skip, two_cpus, until,
};

/// How a filter is loaded: the three ways of programs, with the library that many use.
const WAYS: [&str; 4] = ["prctl", "seccomp", "tsync", "libseccomp"];

struct Filters {
    _scratch: Scratch,
    program: std::path::PathBuf,
    cpus: TwoCpus,
    _limit: TimeLimit,
}

impl Filters {
    fn of(file: &str) -> Option<Self> {
        let limit = TimeLimit::seconds(120);
        let cpus = two_cpus()?;
        let scratch = Scratch::new();
        let program = compile(&scratch, &Source { file, flags: &["-ldl"] });
        Some(Self { _scratch: scratch, program, cpus, _limit: limit })
    }

    fn plain(&self, arguments: &[&str]) -> Program {
        Program::new(&self.program)
            .args(arguments)
            .affinity(&[self.cpus.first])
            .env("FROM_CPU", self.cpus.first.to_string())
    }

    /// Under the library: its threads belong on the second CPU, and begin on the first.
    fn target(&self, arguments: &[&str]) -> Program {
        let cpu = self.cpus.second.to_string();
        self.plain(arguments)
            .with_library()
            .env("PIN_TARGET", self.program.file_name().expect("a program has a name"))
            .env("PIN_CPUS", &cpu)
            .env("EXPECT_CPU", &cpu)
    }

    /// Runs it without the library, to see that it can be had here, and under it.
    fn run(&self, arguments: &[&str]) -> Option<Finished> {
        let plain = self.plain(arguments).run();
        if plain.stdout.contains("No such file") {
            skip("there is no libseccomp.so.2");
            return None;
        }
        assert_eq!(plain.code(), 0, "{plain:?}");
        let under = self.target(arguments).run();
        assert_eq!(under.code(), 0, "{arguments:?}: {under:?}");
        Some(under)
    }
}

/// What allow_list.c says of the threads of its three creators.
#[track_caller]
fn in_place(finished: &Finished, expected: [u32; 3], way: &str) {
    let said: Vec<_> =
        finished.stdout.lines().map(|line| line.rsplit_once(": ").unwrap_or_default().1).collect();
    let [first, second, third] = expected.map(|number| format!("{number} of 3 in place"));
    assert_eq!(said, [&first, &second, &third, ""], "{way}: {finished:?}");
}

/// A filter without TSYNC is its thread's own: a thread without one places its children, whatever the main thread has. Under
/// a filter a new thread stays where its creator is, which is where it belongs if its creator is in place.
#[test]
fn a_program_with_a_list_of_the_allowed_lives_on_and_its_threads_stay_with_their_creators() {
    let Some(filters) = Filters::of("allow_list.c") else { return };
    for way in WAYS {
        let Some(finished) = filters.run(&[way]) else { continue };
        let without_a_filter = if way == "tsync" { 0 } else { 3 };
        in_place(&finished, [without_a_filter, 0, 3], way);
        assert_eq!(finished.stderr, "", "the filter does not let the library say anything");
    }
}

#[test]
fn a_filter_that_allows_to_set_affinities_leaves_nothing_unplaced() {
    let Some(filters) = Filters::of("allow_list.c") else { return };
    for way in WAYS {
        let Some(finished) = filters.run(&[way, "affinity"]) else { continue };
        in_place(&finished, [3, 3, 3], way);
        assert_eq!(finished.stderr, "", "{way}");
    }
}

/// IOThreads whose creator is filtered, and which belong elsewhere than it.
#[test]
fn a_thread_that_a_filter_keeps_off_its_set_is_named_with_the_filter_and_can_be_moved_by_others() {
    let Some(filters) = Filters::of("filtered_iothread.c") else { return };
    let (first, second) = (filters.cpus.first, filters.cpus.second);
    let process = filters.target(&[]).env("PIN_IOTHREADS", format!("*@{first}")).start();
    until(30, "its threads", || process.stdout().contains("all run").then_some(()));
    let pid = process.pid().to_string();
    let (check, show) = (pinshim(&["check", &pid]), pinshim(&["show", &pid]));
    // The table may break a long cell into lines.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let off = format!("OFF: on {second}, by its own seccomp filter");
    assert_eq!((check.code(), words(&check.stdout).matches(&off).count()), (1, 2), "{check:?}");
    let note = "so far 2 threads left on the CPUs that they began on: the program's own seccomp filter";
    assert!(words(&show.stdout).contains(&off) && show.stdout.contains(note), "{show:?}");
    // Nobody forbids it to others.
    assert_eq!(pinshim(&["apply", &pid]).code(), 0);
    pinshim(&["check", &pid]).assert_clean();
    assert_eq!(cpus_of(&pid), [second], "the main thread was in place");
    let said = process.stderr();
    process.kill();
    let end =
        format!("could not be put on {first}: the program's own system call filter does not allow it\n");
    assert!(said.ends_with(&end) && said.lines().count() == 1, "one warning for the role: {said}");
}

#[test]
fn strict_mode_and_a_filter_of_one_thread_are_not_the_others() {
    let Some(filters) = Filters::of("own_filters.c") else { return };
    for what in ["strict", "thread"] {
        let Some(finished) = filters.run(&[what]) else { return };
        assert_eq!(finished.assert_clean().stdout, "3 of 3 in place\n", "{what}");
    }
}

#[test]
fn a_filter_of_a_vfork_child_is_not_its_parents() {
    let Some(filters) = Filters::of("own_filters.c") else { return };
    let Some(finished) = filters.run(&["vfork"]) else { return };
    assert_eq!(finished.assert_clean().stdout, "the child's status: 0\n3 of 3 in place\n");
}

#[test]
fn a_filter_that_the_kernel_does_not_take_changes_nothing() {
    let Some(filters) = Filters::of("own_filters.c") else { return };
    let plain = filters.plain(&["fails"]).run();
    let Some(finished) = filters.run(&["fails"]) else { return };
    assert_eq!(finished.assert_clean().stdout, plain.stdout);
    assert!(finished.stdout.ends_with("3 of 3 in place\n"), "{finished:?}");
}

/// The library asks for nothing that such a filter forbids to learn the name, and goes by it: the rule places the threads.
#[test]
fn a_thread_that_may_name_itself_and_ask_nothing_more_of_prctl_lives_on_and_is_judged_by_its_name() {
    let Some(filters) = Filters::of("own_filters.c") else { return };
    let (first, second) = (filters.cpus.first, filters.cpus.second);
    assert_eq!(filters.plain(&["names"]).run().code(), 0);
    let by_name = format!("by pthread@{second}");
    let finished =
        filters.target(&["names"]).env("PIN_CPUS", first.to_string()).env("PIN_THREADS", by_name).run();
    assert_eq!(finished.assert_clean().stdout, "3 of 3 in place\n");
}
