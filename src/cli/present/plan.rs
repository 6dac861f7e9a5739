//! How plans are written down: a picture of the host with words, and what the library, libvirt and QEMU take.

use crate::libvirt::placement_element::element;
use crate::output::failure::Failure;
use crate::output::print::Output;
use crate::present::json;
use pinning::{CpuId, CpuSet};
use planning::{Free, GuestTopology, HostCpu, Plan, Topology};
use serde::Serialize;
use std::collections::BTreeMap;

/// So many cores stand beside each other in the picture.
const CORES_IN_A_ROW: usize = 16;

/// The host with who got which CPU, then each VM's CPUs and why these.
pub(crate) fn table(plans: &[Plan], host: &Topology, free: &Free) -> Vec<String> {
    let marks = Marks::new(plans, free);
    let mut lines = Vec::new();
    for ((package, node, cache), cores) in groups(host) {
        lines.push(format!("package {package}, NUMA node {node}, cache {cache}"));
        for row in cores.chunks(CORES_IN_A_ROW) {
            lines.extend(picture(row, &marks));
        }
    }
    lines.push(marks.legend(plans.len(), host));
    for (number, plan) in (1..).zip(plans) {
        lines.push(String::new());
        if plans.len() > 1 {
            lines.push(format!("VM {number}"));
        }
        lines.extend(words(plan));
    }
    lines
}

/// A package, a NUMA node and a cache.
type Group = (u32, u32, u32);

/// The cores of each cache, with their CPUs.
fn groups(host: &Topology) -> BTreeMap<Group, Vec<Vec<CpuId>>> {
    let mut cores: BTreeMap<(Group, u32), Vec<CpuId>> = BTreeMap::new();
    for (cpu, about) in host.iter() {
        let HostCpu { package, node, cache, core, .. } = *about;
        cores.entry(((package, node, cache), core)).or_default().push(cpu);
    }
    let mut groups: BTreeMap<_, Vec<Vec<CpuId>>> = BTreeMap::new();
    for ((group, _), cpus) in cores {
        groups.entry(group).or_default().push(cpus);
    }
    groups
}

/// Who has each CPU, in a few characters.
struct Marks<'p> {
    by_cpu: BTreeMap<CpuId, String>,
    free: &'p Free,
}

impl<'p> Marks<'p> {
    fn new(plans: &[Plan], free: &'p Free) -> Self {
        let mut by_cpu = BTreeMap::new();
        for (number, plan) in (1..).zip(plans) {
            let vm = if plans.len() > 1 { format!("{number}:") } else { String::new() };
            let mut mark = |cpu: CpuId, mark: String| by_cpu.insert(cpu, format!("{vm}{mark}"));
            plan.idle.iter().for_each(|cpu| drop(mark(cpu, "-".to_owned())));
            plan.emulator.iter().for_each(|cpu| drop(mark(cpu, "e".to_owned())));
            for (index, set) in plan.iothreads.iter().enumerate() {
                let own = set.difference(&plan.emulator);
                own.iter().for_each(|cpu| drop(mark(cpu, format!("i{index}"))));
            }
            for (index, &cpu) in plan.vcpus.iter().enumerate() {
                mark(cpu, format!("v{index}"));
            }
        }
        Self { by_cpu, free }
    }

    fn of(&self, cpu: CpuId) -> &str {
        let is_taken = || self.free.taken.iter().any(|taken| taken.cpus.contains(cpu));
        match self.by_cpu.get(&cpu) {
            Some(mark) => mark,
            None if !self.free.available.contains(cpu) => "x",
            None if self.free.reserved.contains(cpu) => "r",
            None if is_taken() => "#",
            None => ".",
        }
    }

    /// What the marks in the picture mean.
    fn legend(&self, plans: usize, host: &Topology) -> String {
        let marks: Vec<&str> = host.iter().map(|(cpu, _)| self.of(cpu)).collect();
        // Behind the number of its VM.
        let is_there = |kind: &str| {
            marks.iter().any(|mark| mark.rsplit(':').next().is_some_and(|mark| mark.starts_with(kind)))
        };
        const MEANINGS: [(&str, &str); 8] = [
            ("v", "v0 vCPU 0"),
            ("i", "i0 IOThread 0"),
            ("e", "e emulator"),
            ("-", "- to be left idle"),
            (".", ". free"),
            ("#", "# another VM's"),
            ("r", "r reserved"),
            ("x", "x outside the cpuset"),
        ];
        let vm = (plans > 1).then_some("1: the first VM's");
        let there = MEANINGS.iter().filter(|(kind, _)| is_there(kind)).map(|(_, meaning)| *meaning);
        vm.into_iter().chain(there).collect::<Vec<_>>().join(", ")
    }
}

/// A row of cores: for each of their threads a line with the CPUs' numbers and one with who has them.
fn picture(cores: &[Vec<CpuId>], marks: &Marks<'_>) -> Vec<String> {
    let threads = cores.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |text: Option<&str>| format!(" {:>5}", text.unwrap_or_default());
    let line = |head: &str, cells: String| format!("  {head:<4}{cells}").trim_end().to_owned();
    let each = |thread: usize| {
        let cpus: Vec<Option<CpuId>> = cores.iter().map(|core| core.get(thread).copied()).collect();
        let numbers: Vec<Option<String>> = cpus.iter().map(|cpu| cpu.map(|cpu| cpu.0.to_string())).collect();
        [
            line("CPU", numbers.iter().map(|number| cell(number.as_deref())).collect()),
            line("", cpus.iter().map(|cpu| cell(cpu.map(|cpu| marks.of(cpu)))).collect()),
        ]
    };
    (0..threads).flat_map(each).collect()
}

/// A VM's CPUs, and why these.
fn words(plan: &Plan) -> Vec<String> {
    let row = |head: &str, text: &str| format!("{head:<11}{text}");
    let mut lines = vec![row("vCPUs", &ordered(plan.vcpus.iter().map(|&cpu| CpuSet::from_iter([cpu]))))];
    if !plan.iothreads.is_empty() {
        lines.push(row("IOThreads", &ordered(plan.iothreads.iter().cloned())));
    }
    lines.push(row("emulator", &plan.emulator.to_string()));
    lines.push(row("guest", &smp(&plan.guest)));
    for (number, reason) in plan.reasons.iter().enumerate() {
        lines.push(row(if number == 0 { "why" } else { "" }, &reason.to_string()));
    }
    lines
}

/// Sets as an ordered list of a placement variable.
fn ordered(sets: impl Iterator<Item = CpuSet>) -> String {
    let entries = sets.map(|set| if set.len() == 1 { set.to_string() } else { format!("[{set}]") });
    entries.collect::<Vec<_>>().join(",")
}

/// The variables that place a VM so, each with its value.
pub(crate) fn variables(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("PIN_CPUS", plan.emulator.to_string()),
        ("PIN_VCPUS", ordered(plan.vcpus.iter().map(|&cpu| CpuSet::from_iter([cpu])))),
    ];
    if !plan.iothreads.is_empty() {
        variables.push(("PIN_IOTHREADS", ordered(plan.iothreads.iter().cloned())));
    }
    variables
}

/// A line of shell for each VM: its environment. There are no quotes, which `env $(pinshim plan …)` would pass on, and none
/// are needed: in an assignment brackets match no files.
pub(crate) fn environment(plans: &[Plan]) -> Vec<String> {
    let line = |plan: &Plan| {
        let variables = variables(plan).into_iter().map(|(name, value)| format!("{name}={value}"));
        variables.collect::<Vec<_>>().join(" ")
    };
    plans.iter().map(line).collect()
}

/// What the domain's XML gets: inside `<metadata>`, and beside it.
pub(crate) fn libvirt(plans: &[Plan]) -> Vec<String> {
    let domain = |plan: &Plan| {
        let GuestTopology { sockets, cores, threads } = plan.guest;
        let mut lines = vec![
            "<metadata>".to_owned(),
            format!("  {}", element(&variables(plan))),
            "</metadata>".to_owned(),
            format!("<vcpu>{}</vcpu>", plan.guest.vcpus()),
            "<cpu mode=\"host-passthrough\">".to_owned(),
            format!("  <topology sockets=\"{sockets}\" cores=\"{cores}\" threads=\"{threads}\"/>"),
        ];
        if plan.needs_topoext {
            lines.push("  <feature policy=\"require\" name=\"topoext\"/>".to_owned());
        }
        lines.push("</cpu>".to_owned());
        lines
    };
    let several = plans.len() > 1;
    let numbered = (1..).zip(plans);
    numbered
        .flat_map(|(number, plan)| {
            several.then(|| format!("<!-- VM {number} -->")).into_iter().chain(domain(plan))
        })
        .collect()
}

/// QEMU's own options for each VM.
pub(crate) fn qemu(plans: &[Plan]) -> Vec<String> {
    let options = |plan: &Plan| {
        let cpu = if plan.needs_topoext { " -cpu host,topoext=on" } else { "" };
        format!("{}{cpu}", smp(&plan.guest))
    };
    plans.iter().map(options).collect()
}

fn smp(guest: &GuestTopology) -> String {
    format!("-smp {guest}")
}

/// What `pinshim plan --format json` prints.
#[derive(Debug, Serialize)]
struct Planned {
    version: u32,
    /// The host's CPUs that are online.
    host: Vec<PlannedCpu>,
    plans: Vec<PlannedVm>,
}

/// One of the host's CPUs. Numbers that are equal stand for the same thing.
#[derive(Debug, Serialize)]
struct PlannedCpu {
    cpu: u32,
    package: u32,
    node: u32,
    cache: u32,
    core: u32,
    /// 1024 is as fast as the fastest.
    capacity: u32,
    isolated: bool,
}

/// One VM.
#[derive(Debug, Serialize)]
struct PlannedVm {
    /// The CPU of each vCPU.
    vcpus: Vec<u32>,
    /// The set of each IOThread.
    iothreads: Vec<String>,
    emulator: String,
    /// Siblings that are to be left idle.
    idle: String,
    /// The guest's topology.
    sockets: u32,
    cores: u32,
    threads: u32,
    /// Whether the guest sees its threads only with the CPU feature of this name.
    topoext: bool,
    /// The variables that place it so.
    environment: BTreeMap<&'static str, String>,
    /// Sentences.
    reasons: Vec<String>,
}

/// Prints plans as a JSON document.
///
/// # Errors
/// It cannot be made.
pub(crate) fn print_json(output: &mut Output, plans: &[Plan], host: &Topology) -> Result<(), Failure> {
    let cpu = |(cpu, about): (CpuId, &HostCpu)| {
        let HostCpu { package, node, cache, core, capacity, is_isolated } = *about;
        PlannedCpu { cpu: cpu.0, package, node, cache, core, capacity, isolated: is_isolated }
    };
    let vm = |plan: &Plan| PlannedVm {
        vcpus: plan.vcpus.iter().map(|cpu| cpu.0).collect(),
        iothreads: plan.iothreads.iter().map(ToString::to_string).collect(),
        emulator: plan.emulator.to_string(),
        idle: if plan.idle.is_empty() { String::new() } else { plan.idle.to_string() },
        sockets: plan.guest.sockets,
        cores: plan.guest.cores,
        threads: plan.guest.threads,
        topoext: plan.needs_topoext,
        environment: variables(plan).into_iter().collect(),
        reasons: plan.reasons.iter().map(ToString::to_string).collect(),
    };
    let host = host.iter().map(cpu).collect();
    json::print(output, &Planned { version: json::VERSION, host, plans: plans.iter().map(vm).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::cpus;
    use planning::{Request, Taken, plan};

    /// Two caches of three cores with two threads each.
    fn host() -> Topology {
        let cpu = |cpu: u32| {
            let core = cpu % 6;
            (CpuId(cpu), HostCpu { cache: core / 3 * 3, core, capacity: 1024, ..HostCpu::default() })
        };
        Topology::new((0..12).map(cpu))
    }

    fn free(host: &Topology) -> Free {
        let web = Taken { cpus: cpus("5,11"), by: "web (PID 7)".to_owned(), is_leased: false };
        let available = host.cpus().difference(&cpus("4"));
        Free { available, reserved: cpus("10"), taken: vec![web], ..Free::default() }
    }

    #[test]
    fn the_picture_shows_who_has_which_cpu() {
        let host = host();
        let free = free(&host);
        let request = Request { vcpus: 2, iothreads: 1, threads_per_core: Some(1), ..Request::default() };
        let plan = plan(&host, &free, &request).unwrap();
        let expected = "\
package 0, NUMA node 0, cache 0
  CPU      0     1     2
           e    v0    v1
  CPU      6     7     8
           e     -     -
package 0, NUMA node 0, cache 3
  CPU      3     4     5
          i0     x     #
  CPU      9    10    11
           .     r     #
v0 vCPU 0, i0 IOThread 0, e emulator, - to be left idle, . free, # another VM's, r reserved, x outside the cpuset

vCPUs      1,2
IOThreads  3
emulator   0,6
guest      -smp 2,sockets=1,cores=2,threads=1
why        all vCPUs share one cache
           each vCPU has a core to itself: keep the siblings 7-8 idle";
        assert_eq!(table(&[plan], &host, &free).join("\n"), expected);
    }

    #[test]
    fn the_legend_explains_what_is_in_the_picture_and_nothing_else() {
        let host = host();
        let all = Free { available: host.cpus(), ..Free::default() };
        let plan = plan(&host, &all, &Request { vcpus: 2, ..Request::default() }).unwrap();
        let table = table(&[plan], &host, &all);
        assert!(table.contains(&"v0 vCPU 0, e emulator, . free".to_owned()), "{table:?}");
    }

    #[test]
    fn several_vms_are_told_apart() {
        let host = host();
        let all = Free { available: host.cpus(), ..Free::default() };
        let request = Request { vcpus: 2, ..Request::default() };
        let first = plan(&host, &all, &request).unwrap();
        let taken = Taken { cpus: cpus("0-1,6-7"), by: "VM 1".to_owned(), is_leased: false };
        let second = plan(&host, &Free { taken: vec![taken], ..all.clone() }, &request).unwrap();
        let plans = [first, second];
        let lines = table(&plans, &host, &all);
        assert_eq!(lines[2], "         1:e  1:v0     .");
        assert_eq!(lines[7], "        2:v0   2:e     .");
        assert_eq!(environment(&plans), ["PIN_CPUS=0,6 PIN_VCPUS=1,7", "PIN_CPUS=4,10 PIN_VCPUS=3,9"]);
        let xml = libvirt(&plans).join("\n");
        let second = "<!-- VM 2 -->\n<metadata>\n  <pin:placement xmlns:pin=\"urn:pinshim:domain:1\" cpus=\"4,10\" \
                      vcpus=\"3,9\"/>\n</metadata>\n<vcpu>2</vcpu>\n<cpu mode=\"host-passthrough\">\n  <topology \
                      sockets=\"1\" cores=\"1\" threads=\"2\"/>\n</cpu>";
        assert!(xml.ends_with(second), "{xml}");
        assert_eq!(qemu(&plans)[0], "-smp 2,sockets=1,cores=1,threads=2");
    }

    #[test]
    fn an_amd_processors_siblings_are_shown_to_the_guest() {
        let host = host().of_amd(true);
        let free = Free { available: host.cpus(), ..Free::default() };
        let of = |vcpus, threads| {
            let request = Request { vcpus, threads_per_core: Some(threads), ..Request::default() };
            [plan(&host, &free, &request).unwrap()]
        };
        let plans = of(2, 2);
        assert_eq!(qemu(&plans), ["-smp 2,sockets=1,cores=1,threads=2 -cpu host,topoext=on"]);
        let xml = libvirt(&plans).join("\n");
        let feature = "threads=\"2\"/>\n  <feature policy=\"require\" name=\"topoext\"/>\n</cpu>";
        assert!(xml.ends_with(feature), "{xml}");
        let table = table(&plans, &host, &free).join("\n");
        assert!(table.ends_with("only with topoext: -cpu host,topoext=on"), "{table}");
        // A guest without siblings needs none.
        assert_eq!(qemu(&of(2, 1)), ["-smp 2,sockets=1,cores=2,threads=1"]);
    }

    #[test]
    fn a_set_of_several_cpus_has_brackets_and_a_shell_reads_it() {
        let host = host();
        let few = Free { available: cpus("0-1,6-7"), ..Free::default() };
        let request = Request { vcpus: 2, iothreads: 1, ..Request::default() };
        let plan = plan(&host, &few, &request).unwrap();
        assert_eq!(environment(&[plan]), ["PIN_CPUS=0,6 PIN_VCPUS=1,7 PIN_IOTHREADS=[0,6]"]);
    }
}
