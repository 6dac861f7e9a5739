//! The order of the house: lower floors never import higher ones, and no files import each other in a circle.
//!
//! A new file goes into one of the rooms below. A new room, or a new crate, is entered here first.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use harness::floors::{Crate, faults};

/// Each crate of `src`, with its floors from the lowest up and the rooms of each floor.
const HOUSE: &[Crate] = &[
    // The vocabulary: what the environment can say, what the status page holds.
    Crate {
        folder: "pinning",
        name: "pinning",
        imports: &[],
        floors: &[
            &["class", "cpus", "glob", "harmful", "kernel_thread", "process", "role", "tid"],
            &["memory", "sched_attributes"],
            &["policy"],
            &["environment"],
            &["status_page"],
            &["lib"],
        ],
    },
    // Choosing CPUs.
    Crate {
        folder: "planning",
        name: "planning",
        imports: &["pinning"],
        floors: &[
            &["cost", "request", "topology"],
            &["domains", "guest", "reason"],
            &["search"],
            &["choose"],
            &["arrange"],
            &["plan"],
            &["lib"],
        ],
    },
    // All that lives in QEMU but the exported functions.
    Crate {
        folder: "inside",
        name: "inside",
        imports: &["pinning"],
        floors: &[
            &["filters", "hash"],
            &["sys"],
            &["leases", "report", "state"],
            &["affinity", "identity"],
            &["broker"],
            &["placing"],
            &["start"],
            &["calls"],
            &["lib"],
        ],
    },
    // libpinshim.so: the exported functions and the constructor.
    Crate {
        folder: "shim",
        name: "pinshim",
        imports: &["inside"],
        floors: &[&["glibc"], &["hooks"], &["lib"]],
    },
    // The command.
    Crate {
        folder: "cli",
        name: "pinshim_cli",
        imports: &["pinning", "planning"],
        floors: &[
            &["output"],
            &["arguments", "preload", "sys"],
            &["lease"],
            &["vm"],
            &["record"],
            &["doctor", "libvirt", "verdict"],
            &["present"],
            &["commands"],
            &["main"],
        ],
    },
];

#[test]
fn no_import_runs_upwards_and_no_files_import_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests have a parent folder");
    let faults = faults(root, HOUSE);
    assert!(
        faults.is_empty(),
        "{} faults, with the table in tests/floors.rs:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

mod planted {
    //! Small houses with one fault each, which has to be named with its file and line.

    use harness::Scratch;

    use super::*;

    /// Two crates; `upper` has a room of three files and may import `lower`.
    const PLANTED: &[Crate] = &[
        Crate { folder: "lower", name: "lower", imports: &[], floors: &[&["one"], &["lib"]] },
        Crate {
            folder: "upper",
            name: "upper",
            imports: &["lower"],
            floors: &[&["ground"], &["left", "right"], &["roof"], &["lib"]],
        },
    ];

    /// A house without a fault, by file.
    const SOUND: [(&str, &str); 10] = [
        ("lower/lib.rs", "mod one;\npub use one::One;\n"),
        ("lower/one.rs", "pub struct One;\n"),
        ("lower/build.rs", "fn main() {}\n"),
        ("lower/tests/all.rs", "use upper::anything;\n"),
        ("upper/lib.rs", "mod ground;\nmod left;\nmod right;\nmod roof;\npub(crate) use left::inner;\n"),
        ("upper/ground.rs", "//! [`crate::roof`] is only a link.\npub(crate) fn dig() {}\n"),
        ("upper/left/mod.rs", "pub(crate) mod inner;\nmod outer;\nmod third;\n"),
        ("upper/left/inner.rs", "use crate::ground::dig;\npub(in crate::left) fn go() { dig() }\n"),
        ("upper/left/outer.rs", "use super::inner::{self, go};\nfn out() { go(); inner::go() }\n"),
        ("upper/left/third.rs", "use lower::One;\nuse std::fmt::{self as text, Debug};\n"),
    ];

    /// Whatever needs no change, in the rooms that [`SOUND`] leaves.
    const REST: [(&str, &str); 2] = [
        (
            "upper/right.rs",
            "use crate::left::inner;\n\
             #[cfg(test)]\nmod tests {\n    use crate::roof::Roof;\n}\n\
             #[cfg(all(test, unix))]\nuse crate::roof::Roof;\n\
             #[cfg(test)]\nfn only_in_tests() { crate::roof::Roof; }\n",
        ),
        ("upper/roof.rs", "use crate::right;\npub struct Roof;\n"),
    ];

    /// The faults of the sound house with these files changed or added.
    fn faults_with(changed: &[(&str, &str)]) -> Vec<String> {
        let scratch = Scratch::new();
        for (file, text) in SOUND.iter().chain(&REST).chain(changed) {
            let file = scratch.join("src").join(file);
            std::fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("make a folder");
            std::fs::write(file, text).expect("write a source file");
        }
        faults(scratch.path(), PLANTED)
    }

    #[track_caller]
    fn only_fault(changed: &[(&str, &str)], expected: &str) {
        assert_eq!(faults_with(changed), [expected]);
    }

    #[test]
    fn a_sound_house_has_no_fault() {
        assert_eq!(faults_with(&[]), [""; 0]);
    }

    /// Every way to write an import that runs upwards is one, and is named with its line.
    #[test]
    fn an_import_that_runs_upwards_is_named() {
        for (line, path) in [
            ("use crate::roof::Roof;", "crate::roof::Roof"),
            ("pub use super::roof::Roof as Other;", "super::roof::Roof"),
            ("use crate::{left::inner::{self}, roof::{Roof}};", "crate::roof::Roof"),
            ("use crate::roof::*;", "crate::roof::*"),
            ("fn f() { use crate::roof; }", "crate::roof"),
            ("fn f(_: &[crate::roof::Roof]) {}", "crate::roof::Roof"),
            ("fn f() -> Vec<Option<crate::roof::Roof>> { crate::left::inner::go() }", "crate::roof::Roof"),
            ("impl From<crate::roof::Roof> for () {}", "crate::roof::Roof"),
            ("mod inner { fn f() { super::super::roof::f() } }", "super::super::roof::f"),
            ("fn f() { log::warn!(\"{}\", crate::roof::NAME) }", "crate::roof::NAME"),
            ("fn f() { vec![(1, { self::super::roof::f::<u8>() })]; }", "self::super::roof::f"),
            ("macro_rules! m { () => { $crate::roof::f() }; }", "crate::roof::f"),
            ("macro_rules! m { () => { use $crate::{ground, roof::{f, g as h}}; }; }", "crate::roof::f"),
            ("#[derive(crate::roof::Derive)] struct S;", "crate::roof::Derive"),
            ("struct S { #[serde(with = \"crate::roof\")] s: u8 }", "crate::roof"),
            ("#[cfg(not(test))] use crate::roof::Roof;", "crate::roof::Roof"),
            ("#[cfg(any(test, unix))] use crate::roof::Roof;", "crate::roof::Roof"),
        ] {
            let text = format!("//! Right.\n\n{line}\n");
            let found = faults_with(&[("upper/right.rs", &text), ("upper/roof.rs", "pub struct Roof;\n")]);
            let expected = format!(
                "src/upper/right.rs:3: `{path}` runs upwards, from right (floor 2) to roof (floor 3, src/upper/roof.rs)"
            );
            assert!(found.contains(&expected), "{line}: {found:#?}");
            assert!(
                found.iter().all(|fault| fault.starts_with("src/upper/right.rs:3: ")),
                "{line}: {found:#?}"
            );
        }
    }

    /// A name that a `use` has brought leads as far as the path behind it.
    #[test]
    fn a_path_is_followed_through_other_names() {
        let roof = ("upper/roof.rs", "pub mod beam;\n");
        let beam = ("upper/roof/beam.rs", "pub struct Beam;\n");
        for (line, path) in [
            ("use crate as all; fn f() { all::roof::beam::f() }", "all::roof::beam::f"),
            ("use super::*; fn f() { roof::beam::f() }", "roof::beam::f"),
            ("use super::high; fn f() { high::f() }", "high::f"),
        ] {
            let root = SOUND[4].1.to_owned() + "use roof::beam as high;\n";
            let found = faults_with(&[roof, beam, ("upper/lib.rs", &root), ("upper/right.rs", line)]);
            let expected = format!(
                "src/upper/right.rs:1: `{path}` runs upwards, from right (floor 2) to roof (floor 3, \
                 src/upper/roof/beam.rs)"
            );
            assert!(found.contains(&expected), "{line}: {found:#?}");
        }
    }

    /// Re-exported by the crate's root, a thing is imported from the root's file.
    #[test]
    fn what_the_root_re_exports_is_imported_from_the_root() {
        let found = faults_with(&[(
            "lower/one.rs",
            "pub struct One;
use crate::One as Me;
",
        )]);
        let expected = [
            "src/lower/lib.rs:2: a circle of files: \
             src/lower/lib.rs:2 -> src/lower/one.rs:2 -> src/lower/lib.rs",
            "src/lower/one.rs:2: `crate::One` runs upwards, from one (floor 1) to lib (floor 2, src/lower/lib.rs)",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_circle_of_two_files_is_named_with_its_lines() {
        only_fault(
            &[("upper/left/inner.rs", "\nuse super::outer::out;\n")],
            "src/upper/left/inner.rs:2: a circle of files: \
             src/upper/left/inner.rs:2 -> src/upper/left/outer.rs:1 -> src/upper/left/inner.rs",
        );
    }

    #[test]
    fn a_circle_of_three_files_is_named_with_its_lines() {
        only_fault(
            &[
                ("upper/left/inner.rs", "fn f() {\n    log::info!(\"{:?}\", super::third::f());\n}\n"),
                ("upper/left/third.rs", "use super::outer::out;\n"),
            ],
            "src/upper/left/inner.rs:2: a circle of files: \
             src/upper/left/inner.rs:2 -> src/upper/left/third.rs:1 -> src/upper/left/outer.rs:1 -> \
             src/upper/left/inner.rs",
        );
    }

    /// A room's face re-exports what its files have; a file that takes it from there closes a circle.
    #[test]
    fn a_file_that_imports_its_rooms_face_makes_a_circle() {
        only_fault(
            &[
                ("upper/left/mod.rs", "pub(crate) mod inner;\nmod outer;\nmod third;\npub use outer::out;\n"),
                ("upper/left/third.rs", "use super::out;\n"),
                ("upper/left/outer.rs", "use super::third::f;\n"),
            ],
            "src/upper/left/mod.rs:4: a circle of files: \
             src/upper/left/mod.rs:4 -> src/upper/left/outer.rs:1 -> src/upper/left/third.rs:1 -> \
             src/upper/left/mod.rs",
        );
    }

    #[test]
    fn two_circles_that_meet_are_named_with_all_their_files() {
        only_fault(
            &[
                ("upper/left/inner.rs", "use super::outer::out;\nuse super::third::f;\n"),
                ("upper/left/third.rs", "use super::inner::go;\n"),
            ],
            "src/upper/left/inner.rs:1: a circle of files: \
             src/upper/left/inner.rs:1 -> src/upper/left/outer.rs:1 -> src/upper/left/inner.rs; all of these reach \
             one another: src/upper/left/inner.rs, src/upper/left/outer.rs, src/upper/left/third.rs",
        );
    }

    /// Also of one floor, and where no two files import each other.
    #[test]
    fn a_circle_of_rooms_is_named_with_its_lines() {
        only_fault(
            &[("upper/left/outer.rs", "use crate::right::other;\n")],
            "src/upper/left:1: a circle of rooms: src/upper/left:1 -> src/upper/right:1 -> src/upper/left",
        );
    }

    /// A macro in scope without a path, by `#[macro_use]`, is imported from where it is defined.
    #[test]
    fn a_macro_without_a_path_is_an_import() {
        let found = faults_with(&[
            ("upper/right.rs", "fn f() {\n    shout!(1);\n}\n"),
            ("upper/roof.rs", "macro_rules! shout { () => {}; }\n"),
        ]);
        let expected = "src/upper/right.rs:2: `shout!` runs upwards, from right (floor 2) to roof (floor 3, src/upper/roof.rs)";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_room_that_stands_on_no_floor_is_named() {
        let root = SOUND[4].1.to_owned() + "mod attic;\n";
        only_fault(
            &[("upper/lib.rs", &root), ("upper/attic.rs", "")],
            "src/upper/lib.rs:6: src/upper/attic.rs is in the room `attic`, which stands on no floor of upper",
        );
    }

    #[test]
    fn a_room_that_is_gone_is_named() {
        let root = "mod ground;\nmod left;\nmod right;\n";
        assert_eq!(
            faults_with(&[("upper/lib.rs", root)]),
            [
                "src/upper: the table of floors has the room `roof`, and there is none",
                "src/upper/roof.rs: no `mod` line of the crate leads to this file",
            ]
        );
    }

    #[test]
    fn a_file_that_belongs_to_no_module_is_named() {
        only_fault(
            &[("upper/left/forgotten.rs", "use crate::roof::Roof;\n")],
            "src/upper/left/forgotten.rs: no `mod` line of the crate leads to this file",
        );
    }

    /// Files of tests alone may import what they like.
    #[test]
    fn modules_for_tests_are_left_out() {
        let found = faults_with(&[
            ("upper/ground.rs", "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more { mod deep; }\n"),
            ("upper/ground/tests.rs", "use crate::roof::Roof;\nmod inner;\n"),
            ("upper/ground/tests/inner.rs", "use crate::roof::Roof;\n"),
            ("upper/ground/more/deep.rs", "use crate::roof::Roof;\n"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_folder_that_is_no_crate_of_the_table_is_named() {
        only_fault(&[("shed/lib.rs", "")], "src/shed: this folder is no crate of the table of floors");
    }

    #[test]
    fn an_import_of_a_crate_that_may_not_be_imported_is_named() {
        for (line, path) in [
            ("use upper::Roof;", "upper::Roof"),
            ("use ::upper as other;", "::upper"),
            ("fn f() -> ::upper::Roof { upper::f() }", "::upper::Roof"),
            ("fn f() { assert!(upper::f()) }", "upper::f"),
            ("extern crate upper;", "::upper"),
        ] {
            let text = format!("pub struct One;\n{line}\n");
            let found = faults_with(&[("lower/one.rs", &text)]);
            let expected = format!("src/lower/one.rs:2: `{path}`: lower may not import the crate upper");
            assert!(found.contains(&expected), "{line}: {found:#?}");
        }
    }

    #[test]
    fn a_file_that_is_no_rust_is_named() {
        let found = faults_with(&[("upper/ground.rs", "\nfn f( {\n")]);
        assert!(found.len() == 1 && found[0].starts_with("src/upper/ground.rs:2: "), "{found:#?}");
    }
}
