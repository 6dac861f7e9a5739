//! The cpulist of a mask, as the kernel prints it.
//!
//! Printing never allocates: the library prints masks where the heap may be locked.

use std::fmt;

/// The cpulist of a mask: `0-3,6`, as the kernel prints it in `Cpus_allowed_list`; `none` for no CPU.
///
/// It prints from the words of the mask, without allocation.
#[derive(Clone, Copy, Debug)]
pub struct CpuList<'a>(pub &'a [u64]);

impl CpuList<'_> {
    /// The runs of neighbouring CPUs, first and last of each.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let first = self.next(from, true)?;
            from = self.next(first, false).unwrap_or(first + 1);
            Some((first, from - 1))
        })
    }

    /// The first CPU at or after `from` that is in the mask (`wanted`), or that is not.
    fn next(&self, from: u64, wanted: bool) -> Option<u64> {
        let end = (self.0.len() as u64).saturating_mul(64);
        let mut cpu = from;
        while cpu < end {
            let word = self.0.get(usize::try_from(cpu / 64).ok()?).copied()?;
            let rest = (if wanted { word } else { !word }) >> (cpu % 64);
            if rest != 0 {
                return Some(cpu + u64::from(rest.trailing_zeros()));
            }
            cpu = (cpu / 64 + 1) * 64;
        }
        if wanted { None } else { Some(end) }
    }
}

impl fmt::Display for CpuList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (first, last) in self.runs() {
            f.write_str(separator)?;
            write_run(f, first, last)?;
            separator = ",";
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// Writes a run of CPUs: `1`, or `1-3`.
pub(crate) fn write_run(f: &mut impl fmt::Write, first: u64, last: u64) -> fmt::Result {
    if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
}
