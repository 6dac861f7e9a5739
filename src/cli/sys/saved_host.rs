//! A copy of what /sys says of a host's CPUs, so that VMs can be planned for it elsewhere.

use crate::sys::host_tree::{CPUS, HostTree, NODES};
use crate::sys::near::{DEVICES, LOCAL_CPUS};
use crate::sys::topology::{self, CPUINFO, VENDOR};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Writes the copy into a folder, which is made, and must not have one yet: two hosts would be mixed up.
///
/// # Errors
/// Something could not be written.
pub(crate) fn save(host: &HostTree<'_>, folder: &Path) -> io::Result<()> {
    let sys = folder.join("sys");
    if sys.symlink_metadata().is_ok() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a copy of a host already"));
    }
    for file in files(host) {
        if let Some(text) = host.text(&file) {
            write(&folder.join(file), &text)?;
        }
    }
    if let Some(vendor) = topology::vendor(host) {
        write(&folder.join(CPUINFO), &format!("{VENDOR}\t: {vendor}"))?;
    }
    // A device's links are not copied; what they lead to is written where they begin.
    for (devices, link) in DEVICES {
        for name in host.names(devices) {
            let device = Path::new(devices).join(name).join(link);
            if let Some(text) = host.text_above(&device, LOCAL_CPUS) {
                write(&folder.join(device).join(LOCAL_CPUS), &text)?;
            }
        }
    }
    Ok(())
}

/// The files that say what CPUs share.
fn files(host: &HostTree<'_>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = ["online", "isolated"].map(|name| Path::new(CPUS).join(name)).to_vec();
    files.extend(
        ["sys/fs/cgroup/cpuset.cpus.isolated", "sys/fs/cgroup/unified/cpuset.cpus.isolated"]
            .map(PathBuf::from),
    );
    files.extend(["sys/devices/cpu_core/cpus", "sys/devices/cpu_atom/cpus"].map(PathBuf::from));
    for cpu in host.numbered(CPUS, "cpu") {
        let folder = PathBuf::from(format!("{CPUS}/cpu{cpu}"));
        files.extend(["online", "cpu_capacity", "cpufreq/cpuinfo_max_freq"].map(|name| folder.join(name)));
        files.extend(
            host.names(folder.join("topology")).iter().map(|name| folder.join("topology").join(name)),
        );
        for index in host.numbered(folder.join("cache"), "index") {
            let cache = folder.join(format!("cache/index{index}"));
            files.extend(
                ["level", "type", "shared_cpu_list", "shared_cpu_map", "size"].map(|name| cache.join(name)),
            );
        }
    }
    for node in host.numbered(NODES, "node") {
        let folder = PathBuf::from(format!("{NODES}/node{node}"));
        files.extend(["cpulist", "cpumap", "meminfo", "distance"].map(|name| folder.join(name)));
    }
    files
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, format!("{text}\n"))
}
