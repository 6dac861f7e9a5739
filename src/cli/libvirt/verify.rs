//! Whether a domain's threads are where they belong once QEMU runs, and putting back those that are not.
//!
//! The library does that by itself. Here it is done once more from outside: for a QEMU that was started
//! without the library, and so that the outcome is in the system's log. A CPU that an administrator has asked
//! libvirt for since the start (`virsh vcpupin`) stands.

use crate::libvirt::domain_xml::{Domain, Tuning};
use crate::libvirt::policy;
use crate::output::text::count;
use crate::sys::kernel::Kernel;
use crate::verdict::judge::Judge;
use crate::verdict::watch::PAUSE;
use crate::vm::expected::VmThread;
use crate::vm::find;
use crate::vm::look::{Ask, Vm};
use crate::vm::put::put;
use pinning::{CpuSet, RoleKind};

/// So many threads are named in the line.
const NAMED: usize = 4;

/// Puts threads back that are off their set. The answer is the line to log: `Err` where something is still
/// not as it should be, `None` for a domain without a pinning.
///
/// `is_reconnect`: libvirt has found a running QEMU again, so that an administrator may have moved threads.
pub(crate) fn verify(
    kernel: &dyn Kernel,
    domain: &Domain,
    is_reconnect: bool,
) -> Option<Result<String, String>> {
    let vm = Vm::new(find::by_uuid(kernel, &domain.uuid)?);
    // The page has the policy that the library follows. Without a page, the XML says what was intended.
    let policy = if vm.is_pinned() { None } else { Some(policy::parse(domain, kernel).policy?) };
    let ask = Ask { policy: policy.as_ref(), ..Ask::default() };
    let is_intended = |thread: &VmThread| is_reconnect && pinned_by_libvirt(thread, &domain.tuning);
    let mut judge = Judge::default();
    let mut look = || {
        let threads = vm.look(&ask).ok()?.threads;
        let verdicts = judge.judge(&threads);
        Some(threads.into_iter().zip(verdicts).collect::<Vec<_>>())
    };

    let mut seen = look()?;
    let mut put_back = 0;
    // A thread that the register does not list may be placing itself just now: a second look tells.
    if seen.iter().any(|(thread, verdict)| verdict.may_be_off() && !is_intended(thread)) {
        kernel.sleep(PAUSE);
        for (thread, verdict) in look()? {
            let Some(expected) = thread.expected.as_ref().filter(|_| verdict.is_off()) else { continue };
            // Where it cannot be put there, the next look says so.
            if !is_intended(&thread) && put(&vm, &thread.thread, expected).is_ok() {
                put_back += 1;
            }
        }
        seen = look()?;
    }

    let judged = seen.iter().filter(|(thread, _)| thread.role != RoleKind::Exempt).count();
    let off = seen.iter().filter(|(_, verdict)| verdict.is_off()).map(|(thread, _)| thread);
    let (left_alone, wrong): (Vec<&VmThread>, Vec<&VmThread>) = off.partition(|thread| is_intended(thread));
    let wrong: Vec<String> = wrong.into_iter().map(|thread| describe(thread, &domain.tuning)).collect();
    Some(line(vm.is_pinned(), judged, put_back, left_alone.len(), &wrong))
}

/// The CPUs that libvirt's XML gives to a thread.
fn cpus_by_libvirt<'a>(thread: &VmThread, tuning: &'a Tuning) -> Option<&'a CpuSet> {
    match thread.role {
        RoleKind::Vcpu => tuning.vcpus.iter().find(|(vcpu, _)| Some(*vcpu) == thread.index),
        RoleKind::IoThread => {
            let number: u32 = thread.name.strip_prefix("IO iothread")?.parse().ok()?;
            tuning.iothreads.iter().find(|(iothread, _)| *iothread == number)
        }
        _ => return tuning.emulator.as_ref(),
    }
    .map(|(_, cpus)| cpus)
}

fn pinned_by_libvirt(thread: &VmThread, tuning: &Tuning) -> bool {
    cpus_by_libvirt(thread, tuning).is_some_and(|cpus| *cpus == thread.thread.allowed)
}

fn describe(thread: &VmThread, tuning: &Tuning) -> String {
    let expected = thread.expected.as_ref().map(CpuSet::to_string).unwrap_or_default();
    let why = if pinned_by_libvirt(thread, tuning) { ", as <cputune> says" } else { "" };
    format!("{} may run on {} and belongs on {expected}{why}", thread.name, thread.thread.allowed)
}

fn line(
    has_library: bool,
    judged: usize,
    put_back: usize,
    left_alone: usize,
    wrong: &[String],
) -> Result<String, String> {
    let mut line = if wrong.is_empty() {
        format!("{} where they belong", count(judged, "thread"))
    } else {
        let named = wrong.get(..NAMED).unwrap_or(wrong).join("; ");
        let more = if wrong.len() > NAMED { "; and so on" } else { "" };
        format!("{} of {} not where they belong: {named}{more}", wrong.len(), count(judged, "thread"))
    };
    if put_back > 0 {
        line += &format!(", {put_back} put there now");
    }
    if left_alone > 0 {
        line += &format!(", {left_alone} elsewhere by virsh and left there");
    }
    if !has_library {
        line += "; its QEMU does not run under libpinshim.so, so that threads to come are not placed (does its \
                 <emulator> name qemu-pinned?)";
    }
    if wrong.is_empty() && has_library { Ok(line) } else { Err(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_was_found() {
        let wrong = |n| vec!["CPU 0/KVM may run on 0 and belongs on 1".to_owned(); n];
        assert_eq!(line(true, 9, 0, 0, &[]).unwrap(), "9 threads where they belong");
        assert_eq!(
            line(true, 9, 2, 1, &[]).unwrap(),
            "9 threads where they belong, 2 put there now, 1 elsewhere by virsh and left there"
        );
        let said = line(true, 9, 0, 0, &wrong(1)).unwrap_err();
        assert_eq!(said, "1 of 9 threads not where they belong: CPU 0/KVM may run on 0 and belongs on 1");
        let four = ["CPU 0/KVM may run on 0 and belongs on 1"; 4].join("; ");
        let said = line(true, 9, 0, 0, &wrong(5)).unwrap_err();
        assert_eq!(said, format!("5 of 9 threads not where they belong: {four}; and so on"));
        let said = line(true, 9, 0, 0, &wrong(4)).unwrap_err();
        assert_eq!(said, format!("4 of 9 threads not where they belong: {four}"));
    }
}
