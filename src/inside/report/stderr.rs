//! What the library writes to stderr: each line by one write(2).
//!
//! env_logger reads `PIN_LOG` and decides which records count. Its own writer is never used: it takes
//! locks and allocates, and a fork in QEMU while another thread logs would leave those locks held in
//! the child for ever. Here a record is formatted on the stack. Nothing is locked, allocated, waited
//! for or tried again, errno is kept, and a closed pipe raises no signal.

use crate::sys::errno::keeping_errno;
use crate::sys::file;
use log::{Level, Log, Metadata, Record};
use once_cell::sync::OnceCell;
use pinning::is_harmful;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// The most bytes of one line. It is less than PIPE_BUF, so that lines of several threads never mix.
const LINE_BYTES: usize = 512;

static LOG: OnceCell<StderrLog> = OnceCell::new();

/// Whether file descriptor 2 was open when the library was loaded. Where it was not, a file that
/// QEMU opens (a disk image, say) gets that number, and a line written there would damage the file.
static STDERR_IS_OURS: AtomicBool = AtomicBool::new(false);

struct StderrLog {
    filter: env_logger::Logger,
}

impl Log for StderrLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.filter.matches(record) {
            return;
        }
        match record.level() {
            Level::Error => line(format_args!("error: {}", record.args())),
            Level::Warn => line(format_args!("warning: {}", record.args())),
            _ => line(*record.args()),
        }
    }

    fn flush(&self) {}
}

/// Notes whether there is a stderr. To be called before QEMU can open a file.
pub(crate) fn note_stderr() {
    let mut link = [0u8; 8];
    let open = file::read_link_at(libc::AT_FDCWD, c"/proc/self/fd/2", &mut link).is_ok();
    // Without /proc this is not known, and to write nothing is the safe answer.
    STDERR_IS_OURS.store(open, Ordering::Relaxed);
}

/// Starts the log with an env_logger filter, once.
pub(crate) fn start_log(filter: &str) {
    let log =
        LOG.get_or_init(|| StderrLog { filter: env_logger::Builder::new().parse_filters(filter).build() });
    // This fails for a second logger. Nobody else in this library sets one.
    if log::set_logger(log).is_ok() {
        log::set_max_level(log.filter.filter());
    }
}

/// Writes one line, whatever `PIN_LOG` says. Used for faults in the environment, too.
pub(crate) fn line(what: fmt::Arguments<'_>) {
    if !STDERR_IS_OURS.load(Ordering::Relaxed) {
        return;
    }
    keeping_errno(|| {
        let mut line = Line { bytes: [0; LINE_BYTES], used: 0 };
        // A line that is too long is cut; there is no other error.
        let _ = write!(line, "pinshim: {what}");
        file::write_or_drop(libc::STDERR_FILENO, line.finished());
    });
}

/// One line, on the stack.
struct Line {
    bytes: [u8; LINE_BYTES],
    used: usize,
}

impl Line {
    /// The whole line, with its end.
    fn finished(&mut self) -> &[u8] {
        let end = self.used.min(LINE_BYTES - 1);
        if let Some(last) = self.bytes.get_mut(end) {
            *last = b'\n';
        }
        self.bytes.get(..=end).unwrap_or_default()
    }
}

impl Write for Line {
    /// Fails where there is no room for all of the text, and then has written the letters for which there was room.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            let letter = if is_harmful(letter) { ' ' } else { letter };
            // One byte stays free for the line's end.
            let room = self.bytes.get_mut(self.used..LINE_BYTES - 1).unwrap_or_default();
            let room = room.get_mut(..letter.len_utf8()).ok_or(fmt::Error)?;
            self.used += letter.encode_utf8(room).len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES, Line, StderrLog};
    use crate::report::targets;
    use log::{Level, Log, Metadata};
    use pinning::is_harmful;
    use proptest::prelude::*;
    use std::fmt::Write;
    use std::path::Path;

    fn counts(filter: &str, target: &str, level: Level) -> bool {
        let log = StderrLog { filter: env_logger::Builder::new().parse_filters(filter).build() };
        log.enabled(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn a_filter_names_targets_as_users_have_always_written_them() {
        // The names on the left are in users' filters: changing one breaks them.
        for (named, target) in [
            ("pinshim::affinity", targets::AFFINITY),
            ("pinshim::broker", targets::BROKER),
            ("pinshim::broker::start", targets::BROKER_START),
            ("pinshim::identity", targets::IDENTITY),
            ("pinshim::sched", targets::SCHED),
            ("pinshim::thread_start", targets::THREAD_START),
            ("pinshim::uring", targets::URING),
        ] {
            assert!(counts(&format!("off,{named}=debug"), target, Level::Debug), "{target}");
            assert!(counts("pinshim=debug", target, Level::Debug), "{target}");
            assert!(!counts("pinshim=info", target, Level::Debug), "{target}");
        }
        let filter = "warn,pinshim::affinity=info,pinshim::broker=off";
        assert!(counts(filter, targets::AFFINITY, Level::Info));
        assert!(!counts(filter, targets::IDENTITY, Level::Info));
        assert!(counts(filter, targets::IDENTITY, Level::Warn));
        // The broker's start is below the broker.
        assert!(!counts(filter, targets::BROKER, Level::Warn));
        assert!(!counts(filter, targets::BROKER_START, Level::Warn));
    }

    #[test]
    fn every_record_names_its_target() {
        let mut records = 0;
        for file in sources(Path::new(env!("CARGO_MANIFEST_DIR"))) {
            let text = std::fs::read_to_string(&file).unwrap();
            for level in ["error", "warn", "info", "debug", "trace"] {
                for record in text.split(&format!("log::{level}!(")).skip(1) {
                    assert!(record.trim_start().starts_with("target: targets::"), "{}", file.display());
                    records += 1;
                }
            }
        }
        assert!(records > 5, "{records}");
    }

    fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        let below = folders.iter().flat_map(|folder| sources(folder));
        files
            .into_iter()
            .filter(|file| file.extension().is_some_and(|end| end == "rs"))
            .chain(below)
            .collect()
    }

    /// What a line holds after these pieces were written to it, until one of them had no room.
    fn written(pieces: &[String]) -> Vec<u8> {
        let mut line = Line { bytes: [0; LINE_BYTES], used: 0 };
        let _ = pieces.iter().try_for_each(|piece| line.write_str(piece));
        line.finished().to_vec()
    }

    proptest! {
        #[test]
        fn a_line_is_the_text_without_its_control_characters_up_to_the_limit(
            pieces in prop::collection::vec("(?s).{0,200}", 0..6),
        ) {
            let line = written(&pieces);
            prop_assert!(line.len() <= LINE_BYTES);
            let (end, text) = line.split_last().unwrap();
            prop_assert_eq!(*end, b'\n');
            let text = std::str::from_utf8(text).expect("whole letters");
            prop_assert!(!text.contains(is_harmful));
            let whole = pieces.concat().replace(is_harmful, " ");
            prop_assert!(whole.starts_with(text));
            // No letter that follows had room.
            let next = whole[text.len()..].chars().next();
            prop_assert!(next.is_none_or(|next| text.len() + next.len_utf8() > LINE_BYTES - 1));
        }
    }

    #[test]
    fn a_line_is_cut_at_the_limit_between_two_letters() {
        for (room, letter) in [(1, "a"), (1, "ä"), (2, "ä"), (2, "€"), (3, "€"), (3, "😀"), (4, "😀")]
        {
            let before = "x".repeat(LINE_BYTES - 1 - room);
            let fits = if letter.len() <= room { letter } else { "" };
            let line = written(&[before.clone(), letter.into(), "later".into()]);
            let later = &"later"[..if fits.is_empty() { 0 } else { room - letter.len() }];
            assert_eq!(String::from_utf8(line).unwrap(), format!("{before}{fits}{later}\n"));
        }
    }
}
