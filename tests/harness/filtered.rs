//! Small programs that load a filter of their own, as QEMU does: `seccomp_load` is in a library of the
//! test's, so neither libseccomp nor its headers are needed.

use std::path::PathBuf;

use crate::{Program, Scratch, Source, TwoCpus, compile, compile_library, library};

/// A program of `tests/programs/` that calls `seccomp_load`, and what it needs to run.
#[derive(Debug)]
pub struct Filtered {
    scratch: Scratch,
    program: PathBuf,
    cpus: TwoCpus,
}

impl Filtered {
    /// Compiles the program and its filter.
    pub fn new(file: &str, cpus: TwoCpus) -> Self {
        let scratch = Scratch::new();
        let filter = compile_library(&scratch, &Source { file: "own_filter.c", flags: &[] });
        let filter = filter.to_str().expect("a printable path");
        let program = compile(&scratch, &Source { file, flags: &[filter] });
        Self { scratch, program, cpus }
    }

    /// The folder with its files.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The program under the library, started on the first CPU; its threads belong on the second.
    pub fn target(&self) -> Program {
        self.environment(Program::new(&self.program))
    }

    /// The same, started by another program, which is told its path as the last of its arguments.
    pub fn started_by(&self, starter: &str, arguments: &[&str]) -> Program {
        self.environment(Program::new(starter).args(arguments).arg(&self.program))
    }

    fn environment(&self, program: Program) -> Program {
        let (first, second) = (self.cpus.first, self.cpus.second.to_string());
        program
            .affinity(&[first])
            // Another user may not be able to reach the build's folder.
            .preload(self.scratch.copy(library()))
            .env("PIN_TARGET", self.program.file_name().expect("a program has a name"))
            .env("PIN_CPUS", &second)
            .env("EXPECT_CPU", &second)
            .env("FROM_CPU", first.to_string())
    }
}
