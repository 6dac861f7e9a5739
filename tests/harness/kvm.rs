//! Whether KVM can be used here, and how another user gets to it.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::user::{Uid, take_own_mounts};
use crate::{Scratch, own_mounts_missing};

const DEVICE: &str = "/dev/kvm";

/// `KVM_GET_API_VERSION` of linux/kvm.h, and its only answer since 2007.
const KVM_GET_API_VERSION: libc::c_ulong = 0xAE00;
const KVM_API_VERSION: i32 = 12;

/// Why KVM cannot be used here, if so.
pub fn kvm_missing() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the guest is for x86".into());
    }
    let device = match File::options().read(true).write(true).open(DEVICE) {
        Ok(device) => device,
        Err(e) => return Some(format!("no KVM, {DEVICE}: {e}")),
    };
    // SAFETY: this request takes no argument. The kernel refuses any but 0 (virt/kvm/kvm_main.c).
    let version = unsafe { libc::ioctl(device.as_raw_fd(), KVM_GET_API_VERSION, 0) };
    (version != KVM_API_VERSION).then(|| format!("KVM answers with version {version}"))
}

/// A `/dev/kvm` of the test's own for a user who may not open the machine's. It is put over the
/// machine's name in the mount namespace of one child, so nothing outside sees a change.
#[derive(Debug, Clone)]
pub(crate) struct OwnNode(PathBuf);

impl OwnNode {
    pub(crate) fn new(scratch: &Scratch, user: Uid) -> Result<Self, String> {
        if let Some(why) = own_mounts_missing() {
            return Err(why);
        }
        let path = scratch.join("kvm");
        let device = std::fs::metadata(DEVICE).map_err(|e| format!("{DEVICE}: {e}"))?.rdev();
        let name = c_path(&path);
        // SAFETY: `name` is a C string that lives across the call.
        if unsafe { libc::mknod(name.as_ptr(), libc::S_IFCHR | 0o600, device) } != 0 {
            return Err(format!("no device node can be made: {}", io::Error::last_os_error()));
        }
        std::os::unix::fs::chown(&path, Some(user.0), Some(user.0)).map_err(|e| e.to_string())?;
        File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| format!("device nodes are of no use here: {e}"))?;
        Ok(Self(path))
    }

    /// What the child has to do before exec.
    pub(crate) fn take_place(&self) -> impl FnMut() -> io::Result<()> + Send + Sync + use<> {
        let node = c_path(&self.0);
        move || {
            take_own_mounts()?;
            let none = std::ptr::null();
            // SAFETY: C strings that live across the call, and null where mount(2) ignores the argument.
            let result =
                unsafe { libc::mount(node.as_ptr(), c"/dev/kvm".as_ptr(), none, libc::MS_BIND, none.cast()) };
            if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        }
    }
}

fn c_path(path: &std::path::Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path without a zero byte")
}
