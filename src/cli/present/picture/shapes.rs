//! The shapes of a lane: bars for what ran, flags for times off the set, and the ends of lives.

use crate::present::picture::canvas::{Canvas, Short};
use crate::present::picture::lives::Life;
use crate::present::picture::marks::{Mark, STEPS};
use crate::present::picture::off::{NARROWEST, OffMark};
use crate::present::picture::scale::Scale;
use std::ops::Range;

/// A lane on the canvas. It leaves two pixels free above it and one below.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strip {
    /// Where a moment is.
    pub(super) scale: Scale,
    /// Its height in pixels.
    pub(super) height: f64,
}

impl Strip {
    fn width(self) -> f64 {
        f64::from(self.scale.width())
    }

    /// The ground of the whole lane.
    pub(super) fn ground(self, canvas: &mut Canvas) {
        canvas.rectangle("alive", (0.0, 2.0), (self.width(), self.height - 3.0), "");
    }

    /// The ground for as long as a thread lived, with a bracket where it was born and where it ended.
    pub(super) fn life(self, canvas: &mut Canvas, life: &Life, title: &str) {
        let (from, to) = (self.scale.x(life.from), self.scale.x(life.to));
        let height = self.height - 3.0;
        canvas.rectangle("alive", (from, 2.0), ((to - from).max(1.0), height), title);
        let (from, to, rest) = (Short(from), Short(to), Short(height - 4.0));
        if life.born {
            canvas.path("edge", format_args!("M{from} 2h5l-4 4v{rest}h-1z"), title);
        }
        if life.ended {
            let bottom = Short(self.height - 1.0);
            canvas.path("edge", format_args!("M{to} {bottom}h-5l4 -4v-{rest}h1z"), title);
        }
    }

    /// The bars of a mark, stacked; `class` is that of a band. They are cut to the time in which its threads lived.
    pub(super) fn bars(
        self,
        canvas: &mut Canvas,
        mark: &Mark,
        lived: Range<u64>,
        title: &str,
        class: impl Fn(usize) -> String,
    ) {
        let step = (self.height - 3.0) / f64::from(STEPS);
        let left = self.scale.x(lived.start).max(f64::from(mark.pixels.start)).min(self.width() - 1.0);
        let right = self.scale.x(lived.end).min(f64::from(mark.pixels.end));
        let width = (right - left).max(1.0);
        let draw = |canvas: &mut Canvas, title: &str| {
            let mut bottom = self.height - 1.0;
            for (band, steps) in &mark.bars {
                let tall = f64::from(*steps) * step;
                bottom -= tall;
                canvas.rectangle(&class(*band), (left, bottom), (width, tall), title);
            }
        };
        match mark.bars.len() {
            1 => draw(canvas, title),
            _ => canvas.group(title, |canvas| draw(canvas, "")),
        }
    }

    /// A time off the set, as a flag. Its staff, with an arrow above it, is as high as the lane and wide enough to be
    /// seen; its cloth, along the top, is as long as the time was.
    pub(super) fn flag(self, canvas: &mut Canvas, mark: &OffMark, title: &str) {
        let left = self.scale.x(mark.from).min(self.width() - NARROWEST);
        let cloth = (self.scale.x(mark.to) - left - NARROWEST).max(0.0);
        let high = (self.height * 0.35).round();
        let low = self.height - high;
        let arrow = (left + NARROWEST / 2.0 - 4.5).max(0.0);
        canvas.path(
            "off",
            format_args!(
                "M{} 0h{}v{}h-{}v{}h-{}zM{} -2h9l-4.5 7z",
                Short(left),
                Short(NARROWEST + cloth),
                Short(high),
                Short(cloth),
                Short(low),
                Short(NARROWEST),
                Short(arrow)
            ),
            title,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::picture::sample::{MICROSECOND, SECOND};

    fn flag(from: u64, to: u64) -> String {
        let mark =
            OffMark { from, to, off: to - from, runs: 1, cpus: pinning::CpuSet::default(), threads: vec![0] };
        let mut canvas = Canvas::default();
        Strip { scale: Scale::new(3600 * SECOND, 768), height: 19.0 }.flag(&mut canvas, &mark, "");
        canvas.into_svg()
    }

    #[test]
    fn a_flag_is_wide_enough_to_be_seen_and_stays_in_its_lane() {
        let short = flag(1800 * SECOND, 1800 * SECOND + 100 * MICROSECOND);
        assert!(short.contains("\"M384 0h2.5v7h-0v12h-2.5z"), "{short}");
        let at_the_end = flag(3600 * SECOND - 1, 3600 * SECOND);
        assert!(at_the_end.contains("\"M765.5 0h2.5v7"), "{at_the_end}");
        let long = flag(900 * SECOND, 1800 * SECOND);
        assert!(long.contains("\"M192 0h192v7h-189.5v12h-2.5z"), "{long}");
    }
}
