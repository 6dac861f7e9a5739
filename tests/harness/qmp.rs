//! QEMU's monitor (QMP), which says which thread is which vCPU and IOThread.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The longest that QEMU may take for one answer. TCG on a busy machine is slow.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection to a QMP socket.
#[derive(Debug)]
pub struct Qmp {
    lines: BufReader<UnixStream>,
    events: VecDeque<Value>,
}

impl Qmp {
    /// Connects, if the socket is there already, and leaves negotiation mode.
    pub fn connect(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(ANSWER)).expect("set a time limit");
        let mut qmp = Self { lines: BufReader::new(stream), events: VecDeque::new() };
        let greeting = qmp.read().ok()?;
        assert!(greeting.get("QMP").is_some(), "no QMP greeting: {greeting}");
        qmp.execute("qmp_capabilities", json!({}));
        Some(qmp)
    }

    /// Runs a command and gives what it returned.
    #[track_caller]
    pub fn execute(&mut self, command: &str, arguments: Value) -> Value {
        self.try_execute(command, arguments).unwrap_or_else(|e| panic!("{command}: {e}"))
    }

    /// Runs a command and gives what it returned, or QEMU's description of what is wrong.
    pub fn try_execute(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let request = json!({"execute": command, "arguments": arguments});
        writeln!(self.lines.get_mut(), "{request}").map_err(|e| e.to_string())?;
        loop {
            let mut answer = self.read()?;
            if let Some(returned) = answer.get_mut("return") {
                return Ok(returned.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(error["desc"].as_str().unwrap_or("no description").to_owned());
            }
            self.events.push_back(answer);
        }
    }

    /// Runs a command of the human monitor and gives what it printed.
    pub fn human(&mut self, line: &str) -> String {
        let printed = self.execute("human-monitor-command", json!({"command-line": line}));
        printed.as_str().expect("text").to_owned()
    }

    /// Waits for an event of that name, also one that has come already, and gives its data.
    /// Earlier events of other names are kept.
    #[track_caller]
    pub fn wait_event(&mut self, name: &str, seconds: u64) -> Value {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(at) = self.events.iter().position(|e| e["event"] == name) {
                return self.events.remove(at).map(|mut e| e["data"].take()).unwrap_or_default();
            }
            assert!(Instant::now() < end, "no {name} event in {seconds} s, but {:?}", self.events);
            // Answers a command at once, and so never waits longer than an answer takes.
            self.execute("query-status", json!({}));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn read(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => Err("QEMU has closed its monitor".into()),
            Ok(_) => serde_json::from_str(&line).map_err(|e| format!("{line:?}: {e}")),
            Err(e) => Err(format!("no answer from QEMU: {e}")),
        }
    }

    /// QEMU's major version.
    pub fn major_version(&mut self) -> u64 {
        self.execute("query-version", json!({}))["qemu"]["major"].as_u64().expect("a number")
    }

    /// The thread id of each vCPU, by its index.
    pub fn vcpu_tids(&mut self) -> Vec<(usize, u32)> {
        let answer = self.execute("query-cpus-fast", json!({}));
        let one =
            |cpu: &Value| Some((cpu["cpu-index"].as_u64()? as usize, cpu["thread-id"].as_u64()? as u32));
        answer.as_array().expect("a list").iter().map(|cpu| one(cpu).expect("a vCPU's ids")).collect()
    }

    /// The thread id of each IOThread that QMP knows, by its id.
    pub fn iothread_tids(&mut self) -> Vec<(String, u32)> {
        let answer = self.execute("query-iothreads", json!({}));
        let one = |io: &Value| Some((io["id"].as_str()?.to_owned(), io["thread-id"].as_u64()? as u32));
        answer.as_array().expect("a list").iter().map(|io| one(io).expect("an IOThread's ids")).collect()
    }
}
