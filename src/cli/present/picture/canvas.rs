//! Where a picture is drawn: elements of SVG as text, and text of others that cannot become anything else.

use crate::output::text::one_line;
use quick_xml::escape::escape;
use std::fmt::{self, Write};

/// A part of a picture.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    svg: String,
}

impl Canvas {
    /// A rectangle; the title is shown while the pointer is over it. As a path it is a third shorter than as a `rect`.
    pub(super) fn rectangle(&mut self, class: &str, corner: (f64, f64), size: (f64, f64), title: &str) {
        let (x, y, width, height) = (Short(corner.0), Short(corner.1), Short(size.0), Short(size.1));
        self.path(class, format_args!("M{x} {y}h{width}v{height}h-{width}z"), title);
    }

    /// A line or a shape: `d` is SVG's language for paths, made of numbers alone.
    pub(super) fn path(&mut self, class: &str, d: fmt::Arguments<'_>, title: &str) {
        self.raw(format_args!(r#"<path class="{class}" d="{d}""#));
        self.end("path", title);
    }

    /// A word or several, from this point on their base line.
    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, words: &str) {
        let (x, y) = (Short(x), Short(y));
        self.raw(format_args!(r#"<text class="{class}" x="{x}" y="{y}">{}</text>"#, harmless(words)));
    }

    /// The same with a title.
    pub(super) fn titled_text(&mut self, class: &str, (x, y): (f64, f64), words: &str, title: &str) {
        let (x, y) = (Short(x), Short(y));
        let (words, title) = (harmless(words), harmless(title));
        self.raw(format_args!(
            r#"<text class="{class}" x="{x}" y="{y}">{words}<title>{title}</title></text>"#
        ));
    }

    /// What is drawn by `draw` has one title.
    pub(super) fn group(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        self.raw(format_args!("<g><title>{}</title>", harmless(title)));
        draw(self);
        self.raw(format_args!("</g>"));
    }

    /// What is drawn by `draw` is moved to here.
    pub(super) fn at(&mut self, x: f64, y: f64, draw: impl FnOnce(&mut Self)) {
        self.raw(format_args!(r#"<g transform="translate({} {})">"#, Short(x), Short(y)));
        draw(self);
        self.raw(format_args!("</g>"));
    }

    /// Takes in another part.
    pub(super) fn add(&mut self, part: &Canvas) {
        self.svg.push_str(&part.svg);
    }

    /// What was drawn.
    pub(super) fn into_svg(self) -> String {
        self.svg
    }

    fn end(&mut self, element: &str, title: &str) {
        if title.is_empty() {
            self.raw(format_args!("/>"));
        } else {
            self.raw(format_args!("><title>{}</title></{element}>", harmless(title)));
        }
    }

    fn raw(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.svg.write_fmt(text);
    }
}

/// A text of others inside an element or an attribute: one line, nothing that commands or reorders, no markup, and no
/// character that XML forbids (XML 1.0, section 2.2).
pub(super) fn harmless(text: &str) -> String {
    let is_forbidden = |c: char| matches!(c, '\u{fffe}' | '\u{ffff}');
    escape(one_line(text).replace(is_forbidden, "?")).into_owned()
}

/// A number of pixels, to a hundredth.
pub(super) struct Short(pub(super) f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.2}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_others_is_text() {
        assert_eq!(harmless("<script>\"a\" & 'b'"), "&lt;script&gt;&quot;a&quot; &amp; &apos;b&apos;");
        assert_eq!(harmless("a\n\u{202e}b\u{0}\u{ffff}"), "a??b??");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 1.0, 10.0, 1.5, 0.004, 1.239].map(|number| Short(number).to_string()),
            ["0", "1", "10", "1.5", "0", "1.24"]
        );
    }
}
