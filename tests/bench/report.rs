//! One line for each figure.

/// Prints rows as they are measured.
pub(crate) struct Report;

impl Report {
    /// Begins with the columns' names.
    pub(crate) fn new() -> Self {
        println!("{:<58} {:>12} {:>12} {:>9}", "figure", "measured", "bound", "held");
        Self
    }

    /// A figure that should not be above its bound.
    pub(crate) fn at_most(&mut self, what: &str, measured: f64, bound: f64, unit: &str) {
        self.row(what, measured, "<=", bound, unit, measured <= bound);
    }

    /// A figure that should not be below its bound.
    pub(crate) fn at_least(&mut self, what: &str, measured: f64, bound: f64, unit: &str) {
        self.row(what, measured, ">=", bound, unit, measured >= bound);
    }

    fn row(&mut self, what: &str, measured: f64, sign: &str, bound: f64, unit: &str, held: bool) {
        let measured = format!("{}{unit}", number(measured));
        let bound = format!("{sign} {}{unit}", number(bound));
        println!("{what:<58} {measured:>12} {bound:>12} {:>9}", if held { "yes" } else { "NO" });
    }

    /// A figure that cannot be measured here.
    pub(crate) fn skipped(&mut self, what: &str, why: &str) {
        println!("{what:<58} skipped: {why}");
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// Takes both measurements `rounds` times, alternating, and gives the lowest of each: what else the
/// machine does can only add to a time.
pub(crate) fn side_by_side(
    rounds: usize,
    mut one: impl FnMut() -> f64,
    mut other: impl FnMut() -> f64,
) -> (f64, f64) {
    (0..rounds).fold((f64::INFINITY, f64::INFINITY), |(a, b), _| (a.min(one()), b.min(other())))
}
