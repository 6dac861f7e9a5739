//! The CPUs of this host as a program started from here would find them.

use crate::sys::kernel::Kernel;
use pinning::{Host, MASK_WORDS, Tid};

/// What a program started from here would find: the same facts, found in the same way, as the library's
/// own. What limits a set is the cpuset, which the kernel tells to whoever asks for more than it has.
pub(crate) fn here(kernel: &dyn Kernel) -> Host {
    let start = kernel.affinity(Tid(0)).unwrap_or_default();
    let available = match kernel.set_affinity(Tid(0), &[u64::MAX; MASK_WORDS]) {
        Ok(()) => {
            let all = kernel.affinity(Tid(0));
            // As it was, for the program that is started next.
            let _ = kernel.set_affinity(Tid(0), start.words());
            all.unwrap_or_else(|_| start.clone())
        }
        Err(_) => start.clone(),
    };
    Host { available, start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::linux::Linux;
    use pinning::CpuSet;

    #[test]
    fn the_starting_affinity_is_put_back() {
        let kernel = Linux::new();
        let available = here(&kernel).available;
        for cpu in available.iter() {
            let mut one = CpuSet::new();
            one.insert(cpu);
            kernel.set_affinity(Tid(0), one.words()).unwrap();
            let host = here(&kernel);
            assert_eq!((&host.start, &kernel.affinity(Tid(0)).unwrap()), (&one, &one));
            assert_eq!(host.available, available);
        }
    }
}
