//! Every path that an item mentions, by `use` or in its code.

use proc_macro2::{Delimiter, Ident, Spacing, Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, LitStr, Meta, UseTree};

use super::modules::{ModuleId, is_for_tests};

/// A path in the code, and what it brings into scope if it is a `use`.
#[derive(Debug)]
pub(super) struct Mention {
    /// The module that it stands in.
    pub(super) module: ModuleId,
    pub(super) line: usize,
    /// Its segments, without generic arguments.
    pub(super) path: Vec<String>,
    /// Whether it begins with `::`, which names a crate.
    pub(super) global: bool,
    pub(super) kind: Kind,
}

/// How a path is mentioned.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// In the code.
    Path,
    /// By `use`, as the name under which it is known from then on.
    Use(String),
    /// By `use path::*`.
    Glob,
    /// A macro that is called by its mere name.
    Macro,
}

impl Mention {
    /// The path as it is written.
    pub(super) fn text(&self) -> String {
        let text = format!("{}{}", if self.global { "::" } else { "" }, self.path.join("::"));
        match self.kind {
            Kind::Glob => text + "::*",
            Kind::Macro => text + "!",
            Kind::Path | Kind::Use(_) => text,
        }
    }
}

/// Everything that an item mentions which is no module.
pub(super) fn of_item(module: ModuleId, item: &Item) -> Vec<Mention> {
    let mut collector = Collector { module, found: Vec::new() };
    collector.visit_item(item);
    collector.found
}

/// A name without the `r#` that makes it one.
pub(super) fn plain(name: &Ident) -> String {
    name.unraw().to_string()
}

pub(super) fn line_of(span: Span) -> usize {
    span.start().line
}

struct Collector {
    module: ModuleId,
    found: Vec<Mention>,
}

impl Collector {
    fn add(&mut self, line: usize, global: bool, path: Vec<String>, kind: Kind) {
        self.found.push(Mention { module: self.module, line, path, global, kind });
    }

    fn add_use(&mut self, tree: &UseTree, global: bool, before: &[String]) {
        let joined = |name: &Ident| {
            let mut path = before.to_vec();
            // `use a::b::{self}` names a::b.
            path.extend(Some(plain(name)).filter(|name| name != "self" || before.is_empty()));
            path
        };
        match tree {
            UseTree::Path(step) => self.add_use(&step.tree, global, &joined(&step.ident)),
            UseTree::Name(name) => {
                let path = joined(&name.ident);
                let known_as = path.last().cloned().unwrap_or_default();
                self.add(line_of(name.ident.span()), global, path, Kind::Use(known_as));
            }
            UseTree::Rename(name) => {
                let known_as = plain(&name.rename);
                self.add(line_of(name.ident.span()), global, joined(&name.ident), Kind::Use(known_as));
            }
            UseTree::Glob(glob) => {
                self.add(line_of(glob.star_token.spans[0]), global, before.to_vec(), Kind::Glob);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(tree, global, before);
                }
            }
        }
    }

    /// The paths between a macro's brackets, whose grammar only the macro knows: names with `::` between
    /// them, and what follows them in braces as in a `use`. `before` is the path before such braces.
    fn add_tokens(&mut self, tokens: TokenStream, before: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = &tokens[..];
        while let Some(first) = rest.first() {
            let global = is_double_colon(rest);
            let mut after = if global { &rest[2..] } else { rest };
            let mut path = before.to_vec();
            while let [TokenTree::Ident(name), behind @ ..] = after {
                path.push(plain(name));
                after = behind;
                if !is_double_colon(after) {
                    break;
                }
                after = &after[2..];
            }
            if after.len() == rest.len() {
                if let TokenTree::Group(group) = first {
                    self.add_tokens(group.stream(), &[]);
                }
                rest = &rest[1..];
                continue;
            }
            let line = line_of(first.span());
            match after {
                [TokenTree::Group(group), behind @ ..]
                    if group.delimiter() == Delimiter::Brace
                        && path.len() > before.len()
                        && ends_open(rest, after) =>
                {
                    self.add_tokens(group.stream(), &path);
                    after = behind;
                }
                [TokenTree::Punct(mark), TokenTree::Group(_), ..]
                    if mark.as_char() == '!' && path.len() == 1 =>
                {
                    self.add(line, global, path, Kind::Macro);
                }
                // A single name is a variable, a keyword or anything else.
                _ if path.len() > 1 => self.add(line, global, path, Kind::Path),
                _ => {}
            }
            rest = after;
        }
    }

    /// A text in an attribute that is a path, as serde's `with = "…"` has it.
    fn add_text(&mut self, text: &LitStr) {
        if let Ok(path) = text.parse::<syn::Path>() {
            self.visit_path(&path);
        }
    }
}

fn is_double_colon(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(one), TokenTree::Punct(two), ..]
        if one.as_char() == ':' && one.spacing() == Spacing::Joint && two.as_char() == ':')
}

/// Whether the path between the two rests of the same tokens ends with a `::`.
fn ends_open(from: &[TokenTree], to: &[TokenTree]) -> bool {
    let taken = &from[..from.len() - to.len()];
    taken.len() > 2 && is_double_colon(&taken[taken.len() - 2..])
}

/// Visits of things that may be marked `#[cfg(test)]`, and are passed over then.
macro_rules! visit_unless_for_tests {
    ($($visit:ident($thing:ident),)*) => {
        $(fn $visit(&mut self, thing: &'ast syn::$thing) {
            if !is_for_tests(&thing.attrs) {
                visit::$visit(self, thing);
            }
        })*
    };
}

impl<'ast> Visit<'ast> for Collector {
    visit_unless_for_tests! {
        visit_item_const(ItemConst),
        visit_item_enum(ItemEnum),
        visit_item_fn(ItemFn),
        visit_item_foreign_mod(ItemForeignMod),
        visit_item_impl(ItemImpl),
        visit_item_macro(ItemMacro),
        visit_item_mod(ItemMod),
        visit_item_static(ItemStatic),
        visit_item_struct(ItemStruct),
        visit_item_trait(ItemTrait),
        visit_item_type(ItemType),
        visit_item_union(ItemUnion),
        visit_impl_item_const(ImplItemConst),
        visit_impl_item_fn(ImplItemFn),
        visit_impl_item_type(ImplItemType),
        visit_impl_item_macro(ImplItemMacro),
        visit_trait_item_const(TraitItemConst),
        visit_trait_item_fn(TraitItemFn),
        visit_trait_item_type(TraitItemType),
        visit_trait_item_macro(TraitItemMacro),
        visit_field(Field),
        visit_variant(Variant),
        visit_arm(Arm),
        visit_local(Local),
        visit_expr_block(ExprBlock),
        visit_stmt_macro(StmtMacro),
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.add_use(&item.tree, item.leading_colon.is_some(), &[]);
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        if !is_for_tests(&item.attrs) {
            let known_as = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
            let (line, known_as) = (line_of(item.ident.span()), Kind::Use(plain(known_as)));
            self.add(line, true, vec![plain(&item.ident)], known_as);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
        if segments.len() > 1 {
            let line = path.segments.first().map_or(1, |segment| line_of(segment.ident.span()));
            self.add(line, path.leading_colon.is_some(), segments, Kind::Path);
        }
        // Its generic arguments have paths, too.
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.get_ident() {
            self.add(line_of(name.span()), false, vec![plain(name)], Kind::Macro);
        }
        visit::visit_macro(self, call);
        self.add_tokens(call.tokens.clone(), &[]);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        visit::visit_attribute(self, attribute);
        match &attribute.meta {
            Meta::List(list) => {
                self.add_tokens(list.tokens.clone(), &[]);
                for token in list.tokens.clone() {
                    if let Ok(text) = syn::parse2::<LitStr>(token.into()) {
                        self.add_text(&text);
                    }
                }
            }
            Meta::NameValue(_) | Meta::Path(_) => {}
        }
    }

    // `pub(in path)` says who may see a thing and imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}
