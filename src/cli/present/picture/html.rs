//! A recording as one page that opens offline: the picture, and tables. It needs no script, and forbids any.

use crate::present::picture::body::{LABELS, MARGIN};
use crate::present::picture::canvas::{Canvas, Short, harmless};
use crate::present::picture::colours::Colours;
use crate::present::picture::head::{Head, Standing, head};
use crate::present::picture::legend::{Item, Sample, draw_sample, items};
use crate::present::picture::style::css;
use crate::present::picture::tables::tables;
use crate::present::picture::{cpu_lanes, drawing, waits};
use crate::record::recording::Recording;

/// The lanes' width in pixels: a page can be scrolled, so that there is more room than in a picture.
const WIDTH: u32 = 1024;

/// What the page looks like beside its picture.
const PAGE: &str = "\
    body{margin:0 auto;padding:16px;max-width:1240px;background:var(--bg);color:var(--ink);\
    font:14px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;\
    font-variant-numeric:tabular-nums}\
    h1{font-size:21px;margin:4px 0}h2{font-size:16px;margin:28px 0 6px}p{margin:6px 0}\
    .verdict{font-size:17px}p.good,p.good span{color:var(--good)}p.bad,td.bad{color:var(--off)}\
    p.dim{color:var(--dim)}ul.facts{list-style:none;margin:8px 0;padding:0;color:var(--dim)}\
    ul.facts li{overflow-wrap:anywhere}\
    .legend{display:flex;flex-wrap:wrap;gap:2px 16px;margin:12px 0 0;padding:0;list-style:none;font-size:12px}\
    .legend svg{width:12px;height:12px;overflow:visible;margin-right:6px;vertical-align:-1px}\
    .picture,.wide{overflow-x:auto}.picture{display:flex}.picture svg{flex:none;display:block}\
    .picture svg.names{position:sticky;left:0;z-index:1;background:var(--bg)}\
    @media(max-width:600px){.picture svg.names{width:124px}}\
    summary{cursor:pointer}summary h2{display:inline-block}\
    table{border-collapse:collapse;font-size:13px;white-space:nowrap}\
    th{text-align:left;font-weight:600;border-bottom:1px solid var(--edge)}td{border-bottom:1px solid var(--grid)}\
    th,td{padding:4px 12px 4px 0}td.n{text-align:right}tbody tr:hover{background:var(--panel)}";

/// The recording as an HTML document.
pub(crate) fn html(recording: &Recording) -> String {
    let colours = Colours::of(recording);
    let body = drawing::draw(recording, &colours, WIDTH);
    let head = head(recording);
    let css = css(&colours);
    let title = harmless(&format!("{}: {}", head.title, head.verdict));
    let (labels, plot, height) = (f64::from(LABELS), f64::from(WIDTH + MARGIN), Short(body.height));
    let picture =
        [("names", labels, body.labels), ("lanes", plot, body.plot)].map(|(class, width, canvas)| {
            let width = Short(width);
            let size = format!("viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\"");
            // On a narrow page the column of names is cut at its right.
            format!(
                "<svg class=\"{class}\" {size} preserveAspectRatio=\"xMinYMin slice\">{}</svg>",
                canvas.into_svg()
            )
        });
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>{css}\n{PAGE}</style>\n</head>\n<body>\n{}\n{}\n<div class=\"picture\">{}</div>\n{}\n{}\n\
         </body>\n</html>\n",
        words(&head),
        legend(&items(recording, &colours)),
        picture.concat(),
        tables(recording),
        notes(recording)
    )
}

fn words(head: &Head) -> String {
    let (class, sign) = match head.standing {
        Standing::Good => ("verdict good", "✓ "),
        Standing::Bad => ("verdict bad", "✗ "),
        Standing::Open => ("verdict", ""),
    };
    let worst: String =
        head.worst.iter().map(|worst| format!("<p class=\"bad\">{}</p>\n", harmless(worst))).collect();
    let facts: String =
        head.facts.iter().chain(&head.policy).map(|fact| format!("<li>{}\n", harmless(fact))).collect();
    let (title, verdict) = (harmless(&head.title), harmless(&head.verdict));
    format!(
        "<h1>{title}</h1>\n<p class=\"{class}\"><strong>{sign}{verdict}</strong></p>\n{worst}\
         <ul class=\"facts\">\n{facts}</ul>"
    )
}

fn legend(items: &[Item]) -> String {
    let item = |item: &Item| {
        let mut canvas = Canvas::default();
        draw_sample(&mut canvas, &item.sample);
        let sample = match item.sample {
            Sample::None => String::new(),
            _ => format!("<svg viewBox=\"0 0 12 12\">{}</svg>", canvas.into_svg()),
        };
        format!("<li>{sample}{}\n", harmless(&item.words))
    };
    format!("<ul class=\"legend\">\n{}</ul>", items.iter().map(item).collect::<String>())
}

/// What the picture can say, and what not.
fn notes(recording: &Recording) -> String {
    let mut notes = vec![
        "A lane's bar is as high as the part of its time in which the thread ran, and shows where. A time off the set \
         is drawn however short it was, as wide as it takes to be seen."
            .to_owned(),
        format!("{}.", crate::present::picture::head::method(recording)),
    ];
    notes.extend(cpu_lanes::notes(recording));
    notes.extend(waits::note(recording));
    let notes: String =
        notes.iter().map(|note| format!("<p class=\"dim\">{}</p>\n", harmless(note))).collect();
    format!("<h2>How it was recorded</h2>\n{notes}")
}
