//! A mistake in the value of a variable, printed so that the next attempt can be right.
//!
//! Every fault is printed as one line, whatever the value holds. The line names the variable, the value, the
//! column, what is wrong and what would be right.

use super::mistake::{Mistake, shown};
use std::fmt;

/// Something wrong with one of the `PIN_*` variables.
///
/// Printed as `PIN_CPUS=0,9: column 3: CPU 9 is not available here (0-1)`, always one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The variable's name.
    pub variable: &'static str,
    /// Its value, safe to print: control characters are escaped and a long value is cut.
    pub value: String,
    /// What is wrong with it.
    pub mistake: Mistake,
}

impl Fault {
    /// A fault of this variable, which has this value.
    pub(crate) fn new(variable: &'static str, value: &str, mistake: Mistake) -> Self {
        Self { variable, value: shown(value), mistake }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: ", self.variable, self.value)?;
        if let Some(column) = self.mistake.column {
            write!(f, "column {column}: ")?;
        }
        f.write_str(&self.mistake.what)?;
        match &self.mistake.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}
