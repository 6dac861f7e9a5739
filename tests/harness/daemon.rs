//! A QEMU that has become a daemon, and so is no child of the test's.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use crate::process::{Finished, Program};
use crate::{Accel, Companion, LeftRunning, Qmp, Scratch, assemble, kvm_missing, qemu};

/// The process that runs a VM after `-daemonize`. It is killed when the value is dropped.
#[derive(Debug)]
pub struct Daemon {
    process: LeftRunning,
    starter: u32,
    started: Finished,
    socket: PathBuf,
}

impl Daemon {
    /// Starts a QEMU with these further arguments as a daemon, whose guest is the boot sector, and waits for
    /// the end of the process that was started. `shape` sets that one's environment.
    ///
    /// # Errors
    /// Why there can be no such QEMU here.
    pub fn start<S: AsRef<OsStr>>(
        scratch: &Scratch,
        accel: Accel,
        arguments: impl IntoIterator<Item = S>,
        shape: impl FnOnce(Program) -> Program,
    ) -> Result<Self, String> {
        let binary = qemu()?;
        if let Some(why) = kvm_missing().filter(|_| accel == Accel::Kvm) {
            return Err(why);
        }
        let (socket, pid_file) = (scratch.join("qmp"), scratch.join("pid"));
        let program = Program::new(binary)
            .args(["-accel", accel.option(), "-display", "none", "-nodefaults", "-no-user-config"])
            .args(["-drive", &format!("format=raw,file={}", assemble(scratch).display())])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())])
            .args(["-daemonize", "-pidfile"])
            .arg(&pid_file)
            .args(arguments);
        let process = shape(program).start();
        let starter = process.pid();
        // It ends once the daemon runs.
        let started = process.wait();
        assert!(started.status.success(), "QEMU became no daemon: {started:?}");
        let pid = fs::read_to_string(&pid_file).expect("the daemon's pid").trim().parse().expect("a pid");
        let process = LeftRunning(Companion::of(pid).expect("the daemon runs"));
        Ok(Self { process, starter, started, socket })
    }

    /// The process that runs the VM.
    pub fn process(&self) -> Companion {
        self.process.0
    }

    /// The pid that QEMU was started as, and had before it became a daemon.
    pub fn starter(&self) -> u32 {
        self.starter
    }

    /// What the process that was started has said until its end.
    pub fn started(&self) -> &Finished {
        &self.started
    }

    /// A connection to the VM's monitor.
    pub fn qmp(&self) -> Qmp {
        Qmp::connect(&self.socket).expect("connect to the daemon's monitor")
    }
}
