//! The modules of a crate: which file each is in, as the `mod` lines say it.

use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta};

use super::mentions::{self, Mention, line_of};

/// A module's place in [`Tree::modules`].
pub(super) type ModuleId = usize;

/// A module: a file, or a `mod x { … }` inside one.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) parent: Option<ModuleId>,
    pub(super) file: PathBuf,
    /// The file and line of its `mod`; of the crate's root the root itself.
    pub(super) declared: (PathBuf, usize),
}

/// A source file that cannot be read as one.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) why: String,
}

/// A crate's modules and what they mention.
#[derive(Debug, Default)]
pub(super) struct Tree {
    modules: Vec<Module>,
    mentions: Vec<Mention>,
    /// Macros by name, with the module that defines them: an earlier `#[macro_use]` brings them into
    /// scope without any path.
    macros: Vec<(String, ModuleId)>,
    /// Every file that a `mod` line leads to, those of the tests among them.
    files: Vec<PathBuf>,
}

impl Tree {
    /// Reads a crate from its `lib.rs` or `main.rs` on.
    pub(super) fn read(folder: &Path) -> Result<Self, Unreadable> {
        let roots = ["lib.rs", "main.rs"].map(|name| folder.join(name));
        let root = roots.into_iter().find(|file| file.is_file());
        let root = root.ok_or_else(|| unreadable(folder, 0, "neither lib.rs nor main.rs is here"))?;
        let mut tree = Self::default();
        let declared = (root.clone(), 1);
        let module = Module { name: "crate".into(), parent: None, file: root.clone(), declared };
        tree.modules.push(module);
        tree.read_file(0, &root, folder)?;
        Ok(tree)
    }

    pub(super) fn modules(&self) -> &[Module] {
        &self.modules
    }

    pub(super) fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id]
    }

    pub(super) fn mentions(&self) -> &[Mention] {
        &self.mentions
    }

    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The module `name` that stands directly in another.
    pub(super) fn child(&self, parent: ModuleId, name: &str) -> Option<ModuleId> {
        self.modules.iter().position(|module| module.parent == Some(parent) && module.name == name)
    }

    /// Where a macro is defined that is called by its mere name: in the caller's own file if it can be there.
    pub(super) fn macro_of(&self, name: &str, caller: ModuleId) -> Option<ModuleId> {
        let called = || self.macros.iter().filter(|(known, _)| known == name).map(|(_, module)| *module);
        let own = &self.module(caller).file;
        called().find(|module| self.module(*module).file == *own).or_else(|| called().next())
    }

    /// Reads a file into a module. `folder` is where the files of its children are.
    fn read_file(&mut self, module: ModuleId, file: &Path, folder: &Path) -> Result<(), Unreadable> {
        self.files.push(file.to_owned());
        let text = fs::read_to_string(file).map_err(|e| unreadable(file, 0, e))?;
        let parsed = syn::parse_file(&text).map_err(|e| unreadable(file, line_of(e.span()), e))?;
        self.read_items(module, &parsed.items, file, folder)
    }

    fn read_items(
        &mut self,
        id: ModuleId,
        items: &[Item],
        file: &Path,
        folder: &Path,
    ) -> Result<(), Unreadable> {
        for item in items {
            match item {
                Item::Mod(inner) => self.read_module(id, inner, file, folder)?,
                _ => self.mentions.extend(mentions::of_item(id, item)),
            }
            if let Item::Macro(definition) = item {
                let name = definition.ident.iter().map(ToString::to_string);
                self.macros.extend(name.map(|name| (name, id)));
            }
        }
        Ok(())
    }

    fn read_module(
        &mut self,
        parent: ModuleId,
        item: &ItemMod,
        file: &Path,
        folder: &Path,
    ) -> Result<(), Unreadable> {
        if is_for_tests(&item.attrs) {
            // Only the files count: what tests import is their own business.
            let mut tests = Self::default();
            let read = tests.read_module_into(None, item, file, folder);
            self.files.append(&mut tests.files);
            return read;
        }
        self.read_module_into(Some(parent), item, file, folder)
    }

    fn read_module_into(
        &mut self,
        parent: Option<ModuleId>,
        item: &ItemMod,
        file: &Path,
        folder: &Path,
    ) -> Result<(), Unreadable> {
        let name = mentions::plain(&item.ident);
        let inner = folder.join(&name);
        let declared = (file.to_owned(), line_of(item.ident.span()));
        if let Some((_, items)) = &item.content {
            let id = self.add(Module { name, parent, file: file.to_owned(), declared });
            return self.read_items(id, items, file, &inner);
        }
        let beside = folder.join(format!("{name}.rs"));
        let (own, inner) = match path_attribute(&item.attrs) {
            Some(path) => {
                let own = file.parent().unwrap_or(folder).join(path);
                let inner = own.parent().unwrap_or(folder).to_owned();
                (own, inner)
            }
            None if beside.is_file() => (beside, inner),
            None => (inner.join("mod.rs"), inner),
        };
        let id = self.add(Module { name, parent, file: own.clone(), declared });
        self.read_file(id, &own, &inner)
    }

    fn add(&mut self, module: Module) -> ModuleId {
        self.modules.push(module);
        self.modules.len() - 1
    }
}

fn unreadable(file: &Path, line: usize, why: impl ToString) -> Unreadable {
    Unreadable { file: file.to_owned(), line, why: why.to_string() }
}

/// Whether these attributes leave a thing to the tests.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<Meta>().is_ok_and(|meta| needs_test(&meta))
    })
}

/// Whether a `cfg` predicate holds under test only.
fn needs_test(predicate: &Meta) -> bool {
    let Meta::List(list) = predicate else { return predicate.path().is_ident("test") };
    let inner = list.parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated);
    let Ok(inner) = inner else { return false };
    match list.path.get_ident().map(ToString::to_string).as_deref() {
        Some("all") => inner.iter().any(needs_test),
        Some("any") => !inner.is_empty() && inner.iter().all(needs_test),
        _ => false,
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}
