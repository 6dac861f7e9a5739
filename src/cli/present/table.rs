//! A VM's threads as a table for people, readable at 100 columns.
//!
//! Colour only adds emphasis: everything is there in words.

use crate::arguments::Column;
use crate::output::line::{Emphasis, Line};
use crate::output::style::Style;
use crate::output::text::{one_line, short};
use crate::verdict::judge::Verdict;
use crate::vm::expected::VmThread;
use crate::vm::identify::Evidence;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use pinning::RoleKind;
use std::time::Duration;

/// The width where there is no terminal to ask: most rows are whole lines then.
const WIDTH: u16 = 110;

/// A narrower terminal breaks the lines of the table: that is easier to read than columns of single letters.
const NARROWEST: u16 = 80;

/// The columns of a VM's table; that of the class only where one differs from the usual one.
const USUAL: [Column; 11] = [
    Column::Tid,
    Column::Role,
    Column::Name,
    Column::Expected,
    Column::Allowed,
    Column::Class,
    Column::Last,
    Column::Time,
    Column::Migr,
    Column::Delay,
    Column::State,
];

/// A row of a table.
pub(crate) struct Row<'a> {
    /// The thread's process.
    pub(crate) pid: i32,
    /// The name of its VM.
    pub(crate) vm: &'a str,
    pub(crate) thread: &'a VmThread,
    pub(crate) verdict: &'a Verdict,
}

/// The table of some threads of one VM and the verdicts on them, in lines.
pub(crate) fn render(threads: &[VmThread], verdicts: &[Verdict], style: Style) -> Vec<Line> {
    let row = |(thread, verdict)| Row { pid: 0, vm: "", thread, verdict };
    let rows: Vec<Row<'_>> = threads.iter().zip(verdicts).map(row).collect();
    let has_classes = threads.iter().any(|thread| thread.class.shown().is_some());
    let columns: Vec<Column> =
        USUAL.into_iter().filter(|column| has_classes || *column != Column::Class).collect();
    render_columns(&rows, &columns, style)
}

/// A table of these columns, in lines.
pub(crate) fn render_columns(rows: &[Row<'_>], columns: &[Column], style: Style) -> Vec<Line> {
    let cells = |row: &Row<'_>| columns.iter().map(|column| cell(row, *column)).collect();
    let texts: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let headers: Vec<&str> = columns.iter().map(|column| header(*column)).collect();
    let mut emphases = rows.iter().map(|row| emphasis(row.verdict));
    let table = texts.into_iter().map(|texts| (texts, emphases.next().flatten())).collect();
    lines(&headers, table, style)
}

/// A table in lines: its headers, and for each row its cells and how they stand out.
pub(crate) fn lines(headers: &[&str], rows: Vec<(Vec<String>, Option<Emphasis>)>, style: Style) -> Vec<Line> {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([MARK].into_iter().chain(headers.iter().copied()));
    table.set_width(style.size.map_or(WIDTH, |(columns, _)| columns.max(NARROWEST)));
    for (column, header) in table.column_iter_mut().zip([MARK].iter().chain(headers)) {
        column.set_padding(if *header == MARK { (0, 0) } else { (0, 2) });
        match *header {
            MARK => {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
            "TID" | "PID" | "LAST" | "TIME" | "MIGR" | "DELAY" | "CPU" | "THREADS" | "RUNS" | "MOVES"
            | "RAN" | "OFF" | "LONGEST" => {
                column.set_cell_alignment(CellAlignment::Right);
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
            "ROLE" | "NAME" | "FROM" | "CLASS" => {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
            "EXPECTED" | "ALLOWED" => {
                // A list of many CPUs goes over several lines, so that the other columns need not.
                let (lower, upper) = (Width::Fixed(header.len() as u16 + 2), Width::Fixed(20));
                column.set_constraint(ColumnConstraint::Boundaries { lower, upper });
            }
            "STATE" | "WHO" => {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(12)));
            }
            _ => {}
        }
    }
    let mut emphases = vec![Some(Emphasis::Bold)];
    for (cells, emphasis) in rows {
        // Made harmless before it is measured: the columns stay where they are, and a newline makes no line.
        let cells = cells.iter().map(|cell| one_line(cell).into_owned());
        table.add_row([MARK.to_owned()].into_iter().chain(cells));
        emphases.push(emphasis);
    }
    // A cell may take several lines; the mark stands only on the first line of its row.
    let mut emphases = emphases.into_iter();
    let mut current = None;
    let line = |line: String| {
        let text = line.strip_prefix(MARK);
        if text.is_some() {
            current = emphases.next().flatten();
        }
        Line::new(text.or(line.strip_prefix(' ')).unwrap_or(&line).trim_end().to_owned(), current)
    };
    table.lines().map(line).collect()
}

/// What begins each row, so that its first line is known. It is not written.
const MARK: &str = "|";

/// How the row of a verdict stands out.
fn emphasis(verdict: &Verdict) -> Option<Emphasis> {
    match verdict {
        verdict if verdict.is_offence() => Some(Emphasis::Red),
        Verdict::NotPlacedYet | Verdict::Unsure => Some(Emphasis::Yellow),
        Verdict::Exempt => Some(Emphasis::Grey),
        _ => None,
    }
}

fn header(column: Column) -> &'static str {
    match column {
        Column::Pid => "PID",
        Column::Vm => "VM",
        Column::Tid => "TID",
        Column::Role => "ROLE",
        Column::From => "FROM",
        Column::Name => "NAME",
        Column::Expected => "EXPECTED",
        Column::Allowed => "ALLOWED",
        Column::Class => "CLASS",
        Column::Last => "LAST",
        Column::Time => "TIME",
        Column::Migr => "MIGR",
        Column::Delay => "DELAY",
        Column::Register => "REGISTER",
        Column::State => "STATE",
    }
}

fn cell(row: &Row<'_>, column: Column) -> String {
    let (vm_thread, thread) = (row.thread, &row.thread.thread);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    match column {
        Column::Pid => row.pid.to_string(),
        Column::Vm => row.vm.to_owned(),
        Column::Tid => thread.tid.to_string(),
        Column::Role => role(vm_thread),
        Column::From => role_from(vm_thread).to_owned(),
        Column::Name => vm_thread.name.clone(),
        Column::Expected => or_none(vm_thread.expected_shown().map(list)),
        Column::Allowed => list(thread.allowed.to_string()),
        Column::Class => or_none(vm_thread.class.shown()),
        Column::Last => thread.last_cpu.to_string(),
        Column::Time => time(thread.cpu_time),
        Column::Migr => or_none(thread.migrations.map(|count| count.to_string())),
        Column::Delay => or_none(vm_thread.delay.map(short)),
        Column::Register => or_none(vm_thread.state.map(|state| state.to_string())),
        Column::State => row.verdict.to_string(),
    }
}

/// How a thread's role is known, in a word.
pub(crate) fn role_from(vm_thread: &VmThread) -> &'static str {
    match vm_thread.evidence {
        _ if vm_thread.home_assumed => "assumed",
        Evidence::Certain => "library",
        Evidence::Qemu => "qemu",
        Evidence::Name => "name",
        Evidence::Assumed => "assumed",
        Evidence::Unseen => "unseen",
    }
}

/// The role, with the index of a vCPU or the number of a vhost worker, and with a question mark where the role is only assumed.
pub(crate) fn role(vm_thread: &VmThread) -> String {
    let in_doubt = matches!(vm_thread.evidence, Evidence::Assumed | Evidence::Unseen);
    let doubt = if in_doubt || vm_thread.home_assumed { "?" } else { "" };
    match (vm_thread.role, vm_thread.index) {
        (RoleKind::Vcpu | RoleKind::Vhost, Some(index)) => format!("{} {index}{doubt}", vm_thread.role),
        (role, _) => format!("{role}{doubt}"),
    }
}

/// A cpulist that a table may break after a comma.
pub(crate) fn list(list: String) -> String {
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
    use clap::ValueEnum;
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
            let delay = Some(Duration::from_millis(999));
            VmThread { thread, delay, index: Some(index), expected: Some(many.clone()), ..vcpu }
        };
        let off = Verdict::Off(Off::AlsoOn(many.clone()));
        let style = Style { size: Some((100, 24)), ..Style::default() };
        let table = render(&[vm_thread(250), vm_thread(251)], &[off, Verdict::Ok], style);
        assert!(table[0].written(true).starts_with("\x1b[1m"), "{:?}", table[0]);
        // A row of several lines has one emphasis.
        let second = table.iter().position(|line| line.written(false).contains("vcpu 251")).unwrap();
        assert!(second > 4, "{table:?}");
        let is_red = |line: &Line| line.written(true).starts_with("\x1b[31m");
        assert!(table[1..second].iter().all(is_red) && !table[second..].iter().any(is_red), "{table:?}");
        let table: String = table.iter().map(|line| line.written(false)).collect();
        let widest = table.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 100), "{widest:?}\n{table}");
        // Nothing that stands for one thing is broken in two.
        for whole in ["4194303", "vcpu 250", "CPU 250/KVM", "1000h00m", "12345678", "999ms", "249"] {
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
            let headers = USUAL.map(header).into_iter().filter(|header| *header != "CLASS");
            let headers: Vec<&str> = headers.collect();
            for whole in headers.iter().chain(&names).chain(&["4194303", "emulator", "also"]) {
                assert!(table.contains(whole), "{columns}: {whole}\n{table}");
            }
        }
    }

    #[test]
    fn each_column_can_be_asked_for_under_its_header() {
        let worker =
            VmThread { expected: Some(cpus("0")), ..sample::vm_thread(7, RoleKind::Worker, "worker") };
        let row = || Row { pid: 5, vm: "web", thread: &worker, verdict: &Verdict::Ok };
        let of = |columns: &[Column]| {
            let lines = render_columns(&[row(), row()], columns, Style::default());
            lines.iter().map(|line| line.written(false)).collect::<String>()
        };
        for column in Column::value_variants() {
            let name = column.to_possible_value().unwrap();
            assert_eq!(header(*column), name.get_name().to_uppercase());
            assert!(of(&[*column]).trim_start().starts_with(header(*column)));
        }
        let text = "VM   PID  REGISTER  FROM\nweb    5  -         library\nweb    5  -         library\n";
        assert_eq!(of(&[Column::Vm, Column::Pid, Column::Register, Column::From]), text);
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
