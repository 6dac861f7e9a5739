//! From a path to the file of the deepest module that it names.

use std::path::Path;

use super::Crate;
use super::mentions::{Kind, Mention};
use super::modules::{ModuleId, Tree};

/// What a path imports.
#[derive(Debug)]
pub(super) enum Resolved<'a> {
    /// A file of the same crate.
    File(&'a Path),
    /// A crate of the workspace, by its name.
    Crate(&'static str),
}

/// How many names may stand for other names: they end anywhere in code that compiles, but for a `use a::a`
/// of a crate `a`, which resolves to itself.
const ALIASES: usize = 8;

/// What a path imports: the file of the deepest module that it names and, where a re-export leads there,
/// the file of that as well. Nothing for a name of the language, the standard library or another's crate.
pub(super) fn resolve<'a>(tree: &'a Tree, mention: &Mention, crates: &[Crate]) -> Vec<Resolved<'a>> {
    let resolver = Resolver { tree, crates };
    let found = if mention.kind == Kind::Macro {
        resolver.macro_call(mention)
    } else {
        resolver.path(mention.module, mention.global, &mention.path, ALIASES)
    };
    match found {
        Some(Found::Crate(name)) => vec![Resolved::Crate(name)],
        Some(Found::Module { through, deepest, .. }) => {
            let ids = through.into_iter().chain([deepest]);
            ids.map(|id| Resolved::File(&tree.module(id).file)).collect()
        }
        None => Vec::new(),
    }
}

enum Found {
    Crate(&'static str),
    Module {
        /// The modules whose re-exports were followed.
        through: Vec<ModuleId>,
        deepest: ModuleId,
        /// Whether the path names a module and nothing in it.
        is_module: bool,
    },
}

struct Resolver<'a> {
    tree: &'a Tree,
    crates: &'a [Crate],
}

impl Resolver<'_> {
    fn path(&self, from: ModuleId, global: bool, path: &[String], aliases: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        let start = if global { self.crate_called(first) } else { self.first(from, first, aliases) };
        match start? {
            Found::Module { through, deepest, is_module: true } => {
                Some(self.descend(through, deepest, rest, aliases))
            }
            // The rest is in the other crate.
            Found::Crate(name) => Some(Found::Crate(name)),
            // The first name was a type or a function.
            Found::Module { .. } => None,
        }
    }

    /// A path's first name, as the module sees it that the path stands in.
    fn first(&self, from: ModuleId, name: &str, aliases: usize) -> Option<Found> {
        match name {
            "crate" => Some(module(0)),
            "self" => Some(module(from)),
            "super" => self.tree.module(from).parent.map(module),
            _ => match self.tree.child(from, name) {
                Some(child) => Some(module(child)),
                None => self.alias(from, name, aliases).or_else(|| self.crate_called(name)),
            },
        }
    }

    /// Goes into a module as far as names of modules lead.
    fn descend(
        &self,
        mut through: Vec<ModuleId>,
        mut at: ModuleId,
        rest: &[String],
        aliases: usize,
    ) -> Found {
        for name in rest {
            let next = match name.as_str() {
                "self" => Some(at),
                "super" => self.tree.module(at).parent,
                _ => self.tree.child(at, name),
            };
            if let Some(next) = next {
                at = next;
                continue;
            }
            match self.alias(at, name, aliases) {
                Some(Found::Module { through: further, deepest, is_module: true }) => {
                    through.push(at);
                    through.extend(further);
                    at = deepest;
                }
                // A thing in this module, or one that it re-exports.
                _ => return Found::Module { through, deepest: at, is_module: false },
            }
        }
        Found::Module { through, deepest: at, is_module: true }
    }

    /// What a module knows under this name by a `use`.
    fn alias(&self, module: ModuleId, name: &str, aliases: usize) -> Option<Found> {
        let aliases = aliases.checked_sub(1)?;
        let uses = || self.tree.mentions().iter().filter(|mention| mention.module == module);
        let named = uses().find(|mention| matches!(&mention.kind, Kind::Use(known_as) if known_as == name));
        if let Some(named) = named {
            // `use x;` and `use x as y` say nothing new of x itself.
            let itself = named.path.len() == 1 && named.path[0] == name;
            return if itself { None } else { self.path(module, named.global, &named.path, aliases) };
        }
        uses().filter(|mention| mention.kind == Kind::Glob).find_map(|glob| {
            let Found::Module { mut through, deepest, is_module: true } =
                self.path(module, glob.global, &glob.path, aliases)?
            else {
                return None;
            };
            if let Some(child) = self.tree.child(deepest, name) {
                return Some(Found::Module { through, deepest: child, is_module: true });
            }
            through.push(deepest);
            match self.alias(deepest, name, aliases)? {
                Found::Module { through: further, deepest, is_module } => {
                    through.extend(further);
                    Some(Found::Module { through, deepest, is_module })
                }
                Found::Crate(name) => Some(Found::Crate(name)),
            }
        })
    }

    fn crate_called(&self, name: &str) -> Option<Found> {
        self.crates.iter().find(|entry| entry.name == name).map(|entry| Found::Crate(entry.name))
    }

    fn macro_call(&self, mention: &Mention) -> Option<Found> {
        self.tree.macro_of(mention.path.first()?, mention.module).map(module)
    }
}

fn module(id: ModuleId) -> Found {
    Found::Module { through: Vec::new(), deepest: id, is_module: true }
}
