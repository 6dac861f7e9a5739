//! What the command says of a VM: every switch of its threads, by the kernel's own records.

use std::path::PathBuf;
use std::time::Duration;

use harness::{Process, Program, Scratch, command, until};
use serde_json::Value;

/// How long a recording may take to be written on a busy machine, in seconds.
const WRITTEN: u64 = 60;

/// `pinshim record` beside a VM.
pub(crate) struct Recorder {
    process: Process,
    file: PathBuf,
    _scratch: Scratch,
}

/// What a recording says.
pub(crate) struct Recorded {
    threads: usize,
    switches: u64,
    off: Duration,
    lost: u64,
    /// Why it is not exact.
    sampled: Option<String>,
}

impl Recorder {
    /// Records a VM until [`Recorder::finish`].
    pub(crate) fn start(pid: u32) -> Self {
        let scratch = Scratch::new();
        let file = scratch.join("recording.json");
        let program =
            Program::new(command()).args(["record", &pid.to_string(), "--for", "86400", "-o"]).arg(&file);
        Self { process: program.start(), file, _scratch: scratch }
    }

    /// Ends it. `Err`: it could not be recorded, and why.
    pub(crate) fn finish(self) -> Result<Recorded, String> {
        self.process.signal(libc::SIGINT);
        until(WRITTEN, "the end of a recording", || self.process.ended());
        let why = |_| self.process.stderr().trim().replace("pinshim: ", "");
        let text = std::fs::read(&self.file).map_err(why)?;
        let json: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        Ok(Recorded::of(&json))
    }
}

impl Recorded {
    fn of(json: &Value) -> Self {
        let threads = json["threads"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sum = |field: &str| threads.iter().filter_map(|thread| thread[field].as_u64()).sum();
        Self {
            threads: threads.len(),
            switches: sum("runs"),
            off: Duration::from_nanos(sum("off_ns")),
            lost: json["lost"].as_u64().unwrap_or(0),
            sampled: json["sampled_why"].as_str().map(str::to_owned),
        }
    }

    /// Whether it proves that no thread ever ran off its set.
    pub(crate) fn shows_none_off(&self) -> bool {
        self.off.is_zero()
    }

    /// In one line.
    pub(crate) fn line(&self, cpu: usize) -> String {
        let (threads, switches, micros) = (self.threads, self.switches, self.off.as_micros());
        match (&self.sampled, self.lost) {
            (Some(why), _) => {
                format!(
                    "{threads} threads, {micros} µs seen off CPU {cpu}; not every switch was recorded: {why}"
                )
            }
            (None, 0) => format!("{threads} threads, {switches} switches, {micros} µs off CPU {cpu}"),
            (None, lost) => {
                format!(
                    "{threads} threads, {switches} switches, {micros} µs off CPU {cpu}; {lost} records were lost"
                )
            }
        }
    }
}
