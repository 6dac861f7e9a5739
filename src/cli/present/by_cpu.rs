//! Which threads of which VMs may run on each CPU: who shares CPU 3?

use crate::output::line::{Emphasis, Line};
use crate::output::style::Style;
use crate::present::json::Cpu;
use crate::present::table;
use crate::present::vm_report::VmReport;
use crate::vm::expected::VmThread;
use crate::vm::look::Vm;
use pinning::{CpuId, CpuSet, RoleKind};

const HEADERS: [&str; 3] = ["CPU", "THREADS", "WHO"];

/// One row for each of these CPUs.
pub(crate) fn lines(reports: &[VmReport<'_>], cpus: &CpuSet, style: Style) -> Vec<Line> {
    let row = |cpu| {
        let count = threads_on(reports, cpu).count();
        let who =
            reports.iter().filter_map(|report| of_vm(report, reports, cpu)).collect::<Vec<_>>().join("; ");
        let emphasis = (count == 0).then_some(Emphasis::Grey);
        (
            vec![cpu.to_string(), count.to_string(), if who.is_empty() { "-".to_owned() } else { who }],
            emphasis,
        )
    };
    table::lines(&HEADERS, cpus.iter().map(row).collect(), style)
}

/// The same for programs.
pub(crate) fn document(reports: &[VmReport<'_>], cpus: &CpuSet) -> Vec<Cpu> {
    cpus.iter().map(|cpu| Cpu::new(cpu.0, threads_on(reports, cpu))).collect()
}

fn threads_on<'a>(
    reports: &'a [VmReport<'a>],
    cpu: CpuId,
) -> impl Iterator<Item = (&'a Vm<'a>, &'a VmThread)> {
    let of_report = move |report: &'a VmReport<'a>| {
        let threads = report.look.threads.iter().filter(move |thread| thread.thread.allowed.contains(cpu));
        threads.map(|thread| (&report.vm, thread))
    };
    reports.iter().flat_map(of_report)
}

/// What a VM has on a CPU: `web: vcpu 0, worker (4)`. `None`: nothing.
fn of_vm(report: &VmReport<'_>, all: &[VmReport<'_>], cpu: CpuId) -> Option<String> {
    let mut roles: Vec<(String, usize)> = Vec::new();
    for thread in report.look.threads.iter().filter(|thread| thread.thread.allowed.contains(cpu)) {
        let role = match thread.role {
            RoleKind::IoThread => thread.name.clone(),
            _ => table::role(thread),
        };
        match roles.iter_mut().find(|(known, _)| *known == role) {
            Some((_, count)) => *count += 1,
            None => roles.push((role, 1)),
        }
    }
    let counted =
        |(role, count): (String, usize)| if count == 1 { role } else { format!("{role} ({count})") };
    let roles: Vec<String> = roles.into_iter().map(counted).collect();
    (!roles.is_empty()).then(|| format!("{}: {}", called(&report.vm, all), roles.join(", ")))
}

/// A VM's name, with its process id where that is not enough.
fn called(vm: &Vm<'_>, all: &[VmReport<'_>]) -> String {
    let is_alike = |other: &&VmReport<'_>| other.vm.name == vm.name;
    match &vm.name {
        Some(name) if all.iter().filter(is_alike).count() == 1 => name.clone(),
        Some(name) => format!("{name} (PID {})", vm.process.pid),
        None => format!("PID {}", vm.process.pid),
    }
}
