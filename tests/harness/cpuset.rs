//! A cpuset of a test's own, below the one that the tests run in.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A cgroup with a cpuset, made for one test and removed after it.
#[derive(Debug)]
pub struct ChildCpuset(PathBuf);

impl ChildCpuset {
    /// Makes a cpuset of `cpus`, or says why that cannot be done here.
    pub fn new(cpus: &[usize]) -> Result<Self, String> {
        let (parent, v2) = parent()?;
        let path = parent.join(format!("pinshim-test-{}-{}", std::process::id(), unique()));
        if v2 {
            fs::write(parent.join("cgroup.subtree_control"), "+cpuset")
                .map_err(|e| format!("no cpuset controller below {}: {e}", parent.display()))?;
        }
        fs::create_dir(&path).map_err(|e| format!("no cgroup can be made in {}: {e}", parent.display()))?;
        let made = Self(path);
        let list: Vec<_> = cpus.iter().map(usize::to_string).collect();
        let set = |file: &str, value: &str| {
            fs::write(made.0.join(file), value).map_err(|e| format!("{file} cannot be set: {e}"))
        };
        set("cpuset.cpus", &list.join(","))?;
        if !v2 {
            let memory = fs::read_to_string(parent.join("cpuset.mems")).map_err(|e| e.to_string())?;
            set("cpuset.mems", memory.trim())?;
        }
        Ok(made)
    }

    /// Gives it other CPUs while threads are in it.
    pub fn change(&self, cpus: &[usize]) {
        let list: Vec<_> = cpus.iter().map(usize::to_string).collect();
        fs::write(self.0.join("cpuset.cpus"), list.join(",")).expect("change the cpuset");
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Puts a single thread into it, or says why that cannot be done here.
    pub fn take_thread(&self, tid: u32) -> Result<(), String> {
        let tasks = self.0.join("tasks");
        if !tasks.exists() {
            return Err("in cgroup v2 the threads of a process share one cpuset by default".into());
        }
        fs::write(&tasks, tid.to_string()).map_err(|e| format!("{}: {e}", tasks.display()))
    }

    /// The file that takes a pid.
    pub(crate) fn procs(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for ChildCpuset {
    fn drop(&mut self) {
        // The kernel lets go of a dead process's cgroup a moment after it was reaped.
        let until = Instant::now() + Duration::from_secs(5);
        while let Err(e) = fs::remove_dir(&self.0) {
            if Instant::now() > until {
                eprintln!("{} is left behind: {e}", self.0.display());
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The cgroup of this process that has the cpuset controller, and whether it is a version 2 one.
fn parent() -> Result<(PathBuf, bool), String> {
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|e| e.to_string())?;
    let v1 = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|c| c == "cpuset").then(|| path.to_owned())
    });
    let under = |mount: &str, path: &str| Path::new(mount).join(path.trim_start_matches('/'));
    if let Some(path) = v1 {
        let path = under("/sys/fs/cgroup/cpuset", &path);
        return if path.is_dir() {
            Ok((path, false))
        } else {
            Err("the cpuset hierarchy is not mounted".into())
        };
    }
    let path = own.lines().find_map(|l| l.strip_prefix("0::")).ok_or("this process is in no cgroup")?;
    let path = under("/sys/fs/cgroup", path);
    match fs::read_to_string(path.join("cgroup.controllers")) {
        Ok(list) if list.split_whitespace().any(|c| c == "cpuset") => Ok((path, true)),
        _ => Err("there is no cpuset controller here".into()),
    }
}

fn unique() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
