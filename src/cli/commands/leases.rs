//! `pinshim show --leases`: which CPUs are leased, by whom.

use crate::arguments::Show;
use crate::lease::taken::{self, Leased};
use crate::output::exit_status::SUCCESS;
use crate::output::failure::Done;
use crate::output::print::Output;
use crate::present::json;
use crate::sys::kernel::Kernel;
use crate::vm::{find, holder};
use serde::Serialize;

/// Shows the leases that bind this user's VMs: the user's own, and root's. Where VMs are named, theirs alone.
pub(crate) fn show(arguments: &Show, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let mut leased = taken::of_root(kernel);
    match taken::own(kernel) {
        Ok(own) => leased.extend(own),
        // Root's can be seen without a folder of one's own.
        Err(failure) if leased.is_empty() => return Err(failure),
        Err(failure) => output.note(failure),
    }
    leased.sort_by_key(|leased| leased.cpus.iter().next());
    let mut none = Vec::new();
    let wanted = arguments.which.wanted();
    if !wanted.is_empty() {
        let vms: Result<Vec<_>, _> = wanted.iter().map(|wanted| find::wanted(kernel, wanted)).collect();
        let vms = vms?;
        leased.retain(|leased| vms.iter().any(|vm| leased.pid == Some(vm.process.pid)));
        let has_none = |pid| leased.iter().all(|leased| leased.pid != Some(pid));
        none.extend(vms.iter().filter(|vm| has_none(vm.process.pid)).map(|vm| vm.title()));
    }
    if arguments.json {
        json::print(output, &Leases::new(kernel, &leased))?;
        return Ok(SUCCESS);
    }
    let has = |leased: &Leased| format!("{} has {}", holder::title(kernel, leased), leased.cpus);
    output.lines(leased.iter().map(has));
    output.lines(none.iter().map(|vm| format!("{vm} has leased no CPU")));
    if leased.is_empty() && none.is_empty() {
        output.line("no CPU is leased");
    }
    Ok(SUCCESS)
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Leases {
    version: u32,
    leases: Vec<LeasedCpus>,
}

#[derive(Debug, Serialize)]
struct LeasedCpus {
    cpus: String,
    /// Whose lease it is.
    user: u32,
    pid: Option<i32>,
    /// The VM's.
    name: Option<String>,
}

impl Leases {
    fn new(kernel: &dyn Kernel, leased: &[Leased]) -> Self {
        let of = |leased: &Leased| LeasedCpus {
            cpus: leased.cpus.to_string(),
            user: leased.user,
            pid: leased.pid,
            name: holder::vm(kernel, leased).and_then(|vm| vm.name),
        };
        Self { version: json::VERSION, leases: leased.iter().map(of).collect() }
    }
}
