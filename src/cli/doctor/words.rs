//! Words for findings.

use crate::output::text::{self, cut};
use pinning::CpuSet;

/// A VM's page can name sets of tens of thousands of CPUs: so many characters of a list are said.
const CHARACTERS: usize = 200;

/// CPUs in a sentence: `CPU 1`, `CPUs 1-2`.
pub(crate) fn named(cpus: &CpuSet) -> String {
    cut(&text::cpus(cpus), "CPUs ".len() + CHARACTERS).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::cpus;
    use pinning::CpuId;

    #[test]
    fn one_is_singular_and_a_long_list_is_cut() {
        assert_eq!([named(&cpus("1")), named(&cpus("1,3"))], ["CPU 1", "CPUs 1,3"]);
        assert_eq!(
            named(&(0..999).map(|cpu| CpuId(2 * cpu)).collect()).chars().count(),
            "CPUs ".len() + CHARACTERS + 1
        );
    }
}
