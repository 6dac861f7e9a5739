//! Threads of the kernel's that nothing binds to the CPUs, and that may run there all the same.

use crate::doctor::finding::Finding;
use crate::doctor::subject::{NOWHERE, Subject};
use crate::doctor::words::named;
use crate::output::text::{count, harmless};
use crate::sys::threads::Thread;

const TOPIC: &str = "kernel-threads";

/// So many are named, and stand in a command.
const NAMED: usize = 4;
const IDS: usize = 64;

/// Threads that the kernel has bound to a CPU (`ksoftirqd/3`, `migration/3`) cannot be elsewhere, and are left out. The
/// others can be moved as any thread (taskset(1)); `isolcpus=` and `nohz_full=` keep them off at boot
/// (kernel-per-CPU-kthreads in admin-guide of the kernel's Documentation).
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let all = match &subject.host.kernel_threads {
        Ok(all) => all,
        Err(error) => return vec![Finding::unread(TOPIC, "/proc", error)],
    };
    let may = |thread: &&Thread| !thread.allowed.intersection(&subject.cpus).is_empty();
    let mut there: Vec<&Thread> = all.iter().filter(may).collect();
    there.sort_by_key(|thread| (!subject.cpus.contains(thread.last_cpu), std::cmp::Reverse(thread.cpu_time)));
    let Some(first) = there.first() else {
        let what = format!("none that could be elsewhere may run on {}", named(&subject.cpus));
        return vec![subject.unless_hidden(Finding::ok(TOPIC, what))];
    };
    let names: Vec<String> = there.iter().take(NAMED).map(|thread| harmless(&thread.comm)).collect();
    let more = there.len() - names.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let last = there.iter().filter(|thread| subject.cpus.contains(thread.last_cpu)).count();
    let what = format!(
        "{} may run on {}, where {last} ran last: {}{more}",
        count(there.len(), "unbound kernel thread"),
        named(&subject.cpus),
        names.join(", ")
    );
    let to_do = subject.elsewhere().map_or(NOWHERE.to_owned(), |elsewhere| {
        let mut ids: Vec<i32> = there.iter().map(|thread| thread.tid.0).collect();
        ids.sort_unstable();
        let more = ids.len().saturating_sub(IDS);
        let ids: Vec<String> = ids.iter().take(IDS).map(i32::to_string).collect();
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        format!("as root: for pid in {}; do taskset -pc {elsewhere} $pid; done{more}", ids.join(" "))
    });
    let file = format!("/proc/{}/status", first.tid);
    vec![Finding::note(TOPIC, what).read(file, format!("Cpus_allowed_list {}", first.allowed)).and_do(to_do)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus as said;
    use crate::sys::fake::FakeKernel;

    #[test]
    fn an_unbound_thread_can_be_moved_and_a_bound_one_is_left_out() {
        let kernel = FakeKernel::new();
        let thread = |pid: i32, comm: &str, set: &str, flags: u64| {
            kernel.process(pid, &["x"]).thread(pid, comm, set).write("cmdline", "");
            kernel.change(pid, |thread| thread.flags = flags);
        };
        thread(15, "rcu_preempt", "0-3", 0x0020_8040);
        thread(21, "migration/1", "1", 0x0420_8040);
        thread(30, "a program", "0-3", 0x0040_0100);
        let note = "note kernel-threads: 1 unbound kernel thread may run on CPU 1, where 0 ran last: rcu_preempt \
                    (/proc/15/status: Cpus_allowed_list 0-3) -> as root: for pid in 15; do taskset -pc 0,2-3 $pid; done";
        assert_eq!(said(&kernel, "1", examine), [note]);
        assert!(said(&kernel, "0-3", examine)[0].ends_with(NOWHERE));
        kernel.move_to(15, "0");
        assert_eq!(
            said(&kernel, "1", examine),
            ["ok kernel-threads: none that could be elsewhere may run on CPU 1"]
        );
        kernel.deny("/proc");
        assert!(said(&kernel, "1", examine)[0].starts_with("note kernel-threads: not known"));
    }
}
