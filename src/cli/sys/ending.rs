//! Whether a process is about to end: between SIGKILL and the moment that the kernel has closed all its files it still has
//! them, though it will never run again.

use crate::sys::process::Process;
use crate::sys::threads;

/// Whether it has ended or is about to: it is a zombie, of which threads may be left; the kernel takes it apart; or it has
/// been sent SIGKILL, which nothing holds up.
pub(crate) fn is_ending(process: Process<'_>) -> bool {
    !process.is_alive() || is_killed(process) || is_exiting(process)
}

/// Whether its first thread does nothing any more but end: the kernel's flag PF_EXITING (0x4 in include/linux/sched.h).
fn is_exiting(process: Process<'_>) -> bool {
    threads::flags(process).is_some_and(|flags| flags & 0x4 != 0)
}

/// Whether SIGKILL waits for its first thread, as for all of them (proc_pid_status(5), SigPnd and ShdPnd).
fn is_killed(process: Process<'_>) -> bool {
    let status = process.kernel.read(process.file("status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let pending = ["SigPnd:", "ShdPnd:"].into_iter().filter_map(|field| {
        let bits = status.lines().find_map(|line| line.strip_prefix(field))?;
        u64::from_str_radix(bits.trim(), 16).ok()
    });
    pending.into_iter().any(|bits| bits & 1 << (9 - 1) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use crate::sys::linux::Linux;
    use std::process::Command;

    #[test]
    fn one_that_was_killed_is_ending_until_it_is_gone() {
        let kernel = Linux::new();
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let process = Process::new(&kernel, i32::try_from(child.id()).unwrap()).unwrap();
        assert!(!is_ending(process));
        child.kill().unwrap();
        // From this moment on, whether or not it has got so far, and when it is a zombie.
        for _ in 0..100 {
            assert!(is_ending(process));
        }
        child.wait().unwrap();
        assert!(is_ending(process));
    }

    #[test]
    fn the_kernels_word_counts() {
        let kernel = FakeKernel::new();
        let fake = kernel.process(7, &["/usr/bin/qemu-system-x86_64"]).thread(7, "qemu-system-x86", "0");
        let process = Process::new(&kernel, 7).unwrap();
        let pending = |bits: &str| fake.write("status", format!("State:\tS (sleeping)\nSigPnd:\t{bits}\n"));
        assert!(!is_ending(process));
        pending("0000000000000200");
        assert!(!is_ending(process));
        pending("0000000000000100");
        assert!(is_ending(process));
        pending("0000000000000000");
        kernel.change(7, |thread| thread.flags = 0x4);
        assert!(is_ending(process));
    }
}
