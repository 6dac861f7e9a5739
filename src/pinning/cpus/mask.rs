//! Masks: CPUs as bits of 64-bit words, in the form in which the kernel takes and gives them.

use super::id::CPU_LIMIT;

/// 64-bit words of a mask that has room for every CPU of any kernel. Less room, and `sched_getaffinity(2)`
/// fails with EINVAL on a kernel that is built for more CPUs.
pub const MASK_WORDS: usize = (CPU_LIMIT / 64) as usize;

/// Whether two masks hold the same CPUs; their lengths may differ. Never allocates.
pub fn same_cpus(a: &[u64], b: &[u64]) -> bool {
    let (long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let padded = short.iter().chain(std::iter::repeat(&0));
    long.iter().zip(padded).all(|(left, right)| left == right)
}

#[cfg(test)]
mod tests {
    use super::same_cpus;

    #[test]
    fn masks_of_other_lengths_hold_the_same_cpus() {
        assert!(same_cpus(&[3], &[3, 0, 0]));
        assert!(same_cpus(&[0], &[]));
        assert!(!same_cpus(&[3, 1], &[3]));
        assert!(!same_cpus(&[], &[0, 1]));
    }
}
