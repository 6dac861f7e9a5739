//! What the built library asks of the C library that it is loaded beside: a promise of README's, read from the file.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use harness::{Program, TimeLimit, library};

/// The oldest glibc that the library loads on: that of Debian 10 and RHEL 8.
const OLDEST: [u32; 2] = [2, 28];

/// What `readelf` says of the library, line by line.
fn readelf(what: &str) -> Vec<String> {
    let said = Program::new("readelf").args(["-W", what]).arg(library()).run();
    assert_eq!(said.code(), 0, "{said:?}");
    said.stdout.lines().map(str::to_owned).collect()
}

/// ld.so refuses a library of which one symbol version is missing, be the symbol a weak one.
#[test]
fn no_symbol_is_newer_than_the_oldest_glibc() {
    let _limit = TimeLimit::seconds(60);
    let lines = readelf("--version-info");
    let versions = lines.iter().flat_map(|line| line.split_whitespace()).filter_map(version);
    let versions: BTreeSet<Vec<u32>> = versions.collect();
    assert!(versions.len() > 3, "readelf names versions: {lines:#?}");
    let newer: Vec<_> = versions.into_iter().filter(|version| version[..] > OLDEST[..]).collect();
    assert!(
        newer.is_empty(),
        "{newer:?}: src/shim/glibc.rs names old versions; the symbols are in {:#?}",
        readelf("--dyn-syms")
    );
}

/// The numbers in `GLIBC_2.2.5`.
fn version(word: &str) -> Option<Vec<u32>> {
    word.strip_prefix("GLIBC_")?.split('.').map(|number| number.parse().ok()).collect()
}

/// The functions of glibc's that the library defines for itself must not become those of QEMU.
#[test]
fn what_stands_in_for_glibcs_functions_is_not_exported() {
    let _limit = TimeLimit::seconds(60);
    let symbols = readelf("--dyn-syms");
    assert!(symbols.iter().any(|line| line.ends_with(" pthread_create")), "{symbols:#?}");
    for name in ["fstat64", "stat64", "gettid"] {
        assert!(!symbols.iter().any(|line| line.ends_with(&format!(" {name}"))), "{name}: {symbols:#?}");
    }
}

#[test]
fn readme_names_the_oldest_glibc() {
    let readme = include_str!("../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let [major, minor] = OLDEST;
    let promise = format!("needs glibc {major}.{minor} or later");
    assert!(readme.contains(&promise), "README says: {promise}");
}
