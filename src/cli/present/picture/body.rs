//! The picture without its head: what grows with the recording, in two columns side by side.
//!
//! The names of lanes stand in a column of their own, so that a page can keep them in sight while the lanes scroll.

use crate::present::picture::canvas::{Canvas, Short};
use crate::present::picture::scale::Scale;
use crate::present::picture::wrap::wrapped;

/// The width of the column of names.
pub(super) const LABELS: u32 = 178;

/// Room at the right of the lanes.
pub(super) const MARGIN: u32 = 22;

/// The height of a heading with its axis.
const HEADING: f64 = 30.0;

/// Names at the left, lanes at the right, as far down as something was drawn.
#[derive(Debug)]
pub(super) struct Body {
    /// The names.
    pub(super) labels: Canvas,
    /// The lanes.
    pub(super) plot: Canvas,
    /// How far down.
    pub(super) height: f64,
    /// Where a moment is.
    pub(super) scale: Scale,
}

impl Body {
    /// Nothing yet.
    pub(super) fn new(scale: Scale) -> Self {
        Self { labels: Canvas::default(), plot: Canvas::default(), height: 0.0, scale }
    }

    /// A heading.
    pub(super) fn heading(&mut self, words: &str) {
        self.height += HEADING;
        self.labels.text("role", 0.0, self.height - 8.0, words);
    }

    /// Lines down from here for each mark of the axis, with its name: `height` is that of the lanes which follow.
    pub(super) fn axis(&mut self, height: f64) {
        let top = self.height;
        let mut lines = String::new();
        let marks = self.scale.marks(84);
        for (moment, name) in &marks {
            let x = self.scale.x(*moment).round() + 0.5;
            lines += &format!("M{} {}v{}", Short(x), Short(top - 4.0), Short(height + 4.0));
            let is_last = x > f64::from(self.scale.width()) - 20.0;
            let class = match moment {
                0 => "dim small",
                _ if is_last => "dim small end",
                _ => "dim small mid",
            };
            let x = if is_last { f64::from(self.scale.width() + MARGIN) } else { x };
            self.plot.text(class, x.max(0.0), top - 9.0, name);
        }
        self.plot.path("grid", format_args!("{lines}"), "");
    }

    /// Words below the lanes, in as many lines as they need.
    pub(super) fn note(&mut self, words: &str) {
        // Small letters are about so wide; there is no way to measure them here.
        let columns = f64::from(self.scale.width()) / 5.6;
        for line in wrapped(words, columns as usize) {
            self.height += 15.0;
            self.plot.text("dim small", 0.0, self.height - 3.0, &line);
        }
    }
}
