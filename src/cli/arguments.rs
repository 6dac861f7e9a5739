//! What can be asked of the command: the one definition of subcommands and options.
//!
//! Help, man pages and completions are all made from it, so that they agree.

use crate::output::exit_status;
use crate::output::failure::Failure;
use crate::output::print::Output;
use crate::output::style::Colour;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgGroup, CommandFactory, Parser, Subcommand};
use pinning::RoleKind;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Puts every thread of a QEMU on the CPUs you name, and shows that it is there
#[derive(Debug, Parser)]
#[command(
    name = "pinshim",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  \
        pinshim run --vcpus 2,3 --emulator 0 -- qemu-system-x86_64 -smp 2 disk.img\n  \
        pinshim show\n  \
        pinshim check web --for 10 && echo every thread stayed where it belongs"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    Show(Show),
    Check(Check),
    Record(Record),
    Apply(Apply),
    Metrics(Metrics),
    Plan(Plan),
    Doctor(Doctor),
    Libvirt(Libvirt),
    #[command(hide = true)]
    Require(Require),
    #[command(hide = true)]
    LibvirtHook(LibvirtHook),
    #[command(hide = true)]
    LibvirtKeep(LibvirtKeep),
    #[command(hide = true)]
    LibvirtTake(LibvirtTake),
    #[command(hide = true)]
    Generate(Generate),
    #[command(hide = true)]
    Complete(Complete),
}

/// Start a QEMU with its threads pinned
///
/// Checks the placement, puts the library first in LD_PRELOAD, sets the PIN_* variables and becomes COMMAND,
/// which may also be a script or a wrapper that starts QEMU. PIN_* variables that are set already hold
/// where no option says otherwise.
///
/// The library is the file that PINSHIM_LIB names; else libpinshim.so beside this command, in ../lib or
/// ../lib64 from there, or in the usual library folders, whichever is found first.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Exit status: 125 if pinshim itself cannot do its part (a bad placement, no library, a COMMAND \
        that no preload reaches), 126 if COMMAND cannot be executed, 127 if there is none, 74 if what --dry-run prints \
        cannot be written; else that of COMMAND.\n\n\
        Examples:\n  \
        pinshim run --cpus 2-5 -- qemu-system-x86_64 -smp 4 disk.img\n  \
        pinshim run --vcpus 2,3 --iothreads io1@4 --emulator 0-1 -- qemu-system-x86_64 -smp 2 …\n  \
        pinshim run --vcpus 8,9 --emulator 10 --memory strict:0 --core vm -- qemu-system-x86_64 -smp 2 …\n  \
        pinshim run --cpus 0 --vhost '0@4,1@5' -- qemu-system-x86_64 -netdev tap,id=n,vhost=on,queues=2 …\n  \
        pinshim run --cpus 0 --vcpus '*@[4-7]' --dry-run -- ./start-vm.sh"
)]
pub(crate) struct Run {
    /// Only print the line that does the same, and what each role would get
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Choose the CPUs as `pinshim plan` does, for the vCPUs and IOThreads of QEMU's arguments
    ///
    /// Of the placement it takes no other option's word, and none of `plan`'s options: for those choose with `plan`, and
    /// start with what it prints, `env $(pinshim plan … --format env) pinshim run --exclusive -- …`.
    #[arg(long)]
    pub(crate) auto: bool,

    /// Keep the CPUs of vCPUs and IOThreads for this VM: no other VM that --auto or --exclusive starts gets them
    ///
    /// Until QEMU ends. With --auto, all CPUs that were chosen. Root's leases guard the host: every user's --auto and
    /// --exclusive leave them alone. Another user's guard that user's own VMs from one another. A VM that is started
    /// without either is only warned.
    #[arg(long)]
    pub(crate) exclusive: bool,

    /// With --exclusive or --auto: wait so long for CPUs that other VMs have
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) wait: Option<Duration>,

    /// Say it, and end COMMAND, if its VM is not pinned after so many seconds
    ///
    /// Another process looks at COMMAND and all that it starts, until each QEMU among them has its vCPUs and every thread
    /// is where it belongs. Where one will never be pinned, or is not after SECONDS, it says why on stderr and ends
    /// COMMAND by SIGKILL (exit status 137), but only as long as no guest can run: as long as no process of COMMAND has
    /// more than two threads. Later it only says it.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) require: Option<Duration>,

    /// Look every so many seconds, and put back threads that have left their set (PIN_WATCH)
    ///
    /// CPUs that go offline and come back, cpusets that shrink and grow, and hands that move a thread take it off its
    /// set. A process beside QEMU then puts it back, for as long as QEMU runs.
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub(crate) watch: Option<String>,

    /// QEMU, or what starts it, with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,

    // Last: its heading would also apply to the options after it.
    #[command(flatten)]
    pub(crate) placement: Placement,
}

/// Where the threads belong.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Placement")]
pub(crate) struct Placement {
    /// All threads that nothing else names (PIN_CPUS)
    ///
    /// A SET is a list of CPUs: 1, 0-3, 0-6:2 (every second), all,^0 (all but CPU 0) or a mask with its 0x.
    #[arg(long, value_name = "SET", allow_hyphen_values = true)]
    pub(crate) cpus: Option<String>,

    /// Each vCPU, such as 2,3,[4-5] or 0@2,*@[3-5] (PIN_VCPUS)
    ///
    /// A PLACEMENT is an ordered list (2,3,[4-5]: vCPU 0 on CPU 2, 1 on 3, 2 on 4 and 5) or a map (0@2,1-3@[4-7],*@1:
    /// vCPU 0 on CPU 2, 1 to 3 each on all of 4 to 7, any other on 1).
    #[arg(long, value_name = "PLACEMENT", allow_hyphen_values = true)]
    pub(crate) vcpus: Option<String>,

    /// Each IOThread, by id or in order of creation, such as io1@5 (PIN_IOTHREADS)
    #[arg(long, value_name = "PLACEMENT", allow_hyphen_values = true)]
    pub(crate) iothreads: Option<String>,

    /// The main loop and every thread with no other role (PIN_EMULATOR)
    #[arg(long, value_name = "SET", allow_hyphen_values = true)]
    pub(crate) emulator: Option<String>,

    /// Worker threads, which else follow the thread they work for (PIN_WORKERS)
    #[arg(long, value_name = "SET", allow_hyphen_values = true)]
    pub(crate) workers: Option<String>,

    /// Migration threads (PIN_MIGRATION)
    #[arg(long, value_name = "SET", allow_hyphen_values = true)]
    pub(crate) migration: Option<String>,

    /// The kernel's vhost workers: all, or such as 0@4,1@5,*@[6-7], the first that appears on CPU 4 (PIN_VHOST)
    #[arg(long, value_name = "SET|MAP", allow_hyphen_values = true)]
    pub(crate) vhost: Option<String>,

    /// Threads whose name matches, before any role; may be given again (PIN_THREADS)
    #[arg(long = "thread", value_name = "GLOB@SET", allow_hyphen_values = true)]
    pub(crate) threads: Vec<String>,

    /// How a role's threads are scheduled, such as vcpus@fifo:1,workers@batch (PIN_SCHED)
    ///
    /// RULES are WHO@CLASS with commas between. WHO is vcpus, `vcpus[1-3]`, iothreads, `iothreads[io1]`, emulator, workers,
    /// migration, or all for those that nothing else names. CLASS is other or batch, each with a nice value and a slice if
    /// you like (batch:5:3ms), idle, or fifo or rr with a priority (fifo:1).
    #[arg(long, value_name = "RULES", allow_hyphen_values = true)]
    pub(crate) sched: Option<String>,

    /// The NUMA policy of QEMU's memory, at its start: strict:0, preferred:0-1, interleave:0-1 or local (PIN_MEMORY)
    #[arg(long, value_name = "POLICY", allow_hyphen_values = true)]
    pub(crate) memory: Option<String>,

    /// Whether a core of the VM's runs nothing else on its SMT siblings, from QEMU's start on: vm or off (PIN_CORE)
    #[arg(long, value_name = "vm|off", allow_hyphen_values = true)]
    pub(crate) core: Option<String>,
}

/// Which VMs are meant.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Which {
    /// Process ids, or names as `-name` on QEMU's command line gives them
    #[arg(value_name = "PID | VM-NAME")]
    pub(crate) vms: Vec<String>,

    /// A VM by its process id, never by a name; may be given again, or as a list 1,2
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',')]
    pub(crate) pids: Vec<i32>,
}

impl Which {
    /// Each VM that is meant, in the order of the two kinds.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let words = self.vms.iter().cloned().map(Wanted::Word);
        words.chain(self.pids.iter().copied().map(Wanted::Pid)).collect()
    }
}

/// Which one VM is meant.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WhichOne {
    /// Process id, or name as `-name` on QEMU's command line gives it
    #[arg(value_name = "PID | VM-NAME")]
    vm: Option<String>,

    /// The VM by its process id, never by a name
    #[arg(short, long, value_name = "PID")]
    pid: Option<i32>,
}

impl WhichOne {
    /// The VM that is meant.
    pub(crate) fn wanted(&self) -> Wanted {
        match self.pid {
            Some(pid) => Wanted::Pid(pid),
            None => Wanted::Word(self.vm.clone().unwrap_or_default()),
        }
    }
}

/// A VM that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A process id, or else a name.
    Word(String),
    /// A process id.
    Pid(i32),
}

/// Show every thread of a VM: where it belongs, where it may run, where it ran
///
/// Without a VM, all pinned VMs that this user may see. EXPECTED is where QEMU's own environment puts the
/// thread, ALLOWED where the kernel lets it run, LAST the CPU that it ran on last, TIME its CPU time, MIGR how
/// often it went from one CPU to another, DELAY how long it was ready to run and did not, since the look before: 20 ms, and
/// with --watch the time between two looks. A VM that runs without the library is shown too, by PID or name; roles
/// with a ? could not be told from its threads' names.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Exit status: 0, or 2 if a VM that was named could not be shown, or not all could be looked at, 74 \
        if the output cannot be written.\n\n\
        Examples:\n  \
        pinshim show\n  \
        pinshim show web --watch 1\n  \
        pinshim show --by-cpu\n  \
        pinshim show -o pid,vm,tid,role,allowed,state\n  \
        pinshim show --json | jq '.vms[].threads[] | select(.verdict == \"off\")'"
)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Print one JSON document on one line
    #[arg(long)]
    pub(crate) json: bool,

    /// Show again every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) watch: Option<Duration>,

    /// Ask QEMU on this QMP socket which threads are vCPUs and IOThreads
    ///
    /// Tells threads of a QEMU without the library apart that have no names, and says where QEMU's answer differs from
    /// the library's.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) qmp: Option<PathBuf>,

    /// Show one row for each CPU: which threads of which VMs may run there
    ///
    /// Of all VMs, QEMUs that are not pinned included, where none is named.
    #[arg(long, conflicts_with = "columns")]
    pub(crate) by_cpu: bool,

    /// Show only a table with these columns, such as tid,role,allowed
    #[arg(
        short = 'o',
        long,
        value_name = "COLUMNS",
        value_delimiter = ',',
        ignore_case = true,
        conflicts_with = "json"
    )]
    pub(crate) columns: Vec<Column>,

    /// Colour what is wrong
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: Colour,

    /// Show which CPUs are leased (`run --exclusive`), and by which VM; of the VMs that are named, or all
    #[arg(long, conflicts_with_all = ["watch", "by_cpu", "columns", "qmp"])]
    pub(crate) leases: bool,
}

/// A column of the table of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Column {
    /// Process id of the VM
    Pid,
    /// The VM's name
    Vm,
    /// Thread id
    Tid,
    /// What the thread does
    Role,
    /// How the role is known: library, qemu (QMP), name, assumed
    From,
    /// QEMU's name for the thread, or its comm
    Name,
    /// Where the policy puts it
    Expected,
    /// Where the kernel lets it run
    Allowed,
    /// Its scheduling class, where that is not the usual one or another is expected
    Class,
    /// The CPU that it ran on last
    Last,
    /// CPU time
    Time,
    /// How often it went from one CPU to another
    Migr,
    /// How long it was ready to run and did not, since the look before
    Delay,
    /// What the library's register says of it
    Register,
    /// Whether it is where it belongs
    State,
}

/// Prove that every thread of a VM is where it belongs
///
/// Looks at every thread at least twice, and says nothing if each may run where it belongs and nowhere else, and
/// was never seen to have run elsewhere. Threads that QEMU places on purpose are not judged. Of another user's VM it
/// says on stderr whose it is, even if all is well: any process can give itself any name.
///
/// Of several VMs, and with --all of every QEMU on this host, the worst outcome is the exit status: 2 before 3, 3
/// before 1. All are watched at the same time.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("which").args(["vms", "pids", "all"]).required(true).multiple(true),
    after_long_help = "Exit status: 0 if every thread is where it belongs, 1 if one is not, or waited too long \
        (they are named), 3 if the process is not pinned, 2 if it cannot be checked, 74 if the output cannot be written.\n\n\
        Examples:\n  \
        pinshim check web\n  \
        pinshim check web --wait 30\n  \
        pinshim check 1234 --for 60 --qmp /run/vm/qmp.sock\n  \
        pinshim check web --for 10 --max-delay 5s --max-delay iothreads=10s\n  \
        pinshim check --all --json | jq '.vms[] | select(.ok | not)'"
)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Check every QEMU on this host
    #[arg(long, conflicts_with_all = ["vms", "pids", "qmp"])]
    pub(crate) all: bool,

    /// Wait up to so many seconds for the VM and for its threads, then check
    ///
    /// Waits until there is such a VM, it is pinned, it has its vCPUs and all that its placement names, and every
    /// thread is where it belongs; after SECONDS it is checked as it is then. With --all it waits until this is so
    /// for every QEMU that there is then. An id that no process has is not waited for.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) wait: Option<Duration>,

    /// Watch it for so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time: Option<Duration>,

    /// Fail too if a vCPU waited longer than TIME for its CPU at a stretch, such as 40us; for other threads iothreads=1ms
    ///
    /// May be given again, once for each of vcpus, iothreads, emulator, workers, migration and vhost. By the kernel's counts
    /// (schedstat), which bound the longest wait between two looks: a thread whose waits may have been too long, though
    /// nobody can know it, counts too and is said to be one. Each is named with who used its CPU meanwhile.
    #[arg(long, value_name = "[WHO=]TIME", value_parser = max_delay)]
    pub(crate) max_delay: Vec<MaxDelay>,

    /// Compare vCPUs and IOThreads with QEMU's own answer on this QMP socket
    ///
    /// A monitor that lacks a command for it, as qemu-storage-daemon's does, is said to, and the rest is checked.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) qmp: Option<PathBuf>,

    /// Print one JSON document on one line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Record every run of every thread of a VM for a time, as a file that shows it
///
/// The kernel tells every switch: who was put on which CPU, when, and for how long; who was born and ended; who waited for a
/// CPU, and who ran there instead. As root (or with CAP_PERFMON) this covers other processes on the VM's CPUs; as an ordinary
/// user, where kernel.perf_event_paranoid is 2 or less, the threads of one's own VM. Where neither is permitted, /proc is looked
/// at every few milliseconds, and the file says so.
///
/// Ctrl-C ends it early, and writes what there is. So does the end of the VM.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Exit status: 0 if every thread ran where it belongs and nowhere else, 1 if one did not, 3 if the process \
        is not pinned (the file is written all the same), 2 if it cannot be recorded or the file cannot be written, 74 if the \
        output cannot be written.\n\n\
        Examples:\n  \
        pinshim record web --for 10\n  \
        pinshim record web --for 60 -o web.json\n  \
        pinshim record web --for 10 --format json | jq '.threads[] | [.tid, .role, .runs, .off_ns]'"
)]
pub(crate) struct Record {
    #[command(flatten)]
    pub(crate) which: WhichOne,

    /// Record so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    pub(crate) time: Duration,

    /// Write it to this file; by default, and for -, to stdout
    ///
    /// The ending says how: .svg or .html a picture, .perfetto.json a trace for ui.perfetto.dev, .json or .csv for
    /// programs, .txt a summary.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Write it in this format, whatever the ending
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<FileFormat>,
}

/// How a recording is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FileFormat {
    /// A summary for people
    Text,
    /// One JSON document on one line
    Json,
    /// A line for each span
    Csv,
    /// A picture
    Svg,
    /// The picture and tables, as a page that opens offline
    Html,
    /// A trace for ui.perfetto.dev
    Perfetto,
}

impl FileFormat {
    /// The format that the ending of a file's name says.
    fn of_name(name: &str) -> Option<Self> {
        let is = |ending: &str| name.len() > ending.len() && name.to_ascii_lowercase().ends_with(ending);
        match name {
            "-" => Some(FileFormat::Text),
            _ if is(".txt") => Some(FileFormat::Text),
            _ if is(".svg") => Some(FileFormat::Svg),
            _ if is(".html") => Some(FileFormat::Html),
            _ if is(".perfetto.json") => Some(FileFormat::Perfetto),
            _ if is(".json") => Some(FileFormat::Json),
            _ if is(".csv") => Some(FileFormat::Csv),
            _ => None,
        }
    }
}

impl Record {
    /// The format that is asked for.
    ///
    /// # Errors
    /// The file's name says none.
    pub(crate) fn format(&self) -> Result<FileFormat, Failure> {
        let name = self.output.file_name().unwrap_or_default().to_string_lossy();
        self.format.or_else(|| FileFormat::of_name(&name)).ok_or_else(|| {
            let endings = ".svg, .html, .txt, .json, .csv or .perfetto.json";
            Failure::new(format!("the name {} does not say in which format", self.output.display()))
                .next(format!("end it in {endings}, or give --format"))
        })
    }
}

/// Put the threads of a running QEMU where they belong
///
/// Moves each thread where QEMU's own policy says, or where the policy given here says, which also works for a QEMU
/// without the library. Prints what was moved, and what could not be moved and why. A policy given here is not
/// remembered: `show` and `check` go on to judge by the one that QEMU was started with. Without the library, threads
/// are told apart by their names (QEMU's `-name …,debug-threads=on`) or by QMP, and later threads start where their
/// creator is.
///
/// Another user's QEMU does not choose the CPUs: say where its threads belong, or give --trust-vm. For a domain of
/// libvirt's, root's file says it: the one that libvirt's hook has left, or the administrator's.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Exit status: 0 if every thread is where it belongs now, 1 if one could not be put there, or an option \
        names a vCPU, an IOThread or a thread that is not there, 3 if the \
        process is not pinned and no placement was given, 2 if nothing could be done, 74 if the output cannot be \
        written.\n\n\
        Examples:\n  \
        pinshim apply web\n  \
        pinshim apply 1234 --vcpus 2,3 --emulator 0-1 --qmp /run/vm/qmp.sock --dry-run\n  \
        pinshim apply web --watch 5"
)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) which: WhichOne,

    /// Ask QEMU on this QMP socket which threads are vCPUs and IOThreads
    #[arg(long, value_name = "SOCKET")]
    pub(crate) qmp: Option<PathBuf>,

    /// Only say what would be moved
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Let another user's VM say itself where its threads belong
    ///
    /// The status page and the environment of a QEMU are memory that it can write to. As root, or with another
    /// right to move other users' threads, `apply` takes from there which thread is which, but no CPUs: whoever
    /// has taken over that QEMU would choose where root puts them. With this option it takes the CPUs as well.
    #[arg(long)]
    pub(crate) trust_vm: bool,

    /// Look again every so many seconds, until QEMU ends
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "dry_run")]
    pub(crate) watch: Option<Duration>,

    /// Print one JSON document on one line; with --watch one for each round that moves something
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) placement: Placement,
}

/// Print all VMs in numbers, for Prometheus
///
/// For each QEMU of this host and each role of its threads: how many threads there are, how many are off their set, how long they
/// ran and how long they waited for a CPU; and what the library has counted. In Prometheus' text format, which
/// node_exporter's textfile collector reads. As root it sees every VM, as another user the own ones whole.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Exit status: 0, or 2 if not all could be looked at, 74 if the output cannot be written.\n\n\
        Examples:\n  \
        pinshim metrics\n  \
        pinshim metrics --textfile /var/lib/prometheus/node-exporter/pinshim.prom"
)]
pub(crate) struct Metrics {
    /// Write them to this file, at once and for everybody to read, in place of printing them
    ///
    /// Its name must end with .prom: node_exporter reads no others. No symbolic link of another user's is followed.
    #[arg(long, value_name = "FILE")]
    pub(crate) textfile: Option<PathBuf>,
}

/// Choose the CPUs of a VM, and say why these
///
/// Looks at what this host's CPUs share and what other VMs have, and finds the best of all ways: whole cores; within one
/// cache, else one NUMA node, else one package; vCPUs that are siblings in the guest on siblings of the host; the
/// emulator and IOThreads in the same NUMA node, on other cores. Among equals: near the device, isolated CPUs,
/// fast ones, those that others may not run on, what fits tightest, not the core of CPU 0, the lowest numbers. CPUs that other
/// VMs are pinned to are left to them. Nothing is changed: it only says which CPUs.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Exit status: 0 if there is a plan, 1 if there is no room, 2 if none could be made, 74 if \
        the output cannot be written.\n\n\
        Examples:\n  \
        pinshim plan --vcpus 4 --iothreads 1\n  \
        pinshim plan --vcpus 8 --near eth0 --memory 16G --format libvirt\n  \
        env $(pinshim plan --vcpus 2 --format env) pinshim run -- qemu-system-x86_64 -smp 2 disk.img"
)]
pub(crate) struct Plan {
    /// How many vCPUs
    #[arg(long, value_name = "N", required_unless_present = "save_host")]
    pub(crate) vcpus: Option<u32>,

    /// How many IOThreads
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) iothreads: u32,

    /// How many vCPUs share a core: as many as it has siblings if their number allows, unless this says 1
    #[arg(long, value_name = "1 | 2", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) threads_per_core: Option<u32>,

    /// Only CPUs of this NUMA node
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<u32>,

    /// CPUs near this device, where there is a choice: a PCI address, a network interface or a disk
    #[arg(long, value_name = "DEVICE")]
    pub(crate) near: Option<String>,

    /// CPUs that are kept for something else
    #[arg(long, value_name = "SET", allow_hyphen_values = true)]
    pub(crate) reserve: Option<String>,

    /// The guest's memory, such as 4G: NUMA nodes with as much free come first
    #[arg(long, value_name = "SIZE", value_parser = memory_size)]
    pub(crate) memory: Option<u64>,

    /// So many VMs of this kind, none of which has a core of another
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) vms: u32,

    /// How to print it
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,

    /// Plan for the host of which this folder has a copy
    #[arg(long, value_name = "FOLDER")]
    pub(crate) sysfs: Option<PathBuf>,

    /// Write a copy of what /sys says of this host's CPUs into a folder, and plan nothing
    #[arg(long, value_name = "FOLDER", conflicts_with = "sysfs")]
    pub(crate) save_host: Option<PathBuf>,
}

/// Say what on this host works against pinning, for a VM or a set of CPUs, and what to do about each
///
/// One line a finding: `fix` is to be mended, `note` may matter or could not be read, `ok` is as it should be. Each says what
/// was read, in which file, and what to do: who else may run on the vCPUs' CPUs and their SMT siblings, interrupts, the
/// kernel's own threads and work, speeds and sleep states, cgroups, isolation, memory on other NUMA nodes, KVM's settings.
/// Nothing is changed. Without root's rights what only root may read is a note.
///
/// Without a VM, all pinned VMs. With --cpus, the CPUs of a VM that is to be started.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Exit status: 0 if there is nothing to fix, 1 if there is, 2 if something could not be looked at, 74 if \
        the output cannot be written.\n\n\
        Examples:\n  \
        pinshim doctor web\n  \
        pinshim doctor --cpus 2-3\n  \
        pinshim doctor --json | jq -r '.examined[].findings[] | select(.grade == \"fix\") | .to_do'"
)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Look at these CPUs, as those of vCPUs of a VM that is to be started
    #[arg(long, value_name = "SET", allow_hyphen_values = true, conflicts_with_all = ["vms", "pids"])]
    pub(crate) cpus: Option<String>,

    /// Print one JSON document on one line
    #[arg(long)]
    pub(crate) json: bool,

    /// Colour what is to be mended
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: Colour,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A picture of the host, and why
    Table,
    /// The PIN_* variables, on a line for each VM
    Env,
    /// Elements of a domain's XML
    Libvirt,
    /// QEMU's -smp, and -cpu where siblings need it
    Qemu,
    /// One JSON document on one line
    Json,
}

/// Pin domains of libvirt's, take that back, and see how things stand
///
/// A domain is pinned by two things in its XML: the placement, in its metadata, and the wrapper qemu-pinned as its
/// emulator. `enable` puts them there and `disable` takes them away, through virsh and with the difference shown, so that
/// nobody has to edit the XML. Both count from the domain's next start on.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Exit status: 0 if it is done, and for `status` if all is in order; 1 if `status` has found something \
        that is not; 2 if it cannot be done; 74 if the output cannot be written.\n\n\
        Examples:\n  \
        pinshim libvirt enable web --vcpus 2,3 --emulator 0-1 --dry-run\n  \
        pinshim libvirt enable web --from-cputune\n  \
        pinshim libvirt status\n  \
        pinshim libvirt disable web"
)]
pub(crate) struct Libvirt {
    #[command(subcommand)]
    pub(crate) action: LibvirtAction,
}

/// What is to be done with domains.
#[allow(clippy::large_enum_variant, reason = "there is one of it, made of the command line")]
#[derive(Debug, Subcommand)]
pub(crate) enum LibvirtAction {
    Enable(LibvirtEnable),
    Disable(LibvirtDisable),
    Status(LibvirtStatus),
}

/// Have a domain pinned from its next start on
///
/// Checks the placement as libvirt's hook will when the domain starts, and changes nothing where the hook would refuse
/// it. Without a placement the one that the domain has already counts.
#[derive(Debug, clap::Args)]
pub(crate) struct LibvirtEnable {
    /// Name or UUID of the domain
    #[arg(value_name = "DOMAIN", allow_hyphen_values = true)]
    pub(crate) domain: OsString,

    /// Take over what the domain's cputune element pins
    ///
    /// Options beside it say something else for some of the threads. The pins stay, as they agree.
    #[arg(long)]
    pub(crate) from_cputune: bool,

    /// Remove vcpupin, iothreadpin and emulatorpin from the cputune element: the placement does not need them
    ///
    /// `disable` does not bring them back.
    #[arg(long)]
    pub(crate) drop_cputune: bool,

    /// Keep the CPUs of its vCPUs and IOThreads for it: it starts only while no other VM has leased one of them
    #[arg(long)]
    pub(crate) exclusive: bool,

    /// Only show what would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,

    #[command(flatten)]
    pub(crate) placement: Placement,
}

/// Take back what enable did to a domain
///
/// Removes the placement from its XML, and names the QEMU that the wrapper runs as its emulator again.
#[derive(Debug, clap::Args)]
pub(crate) struct LibvirtDisable {
    /// Name or UUID of the domain
    #[arg(value_name = "DOMAIN", allow_hyphen_values = true)]
    pub(crate) domain: OsString,

    /// The emulator that it gets, in place of the one that the wrapper runs
    #[arg(long, value_name = "PATH", value_parser = absolute_path)]
    pub(crate) qemu: Option<String>,

    /// Only show what would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Show whether this host can pin domains, and which of them are pinned
///
/// One table: the hook, and whether libvirt has noticed it; the wrapper and the library; AppArmor and SELinux; and each
/// domain, with what is to be known about its placement. Without a DOMAIN, all of them.
#[derive(Debug, clap::Args)]
pub(crate) struct LibvirtStatus {
    /// Name or UUID of a domain
    #[arg(value_name = "DOMAIN", allow_hyphen_values = true)]
    pub(crate) domain: Option<OsString>,

    /// Print one JSON document on one line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// The folders in which root's own files about domains are. Only root writes to them.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Folders {
    /// Where the hook leaves pinnings for qemu-pinned, in `domains`.
    #[arg(long, hide = true, value_name = "DIR", default_value = RUN)]
    pub(crate) run: PathBuf,

    /// Where the administrator's pinnings are, in `domains`.
    #[arg(long, hide = true, value_name = "DIR", default_value = CONFIG)]
    pub(crate) config: PathBuf,

    /// Where libvirt's daemon keeps the pid files of its domains.
    #[arg(long, hide = true, value_name = "DIR", default_value = PID_FILES)]
    pub(crate) pid_files: PathBuf,
}

/// The folders of an installation below /, with the libvirt of `qemu:///system`.
const RUN: &str = "/run/pinshim";
const CONFIG: &str = "/etc/pinshim";
const PID_FILES: &str = "/run/libvirt/qemu";

impl Default for Folders {
    fn default() -> Self {
        Self { run: RUN.into(), config: CONFIG.into(), pid_files: PID_FILES.into() }
    }
}

/// Which libvirt is asked, and where its files and pinshim's are.
#[derive(Debug, clap::Args)]
pub(crate) struct Connection {
    /// The libvirt to ask, as virsh's --connect; on this host alone
    #[arg(short = 'c', long, value_name = "URI")]
    pub(crate) connect: Option<OsString>,

    #[command(flatten)]
    pub(crate) folders: Folders,

    /// Where libvirt looks for hooks.
    #[arg(long, hide = true, value_name = "DIR", default_value = "/etc/libvirt/hooks")]
    pub(crate) hooks: PathBuf,
}

/// Looks at a command that `run --require` has started.
#[derive(Debug, clap::Args)]
pub(crate) struct Require {
    /// The command's process.
    pub(crate) pid: i32,

    /// How long it has to be pinned.
    #[arg(value_parser = seconds)]
    pub(crate) time: Duration,

    /// Only start a process that looks, and end.
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Carries a domain's pinning from its XML to qemu-pinned, and checks it once QEMU runs.
#[derive(Debug, clap::Args)]
pub(crate) struct LibvirtHook {
    #[command(flatten)]
    pub(crate) folders: Folders,

    /// The system log's socket.
    #[arg(long, value_name = "SOCKET", default_value = "/dev/log")]
    pub(crate) syslog: PathBuf,

    /// Where libvirt keeps the logs of its domains.
    #[arg(long, value_name = "DIR", default_value = "/var/log/libvirt/qemu")]
    pub(crate) domain_logs: PathBuf,

    /// What libvirt gives its hooks: domain, operation, sub-operation and more; the XML is on stdin.
    #[arg(last = true, value_name = "EVENT")]
    pub(crate) event: Vec<OsString>,
}

/// Keeps a domain's leases until its QEMU takes them: the hook starts it, with a socket for stdin.
#[derive(Debug, clap::Args)]
pub(crate) struct LibvirtKeep {
    /// Where libvirt keeps the pid files of its domains.
    #[arg(long, value_name = "DIR")]
    pub(crate) pid_files: PathBuf,

    /// The socket's file, which goes when this ends.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) socket: PathBuf,

    /// The descriptors of the leases.
    #[arg(long, value_name = "FD", value_delimiter = ',')]
    pub(crate) leases: Vec<i32>,

    /// The domain's name.
    #[arg(last = true, value_name = "DOMAIN")]
    pub(crate) domain: OsString,
}

/// Takes a domain's leases and becomes QEMU: the wrapper becomes this.
#[derive(Debug, clap::Args)]
pub(crate) struct LibvirtTake {
    /// Where the leases are kept.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) socket: PathBuf,

    /// QEMU and its arguments.
    #[arg(last = true, required = true, value_name = "QEMU")]
    pub(crate) command: Vec<OsString>,
}

/// Answer a shell what could come next on a line
#[derive(Debug, clap::Args)]
pub(crate) struct Complete {
    /// The words after `pinshim`, up to the one at the cursor
    #[arg(last = true, value_name = "WORD")]
    pub(crate) words: Vec<OsString>,
}

/// Write the man pages and shell completions
#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// Write the man pages into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) man: Option<PathBuf>,

    /// Write the completions for bash, zsh and fish into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) completions: Option<PathBuf>,
}

impl Run {
    /// The variables that the options stand for.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let watch = self.watch.iter().map(|seconds| ("PIN_WATCH", seconds.clone()));
        self.placement.variables().into_iter().chain(watch).collect()
    }
}

impl Placement {
    /// The variables that the options stand for.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let rules = (!self.threads.is_empty()).then(|| self.threads.join(","));
        let all = [
            ("PIN_CPUS", &self.cpus),
            ("PIN_VCPUS", &self.vcpus),
            ("PIN_IOTHREADS", &self.iothreads),
            ("PIN_EMULATOR", &self.emulator),
            ("PIN_WORKERS", &self.workers),
            ("PIN_MIGRATION", &self.migration),
            ("PIN_VHOST", &self.vhost),
            ("PIN_THREADS", &rules),
            ("PIN_SCHED", &self.sched),
            ("PIN_MEMORY", &self.memory),
            ("PIN_CORE", &self.core),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

/// Parses the path of a program.
fn absolute_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && !text.contains(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("write a path that begins with /".to_owned())
    }
}

/// How long a role's threads may wait for a CPU at a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxDelay {
    pub(crate) role: RoleKind,
    pub(crate) limit: Duration,
}

/// What the roles are called on the command line, as in `PIN_SCHED` where that has them.
const ROLE_WORDS: [(&str, RoleKind); 6] = [
    ("vcpus", RoleKind::Vcpu),
    ("iothreads", RoleKind::IoThread),
    ("emulator", RoleKind::Emulator),
    ("workers", RoleKind::Worker),
    ("migration", RoleKind::Migration),
    ("vhost", RoleKind::Vhost),
];

/// What a role is called on the command line.
pub(crate) fn role_word(role: RoleKind) -> &'static str {
    ROLE_WORDS.iter().find(|(_, known)| *known == role).map_or("threads", |(word, _)| word)
}

/// Parses `40us` and `iothreads=1ms`.
fn max_delay(text: &str) -> Result<MaxDelay, String> {
    let (who, time) = text.split_once('=').unwrap_or(("vcpus", text));
    let role = ROLE_WORDS.iter().find(|(word, _)| *word == who).map(|(_, role)| *role).ok_or_else(|| {
        let words = ROLE_WORDS.map(|(word, _)| word).join(", ");
        format!("say whose time it is by one of {words}")
    })?;
    let digits = time.trim_end_matches(|c: char| c.is_alphabetic());
    let unit = match time.get(digits.len()..) {
        Some("us" | "µs" | "μs") => 1e-6,
        Some("ms") => 1e-3,
        Some("s") => 1.0,
        _ => return Err("write a time with its unit, such as 40us, 1ms or 2s".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| "write a time such as 40us or 0.5ms".to_owned())?;
    if !(1e-6..=1000.0).contains(&(number * unit)) {
        return Err("name a time from 1us to 1000s".to_owned());
    }
    Ok(MaxDelay { role, limit: Duration::from_secs_f64(number * unit) })
}

/// Parses a number of seconds, between 0.01 and 10000000.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds, such as 10 or 0.5".to_owned())?;
    if (0.01..=1e7).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("name a time from 0.01 to 10000000 seconds".to_owned())
    }
}

/// Parses an amount of memory: bytes, or with K, M, G or T units of 1024, as QEMU's `-m` has them.
fn memory_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("") => 1,
        Some("K" | "k") => 1 << 10,
        Some("M" | "m") => 1 << 20,
        Some("G" | "g") => 1 << 30,
        Some("T" | "t") => 1 << 40,
        _ => 0,
    };
    let size =
        digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|&size| size > 0);
    size.ok_or_else(|| "write a size such as 512M or 4G".to_owned())
}

/// The arguments of this process. `Err`: help, a version or an error was printed, and this is how to exit.
pub(crate) fn read(output: &mut Output) -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|error| {
        let words: Vec<OsString> = std::env::args_os().skip(1).collect();
        if let Some(failure) = option_of_plan(&error, &words) {
            return ExitCode::from(failure.report(output));
        }
        let printed = error.print().and_then(|()| io::stdout().flush());
        if error.exit_code() == 0 {
            let status = printed.err().map_or(exit_status::SUCCESS, |error| output.not_written(&error));
            return ExitCode::from(status);
        }
        let mut words = words.iter().take_while(|word| *word != "--");
        if words.next().is_some_and(|subcommand| subcommand == "run") {
            // Scripts must be able to tell the exit status of COMMAND from that of `run`.
            return ExitCode::from(exit_status::OWN_FAILURE);
        }
        if words.any(|word| word == "--json") {
            output.document(&Failure::new(first_sentence(&error.to_string())).document());
        }
        ExitCode::from(exit_status::FAILED)
    })
}

/// What to say where `run` is given one of `plan`'s options, for which clap would only know one that is spelt alike.
fn option_of_plan(error: &clap::Error, words: &[OsString]) -> Option<Failure> {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = given.strip_prefix("--")?.split('=').next()?;
    let plan = Arguments::command().find_subcommand("plan")?.clone();
    let is_plans = plan.get_arguments().any(|argument| argument.get_long() == Some(name));
    let is_run = words.first().is_some_and(|word| word == "run");
    (error.kind() == ErrorKind::UnknownArgument && is_run && is_plans).then(|| {
        Failure::new(format!("--{name} is an option of `pinshim plan`, and `run --auto` takes none of those"))
            .next(format!(
                "start with what it prints: env $(pinshim plan --vcpus N --{name} … --format env) pinshim run \
                 --exclusive …"
            ))
            .status(exit_status::OWN_FAILURE)
    })
}

/// What is wrong, of a text of clap's in which usage and hints follow after an empty line.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.trim().is_empty());
    let sentence = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    sentence.strip_prefix("error: ").unwrap_or(&sentence).to_owned()
}

impl Show {
    /// Whether it shows how long threads waited, which takes two looks.
    pub(crate) fn shows_delays(&self) -> bool {
        !self.by_cpu && (self.columns.is_empty() || self.columns.contains(&Column::Delay))
    }
}

/// The subcommand that a line of words asks for.
#[cfg(test)]
pub(crate) fn from_words(line: &str) -> Command {
    Arguments::try_parse_from(line.split_whitespace()).unwrap().command
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinning::VARIABLES;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_of_a_subcommand_names_its_exit_statuses() {
        for name in ["run", "show", "check", "record", "apply", "metrics", "plan", "doctor", "libvirt"] {
            let command = Arguments::command().find_subcommand(name).unwrap().clone();
            let help = command.get_after_long_help().unwrap().to_string();
            let line = help.lines().find_map(|line| line.strip_prefix("Exit status: ")).unwrap();
            let numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
            let mut numbers: Vec<u8> = numbers.collect();
            numbers.sort();
            let table = exit_status::TABLE.iter().filter(|(_, names)| names.contains(&name));
            assert_eq!(numbers, table.map(|(number, _)| *number).collect::<Vec<_>>(), "{name}: {line}");
        }
    }

    #[test]
    fn every_placement_variable_has_its_option() {
        let run = Arguments::command().find_subcommand("run").unwrap().clone();
        for variable in VARIABLES.iter().filter(|variable| variable.places()) {
            let option = variable.name.strip_prefix("PIN_").unwrap().to_lowercase();
            let option = if option == "threads" { "thread" } else { &option };
            let argument = run.get_arguments().find(|argument| argument.get_long() == Some(option));
            let help = argument.unwrap_or_else(|| panic!("{option}")).get_help().unwrap().to_string();
            assert!(help.ends_with(&format!("({})", variable.name)), "{help}");
        }
    }

    #[test]
    fn options_become_the_variables_of_their_names() {
        let words = "pinshim run --cpus 1 --vcpus 0 --iothreads 2 --emulator 3 --workers 4 --migration 5 --vhost 6 \
                     --thread a@1 --thread b@2 --sched all@batch --memory local --core vm -- qemu --cpus 7";
        let Command::Run(run) = Arguments::try_parse_from(words.split_whitespace()).unwrap().command else {
            panic!("not run")
        };
        let given: Vec<String> =
            run.placement.variables().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let names: Vec<&str> = VARIABLES.iter().filter(|v| v.places()).map(|v| v.name).collect();
        assert_eq!(given.iter().map(|v| v.split_once('=').unwrap().0).collect::<Vec<_>>(), names);
        assert!(given.contains(&"PIN_THREADS=a@1,b@2".to_owned()), "{given:?}");
        assert!(given.contains(&"PIN_SCHED=all@batch".to_owned()), "{given:?}");
        assert_eq!(run.command, ["qemu", "--cpus", "7"]);
    }

    #[test]
    fn an_option_of_plan_is_not_taken_for_a_mistyped_one_of_run() {
        let said = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let error = Arguments::try_parse_from(&words).unwrap_err();
            option_of_plan(&error, &words[1..]).map(|failure| failure.to_string())
        };
        for option in ["--threads-per-core=1", "--near", "--reserve", "--node"] {
            let text = said(&format!("pinshim run --auto {option} 1 -- qemu")).unwrap();
            let name = option.trim_end_matches("=1");
            assert!(text.starts_with(&format!("{name} is an option of `pinshim plan`")), "{text}");
        }
        assert_eq!(said("pinshim run --autos -- qemu"), None);
        assert_eq!(said("pinshim show --near 1"), None);
    }

    #[test]
    fn memory_is_written_as_for_qemu() {
        let sizes = ["1", "2K", "3M", "4G", "5T"].map(memory_size);
        assert_eq!(sizes, [1, 2 << 10, 3 << 20, 4 << 30, 5 << 40].map(Ok));
        for text in ["", "G", "4X", "4GB", "-1G", "1.5G", "0", "99999999999T"] {
            assert!(memory_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_longest_delay_has_a_unit_and_is_for_vcpus_where_nobody_is_named() {
        let of = |role, microseconds| Ok(MaxDelay { role, limit: Duration::from_micros(microseconds) });
        assert_eq!(max_delay("40us"), of(RoleKind::Vcpu, 40));
        assert_eq!(
            max_delay("vcpus=1.5µs"),
            Ok(MaxDelay { role: RoleKind::Vcpu, limit: Duration::from_nanos(1500) })
        );
        assert_eq!(max_delay("iothreads=1ms"), of(RoleKind::IoThread, 1000));
        assert_eq!(max_delay("workers=0.5s"), of(RoleKind::Worker, 500_000));
        let bad = [
            "", "40", "us", "-1us", "0us", "0.5us", "1001s", "nanus", "infs", "1e9s", "4 ms", "x=1ms",
            "=1ms", "vcpus=",
        ];
        for text in bad {
            assert!(max_delay(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_makes_no_sense_is_refused() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "x", "-1", "0", "NaN", "inf", "1e300"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
