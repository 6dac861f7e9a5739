//! A process may hold anything under the status page's name: the command says what is wrong with it, and does
//! not hang.

use harness::{
    Process, Program, Scratch, Source, TimeLimit, command, compile, pinshim, root_missing, skip, until,
};

/// A process with something that calls itself a status page. `None` where it cannot be made here.
fn holder(scratch: &Scratch, kind: &str) -> Option<Process> {
    let program = compile(scratch, &Source { file: "fake_page.c", flags: &[] });
    let process = Program::new(program).arg(kind).arg(scratch.path()).start();
    let said = until(30, "the page", || Some(process.stdout()).filter(|said| said.ends_with('\n')));
    if said.starts_with("cannot: ") {
        skip(said.trim());
        return None;
    }
    assert_eq!(said, "ready\n");
    Some(process)
}

#[track_caller]
fn is_refused(kind: &str, why: &str) {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    let Some(holder) = holder(&scratch, kind) else { return };
    let pid = holder.pid().to_string();
    let began = std::time::Instant::now();

    let checked = pinshim(&["check", &pid]);
    assert_eq!((checked.code(), checked.stderr.as_str()), (3, ""), "{checked:?}");
    assert_eq!(checked.stdout.matches(why).count(), 1, "said once: {checked:?}");

    let shown = pinshim(&["show", &pid]);
    assert_eq!(shown.code(), 0, "{shown:?}");
    assert!(shown.stdout.contains("NOT PINNED"), "{shown:?}");
    assert_eq!(shown.stdout.matches(why).count(), 1, "said once: {shown:?}");

    let applied = pinshim(&["apply", &pid]);
    assert_eq!(applied.code(), 3, "{applied:?}");
    assert_eq!(applied.stderr.matches(why).count(), 1, "said once: {applied:?}");

    // Nor is a look at all VMs held up by it. Opening a pipe would wait for ever, and the time limit would notice.
    assert_eq!(pinshim(&["show"]).code(), 0);
    assert_eq!(pinshim(&["show", "--json"]).code(), 0);
    assert!(holder.ended().is_none() && began.elapsed().as_secs() < 50);
}

/// Of either layout, `all` in the page's variables is what the process may run on, and it runs there.
#[track_caller]
fn is_read(kind: &str) {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    let Some(holder) = holder(&scratch, kind) else { return };
    let pid = holder.pid().to_string();
    let checked = pinshim(&["check", &pid]);
    assert_eq!((checked.code(), checked.stderr.as_str()), (0, ""), "{checked:?}");
    let shown = pinshim(&["show", &pid]);
    assert_eq!(shown.code(), 0, "{shown:?}");
    assert!(shown.stdout.contains("emulator") && !shown.stdout.contains("NOT PINNED"), "{shown:?}");
}

#[test]
fn a_page_of_layout_1_is_read() {
    is_read("layout-1");
}

#[test]
fn a_page_of_layout_2_is_read() {
    is_read("layout-2");
}

#[test]
fn a_host_on_which_the_variables_make_other_sets_is_refused() {
    is_refused("another-host", "contradicts itself in its policy");
}

#[test]
fn a_page_that_is_not_sealed_is_not_read() {
    is_refused("unsealed", "is not sealed, so it was not read");
}

#[test]
fn a_page_that_may_shrink_is_not_read() {
    is_refused("may-shrink", "is not sealed, so it was not read");
}

#[test]
fn an_empty_page_is_refused() {
    is_refused("empty", "cut short");
}

#[test]
fn a_short_page_is_refused() {
    is_refused("short", "cut short");
}

#[test]
fn a_page_of_a_terabyte_is_not_read() {
    is_refused("large", "too large (1099511627776 bytes)");
}

#[test]
fn a_page_of_another_version_is_refused() {
    is_refused("other-version", "layout 77");
}

#[test]
fn counts_that_point_outside_are_refused() {
    is_refused("huge-counts", "contradicts itself");
}

#[test]
fn a_page_of_another_process_is_no_page() {
    is_refused("anothers", "it has no status page of its own, only that of process 1");
}

#[test]
fn hundreds_of_bad_pages_are_one_answer() {
    is_refused("many", "cut short");
}

#[test]
fn a_pipe_in_the_pages_place_is_not_opened() {
    if let Some(why) = root_missing() {
        return skip(why);
    }
    is_refused("pipe", "not a regular file");
}

#[test]
fn a_file_in_the_pages_place_is_not_read() {
    if let Some(why) = root_missing() {
        return skip(why);
    }
    is_refused("file", "not sealed");
}
