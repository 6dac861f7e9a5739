//! All VMs in numbers, in Prometheus' text format (version 0.0.4), which node_exporter's textfile collector reads:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>. The names and meanings are in `docs/command.md`.
//!
//! A series is of a VM and a role, never of a thread: workers come and go by the thousand. What is counted of threads that
//! may end is a gauge, since the sum goes down when one ends; counters are only those numbers that never do.

use crate::output::text::{cut, one_line};
use crate::sys::threads;
use crate::sys::user;
use crate::verdict::judge::Verdict;
use crate::vm::broker;
use crate::vm::expected::VmThread;
use crate::vm::look::{Look, Vm};
use crate::vm::page::Missing;
use pinning::RoleKind;
use pinning::status_page::Counters;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

/// So many characters of a VM's name are a label.
const NAME: usize = 200;

/// How much of a QEMU can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sight {
    Pinned,
    NotPinned,
    /// This user may not look into it.
    Unreadable,
    /// Its status page makes no sense.
    BadPage,
}

/// What the numbers of a VM are made of.
#[derive(Debug)]
pub(crate) struct VmMetrics {
    /// Which one it is: the labels of all its series.
    labels: Vec<(&'static str, String)>,
    user: String,
    sight: Sight,
    broker_up: Option<bool>,
    cpu_time: Option<Duration>,
    counters: Option<Counters>,
    roles: BTreeMap<RoleKind, Role>,
}

/// The threads of a role.
#[derive(Debug, Default)]
struct Role {
    threads: u64,
    /// Off their sets, those that have only a part of them included.
    off: u64,
    cut: u64,
    cpu_time: Duration,
    runs: Option<u64>,
    delay: Option<Duration>,
    migrations: Option<u64>,
}

impl VmMetrics {
    /// A VM, a look at it and the verdicts.
    pub(crate) fn new(vm: &Vm<'_>, look: &Look, verdicts: &[Verdict]) -> Self {
        let kernel = vm.process.kernel;
        let snapshot = look.content.as_ref().ok().map(|content| &content.snapshot);
        let mut roles: BTreeMap<RoleKind, Role> = BTreeMap::new();
        for (vm_thread, verdict) in look.threads.iter().zip(verdicts) {
            roles.entry(vm_thread.role).or_default().add(vm_thread, verdict);
        }
        let name = cut(vm.name.as_deref().unwrap_or_default(), NAME).into_owned();
        let user = vm.owner.map(|uid| user::name(kernel, uid)).unwrap_or_default();
        Self {
            labels: vec![("vm", name), ("pid", vm.process.pid.to_string())],
            user: user.strip_prefix("user ").unwrap_or(&user).to_owned(),
            sight: match &look.content {
                Ok(_) => Sight::Pinned,
                Err(Missing::NotPermitted) => Sight::Unreadable,
                Err(Missing::Bad(_)) => Sight::BadPage,
                Err(Missing::None | Missing::OfParent(_)) => Sight::NotPinned,
            },
            broker_up: snapshot.and_then(|snapshot| snapshot.broker).map(|broker| broker::lives(vm, broker)),
            cpu_time: threads::of_whole_process(vm.process),
            counters: snapshot.map(|snapshot| snapshot.counters),
            roles,
        }
    }
}

impl Role {
    fn add(&mut self, vm_thread: &VmThread, verdict: &Verdict) {
        let thread = &vm_thread.thread;
        let stat = thread.schedstat;
        self.threads += 1;
        self.off += u64::from(verdict.is_offence());
        self.cut += u64::from(verdict.word() == "cut");
        self.cpu_time += stat.map_or(thread.cpu_time, |stat| stat.ran);
        if let Some(stat) = stat {
            self.runs = Some(self.runs.unwrap_or_default() + stat.runs);
            self.delay = Some(self.delay.unwrap_or_default() + stat.waited);
        }
        if let Some(migrations) = thread.migrations {
            self.migrations = Some(self.migrations.unwrap_or_default() + migrations);
        }
    }
}

/// The whole text, in lines. `not_looked_at` is how many processes and VMs could not be looked at.
pub(crate) fn lines(vms: &[VmMetrics], not_looked_at: usize) -> Vec<String> {
    let mut text = Text::default();
    text.family("pinshim_build_info", GAUGE, "The version of the command that has written this.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION").to_owned())], 1);
    text.family("pinshim_vms", GAUGE, "How many QEMUs there are, by how much of them can be seen.");
    for (state, sight) in [
        ("pinned", Sight::Pinned),
        ("not_pinned", Sight::NotPinned),
        ("unreadable", Sight::Unreadable),
        ("bad_page", Sight::BadPage),
    ] {
        let count = vms.iter().filter(|vm| vm.sight == sight).count();
        text.sample(&[("state", state.to_owned())], count);
    }
    text.family("pinshim_processes_not_looked_at", GAUGE, "How many processes could not be looked at.");
    text.sample(&[], not_looked_at);
    of_each_vm(&mut text, vms);
    of_each_role(&mut text, vms);
    of_each_page(&mut text, vms);
    text.lines
}

fn of_each_vm(text: &mut Text, vms: &[VmMetrics]) {
    text.family("pinshim_vm_info", GAUGE, "A QEMU, and the user that it runs as.");
    for vm in vms {
        text.sample(&[vm.labels.as_slice(), &[("user", vm.user.clone())]].concat(), 1);
    }
    text.family(
        "pinshim_vm_pinned",
        GAUGE,
        "Whether the library acts in it; not there where that cannot be seen.",
    );
    for vm in vms {
        match vm.sight {
            Sight::Pinned => text.sample(&vm.labels, 1),
            Sight::NotPinned => text.sample(&vm.labels, 0),
            Sight::Unreadable | Sight::BadPage => {}
        }
    }
    text.family(
        "pinshim_vm_broker_up",
        GAUGE,
        "Whether the process lives that pins from outside its sandbox.",
    );
    for vm in vms {
        vm.broker_up.into_iter().for_each(|is_up| text.sample(&vm.labels, u8::from(is_up)));
    }
    text.family(
        "pinshim_vm_cpu_seconds_total",
        COUNTER,
        "CPU time of all its threads, those that have ended included.",
    );
    for vm in vms {
        vm.cpu_time.into_iter().for_each(|time| text.sample(&vm.labels, time.as_secs_f64()));
    }
}

fn of_each_role(text: &mut Text, vms: &[VmMetrics]) {
    type Number = fn(&VmMetrics, &Role) -> Option<String>;
    const FAMILIES: [(&str, &str, Number); 7] = [
        ("pinshim_vm_threads", "How many threads it has.", |_, role| Some(role.threads.to_string())),
        (
            "pinshim_vm_threads_off",
            "How many of them are off their set, or have another class than they should.",
            |vm, role| (vm.sight == Sight::Pinned).then(|| role.off.to_string()),
        ),
        ("pinshim_vm_threads_cut", "How many of those have only a part of their set.", |vm, role| {
            (vm.sight == Sight::Pinned).then(|| role.cut.to_string())
        }),
        ("pinshim_vm_threads_cpu_seconds", "CPU time of the threads that there are now.", |_, role| {
            Some(role.cpu_time.as_secs_f64().to_string())
        }),
        ("pinshim_vm_threads_runs", "How often the threads that there are now got a CPU.", |_, role| {
            role.runs.map(|runs| runs.to_string())
        }),
        (
            "pinshim_vm_threads_delay_seconds",
            "How long the threads that there are now were ready to run and did not.",
            |_, role| role.delay.map(|delay| delay.as_secs_f64().to_string()),
        ),
        (
            "pinshim_vm_threads_migrations",
            "How often the threads that there are now went from one CPU to another.",
            |_, role| role.migrations.map(|migrations| migrations.to_string()),
        ),
    ];
    for (name, help, number) in FAMILIES {
        text.family(name, GAUGE, help);
        for vm in vms {
            for (kind, role) in &vm.roles {
                let labels = [vm.labels.as_slice(), &[("role", kind.to_string())]].concat();
                number(vm, role).into_iter().for_each(|number| text.sample(&labels, number));
            }
        }
    }
}

fn of_each_page(text: &mut Text, vms: &[VmMetrics]) {
    type Number = fn(&Counters) -> u64;
    const COUNTERS: [(&str, &str, Number); 8] = [
        ("threads_created", "Threads created through the library.", |counters| counters.created),
        (
            "threads_unlisted",
            "Threads that were placed and not listed, since the register was full.",
            |counters| counters.unlisted.into(),
        ),
        ("pins_brokered", "Pins that the broker made.", |counters| counters.brokered),
        ("pins_cut", "Pins that a cpuset cut.", |counters| counters.cut),
        ("pins_refused", "Pins that the kernel refused.", |counters| counters.refused),
        ("threads_put_back", "Threads that were put back on their set.", |counters| counters.put_back),
        (
            "threads_filtered",
            "Threads that the program's own seccomp filter did not let the library place.",
            |counters| counters.filtered,
        ),
        ("classes_refused", "Scheduling classes that could not be given.", |counters| counters.class_refused),
    ];
    for (name, help, count) in COUNTERS {
        text.family(&format!("pinshim_vm_{name}_total"), COUNTER, help);
        for vm in vms {
            vm.counters.iter().for_each(|counters| text.sample(&vm.labels, count(counters)));
        }
    }
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

/// The text, as far as it is written.
#[derive(Debug, Default)]
struct Text {
    lines: Vec<String>,
    /// The family that the next sample is of, and its two lines where it has no sample yet.
    name: String,
    heading: Vec<String>,
}

impl Text {
    /// Begins a family. It is left out where it gets no sample.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.name = name.to_owned();
        self.heading = vec![format!("# HELP {name} {help}"), format!("# TYPE {name} {kind}")];
    }

    fn sample(&mut self, labels: &[(&str, String)], value: impl Display) {
        self.lines.append(&mut self.heading);
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.lines.push(format!("{}{labels} {value}", self.name));
    }
}

/// A label's value, harmless and with the escapes of the format. A line end, which has one, is harmful elsewhere.
fn escaped(value: &str) -> String {
    one_line(value).replace('\\', "\\\\").replace('"', "\\\"")
}
