//! The small C programs, compiled when a test needs one.

use std::path::{Path, PathBuf};

use crate::{Program, Scratch};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");

/// A file of `tests/programs/` and the compiler's further arguments.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// Its name, with the ending, which tells C from C++.
    pub file: &'a str,
    /// Compiler and linker arguments, in addition to the usual ones.
    pub flags: &'a [&'a str],
}

/// Compiles a program into `scratch` under the file's name without its ending.
pub fn compile(scratch: &Scratch, source: &Source<'_>) -> PathBuf {
    run_compiler(source, &[], scratch.join(stem(source.file)))
}

/// Compiles a shared library into `scratch` as `libNAME.so`.
pub fn compile_library(scratch: &Scratch, source: &Source<'_>) -> PathBuf {
    run_compiler(source, &["-shared", "-fPIC"], scratch.join(format!("lib{}.so", stem(source.file))))
}

fn stem(file: &str) -> &str {
    file.rsplit_once('.').expect("a source file has an ending").0
}

fn run_compiler(source: &Source<'_>, how: &[&str], output: PathBuf) -> PathBuf {
    let compiler = if source.file.ends_with(".cpp") { "c++" } else { "cc" };
    Program::new(compiler)
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-D_GNU_SOURCE"])
        .args(how)
        .arg(Path::new(PROGRAMS).join(source.file))
        .arg("-o")
        .arg(&output)
        .args(source.flags)
        .run()
        .assert_clean();
    output
}
