//! The process that the library keeps outside QEMU's sandbox, found from outside: by the session that
//! the program was started in, and by the name that the process gives itself.

use std::fs;
use std::path::Path;

const NAME: &str = "pinshim-broker";

/// A process that no test has started itself. It is known by its pid and its start time, so that another
/// process with the same pid is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Companion {
    /// Its process id.
    pub pid: u32,
    started: u64,
}

/// Every living broker of a process: those in its session. One that was started by a test leads its session,
/// also after its end; its daemon's broker is older than the daemon and so in the session of the one that
/// was started.
pub fn brokers_of(pid: u32) -> Vec<Companion> {
    let session = stat(pid).map_or(pid, |process| process.session);
    let processes = fs::read_dir("/proc").expect("read /proc");
    let pids = processes.flatten().filter_map(|p| p.file_name().to_str()?.parse().ok());
    let of_session = pids.filter(|&other| {
        stat(other).is_some_and(|s| s.session == session && s.lives && s.name == NAME && other != pid)
    });
    of_session.filter_map(Companion::of).collect()
}

impl Companion {
    /// The process with this pid, if it lives.
    pub fn of(pid: u32) -> Option<Self> {
        stat(pid).filter(|s| s.lives).map(|s| Self { pid, started: s.started })
    }

    /// Whether it lives. A zombie does not: an orphan is one until process 1 reaps it, which may take a while.
    pub fn lives(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Sends it a signal, if it lives.
    pub fn signal(&self, signal: i32) {
        if self.lives() {
            // SAFETY: takes no pointer.
            unsafe { libc::kill(self.pid as i32, signal) };
        }
    }

    /// Stops it with SIGSTOP until the value is dropped.
    pub fn halt(&self) -> Halted {
        self.signal(libc::SIGSTOP);
        Halted(*self)
    }

    /// A line of its `/proc/PID/status`, without the title.
    pub fn status(&self, title: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("read a status file");
        let line = status.lines().find_map(|l| l.strip_prefix(title)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {title} in {status}")).trim().to_owned()
    }

    /// What its descriptors lead to, in alphabetical order.
    pub fn descriptors(&self) -> std::io::Result<Vec<String>> {
        let folder = Path::new("/proc").join(self.pid.to_string()).join("fd");
        let links = fs::read_dir(folder)?.flatten().map(|fd| fs::read_link(fd.path()));
        let mut links: Vec<_> =
            links.map(|l| l.map(|l| l.display().to_string())).collect::<Result<_, _>>()?;
        links.sort();
        Ok(links)
    }

    /// Whether it holds what a broker needs and nothing of QEMU's: /proc, its socket and, where the kernel has that, a
    /// descriptor of the process that it serves. `None` where that may not be seen.
    pub fn holds_only_its_own(&self) -> Option<bool> {
        let mut held = self.descriptors().ok()?;
        held.retain(|link| !(link.starts_with("anon_inode:[pidfd]") || link.starts_with("pidfd:")));
        Some(matches!(&held[..], [proc, socket] if proc == "/proc" && socket.starts_with("socket:[")))
    }
}

/// A process that a program of the test's has left running. It is killed when the value is dropped.
#[derive(Debug)]
pub struct LeftRunning(pub Companion);

impl Drop for LeftRunning {
    fn drop(&mut self) {
        self.0.signal(libc::SIGKILL);
    }
}

/// A stopped process. It continues when the value is dropped, so that it can end.
#[derive(Debug)]
pub struct Halted(Companion);

impl Drop for Halted {
    fn drop(&mut self) {
        self.0.signal(libc::SIGCONT);
    }
}

/// What proc_pid_stat(5) says.
struct Stat {
    name: String,
    lives: bool,
    session: u32,
    started: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, after) = (stat.find('(')?, stat.rfind(')')?);
    // Field 3 is the first after the name.
    let fields: Vec<_> = stat.get(after + 1..)?.split_whitespace().collect();
    Some(Stat {
        name: stat.get(before + 1..after)?.to_owned(),
        lives: !matches!(*fields.first()?, "Z" | "X"),
        session: fields.get(6 - 3)?.parse().ok()?,
        started: fields.get(22 - 3)?.parse().ok()?,
    })
}
