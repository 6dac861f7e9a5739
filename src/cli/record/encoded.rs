//! Records as the kernel writes them into a ring, for tests.

use crate::record::records::{Record, What};
use perf_event_open_sys::bindings::*;

/// Where the woken thread's id stands in the records of these tests, as on Linux 6.18.
pub(crate) const WOKEN_AT: usize = 24;

/// The bytes of a record.
pub(crate) fn encoded(record: &Record) -> Vec<u8> {
    let pair = |first: i32, second: i32| [first.to_ne_bytes(), second.to_ne_bytes()].concat();
    let stamp =
        [pair(record.pid, record.tid), record.time.to_ne_bytes().to_vec(), pair(record.cpu as i32, 0)]
            .concat();
    let (kind, misc, body) = match &record.what {
        What::On => (PERF_RECORD_SWITCH, 0, Vec::new()),
        What::Left { preempted } => {
            let further = if *preempted { PERF_RECORD_MISC_SWITCH_OUT_PREEMPT } else { 0 };
            (PERF_RECORD_SWITCH, PERF_RECORD_MISC_SWITCH_OUT | further, Vec::new())
        }
        What::Born { pid, tid } => {
            let ids = [pair(*pid, record.pid), pair(*tid, record.tid)].concat();
            (PERF_RECORD_FORK, 0, [ids, record.time.to_ne_bytes().to_vec()].concat())
        }
        What::Ended { tid } => {
            let ids = [pair(record.pid, 1), pair(*tid, 1)].concat();
            (PERF_RECORD_EXIT, 0, [ids, record.time.to_ne_bytes().to_vec()].concat())
        }
        What::Named { pid, tid, comm } => {
            let mut name = comm.as_bytes().to_vec();
            name.resize((name.len() / 8 + 1) * 8, 0);
            (PERF_RECORD_COMM, 0, [pair(*pid, *tid), name].concat())
        }
        What::Woken { tid } => {
            let mut written = vec![0; WOKEN_AT];
            written.extend(tid.to_ne_bytes());
            written.extend([0; 12]);
            let body = [stamp.clone(), (written.len() as u32).to_ne_bytes().to_vec(), written].concat();
            return whole(PERF_RECORD_SAMPLE, 0, body);
        }
        What::Lost(records) => (PERF_RECORD_LOST, 0, [7u64.to_ne_bytes(), records.to_ne_bytes()].concat()),
    };
    whole(kind, misc, [body, stamp].concat())
}

/// A record with its header.
pub(crate) fn whole(kind: u32, misc: u32, body: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(body.len() + 8).unwrap();
    let header =
        [kind.to_ne_bytes().to_vec(), (misc as u16).to_ne_bytes().to_vec(), length.to_ne_bytes().to_vec()];
    [header.concat(), body].concat()
}
