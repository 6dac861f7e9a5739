//! Leaving leases open for the program that takes this process's place.

use crate::sys::linux::keep_open;
use pinning::LEASES_VARIABLE;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Has exec leave the files of leases open. The variable that names them tells the library which ones no child of QEMU
/// shall have; `None` without any.
///
/// # Errors
/// A descriptor cannot be kept open.
pub(crate) fn leave_open(leases: &[File]) -> io::Result<Option<(&'static str, String)>> {
    let mut numbers = Vec::new();
    for file in leases {
        keep_open(file)?;
        numbers.push(file.as_raw_fd().to_string());
    }
    Ok((!numbers.is_empty()).then(|| (LEASES_VARIABLE, numbers.join(","))))
}
