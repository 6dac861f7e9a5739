//! The CPUs that are nearest to a device.

use crate::sys::host_tree::HostTree;
use pinning::CpuSet;
use std::path::Path;

/// The file that says it for a PCI device (Documentation/ABI/testing/sysfs-bus-pci of the kernel).
pub(crate) const LOCAL_CPUS: &str = "local_cpulist";

/// The folders of the devices that a user may name, and the link in each device's own folder that leads to its hardware.
pub(crate) const DEVICES: [(&str, &str); 3] =
    [("sys/bus/pci/devices", ""), ("sys/class/net", "device"), ("sys/class/block", "")];

/// The CPUs near a device: a PCI address (`0000:03:00.0`, `03:00.0`), a network interface or a disk. `None`: there is no
/// such device, or it is near no CPUs in particular.
pub(crate) fn near(host: &HostTree<'_>, device: &str) -> Option<CpuSet> {
    if device.is_empty() || device.starts_with('.') || device.contains('/') {
        return None;
    }
    // Domain 0000 may be left out, as lspci does it.
    let names = [device.to_owned(), format!("0000:{device}")];
    let folders = DEVICES
        .iter()
        .flat_map(|(folder, link)| names.iter().map(move |name| Path::new(folder).join(name).join(link)));
    // A disk is in a controller's folder, and that in the PCI device's.
    let lists = folders.filter_map(|folder| host.text_above(folder, LOCAL_CPUS));
    lists.filter_map(|list| CpuSet::parse(&list, &CpuSet::new()).ok()).find(|cpus| !cpus.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, cpus};
    use std::os::unix::fs::symlink;

    #[test]
    fn a_device_is_found_by_its_address_its_interface_and_its_disk() {
        let kernel = FakeKernel::new();
        let pci = "/sys/devices/pci0000:00/0000:03:00.0";
        kernel.write(format!("{pci}/local_cpulist"), "4-7\n");
        kernel.write(format!("{pci}/virtio0/net/eth0/mtu"), "1500");
        kernel.write(format!("{pci}/nvme/nvme0/nvme0n1/size"), "1");
        kernel.write("/sys/devices/virtual/net/lo/mtu", "65536");
        for (link, to) in [
            ("/sys/bus/pci/devices/0000:03:00.0", "../../../devices/pci0000:00/0000:03:00.0"),
            ("/sys/class/net/eth0", "../../devices/pci0000:00/0000:03:00.0/virtio0/net/eth0"),
            ("/sys/class/net/lo", "../../devices/virtual/net/lo"),
            ("/sys/devices/pci0000:00/0000:03:00.0/virtio0/net/eth0/device", "../../../virtio0"),
            ("/sys/class/block/nvme0n1", "../../devices/pci0000:00/0000:03:00.0/nvme/nvme0/nvme0n1"),
        ] {
            let link = kernel.path(link);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(to, link).unwrap();
        }
        let host = HostTree::here(&kernel);
        for device in ["0000:03:00.0", "03:00.0", "eth0", "nvme0n1"] {
            assert_eq!(near(&host, device), Some(cpus("4-7")), "{device}");
        }
        for device in ["lo", "eth1", "", "..", "../net/eth0", "net/eth0"] {
            assert_eq!(near(&host, device), None, "{device}");
        }
    }
}
