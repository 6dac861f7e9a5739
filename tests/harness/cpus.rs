//! The CPUs that a test may use, and affinities as the kernel prints them.

use std::fs;

use crate::skip;

/// Two CPUs that are online and in this process's cpuset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoCpus {
    /// The lower one.
    pub first: usize,
    /// The higher one.
    pub second: usize,
}

impl TwoCpus {
    /// Both, as the kernel prints a set of CPUs.
    pub fn both(self) -> String {
        print(&[self.first, self.second])
    }

    /// The text with the first CPU for each `A` and the second for each `B`: so a placement is written down
    /// before it is known which CPUs there are.
    pub fn put_into(self, text: &str) -> String {
        text.replace('A', &self.first.to_string()).replace('B', &self.second.to_string())
    }
}

/// The first two CPUs of this process's cpuset, or `None` after saying that the test is skipped.
pub fn two_cpus() -> Option<TwoCpus> {
    let all = parse(&available());
    match all[..] {
        [first, second, ..] => Some(TwoCpus { first, second }),
        _ => {
            skip(format!("needs two CPUs, there is {all:?}"));
            None
        }
    }
}

/// The affinity of this process as it was started, in the kernel's own print.
pub fn outer_mask() -> String {
    allowed_list("self")
}

/// The online CPUs of this process's cpuset, in the kernel's own print: what a thread gets that asks
/// for all there are.
pub fn available() -> String {
    let ask = || {
        let all = vec![usize::MAX; 65_536 / usize::BITS as usize];
        // SAFETY: the pointer and length are those of a live vector, which the kernel only reads.
        let result =
            unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(&all[..]), all.as_ptr()) };
        assert_eq!(result, 0, "ask for all CPUs: {}", std::io::Error::last_os_error());
        // The status file counts offline CPUs in, which no thread can get.
        let online = fs::read_to_string("/sys/devices/system/cpu/online").expect("read the online CPUs");
        let online = parse(online.trim());
        let allowed = parse(&allowed_list("thread-self"));
        print(&allowed.into_iter().filter(|cpu| online.contains(cpu)).collect::<Vec<_>>())
    };
    std::thread::spawn(ask).join().expect("a thread that asks for all CPUs")
}

/// Ascending CPUs as the kernel prints them.
fn print(cpus: &[usize]) -> String {
    let runs = cpus.chunk_by(|one, next| one + 1 == *next);
    let run = |run: &[usize]| match run {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    };
    runs.map(run).collect::<Vec<_>>().join(",")
}

/// The CPUs that the process or thread `who` (`self`, a pid, or `PID/task/TID`) may run on.
pub fn cpus_of(who: &str) -> Vec<usize> {
    parse(&allowed_list(who))
}

/// The CPUs that a thread may run on, unless it has ended.
pub fn cpus_of_thread(pid: u32, tid: u32) -> Option<Vec<usize>> {
    // One that ends between open and read gives an error, or no such line.
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    status.lines().find_map(allowed).map(parse)
}

/// Moves a thread, as `taskset -p` does. False if there is no such thread any more.
pub fn move_thread(tid: u32, cpus: &[usize]) -> bool {
    let mask = mask(cpus);
    // SAFETY: the pointer and length are those of a live vector, which the kernel only reads.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, size_of_val(&mask[..]), mask.as_ptr()) };
    let error = std::io::Error::last_os_error();
    assert!(result == 0 || error.raw_os_error() == Some(libc::ESRCH), "move thread {tid}: {error}");
    result == 0
}

fn allowed_list(who: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{who}/status")).expect("read a status file");
    status.lines().find_map(allowed).expect("Cpus_allowed_list").to_owned()
}

/// The CPUs that a line of a status file allows, where it is that line.
fn allowed(line: &str) -> Option<&str> {
    line.strip_prefix("Cpus_allowed_list:").map(str::trim)
}

/// The CPUs of a list as the kernel prints it: `0-3,8`.
pub(crate) fn parse(list: &str) -> Vec<usize> {
    let number = |text: &str| text.parse::<usize>().unwrap_or_else(|e| panic!("{list:?} is no cpulist: {e}"));
    list.split(',')
        .filter(|item| !item.is_empty())
        .flat_map(|item| match item.split_once('-') {
            Some((from, to)) => number(from)..=number(to),
            None => number(item)..=number(item),
        })
        .collect()
}

/// The CPUs as the kernel's bit mask, in machine words.
pub(crate) fn mask(cpus: &[usize]) -> Vec<usize> {
    let bits = usize::BITS as usize;
    let mut words = vec![0; cpus.iter().max().map_or(1, |most| most / bits + 1)];
    for cpu in cpus {
        words[cpu / bits] |= 1 << (cpu % bits);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parsed_is_printed_again() {
        for list in ["", "0", "0-1", "0-3,8", "1,3,5-7"] {
            assert_eq!(print(&parse(list)), list);
        }
    }

    #[test]
    fn a_kernel_list_is_read() {
        assert_eq!(parse("0-2,8,10-11"), [0, 1, 2, 8, 10, 11]);
        assert!(parse("").is_empty());
    }

    #[test]
    fn a_mask_grows_with_its_highest_cpu() {
        assert_eq!(mask(&[0, 2]), [5]);
        assert_eq!(mask(&[64]), [0, 1]);
    }
}
