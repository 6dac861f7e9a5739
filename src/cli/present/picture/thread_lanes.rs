//! A lane for each thread, by role: where it ran, when it was off its set, when it was born and ended.

use crate::output::text::cut;
use crate::present::picture::body::{Body, LABELS};
use crate::present::picture::canvas::Canvas;
use crate::present::picture::colours::Colours;
use crate::present::picture::lane::Lane;
use crate::present::picture::marks::Mark;
use crate::present::picture::names;
use crate::present::picture::rows::{Group, groups};
use crate::present::picture::scale::Scale;
use crate::present::picture::shapes::Strip;
use crate::present::picture::spell::{length, moment, range};
use crate::record::recording::{Recording, ThreadLane};
use pinning::RoleKind;

/// The room above a role's rows.
const ROLE: f64 = 20.0;

/// The rows of one role.
#[derive(Debug)]
pub(super) struct Rows {
    role: RoleKind,
    threads: usize,
    /// From the top down.
    pub(super) lanes: Vec<Lane>,
}

/// The rows of all threads, drawn as finely as a pixel can be.
pub(super) fn rows(recording: &Recording, colours: &Colours, scale: Scale) -> Vec<Rows> {
    let lane = |row: Vec<usize>| {
        let mut lane = Lane::new(recording, row, None, scale);
        for thread in lane.threads.iter().filter_map(|place| recording.threads.get(*place)) {
            for span in &thread.spans {
                lane.cells.add(colours.place(span.cpu), span.from..span.to, span.ran);
            }
        }
        lane
    };
    let rows = |group: Group| Rows {
        role: group.role,
        threads: group.rows.iter().map(Vec::len).sum(),
        lanes: group.rows.into_iter().map(lane).collect(),
    };
    groups(recording).into_iter().map(rows).collect()
}

/// Draws them.
pub(super) fn draw(body: &mut Body, rows: &[Rows], recording: &Recording, colours: &Colours) {
    let drawing = Drawing { recording, colours, scale: body.scale, look: Look::of(rows) };
    body.heading("Threads");
    let lanes: usize = rows.iter().map(|rows| rows.lanes.len()).sum();
    body.axis(rows.len() as f64 * ROLE + lanes as f64 * drawing.look.height);
    for rows in rows {
        body.height += ROLE;
        let of =
            if rows.threads == rows.lanes.len() { String::new() } else { format!(" · {}", rows.threads) };
        let words = format!("{}{of}", names::threads_of(rows.role));
        body.labels.text("dim small", 0.0, body.height - 5.0, &words);
        for lane in &rows.lanes {
            drawing.label(&mut body.labels, body.height, lane);
            body.plot.at(0.0, body.height, |canvas| drawing.lane(canvas, lane));
            body.height += drawing.look.height;
        }
    }
}

/// How high a lane is, and its words: the more there are, the lower.
struct Look {
    height: f64,
    class: &'static str,
}

impl Look {
    fn of(rows: &[Rows]) -> Self {
        match rows.iter().map(|rows| rows.lanes.len()).sum() {
            0..=30 => Self { height: 19.0, class: "" },
            31..=80 => Self { height: 15.0, class: "small" },
            _ => Self { height: 11.0, class: "tiny" },
        }
    }
}

struct Drawing<'a> {
    recording: &'a Recording,
    colours: &'a Colours,
    scale: Scale,
    look: Look,
}

impl Drawing<'_> {
    fn thread(&self, place: &usize) -> Option<&ThreadLane> {
        self.recording.threads.get(*place)
    }

    fn threads(&self, places: &[usize]) -> String {
        let threads: Vec<&ThreadLane> = places.iter().filter_map(|place| self.thread(place)).collect();
        names::threads(threads.into_iter())
    }

    /// Who a lane is: its name at the left, its set at the right.
    fn label(&self, canvas: &mut Canvas, top: f64, lane: &Lane) {
        let threads: Vec<&ThreadLane> = lane.threads.iter().filter_map(|place| self.thread(place)).collect();
        let Some(first) = threads.first() else { return };
        let (words, title) = match threads.len() {
            1 => (cut(&first.name, 17).into_owned(), names::summary(first, self.scale.time())),
            _ => {
                (cut(&names::threads(threads.iter().copied()), 17).into_owned(), self.threads(&lane.threads))
            }
        };
        let base = top + self.look.height / 2.0 + 4.0;
        canvas.titled_text(self.look.class, (10.0, base), &words, &title);
        if threads.iter().all(|thread| thread.expected == first.expected) {
            let set = names::expected(first);
            let class = if self.look.class == "tiny" { "dim tiny end" } else { "dim small end" };
            canvas.titled_text(class, (f64::from(LABELS) - 10.0, base), &cut(&set, 10), &set);
        }
    }

    fn lane(&self, canvas: &mut Canvas, lane: &Lane) {
        let strip = Strip { scale: self.scale, height: self.look.height };
        for life in lane.lives(self.recording, self.scale.time()) {
            let at = |moment_of: Option<u64>, what| {
                moment_of.map_or_else(String::new, |when| format!(", {what} at {}", moment(when, 3)))
            };
            let title = match life.threads.as_slice() {
                [one] => self.thread(one).map_or_else(String::new, |thread| {
                    let summary = names::summary(thread, self.scale.time());
                    format!("{summary}{}{}", at(thread.born, "born"), at(thread.ended, "ended"))
                }),
                several => format!("{}: {}", self.threads(several), range(life.from, life.to)),
            };
            strip.life(canvas, &life, &title);
        }
        for mark in lane.marks() {
            let threads = self.alive(lane, &mark);
            let from = threads.iter().map(|thread| thread.born.unwrap_or(0)).min().unwrap_or(0);
            let to = threads.iter().map(|thread| thread.ended.unwrap_or(u64::MAX)).max().unwrap_or(u64::MAX);
            strip.bars(canvas, &mark, from..to, &self.title(&threads, &mark), |band| format!("c{band}"));
        }
        for mark in lane.off_marks() {
            let title = names::off(&mark, &self.threads(&mark.threads));
            strip.flag(canvas, &mark, &title);
        }
    }

    /// The lane's threads that lived while something of a mark ran.
    fn alive(&self, lane: &Lane, mark: &Mark) -> Vec<&ThreadLane> {
        let is_alive = |thread: &&ThreadLane| {
            thread.born.is_none_or(|born| born <= mark.cell.to)
                && thread.ended.is_none_or(|ended| mark.cell.from <= ended)
        };
        lane.threads.iter().filter_map(|place| self.thread(place)).filter(is_alive).collect()
    }

    /// Who ran, when, where and for how long.
    fn title(&self, threads: &[&ThreadLane], mark: &Mark) -> String {
        let ran = mark
            .cell
            .ran
            .iter()
            .map(|(place, ran)| format!("{} on CPU {}", length(*ran), self.colours.cpu(*place)));
        let ran: Vec<String> = ran.take(4).collect();
        let when = range(mark.cell.from, mark.cell.to);
        format!("{}: {when}, ran {}", names::threads(threads.iter().copied()), ran.join(", "))
    }
}
