//! A VM, and one look at it: what its status page says, who its threads are and where they belong.

use crate::output::failure::Failure;
use crate::sys::held::Held;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::sys::threads::{self, Migrations};
use crate::sys::user;
use crate::vm::command_line;
use crate::vm::expected::{self, VmThread};
use crate::vm::identify::Sources;
use crate::vm::page::{Content, Missing, Page};
use crate::vm::qmp::Ids;
use pinning::Policy;
use std::io::ErrorKind;
use std::path::Path;

/// A VM.
#[derive(Debug)]
pub(crate) struct Vm<'k> {
    /// Its QEMU.
    pub(crate) process: Process<'k>,
    /// The same, so that no later process of this id is taken for it.
    pub(crate) held: Held<'k>,
    /// Its name (`-name`), which any process can give itself.
    pub(crate) name: Option<String>,
    /// The user that it runs as; `None` if it has ended.
    pub(crate) owner: Option<u32>,
    /// Its status page, if the library acts in it.
    pub(crate) page: Result<Page<'k>, Missing>,
    /// The id of its process as it sees it itself.
    inner_pid: i32,
    /// The ids of the IOThreads that its arguments create.
    iothreads: Vec<String>,
    /// Whether this command runs in a container: [`Sources::names_have_other_ids`].
    names_have_other_ids: bool,
}

/// What the link in /proc says of the PID namespace that the host has booted with: its inode never changes
/// (include/linux/proc_ns.h, PROC_PID_INIT_INO).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Whether this command runs in a PID namespace of its own, or may do so.
pub(crate) fn runs_in_a_container(kernel: &dyn Kernel) -> bool {
    let namespace = kernel.read_link("/proc/self/ns/pid");
    namespace.map_or(true, |namespace| namespace != Path::new(INITIAL_PID_NAMESPACE))
}

/// What a look takes into account besides the process and its page; by default nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ask<'a> {
    /// Whether migrations are to be read.
    pub(crate) migrations: Migrations,
    /// QEMU's own answer on which thread is which.
    pub(crate) ids: Option<&'a Ids>,
    /// A policy in place of the page's.
    pub(crate) policy: Option<&'a Policy>,
}

/// What one look has shown.
#[derive(Debug)]
pub(crate) struct Look {
    /// What the page said.
    pub(crate) content: Result<Content, Missing>,
    /// The threads.
    pub(crate) threads: Vec<VmThread>,
}

impl<'k> Vm<'k> {
    /// The VM that a process runs.
    pub(crate) fn new(process: Process<'k>) -> Self {
        let held = Held::new(process);
        let arguments = process.arguments();
        Self {
            process,
            held,
            name: command_line::vm_name(&arguments),
            owner: process.user(),
            page: Page::find(process),
            inner_pid: process.inner_pid(),
            iothreads: command_line::iothreads(&arguments),
            names_have_other_ids: runs_in_a_container(process.kernel),
        }
    }

    /// Whether its arguments create an IOThread of this id.
    pub(crate) fn creates_iothread(&self, id: &str) -> bool {
        self.iothreads.iter().any(|created| created == id)
    }

    /// Whether the library acts in it.
    pub(crate) fn is_pinned(&self) -> bool {
        self.page.is_ok()
    }

    /// Looks at the VM.
    ///
    /// # Errors
    /// QEMU has ended.
    pub(crate) fn look(&self, ask: &Ask<'_>) -> Result<Look, Failure> {
        // The page is read before /proc: a thread that it says is placed then has its CPUs in /proc too.
        let content = match &self.page {
            Ok(page) => page.read(),
            Err(missing) => Err(missing.clone()),
        };
        let threads = match threads::list(self.process, ask.migrations) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => return Err(self.too_large()),
            threads => threads.unwrap_or_default(),
        };
        // What was read is another process's if the id is.
        if threads.is_empty() || !self.held.is_same() {
            return Err(self.ended());
        }
        let sources = Sources {
            inner_pid: self.inner_pid,
            names_have_other_ids: self.names_have_other_ids,
            page: content.as_ref().ok(),
            ids: ask.ids,
            policy: ask.policy,
            iothreads: &self.iothreads,
        };
        let mut threads = expected::vm_threads(threads, &sources);
        for thread in &mut threads {
            thread.find_what_holds_it(self.process);
            thread.class.read_slice(self.process.kernel, thread.thread.tid);
        }
        Ok(Look { threads, content })
    }

    /// Whether its QEMU still runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.held.is_same() && self.process.is_alive()
    }

    /// The failure for a process with more threads than a QEMU has.
    fn too_large(&self) -> Failure {
        let (process, limit) = (self.process.shown(), threads::THREADS);
        Failure::new(format!("process {process} has more than {limit} threads and is not looked at"))
    }

    /// The failure for a VM that has ended while it was looked at.
    pub(crate) fn ended(&self) -> Failure {
        Failure::new(format!("process {} has ended", self.process.pid))
    }

    /// Whether it is another user's: this command may have more rights than its QEMU.
    pub(crate) fn is_anothers(&self) -> bool {
        self.owner != Some(self.process.kernel.user())
    }

    /// What to call it: `web (PID 1234)`, for another user's `web (PID 1234, user nobody)`.
    pub(crate) fn title(&self) -> String {
        let executable = || self.process.executable_name().to_string_lossy().into_owned();
        let name = self.name.clone().unwrap_or_else(executable);
        let kernel = self.process.kernel;
        match self.owner.filter(|_| self.is_anothers()) {
            Some(owner) => format!("{name} (PID {}, {})", self.process.pid, user::name(kernel, owner)),
            None => format!("{name} (PID {})", self.process.pid),
        }
    }
}
