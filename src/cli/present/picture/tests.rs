//! Whole pictures and pages.

use crate::present::perfetto;
use crate::present::picture::html::html;
use crate::present::picture::sample::{
    self, MICROSECOND, SECOND, add_run, add_wait, blank, hostile, run, thread, who,
};
use crate::present::picture::svg::svg;
use crate::record::recording::{CpuLane, Method, OtherSpan, Recording, ThreadLane};
use pinning::{CpuId, RoleKind, is_harmful};
use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::time::Duration;

fn all() -> [(&'static str, Recording); 5] {
    [
        ("minute", sample::minute()),
        ("unpinned", sample::unpinned_minute()),
        ("hour", sample::hour()),
        ("noise", sample::noise()),
        ("hostile", hostile()),
    ]
}

/// With this variable the pictures are written to the folder that it names, to be looked at.
#[test]
fn pictures_can_be_looked_at() {
    let Some(folder) = std::env::var_os("PINSHIM_PICTURES") else { return };
    for (name, recording) in all() {
        let path = |ending: &str| std::path::Path::new(&folder).join(format!("{name}.{ending}"));
        std::fs::write(path("svg"), svg(&recording)).unwrap();
        std::fs::write(path("html"), html(&recording)).unwrap();
        std::fs::write(path("perfetto.json"), perfetto::trace(&recording).unwrap()).unwrap();
    }
}

/// Every element's name in a document that is well-formed; the texts of its titles.
fn read(xml: &str) -> (Vec<String>, Vec<String>) {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_comments = true;
    let (mut elements, mut titles, mut open) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                let name = String::from_utf8(start.name().0.to_vec()).unwrap();
                start.attributes().for_each(|attribute| drop(attribute.unwrap()));
                if name == "title" {
                    titles.push(String::new());
                }
                elements.push(name.clone());
                open.push(name);
            }
            Event::End(_) => drop(open.pop().unwrap()),
            Event::Empty(empty) => {
                empty.attributes().for_each(|attribute| drop(attribute.unwrap()));
                elements.push(String::from_utf8(empty.name().0.to_vec()).unwrap());
            }
            Event::Text(text) if open.last().is_some_and(|name| name == "title") => {
                titles.last_mut().unwrap().push_str(&text.decode().unwrap());
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty());
    (elements, titles)
}

#[test]
fn a_picture_is_well_formed_and_small() {
    for (name, recording) in all() {
        let svg = svg(&recording);
        read(&svg);
        assert!(svg.len() < 2_000_000, "{name}: {} bytes", svg.len());
        let html = html(&recording);
        assert!(html.len() < 2_500_000, "{name}: {} bytes", html.len());
    }
}

/// 100 µs in an hour, which is 0.00002 of a pixel.
#[test]
fn a_moment_off_the_set_is_seen_whatever_the_length_of_the_recording() {
    let recording = sample::hour();
    let svg = svg(&recording);
    let (_, titles) = read(&svg);
    let off: Vec<&String> = titles.iter().filter(|title| title.starts_with("OFF ITS SET")).collect();
    // Each in the thread's lane and in that of the CPU on which it ran.
    assert_eq!(off.len(), 4, "{off:?}");
    assert_eq!(off.iter().filter(|title| title.contains("worker (thread 5200) on CPU 9")).count(), 2);
    assert_eq!(off.iter().filter(|title| title.ends_with(", 100 µs")).count(), 4);
    assert_eq!(svg.matches("class=\"off\"").count(), 4 + 1, "and one in the legend");
}

#[test]
fn nothing_is_red_where_nothing_was_off_its_set() {
    let mut recording = sample::minute();
    for thread in &mut recording.threads {
        thread.spans.iter_mut().for_each(|span| span.off = false);
        thread.off = 0;
    }
    let svg = svg(&recording);
    assert_eq!(svg.matches("class=\"off\"").count(), 1, "the legend's");
    assert!(svg.contains(">✓ 24 threads, ") && svg.contains(" switches, 0 µs off their CPUs</text>"));
}

#[test]
fn births_ends_and_other_processes_are_seen() {
    // A pixel is a tenth of a second.
    let mut recording = blank(768 * SECOND / 10);
    let mut worker = ThreadLane {
        born: Some(20 * SECOND),
        ended: Some(40 * SECOND),
        ..thread(RoleKind::Worker, "worker", 5)
    };
    add_run(&mut worker, 20 * SECOND, 21 * SECOND, 1);
    add_wait(&mut worker, 25 * SECOND, 300 * MICROSECOND, 1, &[(&who(812, "stress-ng"), 290 * MICROSECOND)]);
    recording.threads.push(worker);
    recording.others.push(who(812, "stress-ng"));
    let others = vec![OtherSpan { span: run(30 * SECOND, 33 * SECOND, 1, false), who: 0 }];
    recording.cpus.push(CpuLane { cpu: CpuId(1), others });
    let (_, titles) = read(&svg(&recording));
    for part in [
        "waited 300 µs for one, born at 20.000 s, ended at 40.000 s",
        "worker (thread 5): 20.00–21.00 s, ran 1 s on CPU 1",
        "CPU 1: 30.00–33.00 s, stress-ng (PID 812) 3 s",
    ] {
        assert!(titles.iter().any(|title| title.contains(part)), "{part}: {titles:#?}");
    }
    let html = html(&recording);
    assert!(html.contains("<td>stress-ng (PID 812) 290 µs"), "{html}");
}

#[test]
fn what_was_not_recorded_is_said() {
    let mut recording = sample::minute();
    let why = "perf is not permitted here".to_owned();
    recording.method = Method::Exact { others: Err(why.clone()), wakings: Err(why.clone()) };
    let exact = svg(&recording);
    assert!(exact.contains("Other processes were not recorded: perf is not permitted here."));
    assert!(exact.contains("not those after a sleep: perf is not permitted here."));
    recording.method = Method::Sampled { every: Duration::from_millis(10), why };
    let sampled = svg(&recording);
    assert!(sampled.contains("sampled: a look at /proc every 10 ms, since perf is not permitted here"));
}

/// Names that would be markup, script, or a command to a terminal.
#[test]
fn names_of_strangers_are_text_and_nothing_else() {
    let recording = hostile();
    let (svg, html) = (svg(&recording), html(&recording));
    let (elements, titles) = read(&svg);
    for element in elements {
        assert!(
            ["svg", "title", "style", "path", "text", "g", "rect"].contains(&element.as_str()),
            "{element}"
        );
    }
    assert!(titles.iter().any(|title| title.contains("onload")), "{titles:?}");
    for text in [&svg, &html] {
        for part in ["<script", "<img", "<!--", "]]>", "</title><img", "\" onload"] {
            assert!(!text.contains(part), "{part}");
        }
        let is_own = |c: char| c == '\n';
        assert_eq!(text.chars().find(|c| is_harmful(*c) && !is_own(*c)), None);
        assert!(!text.contains(['\u{fffe}', '\u{ffff}']));
    }
    assert!(html.contains("default-src 'none'") && !html.contains("script-src"));
    assert!(!html.contains("://"), "nothing is fetched");
}

fn any_recording() -> impl Strategy<Value = Recording> {
    let spans = proptest::collection::vec((0..1000u64, 0..100u64, 0..4u32), 0..12);
    let lives = (proptest::option::of(0..1000u64), proptest::option::of(0..1000u64));
    let threads = proptest::collection::vec((0..7usize, lives, any::<bool>(), any::<String>(), spans), 0..20);
    (0..2000u64, threads, any::<String>()).prop_map(|(time, threads, title)| {
        let mut recording = blank(time);
        recording.subject.title = title;
        for (role, (born, ended), pinned, name, mut spans) in threads {
            let expected = pinned.then(|| [CpuId(1)].into_iter().collect());
            let mut thread = ThreadLane { born, ended, expected, ..thread(RoleKind::ALL[role], &name, 1) };
            spans.sort_unstable();
            spans.into_iter().for_each(|(from, long, cpu)| add_run(&mut thread, from, from + long, cpu));
            recording.threads.push(thread);
        }
        recording
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Also one that contradicts itself: ends before births, runs after the end.
    #[test]
    fn any_recording_makes_a_picture_that_shows_what_was_off(recording in any_recording()) {
        let svg = svg(&recording);
        let (_, titles) = read(&svg);
        let off = recording.threads.iter().filter(|thread| thread.spans.iter().any(|span| span.off)).count();
        let marks = titles.iter().filter(|title| title.starts_with("OFF ITS SET")).count();
        prop_assert!((marks > 0) == (off > 0), "{marks} marks, {off} threads");
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf"));
        html(&recording);
    }
}
