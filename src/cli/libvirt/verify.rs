//! Whether a domain's threads are where they belong once QEMU runs, and putting back those that are not.
//!
//! The library does that by itself; here it is done once more from outside, so that it is also done for
//! a QEMU that was started without the library, and said in the system's log. What an administrator has
//! asked libvirt for since the start (`virsh vcpupin`) stands.

use crate::libvirt::domain_xml::{Domain, Tuning};
use crate::libvirt::policy;
use crate::output::text::count;
use crate::sys::kernel::Kernel;
use crate::sys::threads::Migrations;
use crate::vm::expected::Member;
use crate::vm::find;
use crate::vm::look::Vm;
use pinning::status_page::State;
use pinning::{CpuSet, RoleKind, Tid};
use std::time::Duration;

/// A newborn thread may show its creator's CPUs until it has placed itself.
const BIRTH: Duration = Duration::from_millis(20);

/// So many threads are named in the line.
const NAMED: usize = 4;

/// Puts threads back; what to say of the domain: `Err` where something is not as it should be, `None` where
/// it has no pinning.
pub(crate) fn verify(
    kernel: &dyn Kernel,
    domain: &Domain,
    is_reconnect: bool,
) -> Option<Result<String, String>> {
    let vm = Vm::of(find::by_uuid(kernel, &domain.uuid)?);
    // The page has the policy that the library works by; without one, the XML says what was meant.
    let policy = if vm.is_pinned() { None } else { Some(policy::read(domain, kernel).policy?) };
    let by_administrator = |member: &Member| is_reconnect && pinned_by_libvirt(member, &domain.tuning);
    let off = |look: &Member| is_off(look) && !by_administrator(look);
    let look = || vm.look(Migrations::Ignore, None, policy.as_ref()).map(|look| look.members);

    let mut put_back = 0;
    let before = look().ok()?;
    if before.iter().any(off) {
        kernel.sleep(BIRTH);
        for member in look().ok()?.iter().filter(|member| off(member)) {
            let was_off = |before: &Member| {
                (before.thread.tid, before.thread.started) == (member.thread.tid, member.thread.started)
            };
            if before.iter().filter(|before| off(before)).any(was_off) && put(&vm, member) {
                put_back += 1;
            }
        }
    }
    let members = look().ok()?;
    let judged = members.iter().filter(|member| member.role != RoleKind::Exempt).count();
    let wrong: Vec<String> =
        members.iter().filter(|member| off(member)).map(|member| said(member, &domain.tuning)).collect();
    let left_alone = members.iter().filter(|member| is_off(member) && by_administrator(member)).count();
    Some(line(vm.is_pinned(), judged, put_back, left_alone, &wrong))
}

fn is_off(member: &Member) -> bool {
    let being_born = member.state == Some(State::Born);
    member.role != RoleKind::Exempt
        && !being_born
        && member.expected.as_ref().is_some_and(|expected| member.thread.allowed != *expected)
}

/// Whether the thread is there now.
fn put(vm: &Vm<'_>, member: &Member) -> bool {
    let (kernel, tid): (_, Tid) = (vm.process.kernel, member.thread.tid);
    let Some(expected) = &member.expected else { return false };
    // Its cpuset may leave a part of the set, or nothing; the last look tells.
    kernel.has_thread(vm.process.pid, tid)
        && kernel.set_affinity(tid, expected.words()).is_ok()
        && kernel.affinity(tid).is_ok_and(|now| now == *expected)
}

/// What libvirt's XML says of a thread's CPUs.
fn told_to_libvirt<'a>(member: &Member, tuning: &'a Tuning) -> Option<&'a CpuSet> {
    match member.role {
        RoleKind::Vcpu => tuning.vcpus.iter().find(|(vcpu, _)| Some(*vcpu) == member.index),
        RoleKind::IoThread => {
            let number: u32 = member.name.strip_prefix("IO iothread")?.parse().ok()?;
            tuning.iothreads.iter().find(|(iothread, _)| *iothread == number)
        }
        _ => return tuning.emulator.as_ref(),
    }
    .map(|(_, cpus)| cpus)
}

fn pinned_by_libvirt(member: &Member, tuning: &Tuning) -> bool {
    told_to_libvirt(member, tuning).is_some_and(|told| *told == member.thread.allowed)
}

fn said(member: &Member, tuning: &Tuning) -> String {
    let expected = member.expected.as_ref().map(CpuSet::to_string).unwrap_or_default();
    let why = if pinned_by_libvirt(member, tuning) { ", as <cputune> says" } else { "" };
    format!("{} may run on {} and belongs on {expected}{why}", member.name, member.thread.allowed)
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
        assert!(line(true, 9, 0, 0, &wrong(5)).unwrap_err().ends_with("; and so on"));
        assert!(line(false, 9, 0, 0, &[]).unwrap_err().contains("<emulator>"));
    }
}
