//! Asking QEMU itself which thread is which, over its monitor.
//!
//! A monitor serves one client at a time, and a QEMU may be busy or stopped, so every wait has an end. No
//! command that is sent changes anything.

use crate::output::failure::Failure;
use pinning::Tid;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The longest wait for one answer. QEMU with TCG on a busy machine may need seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// A longer answer is not read: 65536 vCPUs at some hundred bytes each fit.
const ANSWER_BYTES: usize = 64 << 20;

/// The threads that QEMU names; ids are those that QEMU's process sees itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    /// vCPUs by index.
    pub(crate) vcpus: Vec<(u32, Tid)>,
    /// IOThreads by id.
    pub(crate) iothreads: Vec<(String, Tid)>,
}

/// Asks the QEMU behind a QMP socket.
pub(crate) fn ask(socket: &Path) -> Result<Ids, Failure> {
    Connection::open(socket).and_then(|mut connection| connection.ids()).map_err(|why| {
        let socket = socket.display();
        Failure::new(format!("QEMU could not be asked over {socket}: {why}"))
            .next("--qmp wants the socket of a QMP monitor that nobody else is connected to")
    })
}

struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    fn open(socket: &Path) -> Result<Self, String> {
        let stream = connect(socket)?;
        let mut connection = Self { stream: BufReader::new(stream) };
        let greeting = connection.read(Instant::now() + PATIENCE)?;
        if greeting.get("QMP").is_none() {
            return Err("this is not a QMP monitor".to_owned());
        }
        connection.execute("qmp_capabilities")?;
        Ok(connection)
    }

    fn ids(&mut self) -> Result<Ids, String> {
        let cpus = self.execute("query-cpus-fast")?;
        let iothreads = self.execute("query-iothreads")?;
        let ids = (vcpus(&cpus), iothread_ids(&iothreads));
        let (Some(vcpus), Some(iothreads)) = ids else {
            return Err("its answer makes no sense".to_owned());
        };
        Ok(Ids { vcpus, iothreads })
    }

    fn execute(&mut self, command: &str) -> Result<Value, String> {
        let until = Instant::now() + PATIENCE;
        let request = format!("{}\n", json!({"execute": command}));
        let stream = self.stream.get_mut();
        stream.set_write_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        stream.write_all(request.as_bytes()).map_err(said)?;
        loop {
            let mut answer = self.read(until)?;
            if let Some(returned) = answer.get_mut("return") {
                return Ok(returned.take());
            }
            if let Some(error) = answer.get("error") {
                let description = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
                return Err(format!("{command}: {description}"));
            }
            // Any other line is an event.
        }
    }

    /// The next line, until a time. A peer that sends byte by byte does not prolong the wait.
    fn read(&mut self, until: Instant) -> Result<Value, String> {
        let mut line = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(silent());
            }
            self.stream.get_ref().set_read_timeout(Some(left)).map_err(|error| error.to_string())?;
            let available = self.stream.fill_buf().map_err(said)?;
            if available.is_empty() {
                return Err("QEMU has closed the connection".to_owned());
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len(), |end| end + 1);
            line.extend_from_slice(available.get(..taken).unwrap_or_default());
            self.stream.consume(taken);
            if line.len() >= ANSWER_BYTES {
                return Err("its answer does not end".to_owned());
            }
            if end.is_some() {
                return serde_json::from_slice(&line).map_err(|_| "this is not a QMP monitor".to_owned());
            }
        }
    }
}

/// Connects in a thread of its own: connect(2) waits as long as the other side's backlog is full, and the
/// standard library has no limit for that. A thread that waits in vain ends with this process.
fn connect(socket: &Path) -> Result<UnixStream, String> {
    let (connected, wait) = mpsc::channel();
    let socket = socket.to_owned();
    std::thread::spawn(move || {
        // Where this fails, the wait below is over.
        let _ = connected.send(UnixStream::connect(socket));
    });
    match wait.recv_timeout(PATIENCE) {
        Ok(stream) => stream.map_err(|error| error.to_string()),
        Err(_) => Err(silent()),
    }
}

fn silent() -> String {
    format!(
        "no answer in {} s (another program may be connected to it, or QEMU is stopped)",
        PATIENCE.as_secs()
    )
}

fn said(error: std::io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => silent(),
        _ => error.to_string(),
    }
}

fn vcpus(answer: &Value) -> Option<Vec<(u32, Tid)>> {
    let one = |cpu: &Value| Some((u32::try_from(cpu.get("cpu-index")?.as_u64()?).ok()?, tid(cpu)?));
    answer.as_array()?.iter().map(one).collect()
}

fn iothread_ids(answer: &Value) -> Option<Vec<(String, Tid)>> {
    let one = |io: &Value| Some((io.get("id")?.as_str()?.to_owned(), tid(io)?));
    answer.as_array()?.iter().map(one).collect()
}

fn tid(of: &Value) -> Option<Tid> {
    i32::try_from(of.get("thread-id")?.as_i64()?).ok().map(Tid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// Asks a peer that sends these lines: the first at once, each other one after a line from us.
    fn asked(lines: &'static [&'static str]) -> Result<Ids, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        let other_side = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            for line in lines {
                stream.get_mut().write_all(line.as_bytes()).unwrap();
                let mut heard = String::new();
                if stream.read_line(&mut heard).is_ok_and(|bytes| bytes == 0) {
                    return;
                }
            }
        });
        let answer = ask(&socket);
        other_side.join().unwrap();
        answer
    }

    #[test]
    fn the_ids_are_read_past_events() {
        let ids = asked(&[
            "{\"QMP\": {}}\n",
            "{\"return\": {}}\n",
            "{\"event\": \"STOP\"}\n{\"return\": [{\"cpu-index\": 1, \"thread-id\": 7}]}\n",
            "{\"return\": [{\"id\": \"io1\", \"thread-id\": 8, \"poll-grow\": 0}]}\n",
        ]);
        let expected = Ids { vcpus: vec![(1, Tid(7))], iothreads: vec![("io1".to_owned(), Tid(8))] };
        assert_eq!(ids, Ok(expected));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_named() {
        // The socket's path is a folder of the test's own.
        let said = |lines| {
            let said = asked(lines).unwrap_err().to_string();
            let why = said.split_once("/qmp: ").unwrap().1;
            why.strip_suffix("; --qmp wants the socket of a QMP monitor that nobody else is connected to")
                .unwrap()
                .to_owned()
        };
        assert_eq!(said(&["HTTP/1.1 400\n"]), "this is not a QMP monitor");
        assert_eq!(said(&["{}\n"]), "this is not a QMP monitor");
        assert_eq!(said(&["{\"QMP\": {}}\n", "{\"error\": {\"desc\": \"no\"}}\n"]), "qmp_capabilities: no");
        assert_eq!(
            said(&["{\"QMP\": {}}\n", "{\"return\": 1}\n", "{\"return\": [{}]}\n", "{\"return\": []}\n"]),
            "its answer makes no sense"
        );
        let none = "QEMU could not be asked over /nonexistent/qmp: No such file or directory (os error 2); \
                    --qmp wants the socket of a QMP monitor that nobody else is connected to";
        assert_eq!(ask(Path::new("/nonexistent/qmp")).unwrap_err().to_string(), none);
    }
}
