//! Asking QEMU itself which thread is which, over its monitor.
//!
//! A monitor serves one client at a time, and a QEMU may be busy or stopped, so every wait has an end. Whoever
//! has taken over QEMU may answer anything, so all that is read and kept has a bound. No command that is sent
//! changes anything.

use crate::output::failure::Failure;
use crate::output::text::cut;
use pinning::{RoleKind, Tid};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_json::json;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The longest time that all of it takes. QEMU with TCG on a busy machine may need seconds for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many bytes are read in all. A vCPU takes some 300 bytes.
const BYTES: usize = 4 << 20;

/// An answer with more vCPUs makes no sense. KVM has 4096 at most, on any machine.
const VCPUS: usize = 8192;

/// An answer with more IOThreads makes no sense.
const IOTHREADS: usize = 1024;

/// A longer id makes no sense.
const ID_BYTES: usize = 255;

/// So much of an explanation is said.
const EXPLANATION: usize = 200;

/// The threads that QEMU names; ids are those that QEMU's process sees itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    /// vCPUs by index.
    pub(crate) vcpus: Vec<(u32, Tid)>,
    /// IOThreads by id.
    pub(crate) iothreads: Vec<(String, Tid)>,
    /// The commands that this monitor does not have, so that it names none of those threads.
    pub(crate) lacks: Vec<&'static str>,
}

/// Which thread each vCPU is. The monitor of qemu-storage-daemon, which has none, lacks it.
const VCPUS_COMMAND: &str = "query-cpus-fast";

/// Which thread each IOThread is. The monitor of qemu-storage-daemon lacks it too.
const IOTHREADS_COMMAND: &str = "query-iothreads";

impl Ids {
    /// Whether QEMU was able to say which threads are of a role, if it has such a command at all.
    pub(crate) fn tell(&self, role: RoleKind) -> bool {
        let command = match role {
            RoleKind::Vcpu => VCPUS_COMMAND,
            RoleKind::IoThread => IOTHREADS_COMMAND,
            _ => return false,
        };
        !self.lacks.contains(&command)
    }

    /// What this answer does not cover, in a sentence. `None` where it covers all.
    pub(crate) fn not_told(&self) -> Option<String> {
        let commands = match self.lacks.as_slice() {
            [] => return None,
            lacks => lacks.join(" and no "),
        };
        let threads = match (self.tell(RoleKind::Vcpu), self.tell(RoleKind::IoThread)) {
            (true, _) => "IOThreads",
            (false, true) => "vCPUs",
            (false, false) => "vCPUs and IOThreads",
        };
        Some(format!(
            "its QMP monitor has no {commands} (qemu-storage-daemon's has not): it does not tell {threads}"
        ))
    }
}

/// A line from QEMU (its docs/interop/qmp-spec.rst): a greeting, an answer, or an event, which has none of
/// these members.
#[derive(Deserialize)]
struct Message<T> {
    #[serde(rename = "QMP")]
    greeting: Option<IgnoredAny>,
    #[serde(rename = "return", default = "Option::default")]
    answer: Option<T>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    class: Option<String>,
    #[serde(rename = "desc")]
    description: Option<String>,
}

/// An element of the answer to `query-cpus-fast`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Vcpu {
    cpu_index: u32,
    thread_id: i32,
}

/// An element of the answer to `query-iothreads`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct IoThread {
    id: String,
    thread_id: i32,
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
    /// When the patience is over.
    until: Instant,
    /// How many bytes have been read.
    bytes: usize,
}

impl Connection {
    fn open(socket: &Path) -> Result<Self, String> {
        let until = Instant::now() + PATIENCE;
        let mut connection = Self { stream: BufReader::new(connect(socket)?), until, bytes: 0 };
        if connection.read::<IgnoredAny>()?.greeting.is_none() {
            return Err(NO_MONITOR.to_owned());
        }
        connection.execute::<IgnoredAny>("qmp_capabilities")?;
        Ok(connection)
    }

    fn ids(&mut self) -> Result<Ids, String> {
        let mut lacks = Vec::new();
        let vcpus: Vec<Vcpu> = self.execute_if_there(VCPUS_COMMAND, &mut lacks)?;
        let iothreads: Vec<IoThread> = self.execute_if_there(IOTHREADS_COMMAND, &mut lacks)?;
        let is_sound = vcpus.len() <= VCPUS
            && iothreads.len() <= IOTHREADS
            && iothreads.iter().all(|iothread| iothread.id.len() <= ID_BYTES);
        if !is_sound {
            return Err(NO_SENSE.to_owned());
        }
        Ok(Ids {
            vcpus: vcpus.into_iter().map(|vcpu| (vcpu.cpu_index, Tid(vcpu.thread_id))).collect(),
            iothreads: iothreads.into_iter().map(|of| (of.id, Tid(of.thread_id))).collect(),
            lacks,
        })
    }

    /// The list that a command answers with. Where there is no such command it is noted, and the list is empty.
    fn execute_if_there<T: DeserializeOwned>(
        &mut self,
        command: &'static str,
        lacks: &mut Vec<&'static str>,
    ) -> Result<Vec<T>, String> {
        match self.try_execute(command)? {
            Ok(list) => Ok(list),
            Err(refusal) if refusal.class.as_deref() == Some(NO_COMMAND) => {
                lacks.push(command);
                Ok(Vec::new())
            }
            Err(refusal) => Err(refused(command, refusal)),
        }
    }

    fn execute<T: DeserializeOwned>(&mut self, command: &str) -> Result<T, String> {
        self.try_execute(command)?.map_err(|refusal| refused(command, refusal))
    }

    /// What QEMU answers to a command: a value or a refusal. The outer error is that there is no answer.
    fn try_execute<T: DeserializeOwned>(&mut self, command: &str) -> Result<Result<T, Refusal>, String> {
        let request = format!("{}\n", json!({"execute": command}));
        let stream = self.stream.get_mut();
        stream.set_write_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        stream.write_all(request.as_bytes()).map_err(said)?;
        loop {
            let message = self.read::<T>()?;
            if let Some(answer) = message.answer {
                return Ok(Ok(answer));
            }
            if let Some(refusal) = message.error {
                return Ok(Err(refusal));
            }
        }
    }

    /// The next line. A peer that sends byte by byte, or one event after the other, does not prolong the wait.
    fn read<T: DeserializeOwned>(&mut self) -> Result<Message<T>, String> {
        let mut line = Vec::new();
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
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
            self.bytes += taken;
            if self.bytes > BYTES {
                return Err("its answer does not end".to_owned());
            }
            if end.is_some() {
                return serde_json::from_slice(&line).map_err(|error| match error.classify() {
                    Category::Data => NO_SENSE.to_owned(),
                    _ => NO_MONITOR.to_owned(),
                });
            }
        }
    }
}

/// The class of the error for a command that a monitor does not have (QEMU's qapi/error.json).
const NO_COMMAND: &str = "CommandNotFound";

fn refused(command: &str, refusal: Refusal) -> String {
    let why = refusal.description.unwrap_or_else(|| "no reason given".to_owned());
    format!("{command}: {}", cut(&why, EXPLANATION))
}

const NO_MONITOR: &str = "this is not a QMP monitor";
const NO_SENSE: &str = "its answer makes no sense";

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// Asks a peer that sends these lines: the first at once, each other one after a line from us.
    fn asked(lines: &[&str]) -> Result<Ids, Failure> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        let other_side = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            for line in lines {
                if stream.get_mut().write_all(line.as_bytes()).is_err() {
                    return;
                }
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
        let expected =
            Ids { vcpus: vec![(1, Tid(7))], iothreads: vec![("io1".to_owned(), Tid(8))], lacks: Vec::new() };
        assert_eq!((expected.not_told(), ids), (None, Ok(expected)));
    }

    #[test]
    fn a_command_that_the_monitor_lacks_is_no_failure() {
        let (hello, ready) = ("{\"QMP\": {}}\n", "{\"return\": {}}\n");
        let lacks = "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"not found\"}}\n";
        let ids =
            asked(&[hello, ready, lacks, "{\"return\": [{\"id\": \"a\", \"thread-id\": 8}]}\n"]).unwrap();
        assert_eq!(
            (ids.iothreads.len(), ids.tell(RoleKind::Vcpu), ids.tell(RoleKind::IoThread)),
            (1, false, true)
        );
        let said =
            "its QMP monitor has no query-cpus-fast (qemu-storage-daemon's has not): it does not tell vCPUs";
        assert_eq!(ids.not_told(), Some(said.to_owned()));
        let neither = asked(&[hello, ready, lacks, lacks]).unwrap().not_told().unwrap();
        assert!(
            neither.starts_with("its QMP monitor has no query-cpus-fast and no query-iothreads "),
            "{neither}"
        );
        assert!(neither.ends_with("it does not tell vCPUs and IOThreads"), "{neither}");
        let other = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"busy\"}}\n";
        assert!(asked(&[hello, ready, other]).is_err());
    }

    /// What is said of a peer that sends these lines.
    fn said(lines: &[&str]) -> String {
        let said = asked(lines).unwrap_err().to_string();
        // The socket's path is a folder of the test's own.
        let why = said.split_once("/qmp: ").unwrap().1;
        why.strip_suffix("; --qmp wants the socket of a QMP monitor that nobody else is connected to")
            .unwrap()
            .to_owned()
    }

    #[test]
    fn all_that_is_read_and_kept_has_a_bound() {
        let (hello, ready) = ("{\"QMP\": {}}\n", "{\"return\": {}}\n");
        let list =
            |element: &str, count: usize| format!("{{\"return\": [{}]}}\n", vec![element; count].join(","));
        let vcpu = "{\"cpu-index\":0,\"thread-id\":7}";
        let most = asked(&[hello, ready, &list(vcpu, VCPUS), &list("", 0)]).unwrap();
        assert_eq!(most.vcpus.len(), VCPUS);
        assert_eq!(said(&[hello, ready, &list(vcpu, VCPUS + 1), &list("", 0)]), NO_SENSE);
        let iothread = |id: &str| format!("{{\"id\":\"{id}\",\"thread-id\":7}}");
        let many = list(&iothread("a"), IOTHREADS + 1);
        assert_eq!(said(&[hello, ready, &list("", 0), &many]), NO_SENSE);
        let long = list(&iothread(&"x".repeat(ID_BYTES + 1)), 1);
        assert_eq!(said(&[hello, ready, &list("", 0), &long]), NO_SENSE);
        let endless = format!("{{\"return\": [{}", " ".repeat(BYTES));
        assert_eq!(said(&[hello, ready, &endless]), "its answer does not end");
        let events = "{\"event\": \"STOP\"}\n".repeat(BYTES / 10);
        assert_eq!(said(&[hello, ready, &events]), "its answer does not end");
        let refusal = format!("{{\"error\": {{\"desc\": \"{}\"}}}}\n", "x".repeat(5000));
        assert_eq!(said(&[hello, &refusal]), format!("qmp_capabilities: {}…", "x".repeat(EXPLANATION)));
        // A string of a million levels.
        let deep = format!("{{\"return\": {}\n", "[".repeat(1 << 20));
        assert_eq!(said(&[hello, ready, &deep]), NO_SENSE);
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_named() {
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
