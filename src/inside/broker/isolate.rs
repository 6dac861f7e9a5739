//! How the broker's process isolates itself from QEMU, before it serves anybody. Each step must succeed.

use crate::broker::failure::{Failure, Step, at};
use crate::broker::filter;
use crate::sys::errno::Errno;
use crate::sys::{file, process, sched, thread};
use pinning::{BROKER_NAME, CpuSet, Tid};
use std::ffi::CStr;
use std::ops::Range;

/// Descriptors of folders, for what the broker reads later. One is negative if there is no such folder, as in a chroot.
#[derive(Clone, Copy)]
pub(super) struct Folders {
    /// /proc.
    pub(super) proc: i32,
    /// /sys/devices/system/cpu; opened only where it is asked for.
    pub(super) cpus: i32,
}

/// The name that ps, top and pidof see. The kernel keeps 15 bytes of it.
const NAME: &[u8] = BROKER_NAME.as_bytes();

/// The capabilities that root's broker keeps, as bits (linux/capability.h): to set affinities of another user's threads
/// (CAP_SYS_NICE), to see that their process holds the socket (CAP_SYS_PTRACE), to become that user (CAP_SETGID,
/// CAP_SETUID).
const CAPABILITIES: u32 = 1 << 23 | 1 << 19 | 1 << 6 | 1 << 7;

/// Gives the process a name of its own and the CPUs of `set`, closes every descriptor but those to `keep` and of the
/// folders that it answers, forbids QEMU to trace it, and filters its system calls. `arguments` is where argv is in memory;
/// `looks_at_cpus`, whether it is to look which CPUs are online.
pub(super) fn isolate(
    keep: [i32; 2],
    arguments: &Range<usize>,
    set: &CpuSet,
    looks_at_cpus: bool,
) -> Result<Folders, Failure> {
    let open = |folder: &CStr| match file::open(folder, libc::O_RDONLY | libc::O_DIRECTORY) {
        Err(Errno(libc::ENOENT)) => Ok(-1),
        opened => opened.map_err(at(Step::Proc)),
    };
    let proc = open(c"/proc")?;
    // What must not be read is not looked at.
    let cpus = if looks_at_cpus { open(c"/sys/devices/system/cpu").unwrap_or(-1) } else { -1 };
    let [socket, process] = keep;
    thread::set_comm(NAME).map_err(at(Step::Name))?;
    process::set_not_dumpable().map_err(at(Step::NotDumpable))?;
    process::keep_capabilities(CAPABILITIES).map_err(at(Step::Capabilities))?;
    close_all_but([socket, process, proc, cpus]).map_err(at(Step::CloseRange))?;
    write_arguments(arguments);
    // Asked for even if it is right already: a broker that may set no affinity is of no use.
    match sched::set_affinity(Tid(0), set.words()) {
        // The cpuset leaves none of these CPUs to the broker. Others may be in other cpusets.
        Err(Errno(libc::EINVAL)) => {}
        set => set.map_err(at(Step::Affinity))?,
    }
    filter::install().map_err(at(Step::Filter))?;
    Ok(Folders { proc, cpus })
}

/// Closes all descriptors but these: the monitor, disks and libvirt's pipes are QEMU's.
fn close_all_but(keep: [i32; 4]) -> Result<(), Errno> {
    let mut first = 0u32;
    // From the lowest to the highest; one that is negative does not exist.
    while let Some(next) = lowest_from(first, keep) {
        if next > first {
            file::close_range(first, next - 1)?;
        }
        first = next + 1;
    }
    file::close_range(first, u32::MAX)
}

/// The lowest of these descriptors that is `first` or above.
fn lowest_from(first: u32, keep: [i32; 4]) -> Option<u32> {
    keep.into_iter().filter_map(|fd| u32::try_from(fd).ok()).filter(|fd| *fd >= first).min()
}

/// Writes the broker's name over argv. With a last byte that is not NUL the kernel shows the text up to its
/// first NUL and no more (fs/proc/base.c, get_mm_cmdline).
fn write_arguments(arguments: &Range<usize>) {
    if arguments.len() < NAME.len() + 2 {
        return;
    }
    let memory = std::ptr::with_exposed_provenance_mut::<u8>(arguments.start);
    // SAFETY: the kernel says that the process's argv is there. This process has its own copy, no other thread runs in
    // it, and it uses no reference to argv.
    let memory = unsafe { std::slice::from_raw_parts_mut(memory, arguments.len()) };
    memory.fill(0);
    for (to, from) in memory.iter_mut().zip(NAME) {
        *to = *from;
    }
    if let Some(last) = memory.last_mut() {
        *last = b'.';
    }
}

#[cfg(test)]
mod tests {
    use super::lowest_from;

    #[test]
    fn what_is_kept_is_found_from_the_lowest_to_the_highest() {
        let keep = [202, 200, -1, 3];
        assert_eq!(lowest_from(0, keep), Some(3));
        assert_eq!(lowest_from(4, keep), Some(200));
        assert_eq!(lowest_from(201, keep), Some(202));
        assert_eq!(lowest_from(203, keep), None);
        assert_eq!(lowest_from(0, [-1; 4]), None);
    }
}
