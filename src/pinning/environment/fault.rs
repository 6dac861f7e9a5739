//! What is wrong with a value, said so that the next attempt is right.
//!
//! Every fault is one line, whatever the value holds, and says where in the value it is, what is wrong
//! there and what would be right.

use super::mistake::{Slip, shown};
use std::fmt;

/// Something wrong with one of the `PIN_*` variables.
///
/// Printed as `PIN_CPUS=0,9: column 3: CPU 9 is not available here (0-1)`, always one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The variable's name.
    pub variable: &'static str,
    /// Its value as it is shown: control characters escaped, a long one cut.
    pub value: String,
    /// Where in the value: 1-based, in characters. `None` where the value is one item and at fault as a
    /// whole.
    pub column: Option<usize>,
    /// What is wrong there.
    pub what: String,
    /// What would be right, where that can be told.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault of the value as a whole.
    pub(crate) fn of_value(variable: &'static str, value: &str, what: impl Into<String>, hint: &str) -> Self {
        let hint = if hint.is_empty() { None } else { Some(hint.to_owned()) };
        Self { variable, value: shown(value), column: None, what: what.into(), hint }
    }

    /// A slip in the text of a variable's value.
    pub(crate) fn of_slip(variable: &'static str, value: &str, slip: Slip, only_item: bool) -> Self {
        let column = if only_item && slip.column == 1 { None } else { Some(slip.column) };
        Self { variable, value: shown(value), column, what: slip.what, hint: slip.hint }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: ", self.variable, self.value)?;
        if let Some(column) = self.column {
            write!(f, "column {column}: ")?;
        }
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}
