//! The variables that root's own files hold for a domain of `qemu:///system` that runs.

use crate::arguments::Folders;
use crate::libvirt::domain_file;
use crate::libvirt::policy::{Variables, manager};
use crate::libvirt::qemu_process::QemuProcess;
use crate::libvirt::status_file;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use std::ffi::OsStr;

/// The variables that the hook has left for the domain with this name, or that the administrator's file has, if
/// the process is the domain's QEMU. The name may be the process's own word: it is libvirt that says whose it is.
///
/// # Errors
/// Why there are none, in a sentence.
pub(crate) fn left_for(
    kernel: &dyn Kernel,
    folders: &Folders,
    process: Process<'_>,
    name: &str,
) -> Result<Variables, String> {
    let domain = OsStr::new(name);
    let qemu = QemuProcess::find(kernel, &folders.pid_files, domain)?;
    if qemu.process.pid != process.pid {
        return Err(format!("libvirt's {name} is process {}, not {}", qemu.process.pid, process.pid));
    }
    let uuid = status_file::uuid(kernel, &folders.pid_files, domain)?;
    let left = domain_file::left(kernel, &folders.run.join("domains"), domain)?;
    let left = left.filter(|fields| fields.uuid.as_ref() == Some(&uuid)).map(|fields| fields.variables);
    let variables = match left {
        Some(variables) => Some(variables),
        None => domain_file::administrators(kernel, &folders.config.join("domains"), domain, &uuid)?,
    };
    let mut variables = variables.ok_or_else(|| {
        format!("neither {} nor {} has one", folders.run.display(), folders.config.display())
    })?;
    variables.push(manager());
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;

    const PID_FILE: &str = "/run/libvirt/qemu/web.pid";

    const STATUS_FILE: &str = "/run/libvirt/qemu/web.xml";

    const UUID: &str = "7430d5d9-a334-461e-af4e-526061963a0d";

    fn said(kernel: &FakeKernel, pid: i32, name: &str) -> Result<String, String> {
        let process = Process::new(kernel, pid).unwrap();
        let variables = left_for(kernel, &Folders::default(), process, name)?;
        Ok(variables.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_hooks_file_counts_before_the_administrators_and_for_the_domains_qemu_alone() {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        for pid in [100, 200] {
            let qemu = ["/usr/bin/qemu-system-x86_64", "-name", "guest=web"];
            kernel.process(pid, &qemu).thread(pid, "qemu-system-x86", "0");
        }
        assert_eq!(said(&kernel, 100, "web"), Err(format!("there is no {PID_FILE}")));
        kernel.write(PID_FILE, "100\n");
        kernel.lock(PID_FILE, 100);
        kernel.write(STATUS_FILE, format!("<domstatus><domain><uuid>{UUID}</uuid></domain></domstatus>"));
        let none = "neither /run/pinshim nor /etc/pinshim has one".to_owned();
        assert_eq!(said(&kernel, 100, "web"), Err(none));
        kernel.write("/etc/pinshim/domains/web.env", "PIN_CPUS=1\n");
        assert_eq!(said(&kernel, 100, "web"), Ok("PIN_CPUS=1 PIN_MANAGER=libvirt".to_owned()));
        kernel.write(format!("/etc/pinshim/domains/{UUID}.env"), "PIN_CPUS=3\n");
        assert_eq!(said(&kernel, 100, "web"), Ok("PIN_CPUS=3 PIN_MANAGER=libvirt".to_owned()));
        kernel.write("/run/pinshim/domains/web.env", format!("UUID={UUID}\nPIN_CPUS=2\n"));
        assert_eq!(said(&kernel, 100, "web"), Ok("PIN_CPUS=2 PIN_MANAGER=libvirt".to_owned()));
        // What was left for another domain of the name.
        let other = UUID.replace('7', "8");
        kernel.write("/run/pinshim/domains/web.env", format!("UUID={other}\nPIN_CPUS=2\n"));
        assert_eq!(said(&kernel, 100, "web"), Ok("PIN_CPUS=3 PIN_MANAGER=libvirt".to_owned()));
        // One that only says that it is the domain's.
        assert_eq!(said(&kernel, 200, "web"), Err("libvirt's web is process 100, not 200".to_owned()));
    }
}
