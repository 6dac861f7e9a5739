//! A libvirt of a test's own: the distribution's libvirtd and virtlogd, with pinshim installed for it, all their
//! files in a scratch folder that is theirs alone.
//!
//! libvirt's folders are built into it. Each daemon therefore runs in a mount namespace in which
//! /etc/libvirt, /run/libvirt and so on are the scratch folder's; outside of it nothing changes but the cgroups
//! of its domains, which libvirt removes when they end.

use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Finished, Observation, Observer, Process, Program, Scratch, assemble, root_missing, until};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What libvirt's daemons have built in, and the folder that stands there for them.
const FOLDERS: [(&str, &str); 5] = [
    ("etc/libvirt", "/etc/libvirt"),
    ("run/libvirt", "/run/libvirt"),
    ("lib", "/var/lib/libvirt"),
    ("log", "/var/log/libvirt"),
    ("cache", "/var/cache/libvirt"),
];

/// How long a daemon, or a domain, may take on a busy machine, in seconds.
const START: u64 = 60;

/// The size of a disk, and where the guest's own part of it ends.
const DISK: usize = 8 << 20;
const FILLED: usize = 2 << 20;

/// A running libvirt.
pub(crate) struct Libvirt {
    libvirtd: Option<Process>,
    virtlogd: Option<Process>,
    domains: Mutex<Vec<String>>,
    log: Arc<Mutex<Vec<String>>>,
    _cgroups: Cgroups,
    scratch: Scratch,
}

impl Libvirt {
    /// Installs pinshim and starts the daemons.
    ///
    /// # Errors
    /// Why that cannot be done here.
    pub(crate) fn start() -> Result<Self, String> {
        if let Some(why) = root_missing().or_else(missing_program) {
            return Err(why);
        }
        let scratch = Scratch::new();
        for (own, built_in) in FOLDERS {
            fs::create_dir_all(scratch.join(own)).expect("make a folder");
            // Only a folder that is there can have another in its place; /run's own is made below.
            if !Path::new(built_in).exists() && !built_in.starts_with("/run/") {
                return Err(format!("{built_in} is not there"));
            }
        }
        let cgroups = Cgroups::new();
        install(&scratch);
        let log = listen(&scratch);
        write(
            &scratch.join("etc/libvirt/libvirtd.conf"),
            "auth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\n",
        );
        write(&scratch.join("etc/libvirt/virtlogd.conf"), "");
        // QEMU as root, since /dev/kvm may be root's alone; its sandbox is libvirt's default.
        let mut conf =
            "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nremember_owner = 0\n".to_owned();
        if !is_seen_in_joined_namespaces(&scratch) {
            conf += "namespaces = []\n";
        }
        write(&scratch.join("etc/libvirt/qemu.conf"), &conf);
        let mut libvirt = Self {
            libvirtd: None,
            virtlogd: None,
            domains: Mutex::default(),
            log,
            _cgroups: cgroups,
            scratch,
        };
        libvirt.virtlogd = Some(libvirt.daemon("virtlogd"));
        libvirt.libvirtd = Some(libvirt.daemon("libvirtd"));
        libvirt.wait_for_daemon()?;
        Ok(libvirt)
    }

    fn daemon(&self, name: &str) -> Process {
        let binds: String = FOLDERS
            .iter()
            .map(|(own, built_in)| {
                format!("mount --bind '{}' {built_in} && ", self.scratch.join(own).display())
            })
            .collect();
        // /run/libvirt may not be there before the first libvirtd of a boot, and nothing may be made outside.
        let own_run = "[ -d /run/libvirt ] || { mount -t tmpfs tmpfs /run && mkdir /run/libvirt; } && ";
        let command =
            format!("{own_run}{binds} exec {name} -f /etc/libvirt/{name}.conf -p /run/libvirt/{name}.pid");
        Program::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &command])
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .start()
    }

    fn wait_for_daemon(&self) -> Result<(), String> {
        let libvirtd = self.libvirtd.as_ref().expect("it was started");
        let end = Instant::now() + Duration::from_secs(START);
        while Instant::now() < end {
            if let Some(status) = libvirtd.ended() {
                return Err(format!("libvirtd cannot run here ({status}): {}", libvirtd.stderr()));
            }
            if self.scratch.join("run/libvirt/libvirt-sock").exists() && self.virsh(&["uri"]).status.success()
            {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("libvirtd does not answer here: {}", libvirtd.stderr()))
    }

    /// Ends libvirtd as a service manager would, and starts it again; domains run on.
    pub(crate) fn restart(&mut self) {
        if let Some(libvirtd) = self.libvirtd.take() {
            libvirtd.signal(libc::SIGTERM);
            libvirtd.wait();
        }
        let _ = fs::remove_file(self.scratch.join("run/libvirt/libvirt-sock"));
        self.libvirtd = Some(self.daemon("libvirtd"));
        self.wait_for_daemon().expect("libvirtd, again");
    }

    /// A path below the scratch folder: `etc/pinshim`, `log/qemu/NAME.log`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// The wrapper as installed.
    pub(crate) fn wrapper(&self) -> String {
        self.path("usr/bin/qemu-pinned").display().to_string()
    }

    /// How clients name it.
    pub(crate) fn uri(&self) -> String {
        let socket = self.scratch.join("run/libvirt/libvirt-sock");
        format!("qemu+unix:///system?socket={}", socket.display())
    }

    /// Runs virsh.
    pub(crate) fn virsh(&self, arguments: &[&str]) -> Finished {
        self.virsh_program(arguments).run()
    }

    /// virsh, ready to be started.
    pub(crate) fn virsh_program(&self, arguments: &[&str]) -> Program {
        Program::new("virsh").args(["-q", "-c", &self.uri()]).args(arguments)
    }

    /// Runs the command as installed: its exit status, and all that it says.
    pub(crate) fn pinshim(&self, arguments: &[&str]) -> (i32, String) {
        let done = Program::new(self.path("usr/bin/pinshim").display().to_string()).args(arguments).run();
        (done.status.code().unwrap_or(-1), done.stdout + &done.stderr)
    }

    /// Runs virsh, which has to succeed.
    #[track_caller]
    pub(crate) fn virsh_ok(&self, arguments: &[&str]) -> String {
        let done = self.virsh(arguments);
        assert!(done.status.success(), "virsh {arguments:?}: {}", done.stderr);
        done.stdout
    }

    /// Makes a domain known.
    #[track_caller]
    pub(crate) fn define(&self, domain: &Domain) {
        let xml = self.path("domain.xml");
        write(&xml, &domain.xml(self));
        self.virsh_ok(&["define", xml.to_str().expect("a printable path")]);
        self.domains.lock().unwrap().push(domain.name.clone());
    }

    /// Gives a domain that does not run the name that it has here by now.
    #[track_caller]
    pub(crate) fn rename(&self, before: &str, domain: &Domain) {
        self.virsh_ok(&["domrename", before, &domain.name]);
        self.domains.lock().unwrap().push(domain.name.clone());
    }

    /// Starts a domain and gives its QEMU.
    #[track_caller]
    pub(crate) fn start_domain(&self, domain: &Domain) -> Qemu {
        self.virsh_ok(&["start", &domain.name]);
        self.qemu(domain).expect("a started domain has a QEMU")
    }

    /// Starts a domain and looks at it from the moment its guest runs. Where that cannot be seen (KVM makes a
    /// thread of its own then, from Linux 6.14 on), from the moment that virsh is done.
    #[track_caller]
    pub(crate) fn start_observed(&self, domain: &Domain) -> (Qemu, Observer) {
        let before = self.qemu(domain).map(|qemu| qemu.pid);
        let file = self.pid_file(domain);
        let done = Arc::new(Mutex::new(false));
        let virsh_is_done = Arc::clone(&done);
        let waiting = thread::spawn(move || {
            let end = Instant::now() + Duration::from_secs(START);
            while Instant::now() < end {
                let is_done = *virsh_is_done.lock().unwrap();
                let pid = read_pid(&file).filter(|pid| Some(*pid) != before);
                if let Some(pid) = pid.filter(|pid| is_done || guest_runs(*pid)) {
                    return (Some(Observer::start(pid)), is_done);
                }
                thread::sleep(Duration::from_micros(300));
            }
            (None, false)
        });
        let started = self.virsh(&["start", &domain.name]);
        *done.lock().unwrap() = true;
        assert!(started.status.success(), "virsh start: {}", started.stderr);
        let (observer, late) = waiting.join().expect("the thread that waits for the guest");
        if late {
            eprintln!("note: the guest's first instruction could not be seen; looked at from virsh's end on");
        }
        (self.qemu(domain).expect("a started domain has a QEMU"), observer.expect("a QEMU to look at"))
    }

    fn pid_file(&self, domain: &Domain) -> PathBuf {
        self.path(&format!("run/libvirt/qemu/{}.pid", domain.name))
    }

    /// The QEMU of a running domain.
    pub(crate) fn qemu(&self, domain: &Domain) -> Option<Qemu> {
        let pid = read_pid(&self.pid_file(domain))?;
        Path::new(&format!("/proc/{pid}")).exists().then_some(Qemu { pid })
    }

    /// What libvirt keeps as the domain's log.
    pub(crate) fn domain_log(&self, domain: &Domain) -> String {
        fs::read_to_string(self.path(&format!("log/qemu/{}.log", domain.name))).unwrap_or_default()
    }

    /// What the hook has sent to the system's log, by domain.
    pub(crate) fn hook_lines(&self, domain: &Domain) -> Vec<String> {
        let of_domain = format!("domain {}:", domain.name);
        self.log.lock().unwrap().iter().filter(|line| line.contains(&of_domain)).cloned().collect()
    }

    /// Ends a domain and waits for its QEMU's end.
    #[track_caller]
    pub(crate) fn destroy(&self, domain: &Domain, qemu: Qemu) {
        self.virsh_ok(&["destroy", &domain.name]);
        until(START, "QEMU's end", || (!Path::new(&format!("/proc/{}", qemu.pid)).exists()).then_some(()));
    }

    /// The cgroups that libvirt has made for a domain.
    pub(crate) fn cgroups(&self, domain: &Domain) -> Vec<PathBuf> {
        let of_domain = |entry: &fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("qemu-") && name.contains(&domain.name)
        };
        cgroups_named("machine")
            .iter()
            .filter_map(|machine| fs::read_dir(machine).ok())
            .flat_map(|entries| entries.flatten().filter(of_domain).map(|entry| entry.path()))
            .collect()
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        for domain in self.domains.lock().unwrap().drain(..) {
            self.virsh(&["destroy", &domain]);
            self.virsh(&["undefine", "--managed-save", &domain]);
            // Where libvirtd itself has failed.
            let file = self.scratch.join(format!("run/libvirt/qemu/{domain}.pid"));
            if let Some(pid) = read_pid(&file).filter(|pid| runs_domain(*pid, &domain)) {
                // SAFETY: takes no pointer; the process is the one of this test's own domain.
                unsafe { libc::kill(pid as i32, libc::SIGKILL) };
            }
        }
        for daemon in [self.libvirtd.take(), self.virtlogd.take()].into_iter().flatten() {
            daemon.signal(libc::SIGTERM);
            let end = Instant::now() + Duration::from_secs(10);
            while daemon.ended().is_none() && Instant::now() < end {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The cgroup above those of all domains, which libvirt makes and never removes. The last libvirt of these
/// tests removes it, where it was not there before the first.
struct Cgroups;

/// How many libvirts there are, and what is to be removed.
static ABOVE: Mutex<(usize, Vec<PathBuf>)> = Mutex::new((0, Vec::new()));

impl Cgroups {
    fn new() -> Self {
        let mut above = ABOVE.lock().unwrap();
        if above.0 == 0 {
            above.1 = cgroups_named("machine").into_iter().filter(|path| !path.exists()).collect();
        }
        above.0 += 1;
        Self
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let mut above = ABOVE.lock().unwrap();
        above.0 -= 1;
        if above.0 == 0 {
            for path in above.1.drain(..) {
                let _ = fs::remove_dir(path);
            }
        }
    }
}

/// A domain's QEMU.
#[derive(Clone, Copy)]
pub(crate) struct Qemu {
    /// Its process id.
    pub(crate) pid: u32,
}

impl Qemu {
    /// The threads of that name, with the CPUs that they may run on.
    pub(crate) fn threads(self, name: &str) -> Vec<(u32, String)> {
        self.threads_that(|comm| comm == name)
    }

    fn threads_that(self, is_meant: impl Fn(&str) -> bool) -> Vec<(u32, String)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let of = |task: fs::DirEntry| {
            let comm = fs::read_to_string(task.path().join("comm")).ok()?;
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            let tid = task.file_name().to_str()?.parse().ok()?;
            is_meant(comm.trim_end()).then(|| (tid, allowed.trim().to_owned()))
        };
        tasks.filter_map(of).collect()
    }

    /// All threads, with the CPUs that they may run on.
    pub(crate) fn all_threads(self) -> Vec<(u32, String)> {
        self.threads_that(|_| true)
    }

    /// The path in /proc of a descriptor, by what it stands for.
    pub(crate) fn descriptor(self, is_meant: impl Fn(&str) -> bool) -> Option<PathBuf> {
        let all = fs::read_dir(format!("/proc/{}/fd", self.pid)).into_iter().flatten().flatten();
        let mut paths = all.map(|entry| entry.path());
        paths.find(|path| fs::read_link(path).is_ok_and(|target| is_meant(&target.to_string_lossy())))
    }

    /// The address at which it has mapped a file of this name.
    pub(crate) fn mapping(self, name: &str) -> Option<u64> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid)).ok()?;
        let line = maps.lines().find(|line| line.contains(name))?;
        u64::from_str_radix(line.split('-').next()?, 16).ok()
    }

    /// The CPUs of the one thread of that name.
    pub(crate) fn cpus_of(self, name: &str) -> Option<String> {
        self.threads(name).pop().map(|(_, cpus)| cpus)
    }

    /// A variable of the environment that it was started with.
    pub(crate) fn variable(self, name: &str) -> Option<String> {
        let environ = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        let environ = String::from_utf8_lossy(&environ).into_owned();
        environ.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    }

    /// Its arguments.
    pub(crate) fn arguments(self) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).split_terminator('\0').map(str::to_owned).collect()
    }

    /// Looks at its threads for a time.
    pub(crate) fn watch(self, seconds: f64) -> Observation {
        Observer::watch(self.pid, Duration::from_secs_f64(seconds))
    }
}

/// A domain with up to three vCPUs, two of them at the start, one IOThread, and two disks: one of the IOThread's
/// and one of the main loop's. Both may be booted from, since SeaBIOS shows its guest no others.
pub(crate) struct Domain {
    /// Its name.
    pub(crate) name: String,
    kvm: bool,
    emulator: String,
    metadata: String,
    tuning: String,
    environment: Vec<(String, String)>,
    shared: Option<PathBuf>,
    tpm: &'static str,
    disks: [PathBuf; 2],
}

impl Domain {
    /// A domain of that name, which other tests' domains do not have, behind the wrapper.
    pub(crate) fn new(libvirt: &Libvirt, name: &str, kvm: bool) -> Self {
        let name = format!("pinshim-{}-{name}", std::process::id());
        let disk = |number: u8| {
            let path = libvirt.path(&format!("{number}-{}.img", name.len()));
            let mut image = fs::read(assemble(&libvirt.scratch)).expect("read the guest");
            image.resize(FILLED, 0);
            // QEMU does not read holes.
            image.resize(DISK, 0x5a);
            fs::write(&path, image).expect("make a disk");
            path
        };
        Self {
            disks: [disk(0), disk(1)],
            name,
            kvm,
            emulator: libvirt.wrapper(),
            metadata: String::new(),
            tuning: String::new(),
            environment: Vec::new(),
            shared: None,
            tpm: "",
        }
    }

    /// With `<pin:placement>` and these attributes.
    pub(crate) fn placement(mut self, attributes: &str) -> Self {
        self.metadata =
            format!("<metadata><pin:placement xmlns:pin='urn:pinshim:domain:1' {attributes}/></metadata>");
        self
    }

    /// With `<cputune>`.
    pub(crate) fn tuning(mut self, elements: &str) -> Self {
        self.tuning = format!("<cputune>{elements}</cputune>");
        self
    }

    /// With a `<qemu:env>`.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a folder of the host's, for which libvirt starts virtiofsd.
    pub(crate) fn shared(mut self, folder: &Path) -> Self {
        self.shared = Some(folder.to_owned());
        self
    }

    /// With a TPM, for which libvirt starts swtpm.
    pub(crate) fn tpm(mut self) -> Self {
        self.tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>";
        self
    }

    /// With another emulator than the wrapper.
    pub(crate) fn emulator(mut self, path: &str) -> Self {
        self.emulator = path.to_owned();
        self
    }

    /// Waits until the guest has visited each disk so many more times.
    #[track_caller]
    pub(crate) fn wait_visits(&self, times: u32) {
        for disk in &self.disks {
            let before = harness::visits(disk);
            until(START, "the guest's visit to a disk", || {
                (harness::visits(disk) >= before + times).then_some(())
            });
        }
    }

    fn xml(&self, libvirt: &Libvirt) -> String {
        let Self { name, emulator, metadata, tuning, tpm, disks: [first, second], .. } = self;
        let kind = if self.kvm { "kvm" } else { "qemu" };
        let environment: String = self
            .environment
            .iter()
            .map(|(name, value)| format!("<qemu:env name='{name}' value='{value}'/>"))
            .collect();
        let serial = libvirt.path(&format!("serial-{}", name.len()));
        let (backing, filesystem) = match &self.shared {
            None => (String::new(), String::new()),
            Some(folder) => (
                "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>".to_owned(),
                format!(
                    "<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/>
                     <source dir='{}'/><target dir='shared'/></filesystem>",
                    folder.display()
                ),
            ),
        };
        format!(
            "<domain type='{kind}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
               <name>{name}</name>{metadata}<memory unit='MiB'>64</memory>{backing}
               <vcpu current='2'>3</vcpu><iothreads>1</iothreads>{tuning}
               <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
               <devices><emulator>{emulator}</emulator>
                 <disk type='file'><driver name='qemu' type='raw' io='threads' iothread='1'/>
                   <source file='{first}'/><target dev='vda' bus='virtio'/><boot order='1'/></disk>
                 <disk type='file'><driver name='qemu' type='raw' io='threads'/>
                   <source file='{second}'/><target dev='vdb' bus='virtio'/><boot order='2'/></disk>
                 <serial type='file'><source path='{serial}'/></serial><memballoon model='none'/>{tpm}{filesystem}</devices>
               <qemu:commandline>{environment}</qemu:commandline></domain>",
            first = first.display(),
            second = second.display(),
            serial = serial.display(),
        )
    }
}

/// Whether a program that joins a mount namespace finds the folder there. libvirt does so to give each QEMU its own
/// `/dev`. In a chroot it would find what the whole namespace has as its root folder.
fn is_seen_in_joined_namespaces(scratch: &Scratch) -> bool {
    let joined =
        Program::new("nsenter").args(["--mount=/proc/self/ns/mnt", "test", "-d"]).arg(scratch.path());
    joined.run().code() == 0
}

fn missing_program() -> Option<String> {
    let programs = ["/usr/sbin/libvirtd", "/usr/sbin/virtlogd", "/usr/bin/virsh", "/usr/bin/unshare"];
    let missing = programs.into_iter().find(|path| !Path::new(path).exists());
    missing.map(|path| format!("{path} is not installed")).or_else(|| harness::qemu().err())
}

/// Installs pinshim for this libvirt with the script that users have, its hook's log in the scratch folder.
fn install(scratch: &Scratch) {
    harness::library();
    harness::command();
    let folder = |name: &str| scratch.join(name).display().to_string();
    let done = Program::new(format!("{ROOT}/scripts/install"))
        .args(["--prefix", &folder("usr"), "--sysconfdir", &folder("etc"), "--runstatedir", &folder("run")])
        .run();
    assert!(done.status.success(), "{}", done.stderr);
    let hook = scratch.join("etc/libvirt/hooks/qemu.d/pinshim");
    let script = fs::read_to_string(&hook).expect("the hook was installed");
    let socket = folder("syslog");
    let script = script.replace("libvirt-hook --run", &format!("libvirt-hook --syslog {socket} --run"));
    assert!(script.contains(&socket), "the hook's command has changed: {script}");
    fs::write(&hook, script).expect("change the hook");
}

/// Stands in for the system's log. The thread ends with the test runner.
fn listen(scratch: &Scratch) -> Arc<Mutex<Vec<String>>> {
    let socket = UnixDatagram::bind(scratch.join("syslog")).expect("a socket for the log");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let received = Arc::clone(&lines);
    thread::spawn(move || {
        let mut line = [0; 4096];
        while let Ok(bytes) = socket.recv(&mut line) {
            received.lock().unwrap().push(String::from_utf8_lossy(&line[..bytes]).into_owned());
        }
    });
    lines
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e: io::Error| panic!("{}: {e}", path.display()));
}

fn read_pid(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn runs_domain(pid: u32, domain: &str) -> bool {
    Qemu { pid }.arguments().iter().any(|argument| argument.contains(domain))
}

/// Whether a vCPU has entered the guest: only in there does KVM make this thread.
fn guest_runs(pid: u32) -> bool {
    !(Qemu { pid }).threads("kvm-nx-lpage-re").is_empty()
}

/// The cgroup of that name at the top of each hierarchy that is mounted.
fn cgroups_named(name: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (folder, kind) = (fields.next()?, fields.next()?);
            kind.starts_with("cgroup").then(|| Path::new(folder).join(name))
        })
        .collect()
}
