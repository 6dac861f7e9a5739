//! Reading files of the kernel's, of which some are not there and some are not for everybody.

use crate::doctor::finding::Finding;
use crate::sys::host_tree::cpu_folder;
use crate::sys::kernel::Kernel;
use pinning::{CpuId, CpuSet};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What became of it.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Its text, without white space around it.
    Text(String),
    /// There is no such file.
    Absent,
    /// It is there and could not be read.
    Failed(io::Error),
}

/// Reads a file.
pub(crate) fn read(kernel: &dyn Kernel, file: impl AsRef<Path>) -> Reading {
    match kernel.read(file) {
        Ok(bytes) => Reading::Text(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Reading::Absent
        }
        Err(error) => Reading::Failed(error),
    }
}

/// What a file says, by `judge`, and that it was read. `absent`: what is so where there is no such file, if anything.
pub(crate) fn of_file(
    kernel: &dyn Kernel,
    topic: &'static str,
    file: &str,
    absent: Option<Finding>,
    judge: impl FnOnce(&str) -> Finding,
) -> Option<Finding> {
    match read(kernel, file) {
        Reading::Text(text) => Some(judge(&text).read(file, text)),
        Reading::Absent => absent,
        Reading::Failed(error) => Some(Finding::unread(topic, file, &error)),
    }
}

/// What a file of each CPU says.
#[derive(Debug, Default)]
pub(crate) struct PerCpu {
    /// The CPUs for which it says each value.
    pub(crate) values: BTreeMap<String, CpuSet>,
    /// The first file that could not be read, and why.
    pub(crate) failed: Option<(PathBuf, io::Error)>,
}

/// Reads a file in each of these CPUs' folders. A CPU that has no such file is left out.
pub(crate) fn per_cpu(kernel: &dyn Kernel, cpus: &CpuSet, file: &str) -> PerCpu {
    let mut all = PerCpu::default();
    for cpu in cpus.iter() {
        let path = of_cpu(cpu, file);
        match read(kernel, &path) {
            Reading::Text(text) => all.values.entry(text).or_default().insert(cpu),
            Reading::Absent => {}
            Reading::Failed(error) => all.failed = all.failed.or(Some((path, error))),
        }
    }
    all
}

/// The path of a file of a CPU's.
pub(crate) fn of_cpu(cpu: CpuId, file: &str) -> PathBuf {
    Path::new("/").join(cpu_folder(cpu)).join(file)
}

/// The same for the first of some CPUs.
pub(crate) fn of_first(cpus: &CpuSet, file: &str) -> PathBuf {
    of_cpu(cpus.iter().next().unwrap_or(CpuId(0)), file)
}
