//! `pinshim record`: every run of every thread of a VM for a time, as a file.

use crate::arguments::{FileFormat, Record};
use crate::output::exit_status::{NOT_PINNED, OFF, SUCCESS};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::output::style::Style;
use crate::output::text::count;
use crate::output::whole_file;
use crate::present::perfetto;
use crate::present::picture::html::html;
use crate::present::picture::svg::svg;
use crate::present::recorded::{csv, json, summary};
use crate::record::progress::Progress;
use crate::record::recorder;
use crate::record::recording::Recording;
use crate::sys::kernel::Kernel;
use crate::vm::find;
use std::path::Path;
use std::time::Duration;

/// Records a VM.
pub(crate) fn record(arguments: &Record, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let format = arguments.format()?;
    let vm = find::wanted(kernel, &arguments.which.wanted())?;
    let interruption = kernel
        .interruption()
        .map_err(|error| Failure::new(format!("Ctrl-C cannot be taken notice of: {error}")))?;
    let mut said = None;
    let mut tell = |elapsed: Duration, threads: usize| {
        if said != Some(elapsed.as_secs()) {
            said = Some(elapsed.as_secs());
            let (of, threads) = (arguments.time.as_secs_f64().ceil(), count(threads, "thread"));
            let text = format!("recorded {} of {of} s, {threads}; Ctrl-C ends it early", elapsed.as_secs());
            output.progress(&text);
        }
    };
    let mut progress = Progress::new(kernel, arguments.time, interruption, &mut tell);
    let recorded = recorder::record(&vm, &mut progress);
    output.end_progress();
    let recording = recorded?;
    write(arguments, format, &recording, output)?;
    Ok(exit_status(&recording))
}

/// Writes it to where it was asked for.
fn write(
    arguments: &Record,
    format: FileFormat,
    recording: &Recording,
    output: &mut Output,
) -> Result<(), Failure> {
    if arguments.output == Path::new("-") {
        match format {
            FileFormat::Text => output.lines(summary::lines(recording, output.style())),
            _ => output.text_as_it_is(&text(format, recording)?),
        }
        return Ok(());
    }
    let path = &arguments.output;
    whole_file::write(path, text(format, recording)?.as_bytes())
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))
}

/// The whole text of a file.
fn text(format: FileFormat, recording: &Recording) -> Result<String, Failure> {
    Ok(match format {
        FileFormat::Text => {
            let lines = summary::lines(recording, Style::default());
            lines.iter().map(|line| line.written(false)).collect()
        }
        FileFormat::Json => json::document(recording)
            .map_err(|error| Failure::new(format!("the JSON document could not be made: {error}")))?,
        FileFormat::Csv => csv::lines(recording),
        FileFormat::Svg => svg(recording),
        FileFormat::Html => html(recording),
        FileFormat::Perfetto => perfetto::trace(recording)
            .map_err(|error| Failure::new(format!("the trace could not be made: {error}")))?,
    })
}

fn exit_status(recording: &Recording) -> u8 {
    let is_off = recording.threads.iter().any(|lane| lane.off > 0);
    match recording.subject.policy {
        None => NOT_PINNED,
        Some(_) if is_off => OFF,
        Some(_) => SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, from_words};
    use crate::output::transcript::said;
    use crate::record::encoded::encoded;
    use crate::record::records::{Record as Told, What};
    use crate::sys::fake::{FakeKernel, ms};
    use crate::vm::sample::{threads_of_web, web};
    use std::fs;

    fn recorded(kernel: &FakeKernel, words: &str) -> (u8, String) {
        let Command::Record(arguments) = from_words(&format!("pinshim record {words}")) else {
            panic!("{words}")
        };
        said(|output| record(&arguments, kernel, output))
    }

    /// The VM `web` on a host that records everybody.
    fn kernel() -> FakeKernel {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.perf.everybody.set(true);
        kernel.write("/proc/sys/kernel/hostname", "box\n");
        kernel.write("/proc/sys/kernel/osrelease", "6.18\n");
        kernel
    }

    /// Has the kernel tell something at a moment, in microseconds: of a thread of a process on a CPU.
    fn tell(kernel: &FakeKernel, us: u64, cpu: u32, pid: i32, tid: i32, what: What) {
        let record = Told { time: us * 1000, cpu, pid, tid, what };
        let time = Duration::from_micros(us);
        kernel.at(time, move |kernel| kernel.perf.write(cpu, &encoded(&record)));
    }

    fn left(preempted: bool) -> What {
        What::Left { preempted }
    }

    #[test]
    fn every_thread_that_ran_where_it_belongs_is_success() {
        let kernel = kernel();
        tell(&kernel, 100_000, 1, 100, 101, left(false));
        tell(&kernel, 300_000, 1, 100, 101, What::On);
        let (status, text) = recorded(&kernel, "web --for 0.5");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(status, 0, "{text}");
        assert_eq!(lines[0], "web (PID 100): 5 threads, 2 runs, 0 moves in 0.5 s, no thread off its set");
        assert_eq!(lines[1], "  PIN_VCPUS=1,2 PIN_IOTHREADS=io1@3 PIN_EMULATOR=0");
        assert_eq!(
            lines[2],
            "TID  ROLE      NAME             EXPECTED  RUNS  MOVES    RAN  OFF  DELAY  LONGEST"
        );
        assert_eq!(
            lines[4],
            "101  vcpu 0    CPU 0/KVM        1            2      0  300ms    0      0        -"
        );
        assert_eq!(
            kernel.asked(),
            [""; 0],
            "the VM's own CPUs are all that there are: the recorder stays where it is"
        );
    }

    #[test]
    fn a_moment_off_the_set_is_an_offence_however_short() {
        let kernel = kernel();
        tell(&kernel, 100_000, 1, 100, 101, left(true));
        tell(&kernel, 100_010, 3, 100, 101, What::On);
        tell(&kernel, 100_110, 3, 100, 101, left(true));
        tell(&kernel, 100_120, 1, 100, 101, What::On);
        let (status, text) = recorded(&kernel, "web --for 0.5");
        assert_eq!(status, 1, "{text}");
        assert!(
            text.starts_with(
                "web (PID 100): 5 threads, 3 runs, 2 moves in 0.5 s, 1 OFF their sets for 100µs\n"
            ),
            "{text}"
        );
        assert!(text.contains("  10µs at 0.100000 s on CPU 3: vcpu 0 (101), preempted\n"), "{text}");
    }

    #[test]
    fn a_worker_that_comes_and_goes_between_two_looks_is_told_by_its_name() {
        let kernel = kernel();
        tell(&kernel, 10_000, 3, 100, 103, What::Born { pid: 100, tid: 105 });
        tell(&kernel, 10_010, 0, 100, 105, What::On);
        tell(&kernel, 10_020, 0, 100, 105, What::Named { pid: 100, tid: 105, comm: "worker".to_owned() });
        tell(&kernel, 10_030, 0, 100, 105, left(true));
        tell(&kernel, 10_040, 3, 100, 105, What::On);
        tell(&kernel, 20_000, 3, 100, 105, What::Ended { tid: 105 });
        let (status, text) = recorded(&kernel, "web --for 0.5 --format json");
        assert_eq!(status, 0, "{text}");
        // It works for the IOThread that created it. The first run was its birth.
        for words in [
            r#""tid":105,"role":"worker","role_assumed":false"#,
            r#""name":"worker","expected":"3","born_ns":10000000,"ended_ns":20000000,"ran_ns":9980000,"off_ns":0,"runs":2,"moves":1"#,
            r#""spans":[[10010000,10030000,0,20000,1,0],[10040000,20000000,3,9960000,1,0]]"#,
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
    }

    #[test]
    fn the_json_document_says_all_of_it() {
        let kernel = kernel();
        tell(&kernel, 100_000, 1, 100, 101, left(true));
        tell(
            &kernel,
            100_000,
            1,
            200,
            201,
            What::Named { pid: 200, tid: 201, comm: "a\u{202e}b".to_owned() },
        );
        tell(&kernel, 100_000, 1, 200, 201, What::On);
        tell(&kernel, 200_000, 1, 200, 201, left(true));
        tell(&kernel, 200_000, 1, 100, 101, What::On);
        tell(&kernel, 200_000, 1, 100, 101, What::Lost(3));
        kernel.at(ms(250), |kernel| kernel.perf.interrupt());
        let (status, text) = recorded(&kernel, "web --format json");
        let (before, began) = text.split_once(r#","began":"#).unwrap();
        let (_, after) = began.split_once(',').unwrap();
        let document = concat!(
            r#"{"version":1,"pid":100,"name":"web","policy":"PIN_VCPUS=1,2 PIN_IOTHREADS=io1@3 PIN_EMULATOR=0","#,
            r#""host":"box","kernel":"6.18","online":"0-3""#
        );
        assert_eq!((status, before), (0, document));
        let document = concat!(
            r#""time_ns":300000000,"method":"exact","sampled_why":null,"sampled_every_ns":null,"no_others_why":null,"#,
            r#""no_wakings_why":"tracefs is not mounted (mount -t tracefs none /sys/kernel/tracing) or has no sched_waking","#,
            r#""lost":3,"resolution_ns":0,"ok":true,"threads":["#,
            r#"{"tid":100,"role":"emulator","role_assumed":false,"vcpu":null,"vhost_worker":null,"#,
            r#""name":"qemu-system-x86","expected":"0","born_ns":null,"ended_ns":null,"ran_ns":0,"off_ns":0,"runs":0,"#,
        );
        assert!(after.starts_with(document), "{after}");
        let document = concat!(
            r#"{"tid":101,"role":"vcpu","role_assumed":false,"vcpu":0,"vhost_worker":null,"#,
            r#""name":"CPU 0/KVM","expected":"1","born_ns":null,"ended_ns":null,"ran_ns":200000000,"off_ns":0,"runs":2,"#,
            r#""moves":0,"waited_ns":100000000,"waits":{"count":1,"p50_ns":100000000,"p99_ns":100000000,"p99_9_ns":100000000,"#,
            r#""max_ns":100000000,"longest":[{"from_ns":100000000,"length_ns":100000000,"cpu":1,"preempted":true,"#,
            r#""instead":[{"pid":200,"tid":201,"comm":"a\u202eb","ran_ns":100000000}]}]},"#,
            r#""spans":[[0,100000000,1,100000000,1,0],[200000000,300000000,1,100000000,1,0]]}"#,
        );
        assert!(after.contains(document), "{after}");
        let document = concat!(
            r#""cpus":[{"cpu":0,"others":[]},{"cpu":1,"others":[[100000000,200000000,0,100000000,1]]},"#,
            r#"{"cpu":2,"others":[]},{"cpu":3,"others":[]}],"others":[{"pid":200,"tid":201,"comm":"a\u202eb"}]}"#,
            "\n"
        );
        assert!(after.ends_with(document), "{after}");
    }

    #[test]
    fn each_format_goes_to_its_file() {
        let kernel = kernel();
        tell(&kernel, 100_000, 1, 100, 101, left(false));
        let folder = tempfile::tempdir().unwrap();
        for (name, beginning) in [
            ("a.json", "{\"version\":1,"),
            ("a.csv", "kind,pid,tid,name,role,index,cpu,from_ns,to_ns,ran_ns,runs,off\n"),
            ("a.TXT", "web (PID 100): "),
        ] {
            let file = folder.path().join(name);
            let said = recorded(&kernel, &format!("web --for 0.2 -o {}", file.display()));
            assert_eq!(said, (0, String::new()));
            assert!(fs::read_to_string(&file).unwrap().starts_with(beginning), "{name}");
        }
        let (status, text) = recorded(&kernel, "web -o a.dat");
        assert!(status == 2 && text.contains("does not say in which format; end it in "), "{text}");
        let (status, text) = recorded(&kernel, "web --for 0.1 -o /nonexistent/a.csv");
        assert!(status == 2 && text.contains("/nonexistent/a.csv cannot be written"), "{text}");
    }

    #[test]
    fn names_make_no_further_field_and_no_formula() {
        let kernel = kernel();
        for (at, comm) in [(100, "=x()"), (110, "a,\"b\n")] {
            let time = at * 1000;
            tell(&kernel, time, 1, 200, 201, What::Named { pid: 200, tid: 201, comm: comm.to_owned() });
            tell(&kernel, time + 1, 1, 200, 201, What::On);
            tell(&kernel, time + 2, 1, 200, 201, left(true));
        }
        let (_, text) = recorded(&kernel, "web --for 0.2 --format csv");
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let expected = [
            "other,200,201,\"'=x()\",,,1,100001000,100002000,1000,1,0",
            "other,200,201,\"a,\"\"b?\",,,1,110001000,110002000,1000,1,0",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn where_only_ones_own_threads_may_be_recorded_they_are_and_it_is_said() {
        let kernel = kernel();
        kernel.perf.everybody.set(false);
        kernel.perf.threads.set(true);
        kernel.write("/proc/sys/kernel/perf_event_paranoid", "2\n");
        tell(&kernel, 100_000, 1, 100, 101, left(false));
        let (status, text) = recorded(&kernel, "web --for 0.2");
        let last = "every switch was recorded\n  without other processes: that takes root or CAP_PERFMON \
                    (kernel.perf_event_paranoid is 2)\n";
        assert!(status == 0 && text.ends_with(last), "{text}");
        // Five threads on four CPUs, each once.
        let mut opened: Vec<String> = kernel.perf.opened().iter().map(|event| format!("{event:?}")).collect();
        opened.sort();
        opened.dedup();
        assert_eq!((opened.len(), kernel.perf.opened().len()), (20, 20));
    }

    #[test]
    fn where_nothing_may_be_recorded_proc_is_looked_at_and_it_is_said_why() {
        let kernel = kernel();
        kernel.perf.everybody.set(false);
        kernel.write("/proc/sys/kernel/perf_event_paranoid", "3\n");
        for (at, ran) in [(50, 40_000_000u64), (100, 80_000_000)] {
            kernel.at(ms(at), move |kernel| {
                kernel.write("/proc/100/task/101/schedstat", format!("{ran} 5000000 7\n"));
            });
        }
        let (status, text) = recorded(&kernel, "web --for 0.2");
        let why = "NOT every switch was recorded, only looks at /proc every 5.0ms: kernel.perf_event_paranoid is 3: above 2 \
                   only root or CAP_PERFMON may record\n";
        assert!(status == 0 && text.ends_with(why), "{text}");
        kernel.perf.threads.set(true);
        kernel.perf.open_files.set(Some(10));
        let (_, text) = recorded(&kernel, "web --for 0.1");
        assert!(text.contains("more than this command may have (ulimit -Hn, 20000)"), "{text}");
    }

    #[test]
    fn what_is_not_pinned_is_recorded_all_the_same() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        kernel.perf.everybody.set(true);
        tell(&kernel, 100_000, 3, 100, 101, left(false));
        let (status, text) = recorded(&kernel, "100 --for 0.2");
        assert_eq!(status, 3);
        assert!(
            text.starts_with("web (PID 100): NOT PINNED; 5 threads, 1 run, 0 moves in 0.2 s\n"),
            "{text}"
        );
    }

    #[test]
    fn the_end_of_the_vm_ends_it_and_what_there_is_is_written() {
        let kernel = kernel();
        tell(&kernel, 100_000, 1, 100, 101, left(false));
        kernel.at(ms(700), |kernel| kernel.end_process(100));
        let (status, text) = recorded(&kernel, "web");
        assert!(status == 0 && text.contains(" 1 run, 0 moves in 1.0 s"), "{text}");
        let (status, text) = recorded(&kernel, "web");
        assert!(status == 2 && text.contains("no QEMU is called \"web\""), "{text}");
    }
}
