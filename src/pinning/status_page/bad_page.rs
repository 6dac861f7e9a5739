//! Why some bytes are no status page.

use super::layout::{VERSION, VERSION_WITHOUT_HOST};
use std::fmt;

/// Why some bytes are no status page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPage {
    /// Shorter than a header, or than its own header says.
    Short,
    /// It does not begin with [`MAGIC`](super::MAGIC).
    Magic,
    /// A layout that this reader does not know.
    Version(u32),
    /// Not complete yet: no owner.
    Unfinished,
    /// It holds a variable that this reader does not know.
    Variable,
    /// This field contradicts another, or what a page can be.
    Field(&'static str),
}

impl fmt::Display for BadPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadPage::Short => f.write_str("the status page is cut short"),
            BadPage::Magic => f.write_str("this is not a status page"),
            BadPage::Version(found) => write!(
                f,
                "the status page has layout {found}, this command reads layouts {VERSION_WITHOUT_HOST} and \
                 {VERSION}: use the command that came with the library"
            ),
            BadPage::Unfinished => f.write_str("the status page is not complete yet"),
            BadPage::Variable => f.write_str(
                "the status page holds a variable that this command does not know: use the command that came \
                 with the library",
            ),
            BadPage::Field(name) => write!(f, "the status page contradicts itself in {name}"),
        }
    }
}

impl std::error::Error for BadPage {}
