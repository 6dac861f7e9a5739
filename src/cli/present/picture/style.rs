//! How pictures look: type, colours of all that is no CPU, light and dark.

use crate::present::picture::colours::Colours;

/// The names of colours on a light ground.
const LIGHT: &str = "--bg:#fff;--ink:#1f2328;--dim:#59636e;--grid:#e3e7ec;--alive:#eef1f5;--edge:#59636e;\
    --off:#cf1322;--good:#1a7f37;--other:#8b949e;--panel:#f6f8fa";

/// And on a dark one.
const DARK: &str = "--bg:#0d1117;--ink:#e6edf3;--dim:#9198a1;--grid:#262c36;--alive:#1a212b;--edge:#9198a1;\
    --off:#ff5d5d;--good:#3fb950;--other:#7d8590;--panel:#151b23";

/// What each class looks like. `.off` is the only red.
const CLASSES: &str = "\
    text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--ink);\
    font-variant-numeric:tabular-nums}\
    .dim{fill:var(--dim)}.small{font-size:10.5px}.tiny{font-size:9px}\
    .title{font-size:19px;font-weight:600}.verdict{font-size:15px;font-weight:600}\
    .good{fill:var(--good)}.bad{fill:var(--off)}\
    .role{font-weight:600}.end{text-anchor:end}.mid{text-anchor:middle}\
    .ground{fill:var(--bg)}.alive{fill:var(--alive)}\
    .edge{fill:var(--edge)}.grid{stroke:var(--grid);fill:none}\
    .off{fill:var(--off);stroke:var(--bg);stroke-width:.8;paint-order:stroke}\
    .half{opacity:.5}.other{fill:var(--other)}.wait{fill:var(--other)}\
    .at{stroke:var(--ink);fill:none}.soft{opacity:.55;stroke-dasharray:2 2}";

/// The style sheet of a picture.
pub(super) fn css(colours: &Colours) -> String {
    format!(
        ":root{{color-scheme:light dark;{LIGHT}}}{CLASSES}{}\
         @media(prefers-color-scheme:dark){{:root{{{DARK}}}{}}}",
        colours.css(false),
        colours.css(true)
    )
}
