//! `pinshim libvirt-hook`: libvirt calls it when a domain is started and when it ends (libvirt's docs/hooks).
//!
//! Before QEMU starts, it leaves the pinning of the domain's XML for the wrapper `qemu-pinned`, and refuses a
//! domain whose pinning is bad, or cannot be carried on, or cannot be read to its end in time: whether out of bad
//! luck or by intent, no domain with a placement starts without it. Once QEMU runs, it puts threads back that
//! libvirt has moved, and logs one line.
//!
//! It never calls libvirt, which waits for it. It never writes to stdout: at a migration libvirt reads a
//! changed domain from there. It takes a bounded time. It fails only before the start of a domain: a failure at
//! any later time makes libvirt kill the running guest.

use crate::arguments::{Folders, LibvirtHook};
use crate::libvirt::domain_xml::Domain;
use crate::libvirt::faults::Faults;
use crate::libvirt::syslog::Log;
use crate::libvirt::xml_input::XmlInput;
use crate::libvirt::{before_start, domain_file, domain_log, exclusive, follow, policy, verify, wrapper};
use crate::output::exit_status::{REFUSED, SUCCESS};
use crate::output::failure::Done;
use crate::sys::kernel::Kernel;
use pinning::Policy;
use std::env;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest time that the hook takes once QEMU runs: libvirt waits for it.
const PATIENCE: Duration = Duration::from_millis(900);

/// The longest time before QEMU starts. It is longer, since a domain that runs out of it does not start: a busy
/// host must not be the reason.
const PATIENCE_BEFORE: Duration = Duration::from_secs(5);

/// Answers one call, of which the event's arguments say the domain and the moment.
pub(crate) fn libvirt_hook(arguments: &LibvirtHook, kernel: &dyn Kernel) -> Done {
    let log = Log::new(&arguments.syslog);
    let may_start = Arc::new(AtomicBool::new(false));
    let moment = moment(&arguments.event);
    if moment != Moment::Follow {
        let domain = arguments.event.first().map(|name| name.to_string_lossy().into_owned());
        give_up_in_time(moment, domain.unwrap_or_default(), log.clone(), Arc::clone(&may_start));
    }
    let follow = |xml: &[u8]| start_follower(arguments, xml);
    Ok(answer(arguments, kernel, log, &may_start, &mut io::stdin().lock(), &follow))
}

/// Starts a process that goes on where this one may not wait: libvirt waits for the hook, and QEMU's guest for libvirt.
/// It gets the XML as the hook did.
fn start_follower(arguments: &LibvirtHook, xml: &[u8]) -> io::Result<()> {
    let LibvirtHook { folders: Folders { run, config, pid_files }, syslog, domain_logs, event } = arguments;
    let mut follower = process::Command::new(env::current_exe()?);
    follower.arg("libvirt-hook");
    let folders = [("--run", run), ("--config", config), ("--pid-files", pid_files)];
    for (option, path) in folders.into_iter().chain([("--syslog", syslog), ("--domain-logs", domain_logs)]) {
        follower.arg(option).arg(path);
    }
    follower.arg("--").args(event.first()).args([FOLLOW, "begin"]);
    // libvirt waits until nobody has the hook's output any more.
    follower.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut started = follower.spawn()?;
    // It reads before it does anything else, so that this ends.
    started.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(xml))
}

/// The operation by which the hook calls itself.
const FOLLOW: &str = "pinshim-follow";

/// The moments of a domain's life at which there is something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Before QEMU starts.
    Prepare,
    /// QEMU runs, and its guest too unless that begins paused.
    Started,
    /// libvirt has come back to a QEMU that runs.
    Reconnect,
    /// QEMU has ended.
    Release,
    /// None of libvirt's: QEMU runs, and the hook goes on in a process of its own until the guest does.
    Follow,
    /// Any other.
    Other,
}

/// The moment that an event's arguments name.
fn moment(event: &[std::ffi::OsString]) -> Moment {
    match event {
        [_, operation, suboperation, ..] => match (operation.as_bytes(), suboperation.as_bytes()) {
            (b"prepare", b"begin") => Moment::Prepare,
            (b"started", b"begin") => Moment::Started,
            (b"reconnect", b"begin") => Moment::Reconnect,
            (b"release", b"end") => Moment::Release,
            (operation, b"begin") if operation == FOLLOW.as_bytes() => Moment::Follow,
            _ => Moment::Other,
        },
        _ => Moment::Other,
    }
}

/// The exit status of a call whose XML comes from this stream. `may_start` becomes true once it is known that the
/// domain has no placement.
fn answer(
    arguments: &LibvirtHook,
    kernel: &dyn Kernel,
    log: Log,
    may_start: &AtomicBool,
    xml: &mut dyn Read,
    follow: &dyn Fn(&[u8]) -> io::Result<()>,
) -> u8 {
    let [domain, _, _, ..] = arguments.event.as_slice() else {
        log.warning("the hook was called without a domain, an operation and a sub-operation");
        return SUCCESS;
    };
    let call = Call {
        folders: &arguments.folders,
        domain_logs: &arguments.domain_logs,
        kernel,
        log,
        domain,
        follow,
    };
    match moment(&arguments.event) {
        Moment::Prepare => return call.prepare(may_start, xml),
        Moment::Started => call.verify(xml, false),
        Moment::Reconnect => call.verify(xml, true),
        Moment::Release => call.forget(),
        Moment::Follow => call.follow_guest(xml),
        Moment::Other => {}
    }
    SUCCESS
}

/// Ends the process when its time is over: before QEMU starts as a refusal, unless it is known that the domain has
/// no placement; at any other time as a success.
fn give_up_in_time(moment: Moment, domain: String, log: Log, may_start: Arc<AtomicBool>) {
    let is_before = moment == Moment::Prepare;
    std::thread::spawn(move || {
        std::thread::sleep(if is_before { PATIENCE_BEFORE } else { PATIENCE });
        if is_before && !may_start.load(Ordering::Acquire) {
            log.refusal(&format!(
                "the hook was not done in time with domain {domain}, which may have a <pin:placement>"
            ));
            process::exit(i32::from(REFUSED));
        }
        log.warning(&format!("domain {domain}: the hook was not done in time and has given up"));
        process::exit(0);
    });
}

/// One call of the hook.
struct Call<'a> {
    folders: &'a Folders,
    domain_logs: &'a Path,
    kernel: &'a dyn Kernel,
    log: Log,
    domain: &'a OsStr,
    /// Starts the process that follows the guest.
    follow: &'a dyn Fn(&[u8]) -> io::Result<()>,
}

impl Call<'_> {
    /// A message about the domain.
    fn about(&self, what: impl std::fmt::Display) -> String {
        format!("domain {}: {what}", self.domain.to_string_lossy())
    }

    fn warning(&self, what: impl std::fmt::Display) {
        self.log.warning(&self.about(what));
    }

    /// Keeps the domain from starting.
    fn refuse(&self, faults: &Faults) -> u8 {
        let faults = faults.lines();
        // libvirt passes the stderr of a hook that failed on to whoever starts the domain.
        faults.iter().for_each(|fault| self.log.refusal(fault));
        // libvirt may be set up to log elsewhere: then stderr and the system's log have it.
        let _ = domain_log::append(self.domain_logs, self.domain, &faults);
        REFUSED
    }

    fn refuse_because(&self, why: impl std::fmt::Display) -> u8 {
        let mut faults = Faults::default();
        faults.add(why);
        self.refuse(&faults)
    }

    /// Leaves the pinning for the wrapper, or refuses the domain if its pinning is bad.
    fn prepare(&self, may_start: &AtomicBool, xml: &mut dyn Read) -> u8 {
        // An earlier start may have ended without its `release`.
        self.forget();
        let input = match XmlInput::read(xml) {
            Ok(input) => input,
            Err(error) => {
                return self.refuse_because(format_args!(
                    "libvirt's XML of the domain, which may have a <pin:placement>, cannot be read: {error}"
                ));
            }
        };
        may_start.store(!input.names_pinshim, Ordering::Release);
        let domain = match domain(&input) {
            Ok(domain) => domain,
            Err(why) if input.names_pinshim => return self.refuse_because(why),
            Err(why) => {
                self.warning(why);
                return SUCCESS;
            }
        };
        let judged = before_start::judge_before_start(self.kernel, &domain);
        if !judged.faults.is_empty() {
            return self.refuse(&judged.faults);
        }
        let Some(placement) = &domain.placement else {
            self.expect_no_wrapper(&domain);
            return SUCCESS;
        };
        let warnings = judged.warnings.lines();
        warnings.iter().for_each(|warning| self.warning(warning));
        if !warnings.is_empty() {
            // The system's log has them in any case.
            let warnings: Vec<String> =
                warnings.iter().map(|warning| format!("warning: {warning}")).collect();
            let _ = domain_log::append(self.domain_logs, self.domain, &warnings);
        }
        let leases = match self.lease(&domain) {
            Ok(socket) => socket,
            Err(why) => return self.refuse_because(why),
        };
        let folder = self.kernel.locate(&self.folders.run.join("domains"));
        let left = folder.and_then(|folder| {
            domain_file::write(&folder, self.domain, &domain.uuid, placement, leases.as_deref())
        });
        match left {
            Ok(()) => SUCCESS,
            Err(error) => {
                self.dismiss(leases.as_deref());
                self.refuse_because(format_args!("the pinning could not be left for qemu-pinned: {error}"))
            }
        }
    }

    /// Takes the leases of a domain that wants its CPUs for itself. The answer is the socket at which QEMU gets them.
    fn lease(&self, domain: &Domain) -> Result<Option<PathBuf>, String> {
        if !domain.is_exclusive {
            return Ok(None);
        }
        let cpus =
            policy::of_its_own(domain, self.kernel).map(|policy| policy.guest_cpus()).unwrap_or_default();
        let leases = exclusive::lease(self.kernel, self.folders, &cpus)?;
        let keeper = exclusive::start_keeper(self.kernel, self.folders, self.domain, &leases);
        keeper
            .map(Some)
            .map_err(|error| format!("the domain's leases could not be left for qemu-pinned: {error}"))
    }

    /// Gives leases back that no QEMU has taken.
    fn dismiss(&self, socket: Option<&Path>) {
        if let Some(Err(error)) = socket.map(|socket| exclusive::dismiss(self.kernel, socket)) {
            self.warning(format_args!("its leases were not given back: {error}"));
        }
    }

    /// Warns of a domain that names the wrapper and has no placement: it runs unpinned, and somebody may have meant
    /// otherwise.
    fn expect_no_wrapper(&self, domain: &Domain) {
        if !wrapper::is_wrapper(&domain.emulator) {
            return;
        }
        let folder = self.folders.config.join("domains");
        let files = domain_file::administrators_paths(&folder, self.domain, &domain.uuid);
        // A file that is there and cannot be used is for the wrapper to refuse.
        let is_there = |file: &std::path::PathBuf| {
            self.kernel.locate(file).is_ok_and(|at| at.symlink_metadata().is_ok())
        };
        let by_libvirt = domain.environment.iter().map(|(name, value)| (name, value));
        if !files.iter().any(is_there) && !Policy::names_placement(by_libvirt) {
            self.warning(format_args!(
                "its <emulator> is {}, but it runs unpinned: its XML has no <pin:placement>, and there is no {}",
                domain.emulator,
                folder.join(format!("{}.env", domain.uuid)).display()
            ));
        }
    }

    fn verify(&self, xml: &mut dyn Read, is_reconnect: bool) {
        let Some((input, domain)) = self.read(xml) else { return };
        let says_something = policy::variables(self.kernel, self.folders, self.domain, &domain);
        // First, since this process may run out of its time. When libvirt's daemon comes back there is one already.
        if !is_reconnect && says_something.is_ok_and(|variables| variables.is_some()) {
            if let Err(error) = (self.follow)(&input.bytes) {
                self.warning(format_args!("nobody looks at its threads once the guest runs: {error}"));
            }
        }
        let found = verify::verify(self.kernel, self.folders, self.domain, &domain, is_reconnect);
        if let Some(line) = found {
            self.say(line);
        }
    }

    /// Waits for the guest, and looks at the threads that the kernel makes then.
    fn follow_guest(&self, xml: &mut dyn Read) {
        let Some((_, domain)) = self.read(xml) else { return };
        if let Some(line) = follow::follow(self.kernel, self.folders, self.domain, &domain) {
            self.say(line);
        }
    }

    /// The domain that libvirt hands to the hook; `None` where it cannot be read, which is said.
    fn read(&self, xml: &mut dyn Read) -> Option<(XmlInput, Domain)> {
        let read = XmlInput::read(xml);
        let read = read.map_err(|error| format!("libvirt's XML of the domain cannot be read: {error}"));
        let read = read.and_then(|input| domain(&input).map(|domain| (input, domain)));
        read.map_err(|why| self.warning(why)).ok()
    }

    /// Logs what was found.
    fn say(&self, line: Result<String, String>) {
        match line {
            Ok(line) => self.log.info(&self.about(line)),
            Err(line) => self.warning(line),
        }
    }

    fn forget(&self) {
        let left = domain_file::left(self.kernel, &self.folders.run.join("domains"), self.domain);
        self.dismiss(left.ok().flatten().and_then(|left| left.leases).as_deref());
        let folder = self.kernel.locate(&self.folders.run.join("domains"));
        if let Err(error) = folder.and_then(|folder| domain_file::remove(&folder, self.domain)) {
            self.warning(format_args!("what qemu-pinned was left could not be removed: {error}"));
        }
    }
}

/// The domain of an XML; or why it cannot be read, in a sentence.
fn domain(input: &XmlInput) -> Result<Domain, String> {
    if input.is_cut {
        let bytes = input.bytes.len();
        return Err(format!("libvirt's XML of the domain has more than {bytes} bytes, which are not read"));
    }
    Domain::read(&input.bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, from_words};
    use crate::sys::fake::{FakeKernel, FakeProcess};
    use pinning::{Role, VcpuIndex};
    use std::cell::RefCell;
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;

    const UUID: &str = "7430d5d9-a334-461e-af4e-526061963a0d";

    const PID_FILE: &str = "/run/libvirt/qemu/web.pid";

    /// libvirt, which calls the hook.
    struct Libvirt {
        kernel: FakeKernel,
        folder: tempfile::TempDir,
        syslog: UnixDatagram,
        /// The XMLs with which a process was started that follows the guest.
        followed: RefCell<Vec<String>>,
    }

    impl Libvirt {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let syslog = UnixDatagram::bind(folder.path().join("syslog")).unwrap();
            syslog.set_nonblocking(true).unwrap();
            let kernel = FakeKernel::new();
            kernel.act_as_owner();
            Self { kernel, folder, syslog, followed: RefCell::default() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Calls the hook for the domain `web`; the exit status, and the lines in the system's log as
        /// `PRIORITY TEXT`.
        fn call(&self, moment: &str, inside: &str) -> (u8, Vec<String>) {
            self.call_with(moment, &format!("<domain type='kvm'><uuid>{UUID}</uuid>{inside}</domain>"))
        }

        fn call_with(&self, moment: &str, xml: &str) -> (u8, Vec<String>) {
            let mut event: Vec<OsString> = vec!["web".into()];
            event.extend(moment.split(' ').map(OsString::from));
            self.call_event(event, xml)
        }

        fn call_event(&self, event: Vec<OsString>, xml: &str) -> (u8, Vec<String>) {
            let folder = self.folder.path().display();
            let words =
                format!("pinshim libvirt-hook --syslog {folder}/syslog --domain-logs {folder}/logs -- web");
            let Command::LibvirtHook(mut arguments) = from_words(&words) else { panic!("{words}") };
            arguments.event = event;
            let log = Log::to_socket_alone(&arguments.syslog);
            let may_start = AtomicBool::new(false);
            let follow = |xml: &[u8]| {
                self.followed.borrow_mut().push(String::from_utf8_lossy(xml).into_owned());
                Ok(())
            };
            let status = answer(&arguments, &self.kernel, log, &may_start, &mut xml.as_bytes(), &follow);
            let mut lines = Vec::new();
            let mut line = [0; 4096];
            while let Ok(bytes) = self.syslog.recv(&mut line) {
                let line = std::str::from_utf8(&line[..bytes]).unwrap();
                let (priority, text) = line.split_once("pinshim").unwrap();
                lines.push(format!("{priority} {}", text.split_once("]: ").unwrap().1));
            }
            (status, lines)
        }

        /// What was left for the wrapper.
        fn left(&self) -> Option<String> {
            let at = self.kernel.locate(Path::new("/run/pinshim/domains/web.env")).unwrap();
            let text = fs::read_to_string(at).ok()?;
            Some(text.lines().skip(1).collect::<Vec<_>>().join("\n"))
        }

        /// The domain's QEMU without the library: two vCPUs, each on its CPU.
        fn qemu(&self) -> FakeProcess<'_> {
            self.kernel.write(PID_FILE, "100\n");
            self.kernel.lock(PID_FILE, 100);
            self.kernel
                .process(100, &["/usr/bin/qemu-system-x86_64", "-name", "guest=web", "-uuid", UUID])
                .thread(100, "qemu-system-x86", "0")
                .thread(101, "CPU 0/KVM", "1")
                .thread(102, "CPU 1/KVM", "2")
        }

        /// The same under the library.
        fn pinned_qemu(&self) -> FakeProcess<'_> {
            self.qemu()
                .page(&[("PIN_CPUS", "0"), ("PIN_VCPUS", "1,2"), ("PIN_MANAGER", "libvirt")])
                .lists(100, Role::Emulator, 0, "")
                .lists(101, Role::Vcpu(VcpuIndex(0)), 0, "CPU 0/KVM")
                .lists(102, Role::Vcpu(VcpuIndex(1)), 0, "CPU 1/KVM")
        }
    }

    fn pinned(attributes: &str) -> String {
        format!("<metadata><pin:placement xmlns:pin='urn:pinshim:domain:1' {attributes}/></metadata>")
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn prepare_leaves_the_pinning_for_the_wrapper_and_release_removes_it() {
        let libvirt = Libvirt::new();
        let xml = pinned("cpus='0' vcpus='1,2'");
        assert_eq!(libvirt.call("prepare begin", &xml), (0, lines(&[])));
        let left = format!("UUID={UUID}\nPIN_CPUS=0\nPIN_VCPUS=1,2");
        assert_eq!(libvirt.left(), Some(left));
        assert_eq!(libvirt.call("prepare end", &xml), (0, lines(&[])));
        assert_eq!(libvirt.call("release end", &xml), (0, lines(&[])));
        assert_eq!(libvirt.left(), None);
    }

    #[test]
    fn a_domain_without_a_pinning_is_left_alone() {
        let libvirt = Libvirt::new();
        libvirt.call("prepare begin", &pinned("cpus='0'"));
        // What an earlier start left is removed all the same.
        assert_eq!(libvirt.call("prepare begin", ""), (0, lines(&[])));
        assert_eq!(libvirt.left(), None);
        libvirt.qemu();
        assert_eq!(libvirt.call("started begin", ""), (0, lines(&[])));
    }

    #[test]
    fn prepare_refuses_a_bad_pinning_and_says_why_everywhere() {
        let libvirt = Libvirt::new();
        let faults = lines(&[
            "<27> <pin:placement> has no attribute vcpu; did you mean vcpus?",
            "<27> PIN_EMULATOR=x: x is not a set of CPUs; write it like 1, 0-3, 0-6:2, all,^1 or 0x3",
        ]);
        let (status, said) = libvirt.call("prepare begin", &pinned("vcpu='1' emulator='x'"));
        assert_eq!((status, &said), (78, &faults));
        assert_eq!(libvirt.left(), None);
        let log = fs::read_to_string(libvirt.path("logs/web.log")).unwrap();
        let logged: Vec<String> = log.lines().map(|line| line.replace("pinshim: ", "<27> ")).collect();
        assert_eq!(logged, faults);
    }

    #[test]
    fn prepare_only_warns_of_a_cpu_that_the_cpuset_may_still_get() {
        let libvirt = Libvirt::new();
        let (status, said) = libvirt.call("prepare begin", &pinned("cpus='9'"));
        assert_eq!(
            (status, said),
            (0, lines(&["<28> domain web: PIN_CPUS=9: CPU 9 is not available here (0-3)"]))
        );
        assert_eq!(libvirt.left(), Some(format!("UUID={UUID}\nPIN_CPUS=9")));
    }

    #[test]
    fn started_logs_that_every_thread_is_where_it_belongs() {
        let libvirt = Libvirt::new();
        libvirt.pinned_qemu();
        let (status, said) = libvirt.call("started begin", &pinned("cpus='0' vcpus='1,2'"));
        assert_eq!((status, said), (0, lines(&["<30> domain web: 3 threads where they belong"])));
        assert_eq!(libvirt.kernel.asked(), [""; 0]);
        assert_eq!(libvirt.kernel.now(), Duration::ZERO);
    }

    #[test]
    fn started_puts_back_what_libvirt_has_moved() {
        let libvirt = Libvirt::new();
        let qemu = libvirt.pinned_qemu();
        qemu.thread(103, "TC tc0", "0-3").lists(103, Role::Exempt, 0, "TC tc0");
        libvirt.kernel.move_to(101, "0-3");
        libvirt.kernel.move_to(102, "0-3");
        libvirt.kernel.change(102, |thread| thread.refusal = Some(libc::EPERM));
        let (status, said) = libvirt.call("started begin", &pinned("cpus='0' vcpus='1,2'"));
        let line = "<28> domain web: 1 of 3 threads not where they belong: \
                    CPU 1/KVM may run on 0-3 and belongs on 2, 1 put there now";
        assert_eq!((status, said), (0, lines(&[line])));
        assert_eq!(libvirt.kernel.asked(), ["101 on 1", "102 on 2"]);
    }

    #[test]
    fn started_does_the_whole_work_for_a_qemu_without_the_library() {
        let libvirt = Libvirt::new();
        libvirt.qemu();
        libvirt.kernel.move_to(101, "0-3");
        let (status, said) = libvirt.call("started begin", &pinned("cpus='0' vcpus='1,2'"));
        let line = "<28> domain web: 3 threads where they belong, 1 put there now; its QEMU does not run under \
                    libpinshim.so, so that threads to come are not placed (does its <emulator> name qemu-pinned?)";
        assert_eq!((status, said), (0, lines(&[line])));
        assert_eq!(libvirt.kernel.asked(), ["101 on 1"]);
    }

    #[test]
    fn a_status_page_that_cannot_be_read_is_not_taken_for_a_missing_library() {
        let libvirt = Libvirt::new();
        libvirt.pinned_qemu();
        libvirt.kernel.deny("/proc/100/fd");
        let (_, said) = libvirt.call("started begin", &pinned("cpus='0' vcpus='1,2'"));
        assert_eq!(said, ["<28> domain web: 3 threads where they belong; its status page may not be read"]);
        let unsealed = crate::sys::linux::memfd("pinshim", b"", 0);
        let libvirt = Libvirt::new();
        libvirt.qemu().descriptor(200, "/memfd:pinshim (deleted)", unsealed);
        let (_, said) = libvirt.call("started begin", &pinned("cpus='0' vcpus='1,2'"));
        let line =
            "<28> domain web: 3 threads where they belong; its status page is not sealed, so it was not read";
        assert_eq!(said, [line]);
    }

    #[test]
    fn a_thread_that_places_itself_between_two_looks_is_not_moved() {
        let libvirt = Libvirt::new();
        libvirt.pinned_qemu().thread(105, "live_migration", "1");
        libvirt.kernel.at(Duration::from_millis(20), |kernel| kernel.move_to(105, "0"));
        let (status, said) = libvirt.call("started begin", &pinned("cpus='0' vcpus='1,2'"));
        assert_eq!((status, said), (0, lines(&["<30> domain web: 4 threads where they belong"])));
        assert_eq!(libvirt.kernel.asked(), [""; 0]);
    }

    #[test]
    fn reconnect_leaves_a_thread_where_an_administrator_has_put_it() {
        let libvirt = Libvirt::new();
        libvirt.pinned_qemu();
        libvirt.kernel.move_to(101, "3");
        libvirt.kernel.move_to(102, "3");
        let tuned = "<cputune><vcpupin vcpu='0' cpuset='3'/></cputune>";
        let xml = pinned("cpus='0' vcpus='1,2'") + tuned;
        let (status, said) = libvirt.call("reconnect begin", &xml);
        let line = "<30> domain web: 2 threads where they belong, 1 put there now, 1 elsewhere by virsh and left there";
        assert_eq!((status, said), (0, lines(&[line])));
        assert_eq!(libvirt.kernel.asked(), ["102 on 2"]);
        // At a start the same setting is libvirt's own, and gives way to the pinning.
        let (_, said) = libvirt.call("started begin", &xml);
        assert_eq!(said, ["<30> domain web: 3 threads where they belong, 1 put there now"]);
        assert_eq!(libvirt.kernel.asked(), ["101 on 1"]);
    }

    /// The pinning of QEMU's own page is not asked: QEMU may write to it.
    #[test]
    fn a_status_page_with_another_policy_moves_no_thread_and_is_said() {
        for moment in ["started begin", "reconnect begin"] {
            let libvirt = Libvirt::new();
            libvirt
                .qemu()
                .page(&[("PIN_CPUS", "1"), ("PIN_VCPUS", "3,3"), ("PIN_MANAGER", "libvirt")])
                .lists(100, Role::Emulator, 0, "")
                .lists(101, Role::Vcpu(VcpuIndex(0)), 0, "CPU 0/KVM")
                .lists(102, Role::Vcpu(VcpuIndex(1)), 0, "CPU 1/KVM");
            libvirt.kernel.move_to(102, "3");
            let (status, said) = libvirt.call(moment, &pinned("cpus='0' vcpus='1,2'"));
            let line = "<28> domain web: 3 threads where they belong, 1 put there now; QEMU's status page has \
                        another PIN_CPUS and PIN_VCPUS, which does not count";
            assert_eq!((status, said), (0, lines(&[line])));
            assert_eq!(libvirt.kernel.asked(), ["102 on 2"]);
        }
    }

    #[test]
    fn without_a_placement_of_roots_a_status_page_moves_nothing() {
        let libvirt = Libvirt::new();
        libvirt.pinned_qemu();
        libvirt.kernel.move_to(101, "3");
        assert_eq!(libvirt.call("started begin", ""), (0, lines(&[])));
        assert_eq!(libvirt.kernel.asked(), [""; 0]);
    }

    #[test]
    fn without_a_placement_in_the_xml_the_administrators_file_counts() {
        let libvirt = Libvirt::new();
        libvirt.pinned_qemu();
        libvirt.kernel.move_to(101, "3");
        libvirt.kernel.write("/etc/pinshim/domains/web.env", "# by hand\nPIN_CPUS=0\nPIN_VCPUS=1,2\n");
        let (_, said) = libvirt.call("started begin", "");
        assert_eq!(said, ["<30> domain web: 3 threads where they belong, 1 put there now"]);
        assert_eq!(libvirt.kernel.asked(), ["101 on 1"]);
        libvirt.kernel.move_to(101, "3");
        libvirt.kernel.write("/etc/pinshim/domains/web.env", "PIN_CPUS=0\nnonsense\n");
        let (_, said) = libvirt.call("started begin", "");
        let why = "<28> domain web: no thread was moved or checked: /etc/pinshim/domains/web.env, line 2: this is \
                   no PIN_NAME=value: nonsense";
        assert_eq!(said, [why]);
        let at = libvirt.kernel.locate(Path::new("/etc/pinshim/domains")).unwrap();
        fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let (_, said) = libvirt.call("started begin", "");
        let why = "<28> domain web: no thread was moved or checked: /etc/pinshim/domains can be written to by others \
                   than root (mode 777)";
        assert_eq!(said, [why]);
        assert_eq!(libvirt.kernel.asked(), [""; 0]);
    }

    #[test]
    fn a_thread_that_no_word_of_roots_places_is_left_alone() {
        let libvirt = Libvirt::new();
        libvirt.pinned_qemu();
        libvirt.kernel.move_to(100, "3");
        libvirt.kernel.move_to(101, "0");
        let (_, said) = libvirt.call("started begin", &pinned("vcpus='1,2'"));
        let line = "<28> domain web: 2 threads where they belong, 1 put there now; QEMU's status page has another \
                    PIN_CPUS, which does not count";
        assert_eq!(said, [line]);
        assert_eq!(libvirt.kernel.asked(), ["101 on 1"]);
    }

    #[test]
    fn a_process_that_only_has_the_arguments_of_the_domains_qemu_is_not_looked_at() {
        let libvirt = Libvirt::new();
        libvirt.pinned_qemu();
        let arguments = ["/usr/bin/qemu-system-x86_64", "-name", "guest=web", "-uuid", UUID];
        libvirt.kernel.process(50, &arguments).thread(50, "qemu-system-x86", "0").user(1001);
        libvirt.kernel.move_to(102, "3");
        let (_, said) = libvirt.call("started begin", &pinned("cpus='0' vcpus='1,2'"));
        assert_eq!(said, ["<30> domain web: 3 threads where they belong, 1 put there now"]);
        assert_eq!(libvirt.kernel.asked(), ["102 on 2"]);
    }

    #[test]
    fn without_a_certain_process_nothing_is_moved_and_it_is_said() {
        let xml = pinned("cpus='3'");
        let nothing =
            |why: &str| lines(&[&format!("<28> domain web: no thread was moved or checked: {why}")]);
        let with = |change: fn(&Libvirt)| {
            let libvirt = Libvirt::new();
            libvirt.pinned_qemu();
            change(&libvirt);
            let said = libvirt.call("started begin", &xml);
            assert_eq!((said.0, libvirt.kernel.asked()), (0, Vec::new()));
            said.1
        };
        let said =
            with(|libvirt| fs::remove_file(libvirt.kernel.locate(Path::new(PID_FILE)).unwrap()).unwrap());
        assert_eq!(said, nothing(&format!("there is no {PID_FILE}")));
        let said = with(|libvirt| libvirt.kernel.write(PID_FILE, "1\n"));
        let why = format!("{PID_FILE} names process 1, but libvirt's lock on it is held by process 100");
        assert_eq!(said, nothing(&why));
        let said = with(|libvirt| libvirt.kernel.unlock(PID_FILE));
        assert_eq!(
            said,
            nothing(&format!("process 100, which {PID_FILE} names, does not hold libvirt's lock on it"))
        );
        let said = with(|libvirt| {
            libvirt.kernel.existing(100).executable("/usr/bin/python3");
        });
        assert_eq!(said, nothing("process 100 runs /usr/bin/python3, which is no QEMU"));
    }

    #[test]
    fn a_qemu_of_another_name_is_the_one_that_the_xml_names() {
        let libvirt = Libvirt::new();
        libvirt.pinned_qemu().executable("/opt/my-vmm");
        let named = "<devices><emulator>/opt/my-vmm</emulator></devices>";
        let xml = pinned("cpus='0' vcpus='1,2'") + named;
        assert_eq!(libvirt.call("started begin", &xml).1, ["<30> domain web: 3 threads where they belong"]);
    }

    /// Where the status page says that the guest runs.
    const SETTLED: usize = 60;

    #[test]
    fn a_kvm_guest_whose_vcpus_have_cgroups_is_followed_until_it_runs() {
        let libvirt = Libvirt::new();
        let xml = pinned("cpus='0' vcpus='1,2'");
        let vm = libvirt.pinned_qemu();
        libvirt.call("reconnect begin", &xml);
        libvirt.call("started begin", "");
        assert_eq!(libvirt.followed.borrow().len(), 0);
        assert_eq!(libvirt.call("started begin", &xml).1, ["<30> domain web: 3 threads where they belong"]);
        let whole = libvirt.followed.take().concat();
        assert!(whole.starts_with("<domain") && whole.contains(&xml), "{whole}");
        // Without a cgroup for each vCPU there is nothing to wait for.
        assert_eq!(libvirt.call("pinshim-follow begin", &xml), (0, lines(&[])));
        assert_eq!(libvirt.kernel.now(), Duration::ZERO);

        vm.cpuset(101, "/web/vcpu0", "1").cpuset(102, "/web/vcpu1", "2");
        // The kernel's thread comes with the guest, after two minutes.
        let list = "/sys/fs/cgroup/web/emulator/cgroup.threads";
        libvirt.kernel.write(list, "");
        libvirt.kernel.write("/sys/fs/cgroup/web/emulator/cpuset.cpus.effective", "0");
        libvirt.kernel.write("/proc/103/cgroup", "0::/web/vcpu0\n");
        libvirt.kernel.at(Duration::from_secs(120), |kernel| {
            let vm = kernel.existing(100).thread(103, "kvm-nx-lpage-re", "1").cpuset(103, "/web/vcpu0", "1");
            vm.header(SETTLED, &1u32.to_ne_bytes());
            // The cgroup that it is moved to has CPU 0.
            kernel.change(103, |thread| (thread.flags, thread.cpuset) = (0x4000, None));
        });
        let said = libvirt.call("pinshim-follow begin", &xml).1;
        assert_eq!(said, ["<30> domain web: 1 thread of the kernel's put where it belongs"]);
        let kernel: &dyn Kernel = &libvirt.kernel;
        assert_eq!(kernel.read_text(list).unwrap(), "103");
        // This kernel does not move it: it is moved at each look.
        let mut asked = libvirt.kernel.asked();
        asked.dedup();
        assert_eq!(asked, ["103 on 0"]);
        assert!(libvirt.kernel.now() < Duration::from_secs(125), "{:?}", libvirt.kernel.now());
    }

    #[test]
    fn whoever_follows_a_guest_ends_with_qemu_and_looks_at_the_kernels_threads_alone() {
        let libvirt = Libvirt::new();
        let xml = pinned("cpus='0' vcpus='1,2'");
        libvirt.pinned_qemu().cpuset(101, "/web/vcpu0", "1");
        libvirt.kernel.move_to(101, "3");
        libvirt.kernel.at(Duration::from_secs(10), |kernel| kernel.end_process(100));
        assert_eq!(libvirt.call("pinshim-follow begin", &xml), (0, lines(&[])));
        assert!(libvirt.kernel.now() < Duration::from_secs(12));
        let libvirt = Libvirt::new();
        libvirt.pinned_qemu().cpuset(101, "/web/vcpu0", "1").header(SETTLED, &1u32.to_ne_bytes());
        libvirt.kernel.move_to(101, "3");
        assert_eq!(libvirt.call("pinshim-follow begin", &xml), (0, lines(&[])));
        assert_eq!(libvirt.kernel.asked(), [""; 0]);
    }

    #[test]
    fn what_is_not_understood_keeps_a_domain_from_starting_and_moves_nothing() {
        let of_version_2 = "<metadata><p:placement xmlns:p='urn:pinshim:domain:2' cpus='0'/></metadata>";
        let fault = "<placement> is of the namespace urn:pinshim:domain:2; this pinshim knows \
                     urn:pinshim:domain:1 alone";
        let libvirt = Libvirt::new();
        libvirt.qemu();
        libvirt.kernel.move_to(101, "3");
        assert_eq!(libvirt.call("prepare begin", of_version_2), (78, lines(&[&format!("<27> {fault}")])));
        let nothing = format!("<28> domain web: no thread was moved or checked: {fault}");
        assert_eq!(libvirt.call("started begin", of_version_2), (0, lines(&[&nothing])));
        assert_eq!(libvirt.kernel.asked(), [""; 0]);
    }

    #[test]
    fn a_domain_behind_the_wrapper_that_nothing_places_is_warned_of() {
        let libvirt = Libvirt::new();
        let wrapper = "<devices><emulator>/usr/bin/qemu-pinned</emulator></devices>";
        let warning = "<28> domain web: its <emulator> is /usr/bin/qemu-pinned, but it runs unpinned: its XML has no \
                       <pin:placement>, and there is no /etc/pinshim/domains/7430d5d9-a334-461e-af4e-526061963a0d.env";
        assert_eq!(libvirt.call("prepare begin", wrapper), (0, lines(&[warning])));
        let other = "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>";
        assert_eq!(libvirt.call("prepare begin", other), (0, lines(&[])));
        assert_eq!(
            libvirt.call("prepare begin", &(wrapper.to_owned() + &pinned("cpus='0'"))),
            (0, lines(&[]))
        );
        libvirt.kernel.write("/etc/pinshim/domains/web.env", "PIN_CPUS=0\n");
        assert_eq!(libvirt.call("prepare begin", wrapper), (0, lines(&[])));
    }

    #[test]
    fn a_placement_that_cannot_be_left_for_the_wrapper_keeps_the_domain_from_starting() {
        let libvirt = Libvirt::new();
        // A folder that is none.
        libvirt.kernel.write("/run/pinshim/domains", "");
        let (status, said) = libvirt.call("prepare begin", &pinned("cpus='0'"));
        let refusal = said.last().unwrap();
        assert!(refusal.starts_with("<27> the pinning could not be left for qemu-pinned: "), "{said:?}");
        assert_eq!(status, 78);
    }

    #[test]
    fn an_xml_that_cannot_be_read_keeps_only_a_domain_with_a_placement_from_starting() {
        let libvirt = Libvirt::new();
        let begin = |more: &str| format!("<domain><uuid>{UUID}</uuid>{more}");
        let deep = "<a>".repeat(100_000);
        let long = " ".repeat(crate::libvirt::xml_input::XML_BYTES);
        for bad in ["</metadata>", deep.as_str(), "<metadata>", long.as_str(), "</domain><a b='&x;' b=''/><"]
        {
            let (status, said) = libvirt.call_with("prepare begin", &begin(bad));
            assert_eq!((status, said.len()), (0, 1), "{:?}: {said:?}", bad.get(..20));
            let placed = begin(bad) + &pinned("cpus='0'");
            let (status, said) = libvirt.call_with("prepare begin", &placed);
            assert_eq!((status, said.len()), (78, 1), "{:?}: {said:?}", bad.get(..20));
            assert!(said[0].starts_with("<27> libvirt's XML of the domain "), "{said:?}");
        }
        assert_eq!(libvirt.left(), None);
    }

    #[test]
    fn a_uuid_that_would_be_another_variable_keeps_the_domain_from_starting() {
        let libvirt = Libvirt::new();
        let placement = pinned("cpus='0'");
        let xml = format!("<domain><uuid>{UUID}\nPIN_LOG=trace</uuid>{placement}</domain>");
        let (status, said) = libvirt.call_with("prepare begin", &xml);
        assert_eq!((status, said.len()), (78, 1), "{said:?}");
        assert!(said[0].ends_with("PIN_LOG=trace is no UUID"), "{said:?}");
        assert_eq!(libvirt.left(), None);
    }

    /// libvirt allows less in a name than this; each answer is a status and some lines all the same.
    #[test]
    fn names_of_any_bytes_lead_nowhere_and_are_shown_harmless() {
        let libvirt = Libvirt::new();
        let xml = |inside: &str| format!("<domain><uuid>{UUID}</uuid>{inside}</domain>");
        let (good, bad) = (xml(&pinned("cpus='0'")), xml(&pinned("cpus='x'")));
        let run = libvirt.kernel.locate(Path::new("/run/pinshim/domains")).unwrap();
        let names = (1..=255u8).flat_map(|byte| {
            let around: [(&[u8], &[u8]); 3] = [(b"", b""), (b"../", b"/.."), (b"a", b".env")];
            around.map(|(before, after)| [before, &[byte], after].concat())
        });
        for name in names.chain([Vec::new(), vec![b'x'; 300], vec![b'%'; 100]]) {
            let call = |moment: &str, xml: &str| {
                let mut event = vec![OsString::from_vec(name.clone())];
                event.extend(moment.split(' ').map(OsString::from));
                let (status, said) = libvirt.call_event(event, xml);
                assert!(said.iter().all(|line| !line.contains(char::is_control)), "{name:?}: {said:?}");
                (status, said.len())
            };
            let left = || fs::read_dir(&run).map_or(0, |files| files.count());
            let too_long = name.len() > 250 || name.iter().all(|byte| *byte == b'%') && name.len() > 80;
            assert_eq!(call("prepare begin", &good), if too_long { (78, 1) } else { (0, 0) }, "{name:?}");
            assert_eq!(left(), usize::from(!too_long), "{name:?}");
            // There is no pid file, and it is said.
            assert_eq!(call("started begin", &good), (0, 1), "{name:?}");
            assert_eq!(call("release end", &good), (0, 0), "{name:?}");
            assert_eq!(call("prepare begin", &bad), (78, 1), "{name:?}");
            assert_eq!(left(), 0, "{name:?}");
        }
        let outside: Vec<_> = fs::read_dir(run.parent().unwrap()).unwrap().flatten().collect();
        assert_eq!(outside.len(), 1, "{outside:?}");
    }

    /// What may stand in a domain, of hostile shapes and about so many bytes: each with a placement.
    fn hostile_shapes(bytes: usize) -> Vec<(&'static str, String)> {
        let many = |one: &str| one.repeat(bytes / one.len() + 1);
        let numbered = |one: fn(usize) -> String| {
            let mut text = String::new();
            let mut number = 0;
            while text.len() < bytes {
                text += &one(number);
                number += 1;
            }
            text
        };
        let pin = "xmlns:pin='urn:pinshim:domain:1'";
        let element = |attributes: &str| format!("<metadata><pin:placement {pin} {attributes}/></metadata>");
        vec![
            ("commas", element(&format!("cpus='{}'", many("x,")))),
            ("sets", element(&format!("cpus='{}'", many("0-65535,")))),
            ("all", element(&format!("cpus='{}'", many("all ")))),
            ("rules", element(&format!("threads='{}'", numbered(|n| format!("a{n}@0,"))))),
            ("brackets", element(&format!("vcpus='{}'", many("[")))),
            ("map", element(&format!("vcpus='{}'", numbered(|n| format!("{n}@[0-65535],"))))),
            ("attributes", element(&numbered(|n| format!(" a{n}=''")))),
            ("one attribute", element(&format!("{}=''", many("a")))),
            ("prefixed attributes", element(&numbered(|n| format!(" pin:a{n}=''")))),
            ("references", element(&format!("cpus='{}'", many("&#48;")))),
            ("entities", element(&format!("cpus='{}'", many("&a;")))),
            (
                "placements",
                format!("<metadata>{}</metadata>", many("<p:placement xmlns:p='urn:pinshim:domain:1'/>")),
            ),
            (
                "children",
                format!(
                    "<metadata><p:placement xmlns:p='urn:pinshim:domain:1' cpus='0'>{}</p:placement></metadata>",
                    many("<a/>")
                ),
            ),
            (
                "text",
                format!(
                    "<metadata><p:placement xmlns:p='urn:pinshim:domain:1' cpus='0'>{}</p:placement></metadata>",
                    many("x<!---->")
                ),
            ),
            ("nesting", many("<a>") + &element("cpus='x'")),
            (
                "namespaces",
                format!("<a{}/>", numbered(|n| format!(" xmlns:n{n}='urn:n'"))) + &element("cpus='x'"),
            ),
            ("nested namespaces", numbered(|n| format!("<a xmlns:n{n}='urn:n'>")) + &element("cpus='x'")),
            ("namespaces like pinshim's", many("<p:a xmlns:p='urn:pinshim:x'/>")),
            (
                "environment",
                format!(
                    "<c:commandline xmlns:c='http://libvirt.org/schemas/domain/qemu/1.0'>{}<c:env name='PIN_CPUS' value='{}'/></c:commandline>",
                    many("<c:env name='PIN_CPUS' value='x'/>"),
                    many("x,")
                ) + &element("cpus='x'"),
            ),
            (
                "pins",
                format!(
                    "<cputune>{}</cputune>",
                    numbered(|n| format!("<vcpupin vcpu='{n}' cpuset='0-65535'/>"))
                ) + &element("cpus='x'"),
            ),
            ("uuid", format!("<uuid>{}</uuid>", many("0")) + &element("cpus='0'")),
            (
                "emulator",
                format!("<devices><emulator>{}</emulator></devices>", many("x")) + &element("cpus='x'"),
            ),
            ("doctype", format!("<!DOCTYPE a [{}]>", many("<!ENTITY a 'b'>")) + &element("cpus='x'")),
        ]
    }

    #[test]
    fn no_shape_of_a_placement_gets_past_the_hook_or_fills_a_log() {
        let libvirt = Libvirt::new();
        for (shape, inside) in hostile_shapes(200_000) {
            let (status, said) = libvirt.call("prepare begin", &inside);
            assert_eq!(status, 78, "{shape}: {said:?}");
            let bytes: usize = said.iter().map(String::len).sum();
            assert!((1..=13).contains(&said.len()) && bytes < 16_000, "{shape}: {} lines", said.len());
            assert_eq!(libvirt.left(), None);
            let (status, said) = libvirt.call("started begin", &inside);
            assert_eq!((status, said.len()), (0, 1), "{shape}: {said:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_never_fails_but_is_said() {
        let libvirt = Libvirt::new();
        for moment in ["prepare begin", "started begin", "reconnect begin"] {
            let said = "<28> domain web: libvirt's XML of the domain cannot be read: it names no UUID";
            assert_eq!(libvirt.call_with(moment, "<domain/>"), (0, lines(&[said])), "{moment}");
        }
    }
}
