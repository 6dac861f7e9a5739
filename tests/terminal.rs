//! What a user sees on a terminal: a real one, of script(1) or tmux(1).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::{
    Accel, Finished, Process, Program, Scratch, TimeLimit, VmBuilder, command, kvm_and_tcg, until,
};

/// Runs a shell's command on a terminal of its own. `None`, and said, where there is no script(1).
fn on_a_terminal(term: &str, line: &str) -> Option<Finished> {
    script(term, line).run_or_skip()
}

/// A shell's command on a terminal of its own.
fn script(term: &str, line: &str) -> Program {
    let program = Program::new("script").env("TERM", term).args(["-q", "-e", "-c", line, "/dev/null"]);
    program.env("SHELL", "/bin/sh").env("PINSHIM", command())
}

#[test]
fn colours_are_for_a_terminal_that_obeys() {
    let _limit = TimeLimit::seconds(60);
    let coloured = |term: &str, before: &str| {
        let line = format!("stty cols 80 rows 24; {before} \"$PINSHIM\" show $$");
        on_a_terminal(term, &line).map(|finished| {
            assert!(finished.stdout.contains("NOT PINNED"), "{finished:?}");
            finished.stdout.contains('\x1b')
        })
    };
    let Some(plain) = coloured("xterm", "") else { return };
    assert!(plain, "a terminal gets colours");
    for (term, before) in [("dumb", ""), ("", ""), ("xterm", "NO_COLOR=1")] {
        assert_eq!(coloured(term, before), Some(false), "TERM={term} {before}");
    }
}

#[test]
fn a_table_is_readable_on_a_terminal_that_is_narrow_or_does_not_know_its_size() {
    let _limit = TimeLimit::seconds(60);
    for size in ["cols 40 rows 24", "cols 0 rows 0", "cols 1 rows 1"] {
        let line = format!("stty {size}; \"$PINSHIM\" show $$");
        let Some(finished) = on_a_terminal("dumb", &line) else { return };
        let header = finished.stdout.lines().find(|line| line.contains("ROLE")).unwrap_or_default();
        for word in ["TID", "ROLE", "NAME", "EXPECTED", "ALLOWED", "LAST", "TIME", "MIGR", "DELAY", "STATE"] {
            assert!(header.contains(word), "{size}: {word}: {finished:?}");
        }
    }
}

fn a_long_check_says_on_a_terminal_how_far_it_is(accel: Accel) {
    let _limit = TimeLimit::seconds(100);
    let Some(vm) = VmBuilder::usual(accel).env("PIN_CPUS", "all").start() else { return };
    vm.wait_visits(1);
    let line = |to: &str| format!("stty cols 80 rows 24; \"$PINSHIM\" check {} --for 2.2 {to}", vm.pid());
    let Some(finished) = on_a_terminal("xterm", &line("")) else { return };
    let is_shown = finished.stdout.starts_with("\rpinshim: ")
        && finished.stdout.contains(" of 3 s, no thread off so far\x1b[K\r")
        && finished.stdout.ends_with("\r\x1b[K");
    assert!(finished.code() == 0 && is_shown, "{finished:?}");
    // Silent where nobody watches.
    for (term, to) in [("dumb", ""), ("xterm", "2>&1 | cat")] {
        let finished = on_a_terminal(term, &line(to)).map(|finished| finished.stdout);
        assert_eq!(finished.as_deref(), Some(""), "TERM={term} {to}");
    }
}

kvm_and_tcg!(
    a_long_check_of_a_kvm_guest_says_on_a_terminal_how_far_it_is,
    a_long_check_of_a_tcg_guest_says_on_a_terminal_how_far_it_is,
    a_long_check_says_on_a_terminal_how_far_it_is
);

/// A terminal of tmux with a shell in it. The server is a process of this test's, which ends with it in any case, and the
/// kernel ends the shell with its terminal.
struct Terminal {
    scratch: Scratch,
    server: Option<Process>,
}

impl Terminal {
    /// `None`, and said, where there is no tmux.
    fn open(shell: &str) -> Option<Self> {
        let mut terminal = Self { scratch: Scratch::new(), server: None };
        // What an interactive POSIX shell reads first.
        let begin = terminal.scratch.join("begin");
        fs::write(&begin, "PS1='ready: '\n").unwrap();
        let folder = command().parent().unwrap().display();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let server = terminal.tmux(&["-f", "/dev/null", "-D"]).env("PATH", &path);
        let server = server.env("HOME", terminal.scratch.path()).env("ENV", begin).env("PINSHIM", command());
        terminal.server = Some(server.start_or_skip()?);
        // Before it listens, a client would start another server.
        until(20, "tmux", || UnixStream::connect(terminal.scratch.join("socket")).ok());
        let new = terminal.tmux(&["new-session", "-d", "-x", "90", "-y", "12", shell]);
        new.env("PATH", path).run().assert_clean();
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Program {
        let socket = self.scratch.join("socket");
        Program::new("tmux")
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .arg("-S")
            .arg(socket)
            .args(arguments)
    }

    fn types(&self, keys: &[&str]) {
        let keys: Vec<&str> = ["send-keys"].iter().chain(keys).copied().collect();
        self.tmux(&keys).run().assert_clean();
    }

    /// What is on the screen, and above it what has scrolled away.
    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-S", "-"]).run().assert_clean().stdout.clone()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).run().assert_clean().stdout.clone()
    }

    /// Waits until something holds of the screen.
    #[track_caller]
    fn wait(&self, is_so: impl Fn(&str) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_so(&self.screen()) {
            assert!(Instant::now() < end, "{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is none where there is no tmux.
        let Some(server) = self.server.take() else { return };
        self.tmux(&["kill-server"]).run();
        server.wait();
    }
}

#[test]
fn a_watch_leaves_what_was_there_before_and_the_terminal_in_order() {
    let _limit = TimeLimit::seconds(60);
    let Some(terminal) = Terminal::open("sh") else { return };
    terminal.wait(|screen| screen.contains("ready:"));
    terminal.types(&["for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo before $i.; done", "Enter"]);
    terminal.wait(|screen| screen.contains("before 15."));
    terminal.types(&["\"$PINSHIM\" show $$ --watch 0.1", "Enter"]);
    // At the top of the screen, and nothing else on it.
    let is_drawn = |screen: &str| {
        screen.lines().next().is_some_and(|first| first.contains(": NOT PINNED, "))
            && !screen.contains("before")
    };
    terminal.wait(is_drawn);
    // Drawn over and over.
    std::thread::sleep(Duration::from_millis(500));
    assert!(is_drawn(&terminal.screen()), "{}", terminal.text());
    for i in 1..=15 {
        let before = format!("before {i}.");
        assert_eq!(terminal.text().matches(&before).count(), 1, "{before} in\n{}", terminal.text());
    }
    assert_eq!(terminal.text().matches(": NOT PINNED, ").count(), 1, "{}", terminal.text());
    // A screen with fewer rows than the table: it begins at the top all the same.
    terminal.tmux(&["resize-window", "-x", "90", "-y", "4"]).run().assert_clean();
    terminal.wait(|screen| is_drawn(screen) && screen.contains("lines more"));
    terminal.tmux(&["resize-window", "-x", "90", "-y", "12"]).run().assert_clean();
    terminal.wait(|screen| is_drawn(screen) && screen.contains("does not look like a QEMU"));
    terminal.types(&["C-c"]);
    terminal.wait(|screen| screen.trim_end().ends_with("ready:"));
    assert!(terminal.screen().contains("does not look like a QEMU"), "the last look stays");
    terminal.types(&["stty -a | grep -c ' echo '", "Enter"]);
    terminal.wait(|screen| screen.contains("\n1\n"));
    let flags = terminal.tmux(&["display", "-p", "#{cursor_flag} #{alternate_on} #{wrap_flag}"]).run();
    assert_eq!(flags.stdout, "1 0 1\n");
}

/// A terminal with fifteen lines on it that came before, on which a watch runs.
fn watching(arguments: &str) -> Option<Terminal> {
    let terminal = Terminal::open("sh")?;
    terminal.wait(|screen| screen.contains("ready:"));
    terminal.types(&["for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo before $i.; done", "Enter"]);
    terminal.wait(|screen| screen.contains("before 15."));
    terminal.types(&[&format!("\"$PINSHIM\" show {arguments}"), "Enter"]);
    terminal.wait(|screen| screen.lines().next().is_some_and(|first| first.contains(": NOT PINNED, ")));
    Some(terminal)
}

#[track_caller]
fn what_was_before_is_kept(terminal: &Terminal) {
    let text = terminal.text();
    for i in 1..=15 {
        let before = format!("before {i}.");
        assert_eq!(text.matches(&before).count(), 1, "{before} in\n{text}");
    }
}

/// A terminal that grows brings back lines from above the screen, and some do when they become narrower.
#[test]
fn a_terminal_that_changes_its_size_under_a_watch_loses_nothing_and_is_drawn_at_once() {
    let _limit = TimeLimit::seconds(60);
    // The next look is long after the test.
    let Some(terminal) = watching("$$ --watch 1000") else { return };
    let is_alone = |screen: &str| {
        let first = screen.lines().next().is_some_and(|first| first.contains(": NOT PINNED, "));
        first && !screen.contains("before") && screen.matches(": NOT PINNED, ").count() == 1
    };
    for (columns, rows) in [(90, 24), (120, 24), (120, 30)] {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        terminal.tmux(&["resize-window", "-x", &columns, "-y", &rows]).run().assert_clean();
        terminal.wait(is_alone);
        what_was_before_is_kept(&terminal);
    }
    // Narrower, its lines go over several rows, and none is left of before.
    terminal.tmux(&["resize-window", "-x", "40", "-y", "30"]).run().assert_clean();
    let end = "does not look like a QEMU";
    terminal.wait(|screen| is_alone(screen) && screen.replace('\n', "").ends_with(end));
    what_was_before_is_kept(&terminal);
}

#[test]
fn more_threads_than_rows_and_a_vm_that_is_not_there_scroll_nothing_away() {
    let _limit = TimeLimit::seconds(60);
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    let threads: Vec<_> = (0..30)
        .map(|_| {
            let held = std::sync::Arc::clone(&held);
            std::thread::spawn(move || drop(held.lock().map(|held| held.recv())))
        })
        .collect();
    let Some(terminal) = watching(&format!("{} nosuchvm --watch 0.1", std::process::id())) else { return };
    terminal.wait(|screen| screen.trim_end().lines().last().is_some_and(|last| last.ends_with("lines more")));
    std::thread::sleep(Duration::from_millis(500));
    let text = terminal.text();
    assert_eq!(text.matches(": NOT PINNED, ").count(), 1, "{text}");
    what_was_before_is_kept(&terminal);
    drop(hold);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // Once it has room, it is said below.
    terminal.tmux(&["resize-window", "-x", "90", "-y", "60"]).run().assert_clean();
    terminal.wait(|screen| screen.contains("pinshim: no QEMU is called \"nosuchvm\""));
}

#[test]
fn a_watch_that_goes_to_a_file_or_a_dumb_terminal_has_no_sequences() {
    let _limit = TimeLimit::seconds(60);
    let line = "stty cols 80 rows 24; \"$PINSHIM\" show $$ --watch 0.1";
    let Some(process) = script("dumb", line).start_or_skip() else { return };
    let shown = until(30, "two looks", || {
        Some(process.stdout()).filter(|shown| shown.matches("NOT PINNED").count() > 1)
    });
    assert!(!shown.contains('\x1b'), "{shown}");
}

/// The completions as `scripts/install` gets them.
fn completions(scratch: &Scratch) -> PathBuf {
    let folder = scratch.join("completions");
    Program::new(command()).arg("generate").arg("--completions").arg(&folder).run().assert_clean();
    folder
}

/// A process that is called `name` as a VM is, with the executable's name of a QEMU, until it is dropped.
fn vm_called(qemu: &Path, name: &str) -> Process {
    // A shell leaves what follows the script to it.
    Program::new(qemu).args(["-c", "while sleep 0.1; do :; done", "-name", name]).start()
}

/// What a shell's program says, with the command's folder in PATH. `None`, and said, where there is no such shell.
fn answer_of(shell: &str, program: &str) -> Option<String> {
    let folder = command().parent().unwrap().display();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let program = Program::new(shell).env("PATH", path).args(["-c", program]);
    program.run_or_skip().map(|finished| finished.stdout)
}

/// What is offered at the end of a line, in bash and in fish.
fn offered(folder: &Path, words: &[&str]) -> Vec<(&'static str, Vec<String>)> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let bash = format!(
        "source {}/pinshim.bash; COMP_WORDS=(pinshim {}); COMP_CWORD={}; _pinshim 2>/dev/null; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        folder.display(),
        quoted.join(" "),
        words.len()
    );
    let fish = format!("source {}/pinshim.fish; complete -C 'pinshim {}'", folder.display(), words.join(" "));
    let first_words = |text: String| {
        let words = text.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        words.filter(|word| !word.is_empty()).collect()
    };
    let answers = [("bash", answer_of("bash", &bash)), ("fish", answer_of("fish", &fish))];
    answers.into_iter().filter_map(|(shell, text)| Some((shell, first_words(text?)))).collect()
}

#[test]
fn shells_complete_subcommands_options_vms_and_commands() {
    let _limit = TimeLimit::seconds(100);
    let scratch = Scratch::new();
    let folder = completions(&scratch);
    let name = format!("web-{}", std::process::id());
    let qemu = scratch.join("qemu-system-fake");
    fs::copy("/bin/sh", &qemu).unwrap();
    let _vms = [vm_called(&qemu, &name), vm_called(&qemu, "web-$(reboot)")];
    for (shell, words) in offered(&folder, &[""]) {
        for subcommand in ["run", "show", "check", "record", "apply", "metrics", "plan", "doctor", "help"] {
            assert!(words.iter().any(|word| word == subcommand), "{shell}: {subcommand}: {words:?}");
        }
        for hidden in ["generate", "libvirt-hook", "complete", "require"] {
            assert!(!words.iter().any(|word| word == hidden), "{shell}: {hidden}: {words:?}");
        }
    }
    for (shell, words) in offered(&folder, &["run", "--vc"]) {
        assert_eq!(words, ["--vcpus"], "{shell}");
    }
    for (shell, words) in offered(&folder, &["check", "web-"]) {
        assert!(words.contains(&name), "{shell}: {words:?}");
        assert!(words.iter().all(|word| !word.contains('$')), "{shell}: {words:?}");
    }
    for (shell, words) in offered(&folder, &["run", "--cpus", "1", "--", "pinsh"]) {
        assert!(words.contains(&"pinshim".to_owned()), "{shell}: {words:?}");
    }
}

/// Types a line with a tab at its end in a shell, and waits for what it becomes.
fn completes_on_a_terminal(shell: &str, begin: &str) {
    let scratch = Scratch::new();
    let folder = completions(&scratch);
    if Program::new(shell).arg("--version").run_or_skip().is_none() {
        return;
    }
    let Some(terminal) = Terminal::open(begin) else { return };
    // It reads what is typed once it shows its prompt.
    terminal.wait(|screen| !screen.trim().is_empty());
    terminal.types(&[&format!("F={}", folder.display()), "Enter"]);
    let start = match shell {
        "zsh" => "fpath=($F $fpath); autoload -Uz compinit; compinit -u -D; PS1='ready: '",
        _ => "source $F/pinshim.bash; PS1='ready: '",
    };
    terminal.types(&[start, "Enter"]);
    terminal.wait(|screen| screen.trim_end().ends_with("ready:"));
    terminal.types(&["pinshim ch", "Tab"]);
    terminal.wait(|screen| screen.contains("ready: pinshim check"));
    terminal.types(&["C-u", "pinshim run --vc", "Tab"]);
    terminal.wait(|screen| screen.contains("pinshim run --vcpus"));
    terminal.types(&["C-u", "pinshim run --cpus 0 -- pinsh", "Tab"]);
    terminal.wait(|screen| screen.contains("-- pinshim"));
}

#[test]
fn a_tab_completes_in_bash() {
    let _limit = TimeLimit::seconds(90);
    completes_on_a_terminal("bash", "bash --norc --noprofile");
}

#[test]
fn a_tab_completes_in_zsh() {
    let _limit = TimeLimit::seconds(90);
    completes_on_a_terminal("zsh", "zsh -f");
}
