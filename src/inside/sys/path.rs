//! A short path on the stack, for code that must not allocate.

use crate::sys::file;
use std::ffi::CStr;
use std::fmt::{Error, Write};

/// A path of at most 63 bytes. It always ends with NUL, since the last byte is never written to.
#[derive(Clone, Copy)]
pub(crate) struct StackPath {
    bytes: [u8; 64],
    used: usize,
}

impl Default for StackPath {
    fn default() -> Self {
        Self { bytes: [0; 64], used: 0 }
    }
}

impl StackPath {
    /// Where a link leads; empty if it cannot be read, cut if it is longer than this type holds.
    pub(crate) fn of_link(folder: i32, link: &CStr) -> Self {
        let mut path = Self::default();
        let mut room = [0u8; 63];
        for (to, from) in
            path.bytes.iter_mut().zip(file::read_link_at(folder, link, &mut room).unwrap_or_default())
        {
            *to = *from;
            path.used += 1;
        }
        path
    }

    /// The path as system calls want it.
    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

impl Write for StackPath {
    /// Fails, and writes nothing, where there is no room.
    fn write_str(&mut self, text: &str) -> Result<(), Error> {
        let end = self.used + text.len();
        if end >= self.bytes.len() {
            return Err(Error);
        }
        self.bytes.get_mut(self.used..end).ok_or(Error)?.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}
