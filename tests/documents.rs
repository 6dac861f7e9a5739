//! The project's documents: their lines are wrapped alike, and their links lead somewhere.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Columns of a line of prose. Tables, code and lines without a space to break at may be longer.
const COLUMNS: usize = 100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Markdown file of the top level and of `docs`.
fn documents() -> Vec<PathBuf> {
    let folders = [root(), root().join("docs")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut documents: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    documents.sort();
    assert!(documents.len() >= 8, "{documents:?}");
    documents
}

/// The lines of a document with their numbers, without those inside code fences.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

fn too_long(text: &str) -> Vec<usize> {
    let is_long = |line: &str| line.chars().count() > COLUMNS && line.trim_start().contains(' ');
    prose(text)
        .filter(|(_, line)| is_long(line) && !line.starts_with('|'))
        .map(|(number, _)| number)
        .collect()
}

/// The targets of `[text](target)` in a document.
fn links(text: &str) -> Vec<&str> {
    let targets = prose(text).flat_map(|(_, line)| line.split("](").skip(1));
    targets.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// The anchors that a document's headings make: small letters, no punctuation, hyphens for spaces.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter_map(|(_, line)| line.strip_prefix('#'));
    let anchor = |heading: &str| -> String {
        let kept = heading
            .trim_start_matches('#')
            .trim()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    headings.map(anchor).collect()
}

/// What is wrong with a link in a document of this folder.
fn broken(folder: &Path, own_text: &str, target: &str) -> Option<String> {
    if target.contains("://") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let text = if file.is_empty() {
        own_text.to_owned()
    } else {
        match fs::metadata(folder.join(file)) {
            Err(error) => return Some(format!("{target}: {error}")),
            Ok(about) if about.is_dir() => String::new(),
            Ok(_) => fs::read_to_string(folder.join(file)).unwrap_or_default(),
        }
    };
    (!anchor.is_empty() && !anchors(&text).iter().any(|known| known == anchor))
        .then(|| format!("{target}: no such heading"))
}

#[test]
fn prose_is_wrapped_alike() {
    for path in documents() {
        assert_eq!(
            too_long(&fs::read_to_string(&path).unwrap()),
            [0; 0],
            "{}: lines too long",
            path.display()
        );
    }
}

#[test]
fn every_link_leads_somewhere() {
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let broken: Vec<String> = links(&text)
            .into_iter()
            .filter_map(|target| broken(path.parent().unwrap(), &text, target))
            .collect();
        assert!(broken.is_empty(), "{}: {broken:?}", path.display());
    }
}

#[test]
fn long_lines_and_broken_links_are_noticed() {
    let long = "word ".repeat(30);
    assert_eq!(too_long(&format!("short\n{long}\n| {long}|\n```\n{long}\n```\n- {long}")), [2, 7]);
    let text =
        "# A house, with floors\n[a](#a-house-with-floors) [b](#cellar) [c](README.md) [d](no/such.md)";
    let found: Vec<String> =
        links(text).into_iter().filter_map(|target| broken(&root(), text, target)).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|found| found == "#cellar: no such heading"), "{found:?}");
    assert!(found.iter().any(|found| found.starts_with("no/such.md: ")), "{found:?}");
}
