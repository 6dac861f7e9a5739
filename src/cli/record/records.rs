//! The kernel's records of what its scheduler does, as they stand in a ring (perf_event_open(2), "MMAP layout").
//!
//! Each has a header and ends with what `sample_id_all` adds: whom it is about, when, and on which CPU. Lengths are the
//! kernel's word, and are checked all the same.

use perf_event_open_sys::bindings::{
    PERF_RECORD_COMM, PERF_RECORD_EXIT, PERF_RECORD_FORK, PERF_RECORD_LOST, PERF_RECORD_MISC_SWITCH_OUT,
    PERF_RECORD_MISC_SWITCH_OUT_PREEMPT, PERF_RECORD_SAMPLE, PERF_RECORD_SWITCH, PERF_RECORD_SWITCH_CPU_WIDE,
};

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// When, by the clock of the records.
    pub(crate) time: u64,
    /// On which CPU.
    pub(crate) cpu: u32,
    /// The process of the thread that ran there. -1: it has ended.
    pub(crate) pid: i32,
    /// That thread. 0: none, the CPU is idle.
    pub(crate) tid: i32,
    pub(crate) what: What,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The thread was put on the CPU.
    On,
    /// The thread left the CPU; preempted if it could have gone on.
    Left { preempted: bool },
    /// The thread has created this one.
    Born { pid: i32, tid: i32 },
    /// This thread has ended.
    Ended { tid: i32 },
    /// This thread has a new comm.
    Named { pid: i32, tid: i32, comm: String },
    /// The thread has woken this one.
    Woken { tid: i32 },
    /// So many records did not fit into the ring.
    Lost(u64),
}

/// Reads the records of a ring one after another, and leaves out those of another kind.
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    /// Where the woken thread's id stands in what the tracepoint `sched_waking` writes.
    woken_at: usize,
}

impl<'a> Records<'a> {
    /// The records that these bytes are.
    pub(crate) fn new(bytes: &'a [u8], woken_at: usize) -> Self {
        Self { bytes, woken_at }
    }

    /// The next whole record: its kind, its `misc` and all of it. `None`: there is no further one.
    fn next_raw(&mut self) -> Option<(u32, u32, &'a [u8])> {
        let (kind, misc) = (u32_at(self.bytes, 0)?, u16_at(self.bytes, 4)?);
        let length = usize::from(u16_at(self.bytes, 6)?);
        // A record is never shorter than its header; 0 would be read for ever.
        let (record, rest) = self.bytes.split_at_checked(length.max(HEADER))?;
        self.bytes = rest;
        Some((kind, misc.into(), record))
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let (kind, misc, record) = self.next_raw()?;
            if let Some(record) = parse(kind, misc, record, self.woken_at) {
                return Some(record);
            }
        }
    }
}

/// `struct perf_event_header`.
const HEADER: usize = 8;

/// What `sample_id_all` adds with PERF_SAMPLE_TID, PERF_SAMPLE_TIME and PERF_SAMPLE_CPU: pid, tid, time, cpu, and four bytes
/// without meaning. A sample begins with the same.
const STAMP: usize = 24;

fn parse(kind: u32, misc: u32, record: &[u8], woken_at: usize) -> Option<Record> {
    let body = record.get(HEADER..)?;
    let (stamp, what) = if kind == PERF_RECORD_SAMPLE {
        // Behind the stamp: how long what the tracepoint writes is, and that.
        (0, What::Woken { tid: i32_at(body, STAMP + 4 + woken_at)? })
    } else {
        (body.len().checked_sub(STAMP)?, without_stamp(kind, misc, body)?)
    };
    let stamp = body.get(stamp..)?;
    Some(Record {
        pid: i32_at(stamp, 0)?,
        tid: i32_at(stamp, 4)?,
        time: u64_at(stamp, 8)?,
        cpu: u32_at(stamp, 16)?,
        what,
    })
}

fn without_stamp(kind: u32, misc: u32, body: &[u8]) -> Option<What> {
    match kind {
        PERF_RECORD_SWITCH | PERF_RECORD_SWITCH_CPU_WIDE if misc & PERF_RECORD_MISC_SWITCH_OUT == 0 => {
            Some(What::On)
        }
        PERF_RECORD_SWITCH | PERF_RECORD_SWITCH_CPU_WIDE => {
            Some(What::Left { preempted: misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT != 0 })
        }
        // pid, parent's pid, tid, parent's tid, time
        PERF_RECORD_FORK => Some(What::Born { pid: i32_at(body, 0)?, tid: i32_at(body, 8)? }),
        PERF_RECORD_EXIT => Some(What::Ended { tid: i32_at(body, 8)? }),
        PERF_RECORD_COMM => {
            let comm = body.get(8..body.len().checked_sub(STAMP)?)?;
            let comm = comm.split(|byte| *byte == 0).next().unwrap_or_default();
            let comm = String::from_utf8_lossy(comm).into_owned();
            Some(What::Named { pid: i32_at(body, 0)?, tid: i32_at(body, 4)?, comm })
        }
        // id, how many
        PERF_RECORD_LOST => Some(What::Lost(u64_at(body, 8)?)),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::encoded::{WOKEN_AT, encoded, whole};
    use proptest::prelude::*;

    fn record(what: What) -> Record {
        Record { time: 123_456_789_012, cpu: 3, pid: 100, tid: 101, what }
    }

    #[test]
    fn each_kind_of_record_is_read() {
        let named = What::Named { pid: 100, tid: 105, comm: "CPU 0/KVM".to_owned() };
        let all = [
            What::On,
            What::Left { preempted: true },
            What::Left { preempted: false },
            What::Born { pid: 100, tid: 105 },
            What::Ended { tid: 105 },
            named,
            What::Woken { tid: 101 },
            What::Lost(12),
        ];
        let all = all.map(record);
        let bytes: Vec<u8> = all.iter().flat_map(encoded).collect();
        assert!(Records::new(&bytes, WOKEN_AT).eq(all));
    }

    /// What a kernel of version 6.18 has written for a whole CPU, where the switch has two further numbers: the other thread.
    #[test]
    fn a_switch_of_a_whole_cpu_has_the_other_thread_too() {
        let mut body = [7u32.to_ne_bytes(), 8u32.to_ne_bytes()].concat();
        body.extend([100u32, 101].map(u32::to_ne_bytes).concat());
        body.extend(123_456_789_012u64.to_ne_bytes());
        body.extend([3u32, 0].map(u32::to_ne_bytes).concat());
        let bytes = whole(PERF_RECORD_SWITCH_CPU_WIDE, 0, body);
        assert!(Records::new(&bytes, 0).eq([record(What::On)]));
    }

    #[test]
    fn records_of_other_kinds_are_passed_over() {
        let other = whole(1, 0, vec![0xff; 40]);
        let on = encoded(&record(What::On));
        let bytes = [other.clone(), on.clone(), other].concat();
        assert!(Records::new(&bytes, 0).eq([record(What::On)]));
        // The rest of one that is cut is no record.
        assert_eq!(Records::new(&on[..on.len() - 1], 0).next(), None);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_reading_ends(bytes in prop::collection::vec(0u8..20, 0..400), at in 0usize..100) {
            prop_assert!(Records::new(&bytes, at).count() <= bytes.len());
        }
    }
}
