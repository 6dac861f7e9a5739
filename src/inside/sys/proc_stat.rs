//! The text of a /proc/PID/stat (proc_pid_stat(5)).

/// The fields of such a text, by their numbers there.
#[derive(Clone, Copy)]
pub(crate) struct ProcStat<'a>(&'a [u8]);

impl<'a> ProcStat<'a> {
    /// Of this text. `None` if it is none.
    pub(crate) fn new(text: &'a [u8]) -> Option<Self> {
        // The name, the second field, may hold any byte, spaces and parentheses too.
        let end = text.iter().rposition(|byte| *byte == b')')?;
        Some(Self(text.get(end + 1..)?))
    }

    /// The field with this number, 3 or more.
    fn field(self, number: usize) -> Option<&'a [u8]> {
        let fields = self.0.split(|byte| byte.is_ascii_whitespace()).filter(|field| !field.is_empty());
        fields.into_iter().nth(number.checked_sub(3)?)
    }

    fn number(self, field: usize) -> Option<u64> {
        std::str::from_utf8(self.field(field)?).ok()?.parse().ok()
    }

    /// When the process started, in clock ticks since the host did. With the pid it names one process.
    pub(crate) fn start_time(self) -> Option<u64> {
        self.number(22)
    }

    /// Whether all threads of the process have ended. Its pid is not used again before its parent has waited for it.
    pub(crate) fn has_ended(self) -> bool {
        let leader_has_ended = matches!(self.field(3), Some(b"Z" | b"X" | b"x") | None);
        leader_has_ended && self.number(20).is_none_or(|threads| threads <= 1)
    }

    /// Where the process's argv is in its memory.
    pub(crate) fn arguments(self) -> Option<std::ops::Range<usize>> {
        let address = |field| usize::try_from(self.number(field)?).ok();
        let (start, end) = (address(48)?, address(49)?);
        (start != 0 && start < end).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::ProcStat;

    fn stat(name: &str, state: char, threads: u32) -> String {
        let mut fields: Vec<String> = (1..=52).map(|number| number.to_string()).collect();
        (fields[1], fields[2], fields[19]) = (format!("({name})"), state.to_string(), threads.to_string());
        fields.join(" ") + "\n"
    }

    #[test]
    fn the_fields_are_found_behind_any_name() {
        for name in ["sleep", "a b", ") R 1 (", "))", ""] {
            let text = stat(name, 'S', 3);
            let stat = ProcStat::new(text.as_bytes()).unwrap();
            assert_eq!(stat.start_time(), Some(22), "{name}");
            assert_eq!(stat.arguments(), Some(48..49), "{name}");
            assert!(!stat.has_ended(), "{name}");
        }
    }

    #[test]
    fn a_process_has_ended_with_its_last_thread() {
        let ended = |state, threads| ProcStat::new(stat("x", state, threads).as_bytes()).unwrap().has_ended();
        assert!(ended('Z', 1) && ended('X', 0) && ended('x', 1));
        // Its first thread has left by pthread_exit, and another runs.
        assert!(!ended('Z', 2));
        assert!(!ended('R', 1) && !ended('T', 1) && !ended('D', 5));
    }

    #[test]
    fn what_is_no_such_text_has_no_fields() {
        assert!(ProcStat::new(b"").is_none() && ProcStat::new(b"1 (sleep S").is_none());
        let cut = ProcStat::new(b"1 (sleep)").unwrap();
        assert_eq!((cut.start_time(), cut.arguments()), (None, None));
        assert!(cut.has_ended(), "of a process that cannot be read nothing is believed");
        assert_eq!(ProcStat::new(b"1 (x) S 2 3").unwrap().start_time(), None);
    }

    #[test]
    fn this_process_is_read() {
        let text = std::fs::read("/proc/self/stat").unwrap();
        let stat = ProcStat::new(&text).unwrap();
        assert!(stat.start_time().unwrap() > 0 && !stat.has_ended());
    }
}
