//! Whether what a policy asks for the whole process is in force: the memory policy and core scheduling.

use crate::output::text::count;
use crate::sys::numa_maps;
use crate::vm::expected::VmThread;
use crate::vm::look::Vm;
use crate::vm::page::Content;
use pinning::Tid;
use pinning::status_page::AtStart;

/// What is to be said of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// What is not as it should be, each a sentence.
    pub(crate) differences: Vec<String>,
    /// What cannot be on this host, each a sentence.
    pub(crate) notes: Vec<String>,
}

/// Judges it for a VM and a look at its threads.
pub(crate) fn judge(vm: &Vm<'_>, content: &Content, threads: &[VmThread]) -> Judged {
    let mut judged = Judged::default();
    judged.differences.extend(memory(vm, content));
    core(vm, content, threads, &mut judged);
    judged
}

/// What is wrong with the memory policy.
fn memory(vm: &Vm<'_>, content: &Content) -> Option<String> {
    let policy = content.policy.memory()?;
    match content.snapshot.memory {
        AtStart::NotSaid => None,
        AtStart::Refused(errno) => {
            Some(format!("PIN_MEMORY={policy} is not in force: the kernel refused it ({})", name_of(errno)))
        }
        AtStart::Done => {
            let now = numa_maps::main_threads_policy(vm.process)?;
            (now != policy.in_numa_maps()).then(|| {
                format!("PIN_MEMORY={policy} is not in force: the main thread's memory policy is {now}")
            })
        }
    }
}

/// What is wrong with core scheduling, or why there is none.
fn core(vm: &Vm<'_>, content: &Content, threads: &[VmThread], judged: &mut Judged) {
    if !content.policy.core_scheduling() {
        return;
    }
    const NOT: &str = "PIN_CORE=vm is not in force";
    match content.snapshot.core {
        AtStart::NotSaid => {}
        AtStart::Refused(libc::ENODEV) => judged.notes.push(format!("{NOT}: the CPUs have no SMT")),
        AtStart::Refused(libc::EINVAL) => {
            judged.notes.push(format!("{NOT}: the kernel has no core scheduling (CONFIG_SCHED_CORE)"));
        }
        AtStart::Refused(errno) => {
            judged.differences.push(format!("{NOT}: the kernel refused it ({})", name_of(errno)));
        }
        AtStart::Done => {
            let cookie = |tid| vm.process.kernel.core_cookie(tid);
            // Who may not ask is not told, and a thread that has ended since has none.
            let Ok(own) = cookie(Tid(vm.process.pid)) else { return };
            let is_without = |thread: &&VmThread| {
                cookie(thread.thread.tid).is_ok_and(|cookie| cookie != own || cookie == 0)
            };
            let without: Vec<&VmThread> = threads.iter().filter(is_without).collect();
            judged.differences.extend(without.first().map(|first| {
                let (tid, name) = (first.thread.tid, &first.name);
                let all = count(without.len(), "thread");
                format!(
                    "{NOT} for {all}, which may share a core with other programs: the first is {tid}, {name}"
                )
            }));
        }
    }
}

/// The errors that can be met here by the names that people search for.
fn name_of(errno: i32) -> String {
    match errno {
        libc::EPERM => "EPERM".to_owned(),
        libc::EINVAL => {
            "EINVAL: none of the nodes is in its cpuset, or the kernel does not know the policy".to_owned()
        }
        libc::ENOSYS => "ENOSYS: the kernel has no NUMA".to_owned(),
        other => format!("errno {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use crate::vm::find;
    use crate::vm::look::Ask;
    use crate::vm::sample::threads_of_web;
    use pinning::Role;
    use pinning::status_page::Header;
    use std::mem::offset_of;

    const BOTH: [(&str, &str); 2] = [("PIN_MEMORY", "strict:0"), ("PIN_CORE", "vm")];

    /// What is said of a VM whose page says this, and whose first mapping has this policy.
    fn said(
        memory: AtStart,
        core: AtStart,
        now: &str,
        change: impl Fn(&FakeKernel),
    ) -> (Vec<String>, Vec<String>) {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel)
            .page(&BOTH)
            .header(offset_of!(Header, memory), &memory.number().to_ne_bytes())
            .header(offset_of!(Header, core), &core.number().to_ne_bytes())
            .lists(100, Role::Emulator, 0, "")
            .write("numa_maps", format!("55d0c8a00000 {now} file=/usr/bin/q mapped=1 N0=1\n"));
        change(&kernel);
        let vm = find::named(&kernel, "web").unwrap();
        let look = vm.look(&Ask::default()).unwrap();
        let Judged { differences, notes } = judge(&vm, look.content.as_ref().unwrap(), &look.threads);
        (differences, notes)
    }

    fn cookies(kernel: &FakeKernel, cookie: impl Fn(i32) -> Option<u64>) {
        (100..105).for_each(|tid| kernel.change(tid, |thread| thread.core_cookie = cookie(tid)));
    }

    #[test]
    fn nothing_is_said_where_both_are_in_force_or_cannot_be_seen() {
        let nothing = (Vec::new(), Vec::new());
        let done = AtStart::Done;
        assert_eq!(said(done, done, "bind:0", |kernel| cookies(kernel, |_| Some(7))), nothing);
        assert_eq!(said(done, done, "bind:0", |kernel| cookies(kernel, |_| None)), nothing);
        let silent = AtStart::NotSaid;
        assert_eq!(said(silent, silent, "default", |_| {}), nothing, "an older library says nothing");
    }

    #[test]
    fn a_memory_policy_that_is_not_the_main_threads_is_a_difference() {
        let of = |memory, now: &str| said(memory, AtStart::NotSaid, now, |_| {}).0.join("");
        let other = "PIN_MEMORY=strict:0 is not in force: the main thread's memory policy is default";
        assert_eq!(of(AtStart::Done, "default"), other);
        let refused = "PIN_MEMORY=strict:0 is not in force: the kernel refused it (EPERM)";
        assert_eq!(of(AtStart::Refused(libc::EPERM), "bind:0"), refused);
    }

    #[test]
    fn a_thread_without_the_vms_cookie_is_a_difference_and_a_host_without_smt_none() {
        let of = |core, cookie: fn(i32) -> Option<u64>| {
            said(AtStart::NotSaid, core, "default", |kernel| cookies(kernel, cookie))
        };
        let of_one = "PIN_CORE=vm is not in force for 1 thread, which may share a core with other programs: the first is 103, IO io1";
        let but_one: fn(i32) -> Option<u64> = |tid| Some(if tid == 103 { 8 } else { 7 });
        assert_eq!(of(AtStart::Done, but_one), (vec![of_one.to_owned()], Vec::new()));
        assert_eq!(of(AtStart::Done, |_| Some(0)).0.len(), 1);
        let no_smt = "PIN_CORE=vm is not in force: the CPUs have no SMT";
        assert_eq!(of(AtStart::Refused(libc::ENODEV), |_| None), (Vec::new(), vec![no_smt.to_owned()]));
        assert_eq!(of(AtStart::Refused(libc::EINVAL), |_| None).1.len(), 1);
        assert_eq!(of(AtStart::Refused(libc::EPERM), |_| None).0.len(), 1);
    }
}
