//! Running another program to its end: never by a shell, with a time limit, and with a bound on what it says.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The time between two looks whether the program has ended, once it has closed its streams.
const PAUSE: Duration = Duration::from_millis(5);

/// How a program has ended, and what it has said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// What a program may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Until it has ended.
    pub(crate) time: Duration,
    /// The bytes of each of its streams.
    pub(crate) bytes: usize,
}

/// Runs a command with this text on its stdin. It is killed when it goes beyond its limits.
///
/// # Errors
/// It cannot be started, has not ended in time (`TimedOut`), or has said too much (`FileTooLarge`).
pub(crate) fn run(command: &mut Command, input: &str, limits: Limits) -> io::Result<Finished> {
    let end = Instant::now() + limits.time;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // A program that does not read it says by itself what it makes of that.
        thread::spawn(move || stdin.write_all(input.as_bytes()));
    }
    let (sender, receiver) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|s| Box::new(s) as _), child.stderr.take().map(|s| Box::new(s) as _)];
    for (at, stream) in streams.into_iter().flatten().enumerate() {
        let sender = sender.clone();
        // The thread ends with the stream. A process that the program has left behind may keep it open: then it ends
        // with this command.
        thread::spawn(move || {
            let mut said = Vec::new();
            let read = stream.take(limits.bytes as u64 + 1).read_to_end(&mut said);
            let _ = sender.send((at, read.map(|_| said)));
        });
    }
    let mut streams = [Vec::new(), Vec::new()];
    let mut outcome = Ok(());
    for _ in 0..streams.len() {
        let left = end.saturating_duration_since(Instant::now());
        outcome = match receiver.recv_timeout(left) {
            Ok((_, Ok(said))) if said.len() > limits.bytes => Err(io::Error::from(ErrorKind::FileTooLarge)),
            Ok((at, Ok(said))) => {
                if let Some(stream) = streams.get_mut(at) {
                    *stream = said;
                }
                Ok(())
            }
            Ok((_, Err(error))) => Err(error),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(io::Error::from(ErrorKind::TimedOut))
            }
        };
        if outcome.is_err() {
            break;
        }
    }
    let [stdout, stderr] = streams;
    while outcome.is_ok() {
        if let Some(status) = child.try_wait()? {
            return Ok(Finished { status, stdout, stderr });
        }
        if Instant::now() >= end {
            outcome = Err(io::Error::from(ErrorKind::TimedOut));
        } else {
            thread::sleep(PAUSE);
        }
    }
    // It may have ended meanwhile.
    let _ = child.kill();
    child.wait()?;
    outcome.and(Err(io::Error::from(ErrorKind::TimedOut)))
}

/// A command in the C locale, so that what it says is known, and with these arguments.
pub(crate) fn command(program: &OsStr, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").env_remove("LANGUAGE");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { time: Duration::from_secs(20), bytes: 1000 };

    fn shell(script: &str, limits: Limits) -> io::Result<Finished> {
        run(&mut command(OsStr::new("sh"), &[OsStr::new("-c"), OsStr::new(script)]), "in\n", limits)
    }

    #[test]
    fn what_it_says_and_how_it_ends_is_told() {
        let done = shell("cat; echo out; echo err >&2; exit 3", LIMITS).unwrap();
        assert_eq!(
            (done.status.code(), done.stdout, done.stderr),
            (Some(3), b"in\nout\n".into(), b"err\n".into())
        );
        let missing = run(&mut command(OsStr::new("/nonexistent/virsh"), &[]), "", LIMITS).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn one_that_does_not_end_is_ended() {
        let short = Limits { time: Duration::from_millis(200), ..LIMITS };
        for script in ["exec sleep 1000", "exec >&- 2>&-; exec sleep 1000"] {
            assert_eq!(shell(script, short).unwrap_err().kind(), ErrorKind::TimedOut, "{script}");
        }
    }

    #[test]
    fn one_that_says_without_end_is_ended() {
        for script in ["exec yes", "exec yes >&2"] {
            assert_eq!(shell(script, LIMITS).unwrap_err().kind(), ErrorKind::FileTooLarge, "{script}");
        }
    }

    #[test]
    fn a_process_that_it_leaves_behind_is_not_waited_for_beyond_the_limit() {
        let short = Limits { time: Duration::from_millis(300), ..LIMITS };
        let done = shell("sleep 2 & echo out", short);
        assert_eq!(done.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
