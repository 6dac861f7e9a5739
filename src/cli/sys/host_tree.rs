//! The files of /sys that say what CPUs a host has: of this host, or of another from a copy.

use crate::sys::kernel::Kernel;
use pinning::{CpuId, CpuSet, MASK_WORDS};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What /proc/cpuinfo says of one CPU is shorter, with its list of features.
const BEGINNING_BYTES: u64 = 8 << 10;

/// The system files of a host, below a folder that stands for its `/`.
#[derive(Debug, Clone)]
pub(crate) struct HostTree<'k> {
    kernel: &'k dyn Kernel,
    root: PathBuf,
}

impl<'k> HostTree<'k> {
    /// This host's.
    pub(crate) fn here(kernel: &'k dyn Kernel) -> Self {
        Self { kernel, root: PathBuf::from("/") }
    }

    /// Those of the host of which there is a copy in a folder.
    pub(crate) fn copy(kernel: &'k dyn Kernel, root: &Path) -> Self {
        Self { kernel, root: root.to_owned() }
    }

    /// The text of a file, without white space around it. `None`: it cannot be read.
    pub(crate) fn text(&self, file: impl AsRef<Path>) -> Option<String> {
        let text = self.kernel.read_text(self.root.join(file)).ok()?;
        // A copy that somebody made a page at a time is filled up with zeros.
        let text = text.split('\0').next().unwrap_or_default();
        Some(text.trim().to_owned())
    }

    /// The value of the first line `NAME : VALUE` in the beginning of a file with such lines for each CPU: to read all of
    /// it takes long on a large host.
    pub(crate) fn first_value(&self, file: impl AsRef<Path>, name: &str) -> Option<String> {
        let mut beginning = Vec::new();
        let file = File::open(self.kernel.locate(&self.root.join(file)).ok()?).ok()?;
        file.take(BEGINNING_BYTES).read_to_end(&mut beginning).ok()?;
        let text = String::from_utf8_lossy(&beginning);
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.trim() == name).map(|(_, value)| value.trim().to_owned())
    }

    /// A number.
    pub(crate) fn number(&self, file: impl AsRef<Path>) -> Option<u32> {
        // A package is numbered -1 where there are none (topology_physical_package_id of the kernel's
        // include/linux/topology.h).
        let number: i64 = self.text(file)?.parse().ok()?;
        u32::try_from(number).ok()
    }

    /// A cpulist; none of its CPUs where it cannot be read.
    pub(crate) fn cpus(&self, file: impl AsRef<Path>) -> CpuSet {
        let text = self.text(file).unwrap_or_default();
        CpuSet::parse(&text, &CpuSet::new()).unwrap_or_default()
    }

    /// CPUs that the kernel says as a cpulist in one file and as a mask in another. Old kernels have the mask alone.
    pub(crate) fn cpus_of_either(&self, list: impl AsRef<Path>, mask: impl AsRef<Path>) -> CpuSet {
        let listed = self.text(list).and_then(|text| CpuSet::parse(&text, &CpuSet::new()).ok());
        listed.or_else(|| cpus_of_mask(&self.text(mask)?)).unwrap_or_default()
    }

    /// The names in a folder, sorted; none where it cannot be read.
    pub(crate) fn names(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let names = self.kernel.names_in(&self.root.join(folder));
        let mut names: Vec<String> =
            names.into_iter().flatten().filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names
    }

    /// The numbers of the folders that are called `NAME` and a number, lowest first.
    pub(crate) fn numbered(&self, folder: impl AsRef<Path>, name: &str) -> Vec<u32> {
        let names = self.names(folder);
        let mut numbers: Vec<u32> =
            names.iter().filter_map(|entry| entry.strip_prefix(name)?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The text of a file of this name in the folder that a link leads to, or in the nearest one above it. `None`: there
    /// is no such folder, or none of them has it.
    pub(crate) fn text_above(&self, folder: impl AsRef<Path>, name: &str) -> Option<String> {
        let real = |path: &Path| self.kernel.locate(path).ok()?.canonicalize().ok();
        let top = real(&self.root)?;
        let folder = real(&self.root.join(folder))?;
        let above = folder.ancestors().take_while(|above| above.starts_with(&top));
        let text = above.map(|above| fs::read_to_string(above.join(name))).find_map(Result::ok)?;
        Some(text.trim().to_owned())
    }

    /// The kernel that reads them.
    pub(crate) fn kernel(&self) -> &'k dyn Kernel {
        self.kernel
    }
}

/// The CPUs of a mask as the kernel prints it: groups of 32 bits in hexadecimal digits, the highest first
/// (bitmap_print_to_pagebuf in the kernel's lib/bitmap-str.c). `None`: it is no such mask.
pub(crate) fn cpus_of_mask(text: &str) -> Option<CpuSet> {
    let groups: Option<Vec<u64>> =
        text.rsplit(',').map(|group| u32::from_str_radix(group, 16).ok().map(u64::from)).collect();
    let words: Vec<u64> = (groups?.chunks(2))
        .map(|pair| pair.iter().rev().fold(0, |word, group| word << 32 | group))
        .take(MASK_WORDS)
        .collect();
    Some(CpuSet::from_words(&words))
}

/// The folder of a CPU.
pub(crate) fn cpu_folder(cpu: CpuId) -> PathBuf {
    PathBuf::from(format!("{CPUS}/cpu{}", cpu.0))
}

/// The folder with a folder for each CPU.
pub(crate) const CPUS: &str = "sys/devices/system/cpu";

/// The folder with a folder for each NUMA node.
pub(crate) const NODES: &str = "sys/devices/system/node";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, cpus};

    #[test]
    fn a_mask_of_the_kernels_is_read() {
        assert_eq!(cpus_of_mask("f"), Some(cpus("0-3")));
        assert_eq!(cpus_of_mask("00000001,00000000,80000000"), Some(cpus("31,64")));
        assert_eq!(cpus_of_mask("0"), Some(CpuSet::new()));
        for text in ["", "g", "0x3", "1,,1", "100000000"] {
            assert_eq!(cpus_of_mask(text), None, "{text}");
        }
        // No host has more CPUs than a set can hold.
        let long = vec!["ffffffff"; 1000].join(",");
        assert_eq!(cpus_of_mask(&long).unwrap().words().len(), MASK_WORDS);
    }

    #[test]
    fn a_list_goes_before_the_mask_and_zeros_after_it_are_nothing() {
        let kernel = FakeKernel::new();
        let host = HostTree::here(&kernel);
        let read = || host.cpus_of_either("list", "mask");
        assert_eq!(read(), CpuSet::new());
        kernel.write("/mask", "00000000,00000003\n");
        assert_eq!(read(), cpus("0-1"));
        kernel.write("/list", "4-5\n\0\0\0");
        assert_eq!(read(), cpus("4-5"));
    }
}
