//! What the colours and marks of a picture mean.

use crate::present::picture::canvas::Canvas;
use crate::present::picture::colours::Colours;
use crate::record::recording::{Method, Recording};

/// One thing that is explained.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// How it looks.
    pub(super) sample: Sample,
    /// What it means.
    pub(super) words: String,
}

/// How something looks in the picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// A field of this class.
    Field(String),
    /// A time off the set.
    Off,
    /// A birth and an end.
    Life,
    /// Nothing: words alone.
    None,
}

/// So many CPUs are listed.
const MOST_CPUS: usize = 16;

/// The size of a sample, in pixels.
pub(super) const SAMPLE: f64 = 12.0;

/// What is to be explained in a picture of a recording.
pub(super) fn items(recording: &Recording, colours: &Colours) -> Vec<Item> {
    let field =
        |class: &str, words: &str| Item { sample: Sample::Field(class.to_owned()), words: words.to_owned() };
    let mut items: Vec<Item> = colours
        .cpus()
        .iter()
        .enumerate()
        .take(MOST_CPUS)
        .map(|(place, cpu)| field(&format!("c{place}"), &format!("CPU {cpu}")))
        .collect();
    let more = colours.cpus().len().saturating_sub(MOST_CPUS);
    if more > 0 {
        items.push(Item { sample: Sample::None, words: format!("and {more} more CPUs") });
    }
    if recording.threads.iter().any(|thread| thread.expected.is_some()) {
        items.push(Item { sample: Sample::Off, words: "off its set".to_owned() });
    }
    if recording.threads.iter().any(|thread| thread.born.or(thread.ended).is_some()) {
        items.push(Item { sample: Sample::Life, words: "born, ended".to_owned() });
    }
    items.push(field("c0 half", "CPU lanes: the VM's other threads"));
    if matches!(recording.method, Method::Exact { others: Ok(()), .. }) {
        items.push(field("other", "CPU lanes: other processes"));
    }
    items.push(Item { sample: Sample::None, words: "height: part of the time".to_owned() });
    items
}

/// Draws what a thing looks like, in a square at the canvas's corner.
pub(super) fn draw_sample(canvas: &mut Canvas, sample: &Sample) {
    match sample {
        Sample::Field(class) => canvas.rectangle(class, (0.0, 0.0), (SAMPLE, SAMPLE), ""),
        Sample::Off => canvas.path("off", format_args!("M4.75 0h2.5v12h-2.5zM1.5 -2h9l-4.5 7z"), ""),
        Sample::Life => {
            canvas.rectangle("alive", (0.0, 0.0), (SAMPLE, SAMPLE), "");
            canvas.path("edge", format_args!("M0 0h5l-4 4v8h-1z"), "");
            canvas.path("edge", format_args!("M12 12h-5l4 -4v-8h1z"), "");
        }
        Sample::None => {}
    }
}

/// Draws the legend in rows of this width. Gives how high it is.
pub(super) fn draw(canvas: &mut Canvas, items: &[Item], width: f64) -> f64 {
    const LINE: f64 = 20.0;
    let (mut x, mut y) = (0.0, 0.0);
    for item in items {
        let sample = if item.sample == Sample::None { 0.0 } else { SAMPLE + 6.0 };
        // Letters are about so wide; there is no way to measure them here.
        let own = sample + item.words.chars().count() as f64 * 6.4 + 18.0;
        if x > 0.0 && x + own > width {
            (x, y) = (0.0, y + LINE);
        }
        canvas.at(x, y + 4.0, |canvas| draw_sample(canvas, &item.sample));
        canvas.text("", x + sample, y + 14.0, &item.words);
        x += own;
    }
    y + LINE
}
