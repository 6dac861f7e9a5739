//! The boot sector that every VM runs, made from its source when it is needed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::{Program, Scratch};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/boot.s");

/// Size of a BIOS disk sector, and so of the guest.
const SECTOR: u64 = 512;

/// Where the guest keeps its count of visits on each disk, in bytes; `tests/guest/boot.s` says so.
const COUNT_AT: u64 = 2048 * SECTOR;

/// Assembles the guest into `scratch` with the binutils that Rust's linker needs anyway.
pub fn assemble(scratch: &Scratch) -> PathBuf {
    let object = scratch.join("boot.o");
    let sector = scratch.join("boot.bin");
    Program::new("as").arg("--32").arg(SOURCE).arg("-o").arg(&object).run().assert_clean();
    Program::new("ld")
        .args(["-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-e", "start"])
        .arg(&object)
        .arg("-o")
        .arg(&sector)
        .run()
        .assert_clean();
    assert_eq!(
        fs::metadata(&sector).expect("the guest is there").len(),
        SECTOR,
        "a boot sector has one size"
    );
    sector
}

/// How often the guest has visited this raw disk image.
pub fn visits(image: &Path) -> u32 {
    let mut count = [0; 4];
    File::open(image).and_then(|f| f.read_exact_at(&mut count, COUNT_AT)).expect("read the disk image");
    u32::from_le_bytes(count)
}
