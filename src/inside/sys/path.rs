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

    /// Where a descriptor of this process leads, as [`StackPath::of_link`] answers it.
    pub(crate) fn of_descriptor(fd: i32) -> Self {
        let mut link = Self::default();
        let _ = write!(link, "/proc/self/fd/{fd}");
        Self::of_link(libc::AT_FDCWD, link.as_c_str())
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

#[cfg(test)]
mod tests {
    use super::StackPath;
    use proptest::prelude::*;
    use std::ffi::CString;
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    proptest! {
        #[test]
        fn it_holds_the_pieces_that_fit_and_ends_with_nul(pieces in prop::collection::vec("(?s).{0,40}", 0..8)) {
            let (mut path, mut expected) = (StackPath::default(), String::new());
            for piece in &pieces {
                let fits = expected.len() + piece.len() <= 63;
                prop_assert_eq!(path.write_str(piece).is_ok(), fits);
                if fits {
                    expected.push_str(piece);
                }
            }
            prop_assert_eq!(path.bytes.last(), Some(&0));
            let until_nul = expected.split('\0').next().unwrap_or_default();
            prop_assert_eq!(path.as_c_str().to_bytes(), until_nul.as_bytes());
        }
    }

    #[test]
    fn the_longest_path_has_63_bytes() {
        for length in 60..70 {
            let mut path = StackPath::default();
            assert_eq!(path.write_str(&"x".repeat(length)).is_ok(), length <= 63);
            assert_eq!(path.as_c_str().count_bytes(), if length <= 63 { length } else { 0 });
        }
    }

    #[test]
    fn a_link_is_read_whole_or_cut_to_63_bytes() {
        let name = std::env::temp_dir().join(format!("stack-path-{}", std::process::id()));
        let link = CString::new(name.as_os_str().as_bytes()).unwrap();
        for length in 1..100 {
            let target = "x".repeat(length);
            symlink(&target, &name).unwrap();
            let path = StackPath::of_link(libc::AT_FDCWD, &link);
            std::fs::remove_file(&name).unwrap();
            assert_eq!(path.as_c_str().to_bytes(), &target.as_bytes()[..length.min(63)]);
            assert_eq!(path.bytes.last(), Some(&0));
        }
    }

    #[test]
    fn a_link_that_cannot_be_read_is_an_empty_path() {
        assert!(StackPath::of_link(libc::AT_FDCWD, c"/proc/self/fd/-1").as_c_str().is_empty());
        assert!(StackPath::of_link(-1, c"nothing").as_c_str().is_empty());
    }
}
