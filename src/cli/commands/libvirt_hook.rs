//! `pinshim libvirt-hook`: libvirt calls it when a domain is started and when it ends (libvirt's docs/hooks).
//!
//! Before QEMU starts, it leaves the pinning of the domain's XML for the wrapper `qemu-pinned`, and refuses a
//! domain whose pinning is bad. Once QEMU runs, it puts threads back that libvirt has moved, and logs one
//! line.
//!
//! It never calls libvirt, which waits for it. It never writes to stdout: at a migration libvirt reads a
//! changed domain from there. It never takes more than a second. It fails only before the start of a domain
//! whose own pinning is bad: a failure at any later time makes libvirt kill the running guest.

use crate::arguments::LibvirtHook;
use crate::libvirt::domain_xml::Domain;
use crate::libvirt::syslog::Log;
use crate::libvirt::{domain_file, domain_log, policy, verify};
use crate::output::exit_status::{REFUSED, SUCCESS};
use crate::output::failure::Done;
use crate::output::text::harmless;
use crate::sys::kernel::Kernel;
use pinning::OnError;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// More of a domain's XML is not read. No domain's is nearly as long.
const XML_BYTES: u64 = 16 << 20;

/// The longest time that the hook takes: libvirt waits for it, and serves nobody meanwhile.
const PATIENCE: Duration = Duration::from_millis(900);

/// Answers one call, of which the event's arguments say the domain and the moment.
pub(crate) fn libvirt_hook(arguments: &LibvirtHook, kernel: &dyn Kernel) -> Done {
    let log = Log::new(&arguments.syslog);
    give_up_in_time(log.clone());
    Ok(answer(arguments, kernel, log, &mut io::stdin().lock()))
}

/// The exit status of a call whose XML comes from this stream.
fn answer(arguments: &LibvirtHook, kernel: &dyn Kernel, log: Log, xml: &mut dyn Read) -> u8 {
    let [domain, operation, suboperation, ..] = arguments.event.as_slice() else {
        log.warning("the hook was called without a domain, an operation and a sub-operation");
        return SUCCESS;
    };
    let call = Call { arguments, kernel, log, domain };
    match (operation.as_bytes(), suboperation.as_bytes()) {
        (b"prepare", b"begin") => return call.prepare(xml),
        (b"started", b"begin") => call.verify(xml, false),
        (b"reconnect", b"begin") => call.verify(xml, true),
        (b"release", b"end") => call.forget(),
        _ => {}
    }
    SUCCESS
}

/// Ends the process, as a success, when its time is over.
fn give_up_in_time(log: Log) {
    std::thread::spawn(move || {
        std::thread::sleep(PATIENCE);
        log.warning("the hook was not done within a second and has given up");
        std::process::exit(0);
    });
}

/// One call of the hook.
struct Call<'a> {
    arguments: &'a LibvirtHook,
    kernel: &'a dyn Kernel,
    log: Log,
    domain: &'a OsStr,
}

impl Call<'_> {
    /// The domain's name, harmless to a log.
    fn name(&self) -> String {
        harmless(self.domain.as_bytes())
    }

    fn warning(&self, what: impl std::fmt::Display) {
        self.log.warning(&format!("domain {}: {what}", self.name()));
    }

    /// The domain that the XML describes.
    fn read(&self, xml: &mut dyn Read) -> Option<Domain> {
        let mut text = String::new();
        let domain = match xml.take(XML_BYTES).read_to_string(&mut text) {
            Ok(_) => Domain::read(&text).map_err(|error| error.to_string()),
            Err(error) => Err(format!("libvirt's XML of the domain cannot be read: {error}")),
        };
        domain.map_err(|error| self.warning(error)).ok()
    }

    /// Leaves the pinning for the wrapper, or refuses the domain if its pinning is bad.
    fn prepare(&self, xml: &mut dyn Read) -> u8 {
        // An earlier start may have ended without its `release`.
        self.forget();
        let Some(domain) = self.read(xml) else { return SUCCESS };
        let Some(placement) = &domain.placement else { return SUCCESS };
        let parsed = policy::parse(&domain, self.kernel);
        let refused = parsed.on_error == OnError::Exit && !parsed.faults.is_empty();
        if refused || !domain.faults.is_empty() {
            let faults = parsed.faults.iter().map(ToString::to_string);
            let faults: Vec<String> = domain.faults.iter().cloned().chain(faults).collect();
            // libvirt passes the stderr of a hook that failed on to whoever starts the domain.
            faults.iter().for_each(|fault| self.log.refusal(fault));
            // libvirt may be set up to log elsewhere: then stderr and the system's log have it.
            let _ = domain_log::append(&self.arguments.domain_logs, self.domain, &faults);
            return REFUSED;
        }
        for warning in parsed.faults.iter().chain(&parsed.warnings) {
            self.warning(warning);
        }
        if placement.is_empty() {
            return SUCCESS;
        }
        let folder = self.arguments.run.join("domains");
        if let Err(error) = domain_file::write(&folder, self.domain, &domain.uuid, placement) {
            self.warning(format_args!("its pinning could not be left for qemu-pinned: {error}"));
        }
        SUCCESS
    }

    fn verify(&self, xml: &mut dyn Read, is_reconnect: bool) {
        let Some(domain) = self.read(xml) else { return };
        match verify::verify(self.kernel, &domain, is_reconnect) {
            None => {}
            Some(Ok(line)) => self.log.info(&format!("domain {}: {line}", self.name())),
            Some(Err(line)) => self.warning(line),
        }
    }

    fn forget(&self) {
        let folder = self.arguments.run.join("domains");
        if let Err(error) = domain_file::remove(&folder, self.domain) {
            self.warning(format_args!("what qemu-pinned was left could not be removed: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, from_words};
    use crate::sys::fake::{FakeKernel, FakeProcess};
    use pinning::{Role, VcpuIndex};
    use std::fs;
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;

    const UUID: &str = "7430d5d9-a334-461e-af4e-526061963a0d";

    /// libvirt, which calls the hook.
    struct Libvirt {
        kernel: FakeKernel,
        folder: tempfile::TempDir,
        syslog: UnixDatagram,
    }

    impl Libvirt {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let syslog = UnixDatagram::bind(folder.path().join("syslog")).unwrap();
            syslog.set_nonblocking(true).unwrap();
            Self { kernel: FakeKernel::new(), folder, syslog }
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
            let folder = self.folder.path().display();
            let words = format!(
                "pinshim libvirt-hook --run {folder}/run --syslog {folder}/syslog --domain-logs {folder}/logs \
                 -- web {moment} -"
            );
            let Command::LibvirtHook(arguments) = from_words(&words) else { panic!("{words}") };
            let log = Log::to_socket_alone(&arguments.syslog);
            let status = answer(&arguments, &self.kernel, log, &mut xml.as_bytes());
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
            let text = fs::read_to_string(self.path("run/domains/web.env")).ok()?;
            Some(text.lines().skip(1).collect::<Vec<_>>().join("\n"))
        }

        /// The domain's QEMU without the library: two vCPUs, each on its CPU.
        fn qemu(&self) -> FakeProcess<'_> {
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
        let line = "<30> domain web: 3 threads where they belong, 1 put there now, 1 elsewhere by virsh and left there";
        assert_eq!((status, said), (0, lines(&[line])));
        assert_eq!(libvirt.kernel.asked(), ["102 on 2"]);
        // At a start the same setting is libvirt's own, and gives way to the pinning.
        let (_, said) = libvirt.call("started begin", &xml);
        assert_eq!(said, ["<30> domain web: 3 threads where they belong, 1 put there now"]);
        assert_eq!(libvirt.kernel.asked(), ["101 on 1"]);
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
