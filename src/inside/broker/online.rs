//! Which CPUs have come online since the broker looked last.
//!
//! A thread whose CPUs have all gone offline gets every CPU that there is, and keeps them when its own come back
//! (cpuset_cpus_allowed_fallback in kernel/cgroup/cpuset.c). Under a manager that alone is mended, since a thread that is
//! elsewhere for any other reason was moved by somebody.

use pinning::CpuSet;

/// The kernel's list of the CPUs that are online, now and at the look before. A list that is longer than this is cut:
/// the CPUs beyond count as offline.
pub(super) struct Online {
    now: List,
    before: List,
}

struct List {
    text: [u8; 1024],
    length: usize,
}

impl List {
    const NONE: Self = Self { text: [0; 1024], length: 0 };

    fn bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }

    fn has(&self, cpu: u32) -> bool {
        self.bytes()
            .trim_ascii_end()
            .split(|byte| *byte == b',')
            .filter_map(range)
            .any(|(first, last)| (first..=last).contains(&cpu))
    }
}

impl Online {
    /// Before the first look.
    pub(super) const fn unknown() -> Self {
        Self { now: List::NONE, before: List::NONE }
    }

    /// Looks: `read` answers what /sys/devices/system/cpu/online holds. True if that has changed since the look
    /// before, if there was one.
    pub(super) fn look(&mut self, text: &[u8]) -> bool {
        if text == self.now.bytes() || text.len() > self.now.text.len() {
            return false;
        }
        std::mem::swap(&mut self.now, &mut self.before);
        for (to, from) in self.now.text.iter_mut().zip(text) {
            *to = *from;
        }
        self.now.length = text.len();
        self.before.length > 0
    }

    /// Whether a set had no CPU at the look before, and has one now.
    pub(super) fn is_back(&self, set: &CpuSet) -> bool {
        let has = |list: &List| set.iter().any(|cpu| list.has(cpu.0));
        !has(&self.before) && has(&self.now)
    }
}

/// An item of a cpulist, first and last CPU: `3` or `0-7`.
fn range(item: &[u8]) -> Option<(u32, u32)> {
    let item = std::str::from_utf8(item).ok()?;
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::Online;
    use pinning::CpuSet;

    fn set(list: &str) -> CpuSet {
        CpuSet::parse(list, &CpuSet::new()).unwrap()
    }

    #[test]
    fn a_set_is_back_when_its_first_cpu_has_come_online_again() {
        let mut online = Online::unknown();
        assert!(!online.look(b"0-15\n"), "the first look has none before it");
        assert!(!online.look(b"0-15\n"));
        assert!(online.look(b"0-3,5-15\n"));
        assert!(!online.is_back(&set("4")));
        assert!(!online.look(b"0-3,5-15\n"));
        assert!(online.look(b"0-15\n"));
        assert!(online.is_back(&set("4")));
        assert!(!online.is_back(&set("4-5")), "it had CPU 5 all the time");
        assert!(!online.is_back(&set("6")) && !online.is_back(&set("16")));
    }

    #[test]
    fn any_text_is_a_list_of_what_is_a_range_in_it() {
        let mut online = Online::unknown();
        for text in [&b"x"[..], b"1,,7-9,3-", b"\xff,2", b"-", b"99999999999", &[b'0'; 1024], &[b'0'; 2000]] {
            online.look(text);
            online.is_back(&set("1"));
        }
        online.look(b"5");
        online.look(b"x,1-2,\n");
        assert!(online.is_back(&set("1")) && !online.is_back(&set("5")));
    }
}
