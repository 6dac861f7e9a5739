//! How long threads waited for a CPU, by role: a histogram, and the figures that matter.

use crate::present::picture::body::{Body, LABELS};
use crate::present::picture::canvas::{Canvas, Short};
use crate::present::picture::names;
use crate::present::picture::spell::{count, length, number};
use crate::record::recording::{Method, Recording};
use hdrhistogram::Histogram;
use pinning::RoleKind;

/// The waits of a role's threads.
#[derive(Debug)]
pub(super) struct RoleWaits {
    /// The role.
    pub(super) role: RoleKind,
    /// How long each was; empty where they are not known one by one.
    pub(super) lengths: Histogram<u64>,
    /// For how long all of them waited, by the kernel's count.
    pub(super) waited: u64,
}

impl RoleWaits {
    /// The figures: p50, p99, p99.9, the longest, and all together.
    pub(super) fn figures(&self) -> [String; 5] {
        let at = |quantile| match self.lengths.is_empty() {
            true => "–".to_owned(),
            false => length(self.lengths.value_at_quantile(quantile).min(self.lengths.max())),
        };
        [at(0.5), at(0.99), at(0.999), at(1.0), length(self.waited)]
    }
}

/// What each figure is called.
pub(super) const FIGURES: [&str; 5] = ["p50", "p99", "p99.9", "max", "in all"];

/// The waits of each role that has threads.
pub(super) fn by_role(recording: &Recording) -> Vec<RoleWaits> {
    let of_role = |role: RoleKind| {
        // Three digits, any length: the ones to be added may be coarser. A histogram of three digits can be made.
        let lengths = Histogram::new(3).ok()?;
        let mut sum = RoleWaits { role, lengths, waited: 0 };
        let mut threads = recording.threads.iter().filter(|thread| thread.role == role).peekable();
        threads.peek()?;
        for thread in threads {
            sum.waited += thread.waited;
            // One that resizes itself takes every length.
            let _ = sum.lengths.add(&thread.waits.lengths);
        }
        Some(sum)
    };
    RoleKind::ALL.into_iter().filter_map(of_role).collect()
}

/// What these figures cannot say.
pub(super) fn note(recording: &Recording) -> Option<String> {
    match &recording.method {
        Method::Exact { wakings: Ok(()), .. } => None,
        Method::Exact { wakings: Err(why), .. } => Some(format!(
            "One by one only the waits of threads that were preempted are known, not those after a sleep: {why}."
        )),
        Method::Sampled { .. } => Some(
            "Samples do not show waits one by one; in all they are known by the kernel's count.".to_owned(),
        ),
    }
}

const HEIGHT: f64 = 38.0;
const COLUMN: f64 = 66.0;
/// The shortest wait of the scale, in nanoseconds: what is shorter stands at its beginning.
const SHORTEST: u64 = 1_000;
const BARS_PER_DECADE: u32 = 8;

/// Draws them.
pub(super) fn draw(body: &mut Body, recording: &Recording) {
    let roles = by_role(recording);
    body.heading("Waits for a CPU");
    let width = f64::from(body.scale.width()) - COLUMN * FIGURES.len() as f64 - 10.0;
    let longest = roles.iter().map(|role| role.lengths.max()).max().unwrap_or(0);
    let axis = Axis::of(longest, width);
    let top = body.height;
    for (name, x) in FIGURES.into_iter().zip(columns(width)) {
        body.plot.text("dim small end", x, top - 9.0, name);
    }
    axis.draw(&mut body.plot, top, roles.len() as f64 * HEIGHT);
    for role in &roles {
        let base = body.height + HEIGHT / 2.0 + 6.0;
        body.labels.text("", 10.0, base, names::threads_of(role.role));
        let waits = match role.lengths.len() {
            0 => "–".to_owned(),
            waits => number(waits),
        };
        body.labels.text("dim small end", f64::from(LABELS) - 10.0, base, &waits);
        for (figure, x) in role.figures().iter().zip(columns(width)) {
            body.plot.text("end", x, base, figure);
        }
        body.plot.at(0.0, body.height, |canvas| bars(canvas, role, &axis));
        body.height += HEIGHT;
    }
    if let Some(note) = note(recording) {
        body.height += 4.0;
        body.note(&note);
    }
}

/// Where each column of figures ends.
fn columns(width: f64) -> impl Iterator<Item = f64> {
    (0..FIGURES.len()).map(move |place| width + 10.0 + COLUMN * (place + 1) as f64)
}

/// From a wait to pixels: each decade of nanoseconds is as wide as the next.
struct Axis {
    decades: u32,
    width: f64,
}

impl Axis {
    fn of(longest: u64, width: f64) -> Self {
        let mut decades = 4;
        while decades < 15 && SHORTEST * 10u64.pow(decades) < longest {
            decades += 1;
        }
        Self { decades, width }
    }

    fn x(&self, length: u64) -> f64 {
        let decade = (length.max(SHORTEST) as f64 / SHORTEST as f64).log10();
        (decade / f64::from(self.decades)).min(1.0) * self.width
    }

    /// From which length to which each bar is.
    fn bars(&self) -> impl Iterator<Item = (u64, u64)> {
        let edge = |place: u32| {
            (SHORTEST as f64 * 10f64.powf(f64::from(place) / f64::from(BARS_PER_DECADE))).round() as u64
        };
        (0..self.decades * BARS_PER_DECADE).map(move |place| {
            let from = if place == 0 { 0 } else { edge(place) };
            (from, edge(place + 1) - 1)
        })
    }

    fn draw(&self, canvas: &mut Canvas, top: f64, height: f64) {
        let mut lines = String::new();
        for decade in 0..=self.decades {
            let length_here = SHORTEST * 10u64.pow(decade);
            let x = self.x(length_here);
            lines += &format!("M{} {}v{}", Short(x.round() + 0.5), Short(top - 4.0), Short(height + 4.0));
            let class = if decade == 0 { "dim small" } else { "dim small mid" };
            canvas.text(class, x, top - 9.0, &length(length_here));
        }
        canvas.path("grid", format_args!("{lines}"), "");
    }
}

/// The bars of one role, by the logarithm of their counts, and a line at each figure.
fn bars(canvas: &mut Canvas, role: &RoleWaits, axis: &Axis) {
    let counts: Vec<(u64, u64, u64)> =
        axis.bars().map(|(from, to)| (from, to, role.lengths.count_between(from, to))).collect();
    let most = counts.iter().map(|(_, _, count)| *count).max().unwrap_or(0);
    let bottom = HEIGHT - 2.0;
    canvas.rectangle("alive", (0.0, bottom - 1.0), (axis.width, 1.0), "");
    for (from, to, waits) in counts.into_iter().filter(|(_, _, waits)| *waits > 0) {
        let part = (1.0 + waits as f64).ln() / (1.0 + most as f64).ln();
        let height = (part * (HEIGHT - 12.0)).max(2.0);
        let (left, right) = (axis.x(from), axis.x(to + 1));
        let title = format!("{} to {}: {}", length(from), length(to + 1), count(waits, "wait"));
        canvas.rectangle("wait", (left, bottom - height), ((right - left - 1.0).max(1.0), height), &title);
    }
    if role.lengths.is_empty() {
        return;
    }
    for (quantile, name) in [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "max")] {
        let at = role.lengths.value_at_quantile(quantile).min(role.lengths.max());
        let class = if quantile == 1.0 { "at" } else { "at soft" };
        let title = format!("{name}: {}", length(at));
        canvas.path(class, format_args!("M{} {}V{}", Short(axis.x(at)), Short(6.0), Short(bottom)), &title);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::picture::sample::{MICROSECOND, MILLISECOND, add_wait, blank, thread};

    #[test]
    fn waits_of_a_role_are_put_together() {
        let mut recording = blank(1000);
        let mut one = thread(RoleKind::Vcpu, "CPU 0/KVM", 1);
        let mut other = thread(RoleKind::Vcpu, "CPU 1/KVM", 2);
        (0..999).for_each(|_| add_wait(&mut one, 0, 10 * MICROSECOND, 0, &[]));
        add_wait(&mut other, 0, 7 * MILLISECOND, 0, &[]);
        recording.threads = vec![one, other, thread(RoleKind::Worker, "worker", 3)];
        let [vcpus, workers] = <[RoleWaits; 2]>::try_from(by_role(&recording)).unwrap();
        assert_eq!(vcpus.lengths.len(), 1000);
        let figures = vcpus.figures();
        // A histogram of two digits knows no more.
        assert!(["9.99 µs", "10 µs", "10.1 µs"].contains(&figures[0].as_str()), "{figures:?}");
        assert!(["6.98 ms", "7 ms", "7.01 ms", "7.02 ms"].contains(&figures[3].as_str()), "{figures:?}");
        assert_eq!(figures[4], "17 ms");
        assert_eq!(workers.figures(), ["–", "–", "–", "–", "0 µs"]);
    }

    #[test]
    fn every_wait_has_one_bar() {
        let axis = Axis::of(40 * MILLISECOND, 400.0);
        let bars: Vec<(u64, u64)> = axis.bars().collect();
        assert_eq!(bars[0].0, 0);
        assert!(bars.windows(2).all(|two| two[0].1 + 1 == two[1].0), "{bars:?}");
        assert!(bars.last().unwrap().1 > 40 * MILLISECOND);
    }
}
