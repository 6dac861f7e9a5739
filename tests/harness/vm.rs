//! A VM: the distribution's QEMU, unmodified, running the boot sector.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::kvm::OwnNode;
use crate::process::{Finished, Process, Program};
use crate::user::Uid;
use crate::{ChildCpuset, Qmp, Qtest, Scratch, guest, kvm_missing, library, qemu, skip, until};

/// Size of each disk image, in bytes.
const DISK: usize = 16 << 20;

/// Where in the image the part begins that is never zero, since QEMU does not read holes. The guest
/// and its counter lie before it.
const FILLED: usize = 2 << 20;

/// How long QEMU and the guest may take to get going on a busy machine, in seconds.
const START: u64 = 60;

/// QEMU's `-sandbox` as libvirt passes it unless it is told otherwise (src/qemu/qemu_command.c).
pub const LIBVIRT_SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The kernel.
    Kvm,
    /// QEMU itself.
    Tcg,
}

impl Accel {
    /// QEMU's `-accel`.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// How QEMU ends the names of its vCPU threads: `CPU 0/KVM`, `CPU 0/TCG`.
    pub fn in_thread_names(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        }
    }
}

/// How QEMU reads and writes an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aio {
    /// Worker threads.
    Threads,
    /// An io_uring.
    IoUring,
    /// The kernel's older AIO, which needs the cache to be off.
    Native,
}

impl Aio {
    fn option(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::IoUring => "io_uring",
            Self::Native => "native",
        }
    }
}

/// Where a disk is plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bus {
    /// A virtio disk; its requests are made by the main loop or a vCPU.
    Virtio,
    /// A virtio disk whose requests are made by the IOThread of this id.
    IoThread(String),
    /// An IDE disk, whose requests the vCPU thread makes itself.
    Ide,
}

/// A disk.
#[derive(Debug, Clone)]
pub struct Drive {
    bus: Bus,
    aio: Aio,
    cache: Option<&'static str>,
}

impl Drive {
    /// A disk with worker threads and no cache, where the file system can do without: a worker then has
    /// to wait for the disk, and the next request needs the next worker.
    pub fn new(bus: Bus) -> Self {
        Self { bus, aio: Aio::Threads, cache: None }
    }

    /// Has it read and written in this way.
    pub fn aio(mut self, aio: Aio) -> Self {
        self.aio = aio;
        self
    }

    /// Sets QEMU's cache mode.
    pub fn cache(mut self, mode: &'static str) -> Self {
        self.cache = Some(mode);
        self
    }
}

/// A VM to be started.
pub struct VmBuilder {
    accel: Accel,
    smp: String,
    iothreads: Vec<String>,
    drives: Vec<Drive>,
    name: Option<String>,
    debug_threads: Option<bool>,
    sandbox: Option<String>,
    library: bool,
    starter: Option<Vec<OsString>>,
    ahead: Vec<PathBuf>,
    behind: Vec<PathBuf>,
    env: Vec<(String, String)>,
    extra: Vec<String>,
    user: Option<Uid>,
    affinity: Option<Vec<usize>>,
    limits: Vec<(libc::__rlimit_resource_t, u64)>,
    paused: bool,
    qtest: bool,
}

impl VmBuilder {
    /// A VM with one vCPU and one virtio disk, under the library.
    pub fn new(accel: Accel) -> Self {
        Self {
            accel,
            smp: "1".into(),
            iothreads: Vec::new(),
            drives: Vec::new(),
            name: None,
            debug_threads: None,
            sandbox: None,
            library: true,
            starter: None,
            ahead: Vec::new(),
            behind: Vec::new(),
            env: Vec::new(),
            extra: Vec::new(),
            user: None,
            affinity: None,
            limits: Vec::new(),
            paused: false,
            qtest: false,
        }
    }

    /// The VM that most tests want: two vCPUs, the IOThread `io1` with two disks, a disk of the
    /// main loop, and one on IDE.
    pub fn usual(accel: Accel) -> Self {
        let io1 = || Bus::IoThread("io1".into());
        Self::new(accel)
            .smp("2")
            .iothread("io1")
            .drive(Drive::new(io1()))
            .drive(Drive::new(Bus::Virtio))
            .drive(Drive::new(io1()))
            .drive(Drive::new(Bus::Ide))
    }

    /// QEMU's `-smp`.
    pub fn smp(mut self, smp: &str) -> Self {
        self.smp = smp.into();
        self
    }

    /// Adds an IOThread.
    pub fn iothread(mut self, id: &str) -> Self {
        self.iothreads.push(id.into());
        self
    }

    /// Adds a disk. The guest boots from the first and visits the first four.
    pub fn drive(mut self, drive: Drive) -> Self {
        self.drives.push(drive);
        self
    }

    /// The VM's name. Without this and [`VmBuilder::debug_threads`] there is no `-name`.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Says what `-name debug-threads=` is, of a VM that is called `pinshim-test` unless it has another name.
    pub fn debug_threads(mut self, on: bool) -> Self {
        self.debug_threads = Some(on);
        self
    }

    /// QEMU's `-sandbox`.
    pub fn sandbox(mut self, how: &str) -> Self {
        self.sandbox = Some(how.into());
        self
    }

    /// Runs QEMU as it is.
    pub fn without_library(mut self) -> Self {
        self.library = false;
        self
    }

    /// Preloads a library of the test's own that sees calls before the library under test does.
    pub fn ahead(mut self, library: impl Into<PathBuf>) -> Self {
        self.ahead.push(library.into());
        self
    }

    /// Preloads a library of the test's own that sees the calls which the library under test makes.
    pub fn behind(mut self, library: impl Into<PathBuf>) -> Self {
        self.behind.push(library.into());
        self
    }

    /// Has QEMU started by another command, which becomes it, in place of a `LD_PRELOAD` of the test's.
    pub fn started_by<S: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        self.library = false;
        self.starter = Some(command.into_iter().map(|word| word.as_ref().to_owned()).collect());
        self
    }

    /// Sets a variable of QEMU's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Further arguments of QEMU.
    pub fn args<S: AsRef<str>>(mut self, args: &[S]) -> Self {
        self.extra.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Runs QEMU as another user, for whom KVM is opened. Needs root.
    pub fn user(mut self, user: Uid) -> Self {
        self.user = Some(user);
        self
    }

    /// Starts QEMU with this affinity.
    pub fn affinity(mut self, cpus: &[usize]) -> Self {
        self.affinity = Some(cpus.to_vec());
        self
    }

    /// Starts QEMU with a resource limit, soft and hard.
    pub fn limit(mut self, resource: libc::__rlimit_resource_t, value: u64) -> Self {
        self.limits.push((resource, value));
        self
    }

    /// Leaves the guest halted until `cont`.
    pub fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// Opens a qtest socket.
    pub fn qtest(mut self) -> Self {
        self.qtest = true;
        self
    }

    /// Starts QEMU and connects to its monitor. `None`, after saying so, where the test has to be
    /// skipped on this machine.
    pub fn start(self) -> Option<Vm> {
        self.start_in(None)
    }

    /// Like [`VmBuilder::start`], in a cpuset.
    pub fn start_in(self, cpuset: Option<&ChildCpuset>) -> Option<Vm> {
        let scratch = Scratch::new();
        let (program, drives) = match self.program(&scratch, cpuset) {
            Ok(made) => made,
            Err(why) => {
                skip(why);
                return None;
            }
        };
        let process = program.start();
        let socket = scratch.join("qmp");
        let qmp = until(START, "a connection to QEMU's monitor", || {
            if let Some(status) = process.ended() {
                panic!("QEMU has ended ({status}): {}", process.stderr());
            }
            Qmp::connect(&socket)
        });
        Some(Vm { process, qmp, drives, scratch })
    }

    /// Runs a QEMU that is expected to end by itself, with the same arguments.
    pub fn run(self) -> Option<Finished> {
        let scratch = Scratch::new();
        match self.program(&scratch, None) {
            Ok((program, _)) => Some(program.run()),
            Err(why) => {
                skip(why);
                None
            }
        }
    }

    fn program(
        mut self,
        scratch: &Scratch,
        cpuset: Option<&ChildCpuset>,
    ) -> Result<(Program, Vec<PathBuf>), String> {
        let binary = qemu()?;
        if self.accel == Accel::Kvm {
            if let Some(why) = kvm_missing() {
                return Err(why);
            }
        }
        if self.drives.is_empty() {
            self.drives.push(Drive::new(Bus::Virtio));
        }
        let drives = self.make_disks(scratch);
        let mut program = match self.starter.as_deref() {
            Some([command, first @ ..]) => Program::new(command).args(first).arg(binary),
            _ => Program::new(binary),
        };
        program = program.args(self.arguments(scratch, &drives));
        for (name, value) in &self.env {
            program = program.env(name, value);
        }
        program = self.ahead.iter().fold(program, Program::preload);
        if self.library {
            // QEMU's user may not be able to reach the build's folder.
            let library = if self.user.is_some() { scratch.copy(library()) } else { library().to_owned() };
            program = program.preload(library);
        }
        program = self.behind.iter().fold(program, Program::preload);
        if let Some(cpus) = &self.affinity {
            program = program.affinity(cpus);
        }
        for (resource, value) in &self.limits {
            program = program.limit(*resource, *value);
        }
        if let Some(cpuset) = cpuset {
            program = program.cpuset(cpuset);
        }
        if let Some(user) = self.user {
            if self.accel == Accel::Kvm {
                program = program.before_exec(OwnNode::new(scratch, user)?.take_place());
            }
            for path in drives.iter().map(PathBuf::as_path).chain([scratch.path()]) {
                std::os::unix::fs::chown(path, Some(user.0), Some(user.0)).map_err(|e| e.to_string())?;
            }
            program = program.user(user);
        }
        Ok((program, drives))
    }

    fn make_disks(&self, scratch: &Scratch) -> Vec<PathBuf> {
        let sector = guest::assemble(scratch);
        let make = |at: usize| {
            let path = scratch.join(format!("disk{at}"));
            if at == 0 {
                fs::copy(&sector, &path).expect("make a boot disk");
            }
            let file =
                File::options().create(true).truncate(false).write(true).open(&path).expect("make a disk");
            file.write_all_at(&vec![0x5a; DISK - FILLED], FILLED as u64).expect("fill a disk");
            path
        };
        (0..self.drives.len()).map(make).collect()
    }

    fn arguments(&self, scratch: &Scratch, disks: &[PathBuf]) -> Vec<String> {
        let path = |name: &str| scratch.join(name).to_str().expect("a printable path").to_owned();
        let mut args: Vec<String> = Vec::new();
        let mut add = |option: &str, value: String| args.extend([option.to_owned(), value]);
        add("-accel", self.accel.option().into());
        add("-machine", "pc".into());
        add("-smp", self.smp.clone());
        add("-m", "64".into());
        add("-display", "none".into());
        add("-serial", format!("file:{}", path("serial")));
        add("-qmp", format!("unix:{},server=on,wait=off", path("qmp")));
        if self.qtest {
            add("-qtest", format!("unix:{},server=on,wait=off", path("qtest")));
            add("-qtest-log", "none".into());
        }
        if self.name.is_some() || self.debug_threads.is_some() {
            let name = self.name.as_deref().unwrap_or("pinshim-test");
            let threads =
                self.debug_threads.map(|on| if on { ",debug-threads=on" } else { ",debug-threads=off" });
            add("-name", format!("guest={name}{}", threads.unwrap_or_default()));
        }
        if let Some(how) = &self.sandbox {
            add("-sandbox", how.clone());
        }
        for id in &self.iothreads {
            add("-object", format!("iothread,id={id}"));
        }
        for (at, (drive, disk)) in self.drives.iter().zip(disks).enumerate() {
            add(
                "-drive",
                format!(
                    "if=none,id=drive{at},file={},format=raw,aio={},cache={}",
                    disk.display(),
                    drive.aio.option(),
                    drive.cache.unwrap_or(if scratch.can_do_without_cache() { "none" } else { "writeback" })
                ),
            );
            let device = match &drive.bus {
                Bus::Virtio => "virtio-blk-pci".into(),
                Bus::IoThread(id) => format!("virtio-blk-pci,iothread={id}"),
                Bus::Ide => "ide-hd".into(),
            };
            add("-device", format!("{device},id=disk{at},drive=drive{at},bootindex={at}"));
        }
        args.push("-nodefaults".into());
        args.push("-no-user-config".into());
        if self.paused {
            args.push("-S".into());
        }
        args.extend(self.extra.iter().cloned());
        args
    }
}

/// A running VM. Going out of scope kills its QEMU and removes its files.
#[derive(Debug)]
pub struct Vm {
    process: Process,
    /// Its monitor.
    pub qmp: Qmp,
    /// Its disk images.
    pub drives: Vec<PathBuf>,
    // Last: the folder goes once the process is gone.
    scratch: Scratch,
}

impl Vm {
    /// QEMU's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The folder with the VM's files.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// QEMU's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What QEMU has said on its standard error so far.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// What the guest has printed so far.
    pub fn serial(&self) -> String {
        fs::read_to_string(self.scratch.join("serial")).unwrap_or_default()
    }

    /// The VM's qtest socket.
    pub fn qtest(&self) -> Qtest {
        Qtest::connect(&self.scratch.join("qtest"))
    }

    /// Waits until the guest has visited every disk, `times` more times.
    #[track_caller]
    pub fn wait_visits(&self, times: u32) {
        let visited = self.drives.len().min(4);
        for drive in &self.drives[..visited] {
            let before = guest::visits(drive);
            until(START, "the guest's visit to a disk", || {
                (guest::visits(drive) >= before + times).then_some(())
            });
        }
    }

    /// Makes QEMU read every disk with many requests at once, as a busy guest would: a burst of
    /// workers in the pool of each disk's home.
    #[track_caller]
    pub fn burst(&mut self) {
        self.burst_of(16);
    }

    /// The same with so many requests at once, 64 at most.
    #[track_caller]
    pub fn burst_of(&mut self, requests: u32) {
        for at in 0..self.drives.len() {
            self.burst_on(&format!("drive{at}"), requests);
        }
    }

    /// The same for one disk, named by QEMU's name for it: a backup to nowhere.
    #[track_caller]
    pub fn burst_on(&mut self, disk: &str, requests: u32) {
        let node = format!("nowhere-{disk}");
        self.qmp.execute("blockdev-add", json!({"driver": "null-co", "node-name": node, "size": DISK}));
        let mut job = json!({"job-id": node, "device": disk, "target": node, "sync": "full"});
        if self.qmp.major_version() >= 6 {
            job["x-perf"] = json!({"use-copy-range": false, "max-workers": requests, "max-chunk": 65536});
            self.qmp.execute("blockdev-backup", job);
        } else {
            // A backup makes one request after the other there, a mirror 16 at once, of 1 MiB each.
            job["granularity"] = json!(65536);
            job["buf-size"] = json!(16 << 20);
            self.qmp.execute("blockdev-mirror", job);
            self.qmp.wait_event("BLOCK_JOB_READY", START);
            self.qmp.execute("block-job-cancel", json!({"device": node}));
        }
        let end = self.qmp.wait_event("BLOCK_JOB_COMPLETED", START);
        assert!(end["device"] == node && end.get("error").is_none(), "the backup failed: {end}");
        until(START, "the end of a backup", || {
            self.qmp.try_execute("blockdev-del", json!({"node-name": node})).ok()
        });
    }

    /// Halts the guest for a time and lets it go on.
    pub fn pause(&mut self, time: Duration) {
        self.qmp.execute("stop", json!({}));
        thread::sleep(time);
        self.qmp.execute("cont", json!({}));
    }

    /// Lets QEMU end by itself and gives what it left.
    pub fn quit(mut self) -> Finished {
        // The answer may be lost with the process.
        let _ = self.qmp.try_execute("quit", json!({}));
        self.process.wait()
    }
}
