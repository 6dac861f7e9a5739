//! The beginning of an ELF file (elf(5)): which machine it is for, and whether a loader takes part in running
//! it.
//!
//! Any other content is answered with "no ELF file", never with a panic.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the beginning of an ELF file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elf {
    /// What it runs on.
    pub(crate) machine: Machine,
    /// It asks for a loader: without one nothing is preloaded.
    pub(crate) has_loader: bool,
}

/// The machine that code is for. Files for different machines cannot be loaded into one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// 1: 32 bits, 2: 64 bits.
    class: u8,
    /// 1: little endian, 2: big endian.
    data: u8,
    /// `EM_*` of elf.h.
    number: u16,
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.number {
            3 => "x86",
            8 => "MIPS",
            20 => "PowerPC",
            21 => "64-bit PowerPC",
            22 => "S/390",
            40 => "Arm",
            62 if self.class == 1 => "x32",
            62 => "x86-64",
            183 => "arm64",
            243 => "RISC-V",
            258 => "LoongArch",
            number => return write!(f, "machine {number}"),
        };
        f.write_str(name)
    }
}

const PT_INTERP: u32 = 3;

/// More program headers are not read; no linker writes as many.
const HEADERS: usize = 512;

/// A longer program header is none: ELF has two sizes, 32 and 56 bytes.
const HEADER_BYTES: usize = 64;

impl Elf {
    /// What the beginning of the file of this name says; `None` if it is no ELF file. The name must be one that
    /// the user of this command gave: opening some files has effects, and others make the caller wait.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        Self::of(&File::open(path)?)
    }

    /// What the file's beginning says; `None` if it is no ELF file.
    pub(crate) fn of(file: &File) -> io::Result<Option<Self>> {
        let mut begin = [0u8; 64];
        let length = file.read_at(&mut begin, 0)?;
        let headers = begin.get(..length).and_then(headers);
        let Some(headers) = headers.filter(|headers| headers.size <= HEADER_BYTES) else { return Ok(None) };
        let mut table = vec![0u8; headers.count.min(HEADERS) * headers.size];
        let read = file.read_at(&mut table, headers.at)?;
        table.truncate(read);
        let has_loader = table
            .chunks_exact(headers.size)
            .any(|header| headers.number::<4>(header, 0).is_some_and(|kind| kind == u64::from(PT_INTERP)));
        Ok(Some(Self { machine: headers.machine, has_loader }))
    }
}

/// Where the program headers are.
struct Headers {
    machine: Machine,
    at: u64,
    count: usize,
    size: usize,
}

fn headers(begin: &[u8]) -> Option<Headers> {
    if begin.get(..4)? != b"\x7fELF" {
        return None;
    }
    let (class, data) = (*begin.get(4)?, *begin.get(5)?);
    let machine = Machine { class, data, number: 0 };
    let mut headers = Headers { machine, at: 0, count: 0, size: 1 };
    headers.machine.number = u16::try_from(headers.number::<2>(begin, 18)?).ok()?;
    let (at, size, count) = match class {
        1 => (headers.number::<4>(begin, 28)?, 42, 44),
        2 => (headers.number::<8>(begin, 32)?, 54, 56),
        _ => return None,
    };
    headers.at = at;
    headers.size = usize::try_from(headers.number::<2>(begin, size)?).ok()?.max(1);
    headers.count = usize::try_from(headers.number::<2>(begin, count)?).ok()?;
    Some(headers)
}

impl Headers {
    /// A number of `N` bytes in the file's own byte order.
    fn number<const N: usize>(&self, bytes: &[u8], at: usize) -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(N)?)?;
        let number = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.machine.data {
            2 => bytes.iter().fold(0, number),
            _ => bytes.iter().rev().fold(0, number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_a_loader() {
        let elf = Elf::read(&std::env::current_exe().unwrap()).unwrap().unwrap();
        assert!(elf.has_loader);
    }

    #[test]
    fn whatever_is_no_elf_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut huge_headers = [0xff; 64];
        huge_headers[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let bytes =
            [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0x7f; 64], b"\x7fELF\x02\x01\xff\xff", &huge_headers];
        for bytes in bytes {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Elf::read(&path).unwrap(), None);
        }
    }

    #[test]
    fn a_big_endian_file_is_read_in_its_own_order() {
        let mut bytes = vec![0u8; 120];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x02");
        bytes[19] = 22;
        bytes[39] = 64;
        bytes[55] = 56;
        bytes[57] = 1;
        bytes[67] = 3;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        let elf = Elf::read(&path).unwrap().unwrap();
        assert_eq!((elf.machine.to_string(), elf.has_loader), ("S/390".to_owned(), true));
    }
}
