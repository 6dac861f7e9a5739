//! Parts of commands that a user may copy into a shell. Nothing in them can be taken for something else there.

use pinning::{CpuSet, is_harmful};
use std::path::Path;

/// A path as one word, in quotes if it needs them; `otherwise` where no quotes would do, or where it would not be written
/// as it is.
pub(crate) fn path(path: &Path, otherwise: &str) -> String {
    let Some(text) = path.to_str().filter(|text| !text.contains(is_harmful) && !text.contains('\'')) else {
        return otherwise.to_owned();
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) { text.to_owned() } else { format!("'{text}'") }
}

/// So many CPUs in a row stand in a loop one by one.
const IN_A_ROW: u32 = 3;

/// The CPUs of a set as the words of a loop: `2 3 $(seq 8 63)`.
pub(crate) fn each(cpus: &CpuSet) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut run: Option<(u32, u32)> = None;
    let mut end = |run: Option<(u32, u32)>| match run {
        Some((first, last)) if last - first >= IN_A_ROW => words.push(format!("$(seq {first} {last})")),
        Some((first, last)) => words.extend((first..=last).map(|cpu| cpu.to_string())),
        None => {}
    };
    for cpu in cpus.iter() {
        run = match run {
            Some((first, last)) if last + 1 == cpu.0 => Some((first, cpu.0)),
            other => {
                end(other);
                Some((cpu.0, cpu.0))
            }
        };
    }
    end(run);
    words.join(" ")
}

/// A set as the kernel reads a mask: groups of eight hexadecimal digits, the highest first (bitmap_parse in the kernel's
/// lib/bitmap-str.c).
pub(crate) fn mask(cpus: &CpuSet) -> String {
    let halves = cpus.words().iter().flat_map(|word| [word & 0xffff_ffff, word >> 32]);
    let mut groups: Vec<u64> = halves.collect();
    while groups.len() > 1 && groups.last() == Some(&0) {
        groups.pop();
    }
    let mut text = format!("{:x}", groups.pop().unwrap_or(0));
    for group in groups.iter().rev() {
        text.push_str(&format!(",{group:08x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::cpus;

    #[test]
    fn a_path_is_one_word_of_a_shell_or_not_there() {
        let of = |text: &str| path(Path::new(text), "FILE");
        assert_eq!(of("/sys/fs/cgroup/a.slice/cpu.max"), "/sys/fs/cgroup/a.slice/cpu.max");
        assert_eq!(of("/a/qemu\\x2d1 $(reboot)/cpu.max"), "'/a/qemu\\x2d1 $(reboot)/cpu.max'");
        for text in ["", "/a'b", "/a\nb", "/a\u{202e}b"] {
            assert_eq!(of(text), if text.is_empty() { "''" } else { "FILE" }, "{text:?}");
        }
    }

    #[test]
    fn cpus_are_the_words_of_a_loop() {
        for (list, words) in
            [("2", "2"), ("2-4", "2 3 4"), ("1,8-11,63", "1 $(seq 8 11) 63"), ("0-63", "$(seq 0 63)")]
        {
            assert_eq!(each(&cpus(list)), words);
        }
    }

    #[test]
    fn a_mask_is_as_the_kernel_reads_it() {
        for (list, text) in
            [("0-1", "3"), ("31", "80000000"), ("32", "1,00000000"), ("0,63-64", "1,80000000,00000001")]
        {
            assert_eq!(mask(&cpus(list)), text);
        }
        assert_eq!(mask(&CpuSet::new()), "0");
    }
}
