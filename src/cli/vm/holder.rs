//! Who has leases, by name.

use crate::lease::folder::ROOT;
use crate::lease::taken::{self, Leased};
use crate::output::text;
use crate::sys::ending::is_ending;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::vm::look::Vm;
use pinning::CpuSet;

/// The VM that has leases, if it is one that can be seen and goes on.
pub(crate) fn vm<'k>(kernel: &'k dyn Kernel, leased: &Leased) -> Option<Vm<'k>> {
    let process = Process::new(kernel, leased.pid?).ok()?;
    (!is_ending(process)).then(|| Vm::new(process))
}

/// What to call whoever has leases: `web (PID 1234)`.
pub(crate) fn title(kernel: &dyn Kernel, leased: &Leased) -> String {
    match (vm(kernel, leased), leased.pid) {
        (Some(vm), _) => vm.title(),
        (None, Some(pid)) => format!("a process that is ending (PID {pid})"),
        (None, None) if leased.user == ROOT && kernel.user() != ROOT => "root".to_owned(),
        (None, None) => "a process that cannot be seen here".to_owned(),
    }
}

/// Who has leases, each in the words of a sentence: `web (PID 1234) has leased 2-3`.
pub(crate) fn sentences(kernel: &dyn Kernel, all: &[Leased]) -> Vec<String> {
    all.iter().map(|leased| format!("{} has leased {}", title(kernel, leased), leased.cpus)).collect()
}

/// What to say where a VM is put on CPUs that others have leased at this moment: `CPUs 2-3 are leased by web (PID 1234)`.
pub(crate) fn warning(kernel: &dyn Kernel, cpus: &CpuSet) -> Option<String> {
    let leased = taken::at_a_glance(kernel, cpus);
    let mut words = leased.iter().map(|leased| {
        let are = if leased.cpus.len() == 1 { "is" } else { "are" };
        format!("{} {are} leased by {}", text::cpus(&leased.cpus), title(kernel, leased))
    });
    let first = words.next()?;
    Some(words.fold(first, |all, next| format!("{all}, {next}")))
}
