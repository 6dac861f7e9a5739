//! Recording a VM: by the kernel's records where it gives them, else by looking again and again.

use crate::output::failure::Failure;
use crate::record::assemble::assemble;
use crate::record::exact::{self, Recorded};
use crate::record::progress::Progress;
use crate::record::recording::{Method, Recording, Subject};
use crate::record::sampled;
use crate::record::tap::Tap;
use crate::sys::host::stay_off;
use crate::sys::host_tree::HostTree;
use crate::vm::look::Vm;
use pinning::CpuSet;
use std::time::{Duration, SystemTime};

/// Records a VM for the time of `progress`, or until it ends.
///
/// # Errors
/// The VM has ended already.
pub(crate) fn record(vm: &Vm<'_>, progress: &mut Progress<'_>) -> Result<Recording, Failure> {
    let kernel = vm.process.kernel;
    let (online, cpus) = cpus_of(vm);
    stay_off(kernel, &cpus);
    let began = SystemTime::now();
    let (method, recorded) = match Tap::open(vm.process, &online) {
        Ok(tap) => {
            let method = Method::Exact { others: tap.others.clone(), wakings: tap.wakings.clone() };
            (method, exact::record(vm, tap, &cpus, progress)?)
        }
        Err(why) => {
            let (recorded, every) = sampled::record(vm, &cpus, progress)?;
            (Method::Sampled { every, why }, recorded)
        }
    };
    Ok(recording(vm, online, began, method, recorded))
}

/// The CPUs that are online, and those of them that a VM's policy names.
pub(crate) fn cpus_of(vm: &Vm<'_>) -> (CpuSet, CpuSet) {
    let online = HostTree::here(vm.process.kernel).cpus("sys/devices/system/cpu/online");
    let policy = vm.page.as_ref().ok().and_then(|page| page.read().ok()).map(|content| content.policy);
    let named = policy.iter().flat_map(|policy| policy.sets()).fold(CpuSet::new(), |all, set| all.union(set));
    let cpus = named.intersection(&online);
    (online, cpus)
}

fn recording(
    vm: &Vm<'_>,
    online: CpuSet,
    began: SystemTime,
    method: Method,
    recorded: Recorded<'_>,
) -> Recording {
    let policy = recorded.identities.policy.as_ref().map(|policy| {
        let entries: Vec<String> =
            policy.entries().iter().map(|(name, value)| format!("{name}={value}")).collect();
        entries.join(" ")
    });
    let time = Duration::from_nanos(recorded.end - recorded.begin);
    let (lost, resolution) = (recorded.timeline.lost, recorded.timeline.resolution());
    let (threads, cpus, others) = assemble(recorded);
    let system = |file: &str| {
        let text = vm.process.kernel.read_text(format!("/proc/sys/kernel/{file}"));
        text.map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    let subject = Subject {
        pid: vm.process.pid,
        name: vm.name.clone(),
        title: vm.title(),
        policy,
        host: system("hostname"),
        kernel: system("osrelease"),
        online,
    };
    Recording { subject, began, time, method, lost, resolution, threads, cpus, others }
}
