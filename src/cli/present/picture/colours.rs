//! A colour for each CPU, told apart by people who see few colours too. None is red: that means "off its set".
//!
//! The first four are of Okabe and Ito's palette (jfly.uni-koeln.de/color), and the next four were searched so that all
//! eight, red and the grey of other processes are as far from each other as can be, to such people too; the rest are
//! hues that go round.

use crate::record::recording::Recording;
use pinning::{CpuId, CpuSet};
use std::fmt::Write;

/// The first colours, on a light ground and on a dark one.
const FIRST: [(&str, &str); 8] = [
    ("#0072b2", "#3b9ee0"),
    ("#e69f00", "#f0b030"),
    ("#009e73", "#2bc49a"),
    ("#56b4e9", "#9bd8ff"),
    ("#3a1fd0", "#6050f1"),
    ("#b5dd7a", "#d5f589"),
    ("#233d48", "#0a7f2d"),
    ("#f3b6e0", "#e9eef5"),
];

/// Which CPU has which colour.
#[derive(Debug)]
pub(super) struct Colours {
    cpus: Vec<CpuId>,
}

impl Colours {
    /// Colours for the CPUs of a recording, in their order.
    pub(super) fn of(recording: &Recording) -> Self {
        let mut cpus: CpuSet = recording.cpus.iter().map(|lane| lane.cpu).collect();
        for span in recording.threads.iter().flat_map(|thread| &thread.spans) {
            cpus.insert(span.cpu);
        }
        Self { cpus: cpus.iter().collect() }
    }

    /// The CPUs.
    pub(super) fn cpus(&self) -> &[CpuId] {
        &self.cpus
    }

    /// A CPU's place among them, which is its colour's number.
    pub(super) fn place(&self, cpu: CpuId) -> usize {
        self.cpus.binary_search(&cpu).unwrap_or_else(|place| place)
    }

    /// The CPU with this place.
    pub(super) fn cpu(&self, place: usize) -> CpuId {
        self.cpus.get(place).copied().unwrap_or(CpuId(0))
    }

    /// The classes `.c0`, `.c1` and so on in CSS.
    pub(super) fn css(&self, on_dark: bool) -> String {
        let mut css = String::new();
        for place in 0..self.cpus.len() {
            // Writing to a string does not fail.
            let _ = write!(css, ".c{place}{{fill:{}}}", colour(place, on_dark));
        }
        css
    }
}

/// The colour with this number.
fn colour(place: usize, on_dark: bool) -> String {
    if let Some((light, dark)) = FIRST.get(place) {
        return if on_dark { dark } else { light }.to_string();
    }
    // Steps of about the golden part, over the hues that are not red; their number is prime, so that none comes again soon.
    let hue = 25 + (place * 109) % 293;
    let lightness = [38, 52, 64].get(place % 3).copied().unwrap_or(50) + if on_dark { 12 } else { 0 };
    format!("hsl({hue} 55% {lightness}%)")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What linear red, green and blue become to people without red or green cones (Machado, Oliveira and Fernandes,
    /// 2009, full severity), and to everybody else.
    const EYES: [[[f64; 3]; 3]; 3] = [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    ];

    /// A colour in CIE's L*a*b*, as such eyes see it: distances there are about as they are felt.
    fn seen(colour: &str, eyes: [[f64; 3]; 3]) -> [f64; 3] {
        let linear = [1, 3, 5].map(|at| {
            let part = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        let times = |row: [f64; 3], by: [f64; 3]| (0..3).map(|at| row[at] * by[at]).sum::<f64>().max(0.0);
        let linear = eyes.map(|row| times(row, linear));
        let to_xyz = [[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722], [0.0177, 0.1094, 0.8729]];
        let [x, y, z] = to_xyz.map(|row| {
            let part = times(row, linear);
            if part > 0.008856 { part.cbrt() } else { 7.787 * part + 16.0 / 116.0 }
        });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn the_first_colours_are_told_apart_by_those_who_see_few() {
        let red_and_grey = [("#cf1322", "#ff5d5d"), ("#8b949e", "#7d8590")];
        let all: Vec<_> = FIRST.into_iter().chain(red_and_grey).collect();
        for eyes in EYES {
            for on_dark in [false, true] {
                let of = |(light, dark): (&str, &str)| seen(if on_dark { dark } else { light }, eyes);
                for (place, one) in all.iter().enumerate() {
                    for other in &all[..place] {
                        let apart =
                            of(*one).iter().zip(of(*other)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                        assert!(apart > 15.0, "{one:?} and {other:?}: {apart}");
                    }
                }
            }
        }
    }

    #[test]
    fn neighbours_have_colours_of_their_own_and_none_is_red() {
        for on_dark in [false, true] {
            let colours: Vec<String> = (0..64).map(|place| colour(place, on_dark)).collect();
            for (place, one) in colours.iter().enumerate() {
                assert!(!colours[..place].contains(one), "{one}");
                let hue = one.strip_prefix("hsl(").and_then(|rest| rest.split_once(' '));
                assert!(
                    hue.is_none_or(|(hue, _)| (25..=320).contains(&hue.parse::<u32>().unwrap())),
                    "{one}"
                );
            }
        }
    }
}
