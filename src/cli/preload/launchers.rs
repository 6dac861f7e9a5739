//! What a command starts in turn, as far as its arguments say, and whether a preload gets there.
//!
//! `timeout 10 qemu-system-x86_64` starts QEMU with the environment that it was given, `env -i qemu-system-x86_64` and
//! sudo(8) without. What a script starts cannot be seen here.

use pinning::{DEFAULT_TARGETS, acts_in, glob_matches};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What is known of a file that can be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Executable {
    /// Its basename, behind all links: what the library goes by.
    pub(crate) name: OsString,
    /// It is no script.
    pub(crate) is_program: bool,
    /// Why no preload reaches what it starts.
    pub(crate) out_of_reach: Option<String>,
}

/// Programs that start the command in their arguments, in the environment that they were given.
const PASS_ON: &[&str] = &[
    "bwrap",
    "catatonit",
    "cgexec",
    "choom",
    "chpst",
    "chroot",
    "chrt",
    "coresched",
    "daemonize",
    "dbus-run-session",
    "dumb-init",
    "eatmydata",
    "env",
    "faketime",
    "fakeroot",
    "firejail",
    "flock",
    "gdb",
    "gdbserver",
    "i386",
    "ionice",
    "ip",
    "linux32",
    "linux64",
    "ltrace",
    "nice",
    "nohup",
    "nsenter",
    "numactl",
    "parallel",
    "perf",
    "prlimit",
    "rr",
    "runcon",
    "runuser",
    "s6-setuidgid",
    "script",
    "setarch",
    "setpriv",
    "setsid",
    "softlimit",
    "start-stop-daemon",
    "stdbuf",
    "strace",
    "su",
    "systemd-inhibit",
    "taskset",
    "time",
    "timeout",
    "tini",
    "tmux",
    "uclampset",
    "unbuffer",
    "unshare",
    "valgrind",
    "x86_64",
    "xargs",
];

/// Programs that start a command in an environment of their own, or have somebody else start it.
const KEEP_BACK: &[&str] = &[
    "at",
    "batch",
    "doas",
    "docker",
    "kubectl",
    "login",
    "lxc",
    "lxc-attach",
    "lxc-execute",
    "machinectl",
    "nerdctl",
    "pkexec",
    "podman",
    "ssh",
    "sudo",
    "systemd-run",
    "virsh",
];

/// Programs that run what stands in a file.
const INTERPRETERS: &[&str] = &[
    "ash", "bash", "busybox", "csh", "dash", "fish", "guile*", "java", "ksh*", "lua*", "make", "mksh",
    "node", "perl*", "php*", "pinshim", "python*", "ruby*", "sh", "tclsh*", "tcsh", "zsh",
];

/// Why a QEMU that this command starts may run unpinned, and what to do; `None` if nothing speaks for it. `target` is
/// the value of `PIN_TARGET`, `find` what a word of the command would execute.
pub(crate) fn doubt(
    command: &[OsString],
    target: Option<&OsStr>,
    find: impl Fn(&OsStr) -> Option<Executable>,
) -> Option<String> {
    let mut rest = command;
    let mut is_first = true;
    loop {
        let (word, arguments) = rest.split_first()?;
        let found = find(word);
        let name = Path::new(word).file_name().unwrap_or(word);
        let next = next_command(arguments, target, &find);
        let own = arguments.get(..next.unwrap_or(arguments.len()))?;
        if let Some(what) = kept_back(name, own) {
            let given_again = own.iter().any(|word| word.as_bytes().starts_with(b"LD_PRELOAD="));
            return (!given_again).then(|| {
                format!(
                    "{what} does not pass LD_PRELOAD on, and a QEMU behind it runs unpinned; start that one with \
                     `pinshim run` instead"
                )
            });
        }
        // Of the command itself `run` has made sure.
        if let Some(why) = found.as_ref().and_then(|found| found.out_of_reach.as_ref()).filter(|_| !is_first)
        {
            return Some(format!("{why}; start QEMU itself with `pinshim run`"));
        }
        let acts = |found: &Executable| acts_in(target.map(OsStrExt::as_bytes), found.name.as_bytes());
        if found.as_ref().is_some_and(acts) {
            return None;
        }
        if is_one_of(name, PASS_ON) {
            rest = arguments.get(next?..)?;
            is_first = false;
            continue;
        }
        let found = found.filter(|found| found.is_program && !is_one_of(name, INTERPRETERS))?;
        if is_one_of(&found.name, INTERPRETERS) {
            return None;
        }
        let (program, globs) = (found.name.to_string_lossy(), target.unwrap_or(OsStr::new(DEFAULT_TARGETS)));
        return Some(format!(
            "{program} is none of the programs that PIN_TARGET names ({}): if it is a QEMU, it runs unpinned, and \
             PIN_TARGET={program} is missing",
            globs.to_string_lossy()
        ));
    }
}

/// Where among the arguments of a program the command is that it starts.
fn next_command(
    arguments: &[OsString],
    target: Option<&OsStr>,
    find: impl Fn(&OsStr) -> Option<Executable>,
) -> Option<usize> {
    arguments.iter().position(|word| {
        let name = Path::new(word).file_name().unwrap_or(word);
        let is_known = is_one_of(name, PASS_ON) || is_one_of(name, KEEP_BACK);
        let is_option = word.as_bytes().starts_with(b"-");
        let is_assignment = word.as_bytes().contains(&b'=');
        !is_option
            && (is_known
                || acts_in(target.map(OsStrExt::as_bytes), name.as_bytes())
                || (!is_assignment && find(word).is_some()))
    })
}

/// What keeps the environment back: this program, with one of its own arguments where it depends on that.
fn kept_back(name: &OsStr, arguments: &[OsString]) -> Option<String> {
    let any = |is: &dyn Fn(&[u8]) -> bool| {
        let word = arguments.iter().find(|word| is(word.as_bytes()))?;
        Some(format!("`{} {}`", name.to_string_lossy(), word.to_string_lossy()))
    };
    match name.as_bytes() {
        b"env" => any(&|word| {
            let unset = [&b"--unset=LD_PRELOAD"[..], b"-uLD_PRELOAD"];
            [&b"-"[..], b"--ignore-environment"].contains(&word)
                || has_letter(word, b'i', b"uCS")
                || unset.contains(&word)
        }),
        b"su" | b"runuser" => {
            any(&|word| word == b"-" || word == b"--login" || has_letter(word, b'l', b"cCgGsTwu"))
        }
        b"setpriv" => any(&|word| word == b"--reset-env"),
        b"bwrap" => any(&|word| word == b"--clearenv"),
        _ => is_one_of(name, KEEP_BACK).then(|| name.to_string_lossy().into_owned()),
    }
}

/// Whether a word is short options with this letter among them. What follows one of the letters `valued` is its value.
fn has_letter(word: &[u8], letter: u8, valued: &[u8]) -> bool {
    let Some(letters) = word.strip_prefix(b"-").filter(|letters| !letters.starts_with(b"-")) else {
        return false;
    };
    letters.iter().take_while(|byte| !valued.contains(byte)).any(|byte| *byte == letter)
}

fn is_one_of(name: &OsStr, globs: &[&str]) -> bool {
    globs.iter().any(|glob| glob_matches(glob.as_bytes(), name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host that has the programs of these tests, and two scripts.
    fn host(word: &OsStr) -> Option<Executable> {
        let name = Path::new(word).file_name()?;
        let programs = "bash env my-vmm nice perl pinshim qemu-system-x86_64 sh su sudo taskset time timeout";
        let is_program = programs.split(' ').any(|program| name == program) || name == "vmlinux-setuid";
        let is_script = ["start-vm.sh", "link"].iter().any(|script| name == *script);
        let out_of_reach = (name == "vmlinux-setuid").then(|| "it is setuid".to_owned());
        let name = if name == "link" { "qemu-system-x86_64".into() } else { name.to_owned() };
        (is_program || is_script).then_some(Executable { name, is_program, out_of_reach })
    }

    fn said(line: &str, target: Option<&str>) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        doubt(&words, target.map(OsStr::new), host).unwrap_or_default()
    }

    #[test]
    fn nothing_is_said_of_what_is_pinned_or_cannot_be_seen() {
        for line in [
            "qemu-system-x86_64 -name sudo",
            "/usr/bin/qemu-system-x86_64 -name my-vmm",
            "timeout -s KILL 10 qemu-system-x86_64",
            "taskset -c 0 nice -n 5 env A=my-vmm qemu-system-x86_64",
            "./link",
            "./start-vm.sh sudo",
            "timeout 10 ./start-vm.sh",
            "sh -c sudo",
            "perl my-vmm",
            "timeout 10",
            "su nobody -c qemu-system-x86_64",
            "env -i LD_PRELOAD=/l.so qemu-system-x86_64",
            "time pinshim run --cpus 1 -- my-vmm",
        ] {
            assert_eq!(said(line, None), "", "{line}");
        }
        assert_eq!(said("my-vmm -smp 2", Some("my-*")), "");
        assert_eq!(said("", None), "");
    }

    #[test]
    fn whoever_keeps_the_environment_back_is_named() {
        let end = " does not pass LD_PRELOAD on, and a QEMU behind it runs unpinned; start that one with `pinshim run` \
                   instead";
        for (line, who) in [
            ("sudo qemu-system-x86_64", "sudo"),
            ("timeout 10 /usr/bin/sudo -u x qemu-system-x86_64", "sudo"),
            ("systemd-run --scope qemu-system-x86_64", "systemd-run"),
            ("env -i qemu-system-x86_64", "`env -i`"),
            ("nice env -vi A=1 qemu-system-x86_64", "`env -vi`"),
            ("env - qemu-system-x86_64", "`env -`"),
            ("env -uLD_PRELOAD qemu-system-x86_64", "`env -uLD_PRELOAD`"),
            ("su -l x -c qemu-system-x86_64", "`su -l`"),
            ("su - x", "`su -`"),
            ("su -lc qemu-system-x86_64", "`su -lc`"),
        ] {
            assert_eq!(said(line, None), format!("{who}{end}"), "{line}");
        }
        assert_eq!(said("env -u PIN_LOG qemu-system-x86_64", None), "");
    }

    #[test]
    fn a_program_that_the_library_does_not_act_in_is_named_with_the_variable_that_is_missing() {
        let text = said("timeout 10 ./my-vmm -smp 2", None);
        assert_eq!(
            text,
            "my-vmm is none of the programs that PIN_TARGET names (qemu-system-*,.qemu-system-*-wrapped,qemu-kvm,kvm): \
             if it is a QEMU, it runs unpinned, and PIN_TARGET=my-vmm is missing"
        );
        assert!(said("qemu-system-x86_64", Some("my-vmm")).contains("names (my-vmm)"));
        assert_eq!(said("nice vmlinux-setuid", None), "it is setuid; start QEMU itself with `pinshim run`");
    }
}
