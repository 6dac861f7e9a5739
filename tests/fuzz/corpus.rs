//! Replays the corpus: each input in `corpus/` holds every property of its target.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fuzz::TARGETS;

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_input_of_the_corpus_holds_the_properties_of_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, run) in TARGETS {
        let folder = corpus.join(target);
        for name in names(&folder) {
            println!("{target}/{name}");
            run(&fs::read(folder.join(name)).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&corpus), targets);
    for target in targets {
        assert!(!names(&corpus.join(&target)).is_empty(), "{target}");
    }
}

/// Inputs that are nearly those of the corpus: a byte changed, and a piece left out or given twice.
#[test]
fn no_small_change_of_an_input_breaks_a_property() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    // The same numbers each time (Numerical Recipes' generator).
    let mut state = 1u32;
    let mut number = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for (target, run) in TARGETS {
        for name in names(&corpus.join(target)) {
            let good = fs::read(corpus.join(target).join(name)).unwrap();
            for _ in 0..20 {
                let mut input = good.clone();
                let at = number(input.len() + 1);
                let end = at + number((input.len() - at).min(40) + 1);
                match number(3) {
                    0 => drop(input.drain(at..end)),
                    1 => drop(input.splice(at..at, good.get(at..end).unwrap_or_default().to_vec())),
                    _ => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = number(256) as u8),
                }
                run(&input);
            }
        }
    }
}
