//! A recording as one SVG file: it opens in every browser, and a page can hold it as an image.

use crate::present::picture::body::{LABELS, MARGIN};
use crate::present::picture::canvas::{Canvas, Short, harmless};
use crate::present::picture::colours::Colours;
use crate::present::picture::drawing;
use crate::present::picture::head::{Head, Standing, head};
use crate::present::picture::legend;
use crate::present::picture::style::css;
use crate::present::picture::wrap::wrapped;
use crate::record::recording::Recording;

/// The lanes' width in pixels.
const WIDTH: u32 = 768;

/// Room around everything.
const EDGE: f64 = 16.0;

/// So many columns of small text are as wide as the picture.
const COLUMNS: usize = 150;

/// The recording as an SVG document.
pub(crate) fn svg(recording: &Recording) -> String {
    let colours = Colours::of(recording);
    let body = drawing::draw(recording, &colours, WIDTH);
    let inner = f64::from(LABELS + WIDTH + MARGIN);
    let mut canvas = Canvas::default();
    let words = head(recording);
    let mut top = draw_head(&mut canvas, &words);
    let items = legend::items(recording, &colours);
    canvas.at(EDGE, top, |canvas| top += legend::draw(canvas, &items, inner));
    canvas.at(EDGE, top, |canvas| canvas.add(&body.labels));
    canvas.at(EDGE + f64::from(LABELS), top, |canvas| canvas.add(&body.plot));
    let (width, height) = (Short(inner + 2.0 * EDGE), Short(top + body.height));
    let (title, css) = (harmless(&format!("{}: {}", words.title, words.verdict)), css(&colours));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<style>{css}</style>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n{}\n</svg>\n",
        canvas.into_svg()
    )
}

/// Draws the head. Gives where it ends.
fn draw_head(canvas: &mut Canvas, head: &Head) -> f64 {
    let mut y = EDGE + 18.0;
    canvas.text("title", EDGE, y, &head.title);
    let (class, sign) = match head.standing {
        Standing::Good => ("verdict good", "✓ "),
        Standing::Bad => ("verdict bad", "✗ "),
        Standing::Open => ("verdict", ""),
    };
    y += 26.0;
    canvas.text(class, EDGE, y, &format!("{sign}{}", head.verdict));
    y += 4.0;
    for worst in &head.worst {
        for line in wrapped(worst, COLUMNS) {
            y += 17.0;
            canvas.text("bad", EDGE, y, &line);
        }
    }
    y += 4.0;
    for fact in [head.facts.join(" · ")].iter().chain(&head.policy) {
        for line in wrapped(fact, COLUMNS) {
            y += 16.0;
            canvas.text("dim", EDGE, y, &line);
        }
    }
    y + 8.0
}
