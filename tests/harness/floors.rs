//! Reads the sources of a workspace and tells where an import breaks the order of its floors.
//!
//! `tests/floors.rs` has the table for this repository. What counts as an import is every `use` and every
//! path in the code, also inside a macro call, that names a module: it imports the file of the deepest
//! module that it names. `mod x;` imports nothing, nor does a doc comment. Code under `#[cfg(test)]` and
//! the crates' `tests/` folders are left out.
//!
//! Not seen: a method that is called on a value whose type another file defines, and code that another
//! crate's macro makes.

mod circles;
mod mentions;
mod modules;
mod resolve;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use circles::Graph;
use mentions::Mention;
use modules::{Tree, Unreadable};
use resolve::Resolved;

/// A crate of the workspace and the order in which it is built up.
#[derive(Debug)]
pub struct Crate {
    /// Its folder below `src`.
    pub folder: &'static str,
    /// Its name in a path of Rust code.
    pub name: &'static str,
    /// The crates of the workspace that it may import, by [`Crate::name`].
    pub imports: &'static [&'static str],
    /// Its floors, the lowest first. Each lists its rooms: `sys` stands for `sys.rs` and all of `sys/`.
    pub floors: &'static [&'static [&'static str]],
}

impl Crate {
    /// The floor of a room, counted from 1.
    fn floor(&self, room: &str) -> Option<usize> {
        self.floors.iter().position(|rooms| rooms.contains(&room)).map(|at| at + 1)
    }
}

/// What the table does not allow, sorted by file and line; line 0 stands for a whole file or folder.
type Faults = BTreeSet<(String, usize, String)>;

/// Everything below `root/src` that the table does not allow, a line each, in the order of the files.
pub fn faults(root: &Path, crates: &[Crate]) -> Vec<String> {
    let mut faults = Faults::new();
    let source = root.join("src");
    for folder in entries(&source).into_iter().filter(|path| path.is_dir()) {
        let Some(entry) = crates.iter().find(|entry| source.join(entry.folder) == folder) else {
            faults.insert((shown(root, &folder), 0, "this folder is no crate of the table of floors".into()));
            continue;
        };
        match Tree::read(&folder) {
            Ok(tree) => Judge { root, folder, entry, tree }.judge(crates, &mut faults),
            Err(Unreadable { file, line, why }) => drop(faults.replace((shown(root, &file), line, why))),
        }
    }
    for entry in crates.iter().filter(|entry| !source.join(entry.folder).is_dir()) {
        let why = "the table of floors has this crate, and there is no such folder";
        faults.insert((format!("src/{}", entry.folder), 0, why.into()));
    }
    faults.into_iter().map(said).collect()
}

fn said((file, line, text): (String, usize, String)) -> String {
    if line == 0 { format!("{file}: {text}") } else { format!("{file}:{line}: {text}") }
}

/// Judges one crate.
struct Judge<'a> {
    root: &'a Path,
    folder: PathBuf,
    entry: &'a Crate,
    tree: Tree,
}

impl Judge<'_> {
    fn judge(&self, crates: &[Crate], faults: &mut Faults) {
        self.judge_rooms(faults);
        let (mut files, mut rooms) = (Graph::default(), Graph::default());
        for mention in self.tree.mentions() {
            let from = &self.tree.module(mention.module).file;
            for target in resolve::resolve(&self.tree, mention, crates) {
                match target {
                    Resolved::Crate(name) => self.judge_crate(mention, name, faults),
                    Resolved::File(to) if to == from => {}
                    Resolved::File(to) => {
                        files.add(self.shown(from), self.shown(to), mention.line);
                        let (low, high) = (self.room(from), self.room(to));
                        if low != high {
                            let place = |room: &str| self.shown(&self.folder.join(room));
                            rooms.add(place(&low), place(&high), mention.line);
                        }
                        self.judge_floors(mention, to, faults);
                    }
                }
            }
        }
        let of_files = files.circles();
        // A circle of files through two rooms makes one of the rooms: once is enough.
        let of_rooms = if of_files.is_empty() { rooms.circles() } else { Vec::new() };
        for (circles, what) in [(of_files, "files"), (of_rooms, "rooms")] {
            let named = |(start, line, circle)| (start, line, format!("a circle of {what}: {circle}"));
            faults.extend(circles.into_iter().map(named));
        }
    }

    /// Files without a floor, and rooms without a file.
    fn judge_rooms(&self, faults: &mut Faults) {
        for file in sources(&self.folder) {
            if !self.tree.files().contains(&file) {
                faults.insert((self.shown(&file), 0, "no `mod` line of the crate leads to this file".into()));
            }
        }
        for module in self.tree.modules() {
            let room = self.room(&module.file);
            if self.entry.floor(&room).is_none() {
                let (file, line) = &module.declared;
                let (what, name) = (self.shown(&module.file), self.entry.name);
                let why = format!("{what} is in the room `{room}`, which stands on no floor of {name}");
                faults.insert((self.shown(file), *line, why));
            }
        }
        for room in self.entry.floors.iter().copied().flatten() {
            if !self.tree.files().iter().any(|file| self.room(file) == *room) {
                let why = format!("the table of floors has the room `{room}`, and there is none");
                faults.insert((self.shown(&self.folder), 0, why));
            }
        }
    }

    fn judge_crate(&self, mention: &Mention, name: &str, faults: &mut Faults) {
        if name != self.entry.name && !self.entry.imports.contains(&name) {
            let why = format!("`{}`: {} may not import the crate {name}", mention.text(), self.entry.name);
            self.add(mention, why, faults);
        }
    }

    fn judge_floors(&self, mention: &Mention, to: &Path, faults: &mut Faults) {
        let place = |file: &Path| {
            let room = self.room(file);
            self.entry.floor(&room).map(|floor| (room, floor))
        };
        // A room without a floor is a fault of its own.
        let Some((low, from_floor)) = place(&self.tree.module(mention.module).file) else { return };
        let Some((high, to_floor)) = place(to) else { return };
        if from_floor < to_floor {
            let (path, to) = (mention.text(), self.shown(to));
            let way = format!("from {low} (floor {from_floor}) to {high} (floor {to_floor}, {to})");
            self.add(mention, format!("`{path}` runs upwards, {way}"), faults);
        }
    }

    fn add(&self, mention: &Mention, why: String, faults: &mut Faults) {
        faults.insert((self.shown(&self.tree.module(mention.module).file), mention.line, why));
    }

    /// The room of a file: the first part of its path in the crate, without the ending.
    fn room(&self, file: &Path) -> String {
        let inner = file.strip_prefix(&self.folder).unwrap_or(file);
        let first = inner.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let first = first.unwrap_or_default();
        first.strip_suffix(".rs").map_or(first.clone(), str::to_owned)
    }

    fn shown(&self, path: &Path) -> String {
        shown(self.root, path)
    }
}

/// A path as the repository shows it.
fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// Every source file of a crate but its build script and its integration tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in entries(&next) {
            if path.is_dir() {
                folders.extend((path != folder.join("tests")).then_some(path));
            } else if path.extension().is_some_and(|ending| ending == "rs") && path != folder.join("build.rs")
            {
                found.push(path);
            }
        }
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(folder).unwrap_or_else(|e| panic!("list {}: {e}", folder.display()));
    let mut paths: Vec<_> = listing.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
