//! The CPUs of this host as a program started from here would find them.

use crate::sys::affinity::{MASK_WORDS, get, set};
use pinning::{Host, Tid};

/// What a program started from here would find: the same facts, found in the same way, as the library's
/// own. What limits a set is the cpuset, which the kernel tells to whoever asks for more than it has.
pub(crate) fn here() -> Host {
    let start = get(Tid(0)).unwrap_or_default();
    let available = match set(Tid(0), &[u64::MAX; MASK_WORDS]) {
        Ok(()) => {
            let all = get(Tid(0));
            // As it was, for the program that is started next.
            let _ = set(Tid(0), start.words());
            all.unwrap_or_else(|_| start.clone())
        }
        Err(_) => start.clone(),
    };
    Host { available, start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinning::CpuSet;

    #[test]
    fn the_starting_affinity_is_put_back() {
        let available = here().available;
        for cpu in available.iter() {
            let mut one = CpuSet::new();
            one.insert(cpu);
            set(Tid(0), one.words()).unwrap();
            let host = here();
            assert_eq!((&host.start, &get(Tid(0)).unwrap()), (&one, &one));
            assert_eq!(host.available, available);
        }
    }
}
