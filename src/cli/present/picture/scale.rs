//! From time to pixels: where a moment is, and the marks of the axis.

use crate::present::picture::spell::{SECOND, length};

/// The recording's time, laid over so many pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    time: u64,
    width: u32,
}

impl Scale {
    /// So many nanoseconds over so many pixels; neither is nothing.
    pub(super) fn new(time: u64, width: u32) -> Self {
        Self { time: time.max(1), width: width.max(1) }
    }

    /// How many pixels there are.
    pub(super) fn width(self) -> u32 {
        self.width
    }

    /// The time of all pixels.
    pub(super) fn time(self) -> u64 {
        self.time
    }

    /// Where a moment is, in pixels from the left.
    pub(super) fn x(self, moment: u64) -> f64 {
        moment.min(self.time) as f64 * f64::from(self.width) / self.time as f64
    }

    /// In which pixel a moment is.
    pub(super) fn pixel(self, moment: u64) -> u32 {
        let pixel = u128::from(moment.min(self.time)) * u128::from(self.width) / u128::from(self.time);
        u32::try_from(pixel).unwrap_or(u32::MAX).min(self.width - 1)
    }

    /// The first moment of a pixel. The pixel after the last one begins at the end.
    pub(super) fn start(self, pixel: u32) -> u64 {
        let start = (u128::from(pixel) * u128::from(self.time)).div_ceil(u128::from(self.width));
        u64::try_from(start).unwrap_or(u64::MAX).min(self.time)
    }

    /// Moments for marks on the axis, not nearer to each other than so many pixels, with their names.
    pub(super) fn marks(self, nearest: u32) -> Vec<(u64, String)> {
        let at_least = u64::try_from(u128::from(self.time) * u128::from(nearest) / u128::from(self.width));
        let step = step(at_least.unwrap_or(u64::MAX));
        let mut marks = vec![(0, "0".to_owned())];
        let mut moment = step;
        while moment <= self.time {
            marks.push((moment, name(moment, step)));
            moment = moment.saturating_add(step);
        }
        marks
    }
}

/// A round step of at least so many nanoseconds.
fn step(at_least: u64) -> u64 {
    let minute = 60 * SECOND;
    let clock = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map(|minutes| minutes * minute);
    let decimal = (0..=10).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u64.pow(power)));
    let decimal = decimal.filter(|step| *step < minute);
    let days = (1..).map_while(|days: u64| days.checked_mul(1440 * minute));
    decimal.chain(clock).chain(days.take(10_000)).find(|step| *step >= at_least).unwrap_or(u64::MAX)
}

/// A moment that is a multiple of the step, as short as possible.
fn name(moment: u64, step: u64) -> String {
    let (hours, minutes, seconds) = (moment / SECOND / 3600, moment / SECOND / 60 % 60, moment / SECOND % 60);
    match () {
        () if step < SECOND && moment < SECOND => length(moment),
        () if moment < 60 * SECOND => {
            let text = format!("{:.9}", moment as f64 / SECOND as f64);
            format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
        }
        () if hours == 0 && seconds == 0 => format!("{minutes} min"),
        () if minutes == 0 && seconds == 0 => format!("{hours} h"),
        () if hours == 0 => format!("{minutes}:{seconds:02}"),
        () if step >= 60 * SECOND => format!("{hours}:{minutes:02} h"),
        () => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(time: u64, width: u32) -> Vec<String> {
        Scale::new(time, width).marks(90).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn an_axis_has_round_moments() {
        assert_eq!(names(SECOND, 400), ["0", "500 ms", "1 s"]);
        assert_eq!(names(60 * SECOND, 400), ["0", "20 s", "40 s", "1 min"]);
        assert_eq!(names(600 * SECOND, 400), ["0", "5 min", "10 min"]);
        assert_eq!(names(3600 * SECOND, 400), ["0", "15 min", "30 min", "45 min", "1 h"]);
        assert_eq!(names(4 * 3600 * SECOND, 400), ["0", "1 h", "2 h", "3 h", "4 h"]);
        assert_eq!(names(2_500_000, 400), ["0", "1 ms", "2 ms"]);
    }

    proptest! {
        #[test]
        fn every_moment_is_in_the_pixel_that_it_is_in(
            time in 0..u64::MAX, width in 0..5000u32, moment: u64
        ) {
            let scale = Scale::new(time, width);
            let moment = moment % scale.time();
            let pixel = scale.pixel(moment);
            prop_assert!(scale.start(pixel) <= moment && moment < scale.start(pixel + 1).max(moment + 1));
            prop_assert!(pixel < scale.width());
        }

        #[test]
        fn an_axis_is_never_crowded(time: u64, width in 90..5000u32) {
            let marks = Scale::new(time, width).marks(90);
            prop_assert!(marks.len() <= width as usize / 90 + 2, "{marks:?}");
        }
    }
}
