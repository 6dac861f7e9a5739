//! A VM's threads as a table for people, readable at 100 columns.
//!
//! Colour only adds emphasis: everything is there in words.

use crate::output::line::{Emphasis, Line};
use crate::output::style::Style;
use crate::output::text::one_line;
use crate::verdict::judge::Verdict;
use crate::vm::expected::VmThread;
use crate::vm::identify::Evidence;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use pinning::RoleKind;
use std::time::Duration;

/// The width where there is no terminal to ask.
const WIDTH: u16 = 100;

/// A narrower terminal breaks the lines of the table: that is easier to read than columns of single letters.
const NARROWEST: u16 = 80;

const HEADER: [&str; 9] = ["TID", "ROLE", "NAME", "EXPECTED", "ALLOWED", "LAST", "TIME", "MIGR", "STATE"];

/// The table of some threads and the verdicts on them, in lines.
pub(crate) fn render(threads: &[VmThread], verdicts: &[Verdict], style: Style) -> Vec<Line> {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(HEADER);
    table.set_width(style.size.map_or(WIDTH, |(columns, _)| columns.max(NARROWEST)));
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        match HEADER.get(at) {
            Some(&"TID" | &"LAST" | &"TIME" | &"MIGR") => {
                column.set_cell_alignment(CellAlignment::Right);
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
            Some(&"ROLE" | &"NAME") => {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
            Some(header @ (&"EXPECTED" | &"ALLOWED")) => {
                // A list of many CPUs goes over several lines, so that the other columns need not.
                let (lower, upper) = (Width::Fixed(header.len() as u16 + 2), Width::Fixed(20));
                column.set_constraint(ColumnConstraint::Boundaries { lower, upper });
            }
            Some(&"STATE") => {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(12)));
            }
            _ => {}
        }
    }
    let rows = || threads.iter().zip(verdicts);
    for (vm_thread, verdict) in rows() {
        // Made harmless before it is measured: the columns stay where they are, and a newline makes no line.
        table.add_row(cells(vm_thread, verdict).map(|cell| one_line(&cell).into_owned()));
    }
    // A cell may take several lines; the thread id stands only on the first line of its row.
    let id_width = rows().map(|(vm_thread, _)| vm_thread.thread.tid.to_string().len()).max();
    let id_width = id_width.unwrap_or(0).max("TID".len());
    let mut emphases = [Some(Emphasis::Bold)].into_iter().chain(rows().map(|(_, verdict)| emphasis(verdict)));
    let mut current = None;
    let line = |line: String| {
        if !line.chars().take(id_width).all(|c| c == ' ') {
            current = emphases.next().flatten();
        }
        Line::new(line.trim_end().to_owned(), current)
    };
    table.lines().map(line).collect()
}

/// How the row of a verdict stands out.
fn emphasis(verdict: &Verdict) -> Option<Emphasis> {
    match verdict {
        verdict if verdict.is_offence() => Some(Emphasis::Red),
        Verdict::NotPlacedYet | Verdict::Unsure => Some(Emphasis::Yellow),
        Verdict::Exempt => Some(Emphasis::Grey),
        _ => None,
    }
}

fn cells(vm_thread: &VmThread, verdict: &Verdict) -> [String; 9] {
    let thread = &vm_thread.thread;
    [
        thread.tid.to_string(),
        role(vm_thread),
        vm_thread.name.clone(),
        vm_thread.expected_shown().map_or("-".to_owned(), list),
        list(thread.allowed.to_string()),
        thread.last_cpu.to_string(),
        time(thread.cpu_time),
        thread.migrations.map_or("-".to_owned(), |count| count.to_string()),
        verdict.to_string(),
    ]
}

/// The role, with the index of a vCPU, and with a question mark where the role is only assumed.
pub(crate) fn role(vm_thread: &VmThread) -> String {
    let doubt = if vm_thread.evidence == Evidence::Assumed || vm_thread.home_assumed { "?" } else { "" };
    match (vm_thread.role, vm_thread.index) {
        (RoleKind::Vcpu, Some(index)) => format!("vcpu {index}{doubt}"),
        (role, _) => format!("{role}{doubt}"),
    }
}

/// A cpulist that a table may break after a comma.
fn list(list: String) -> String {
    if list.len() > 18 { list.replace(',', ", ") } else { list }
}

/// CPU time, short.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..100 => format!("{:.2}s", time.as_secs_f64()),
        100..6000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::cpus;
    use crate::sys::threads::Thread;
    use crate::verdict::judge::Off;
    use crate::vm::sample;
    use pinning::CpuId;

    /// A large host: sets of many runs, a long CPU time, the longest words.
    #[test]
    fn it_is_readable_at_100_columns() {
        let many = cpus("0-250:3");
        let vm_thread = |index| {
            let vcpu = sample::vm_thread(4_194_303, RoleKind::Vcpu, "CPU 250/KVM");
            let thread = Thread {
                allowed: many.clone(),
                last_cpu: CpuId(250),
                cpu_time: Duration::from_secs(3_600_000),
                migrations: Some(12_345_678),
                ..vcpu.thread
            };
            VmThread { thread, index: Some(index), expected: Some(many.clone()), ..vcpu }
        };
        let off = Verdict::Off(Off::AlsoOn(many.clone()));
        let table = render(&[vm_thread(250), vm_thread(251)], &[off, Verdict::Ok], Style::default());
        assert!(table[0].written(true).starts_with("\x1b[1m"), "{:?}", table[0]);
        // A row of several lines has one emphasis.
        let second = table.iter().position(|line| line.written(false).contains("vcpu 251")).unwrap();
        assert!(second > 4, "{table:?}");
        let is_red = |line: &Line| line.written(true).starts_with("\x1b[31m");
        assert!(table[1..second].iter().all(is_red) && !table[second..].iter().any(is_red), "{table:?}");
        let table: String = table.iter().map(|line| line.written(false)).collect();
        let widest = table.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= usize::from(WIDTH)), "{widest:?}\n{table}");
        // Nothing that stands for one thing is broken in two.
        for whole in ["4194303", "vcpu 250", "CPU 250/KVM", "1000h00m", "12345678", "249"] {
            assert!(table.contains(whole), "{whole}\n{table}");
        }
    }

    #[test]
    fn on_a_narrow_terminal_no_word_is_broken() {
        let names = ["qemu-system-x86", "IO mon_iothread", "kvm-nx-lpage-re"];
        let threads = names.map(|name| sample::vm_thread(4_194_303, RoleKind::Emulator, name));
        let off = Verdict::Off(Off::AlsoOn(cpus("0-3")));
        let verdicts = [Verdict::Ok, off, Verdict::Ok];
        for columns in [1, 40, 80] {
            let style = Style { size: Some((columns, 24)), ..Style::default() };
            let table: String =
                render(&threads, &verdicts, style).iter().map(|line| line.written(false)).collect();
            for whole in HEADER.iter().chain(&names).chain(&["4194303", "emulator", "also"]) {
                assert!(table.contains(whole), "{columns}: {whole}\n{table}");
            }
        }
    }

    #[test]
    fn what_a_thread_is_called_moves_no_column() {
        let named = |name: &str| {
            let threads =
                [sample::vm_thread(7, RoleKind::Worker, name), sample::vm_thread(8, RoleKind::Worker, "x")];
            let table = render(&threads, &[Verdict::Ok, Verdict::Ok], Style::default());
            table.iter().map(|line| line.written(false)).collect::<Vec<_>>()
        };
        let plain = named("a?[2J?b?c");
        assert_eq!(named("a\x1b[2J\nb\u{202e}c"), plain);
        assert_eq!(plain.len(), 3);
    }

    #[test]
    fn times_are_short() {
        let shown = |seconds: f64| time(Duration::from_secs_f64(seconds));
        assert_eq!(
            [shown(0.0), shown(12.345), shown(754.0), shown(90_000.0)],
            ["0.00s", "12.35s", "12m34s", "25h00m"]
        );
    }
}
