//! The man pages, as the programs that show them read them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Finished, Program, Scratch, TimeLimit, command, skip};

/// The pages as `scripts/install` gets them.
fn pages(scratch: &Scratch) -> Vec<PathBuf> {
    let folder = scratch.join("man");
    Program::new(command()).arg("generate").arg("--man").arg(&folder).run().assert_clean();
    let mut pages: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|page| page.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() > 7, "{pages:?}");
    pages
}

/// What a program says of a page. `None`, and said, where there is no such program.
fn said_by(program: &str, options: &[&str], page: &Path) -> Option<Finished> {
    let program = Program::new(program).args(options).arg(page);
    program.env("MANWIDTH", "60").env("LC_ALL", "C.UTF-8").env("MANPAGER", "cat").run_or_skip()
}

#[test]
fn no_page_has_a_mistake() {
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    for page in pages(&scratch) {
        let Some(lint) = said_by("mandoc", &["-T", "lint", "-W", "warning"], &page) else { break };
        // A page that is made anew with every build has no date of its own.
        let wrong: Vec<&str> = lint.stdout.lines().filter(|line| !line.contains("missing date")).collect();
        assert_eq!(wrong, [""; 0]);
    }
    for page in pages(&scratch) {
        let Some(formatted) = said_by("groff", &["-ww", "-k", "-man", "-Tutf8"], &page) else { break };
        assert_eq!((formatted.code(), &*formatted.stderr), (0, ""), "{}", page.display());
    }
}

#[test]
fn every_page_has_its_sections_and_whole_examples() {
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    for page in pages(&scratch) {
        let text = match said_by("man", &["-l"], &page) {
            Some(shown) if !shown.stdout.is_empty() => shown.stdout,
            _ => return skip("there is no man"),
        };
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        for section in ["NAME", "ENVIRONMENT", "SEE ALSO"] {
            assert!(text.lines().any(|line| line == section), "{name}: {section}\n{text}");
        }
        // Hyphenation would break the names of programs and options.
        assert!(!text.contains('\u{2010}'), "{name}:\n{text}");
        if name == "pinshim-run.1" {
            for line in ["EXIT STATUS", "EXAMPLES", "FILES"] {
                assert!(text.lines().any(|shown| shown == line), "{name}: {line}\n{text}");
            }
            let example = "pinshim run --cpus 2-5 -- qemu-system-x86_64 -smp 4 disk.img";
            assert!(text.lines().any(|line| line.trim() == example), "{text}");
        }
        if name == "pinshim-environment.7" {
            let readme = include_str!("../README.md").lines();
            for row in readme.filter_map(|line| line.strip_prefix("| `PIN_")) {
                let variable = format!("PIN_{}", row.split('`').next().unwrap());
                assert!(text.contains(&format!("{variable} (")), "{variable}\n{text}");
            }
        }
    }
}
