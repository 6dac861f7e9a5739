//! Recording what the kernel's scheduler does: perf_event_open(2), and the rings that it writes to.

use crate::sys::linux::Linux;
use crate::sys::perf_event::{Event, Perf, Ring, What, Whom};
use perf_event_open_sys::bindings::{
    PERF_COUNT_SW_DUMMY, PERF_FLAG_FD_CLOEXEC, PERF_SAMPLE_CPU, PERF_SAMPLE_RAW, PERF_SAMPLE_TID,
    PERF_SAMPLE_TIME, PERF_TYPE_SOFTWARE, PERF_TYPE_TRACEPOINT, perf_event_attr, perf_event_mmap_page,
};
use perf_event_open_sys::{ioctls, perf_event_open};
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

impl Perf for Linux {
    fn open_event(&self, event: Event) -> io::Result<File> {
        match open_event(event, true) {
            // Before Linux 5.13 what a thread creates is followed over a fork(2) too.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::E2BIG)) => {
                open_event(event, false)
            }
            opened => opened,
        }
    }

    fn map_ring(&self, event: &File, pages: usize) -> io::Result<Box<dyn Ring>> {
        Ok(Box::new(MappedRing::new(event, pages)?))
    }

    fn share_ring(&self, event: &File, with: &File) -> io::Result<()> {
        // SAFETY: takes no pointer; both files keep their descriptors open across the call.
        let result = unsafe { ioctls::SET_OUTPUT(event.as_raw_fd(), with.as_raw_fd()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn clock(&self) -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a struct that lives across the call, which fills it. This clock is always there.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    fn raise_open_files(&self) -> io::Result<u64> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a struct that lives across the call, which fills it.
        if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } < 0 {
            return Err(io::Error::last_os_error());
        }
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: a struct that lives across the call, which only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(limit.rlim_cur)
    }
}

/// The kernel fills a new field of the struct's end with zeros for itself, and takes zeros for fields that it does not know.
fn open_event(event: Event, only_threads: bool) -> io::Result<File> {
    let mut attributes =
        perf_event_attr { size: size_of::<perf_event_attr>() as u32, ..perf_event_attr::default() };
    attributes.sample_type = (PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU).into();
    match event.what {
        What::Switches => {
            attributes.type_ = PERF_TYPE_SOFTWARE;
            attributes.config = PERF_COUNT_SW_DUMMY.into();
            attributes.set_context_switch(1);
            attributes.set_task(1);
            attributes.set_comm(1);
            // An ordinary user may not look into the kernel; switches are told all the same.
            attributes.set_exclude_kernel(1);
        }
        What::Tracepoint(id) => {
            attributes.type_ = PERF_TYPE_TRACEPOINT;
            attributes.config = id;
            attributes.sample_type |= u64::from(PERF_SAMPLE_RAW);
            attributes.__bindgen_anon_1.sample_period = 1;
        }
    }
    attributes.set_sample_id_all(1);
    attributes.set_use_clockid(1);
    attributes.clockid = libc::CLOCK_MONOTONIC;
    let thread = match event.whom {
        Whom::Thread(tid) => {
            attributes.set_inherit(1);
            attributes.set_inherit_thread(only_threads.into());
            tid.0
        }
        Whom::Everybody => -1,
    };
    let cpu = i32::try_from(event.cpu.0).map_err(io::Error::other)?;
    let flags = PERF_FLAG_FD_CLOEXEC.into();
    // SAFETY: a struct of the size that it says, which the kernel only reads (where it has a complaint about the size, it
    // writes to the field of that).
    let fd = unsafe { perf_event_open(&raw mut attributes, thread, cpu, -1, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was made just now and that nobody else owns.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// A ring in memory that is shared with the kernel: a page that says how far either has come, and the records.
#[derive(Debug)]
struct MappedRing {
    /// The first byte of `length` that are mapped for as long as this value lives.
    begin: NonNull<u8>,
    length: usize,
    /// Where the records begin, and how many bytes there are for them: a power of two.
    records: usize,
    size: usize,
}

impl MappedRing {
    fn new(event: &File, pages: usize) -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        let size = pages.next_power_of_two() * page;
        let length = size + page;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice; `event` keeps the descriptor open across the call.
        let begin =
            unsafe { libc::mmap(null_mut(), length, protection, libc::MAP_SHARED, event.as_raw_fd(), 0) };
        if begin == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let begin = NonNull::new(begin.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { begin, length, records: page, size })
    }

    /// A number of the first page that the kernel and this process change in turn.
    fn shared(&self, at: usize) -> &AtomicU64 {
        // SAFETY: the caller names a field of the first page, which is mapped whole and is longer.
        let field = unsafe { self.begin.as_ptr().add(at) };
        // SAFETY: the fields are aligned for a u64 in a page that is aligned for more, live as long as `self`, and are only
        // used as atomic numbers here.
        unsafe { AtomicU64::from_ptr(field.cast()) }
    }
}

impl Ring for MappedRing {
    fn take(&mut self, records: &mut Vec<u8>) {
        // The kernel has written all before `head` when it moves it (perf_event_open(2), data_head), and writes over nothing
        // behind `tail`.
        let head = self.shared(offset_of!(perf_event_mmap_page, data_head)).load(Ordering::Acquire);
        let tail = self.shared(offset_of!(perf_event_mmap_page, data_tail));
        let from = tail.load(Ordering::Relaxed);
        // Both only grow; the kernel lets `head` be no more than a ring ahead.
        let new = usize::try_from(head.wrapping_sub(from)).map_or(self.size, |new| new.min(self.size));
        let at = (from % self.size as u64) as usize;
        let up_to_the_end = new.min(self.size - at);
        for (at, count) in [(at, up_to_the_end), (0, new - up_to_the_end)] {
            // SAFETY: `at` and `count` are within the records, which are mapped for as long as `self` lives.
            let part = unsafe { self.begin.as_ptr().add(self.records + at) };
            // SAFETY: the kernel does not write there before `tail` is moved, and nobody else does.
            records.extend_from_slice(unsafe { std::slice::from_raw_parts(part, count) });
        }
        tail.store(head, Ordering::Release);
    }

    fn size(&self) -> usize {
        self.size
    }
}

impl Drop for MappedRing {
    fn drop(&mut self) {
        // SAFETY: what `new` has mapped, and nothing points into it: `shared` and `take` lend no longer than `self` lives.
        unsafe { libc::munmap(self.begin.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    /// A ring of one page, as the kernel has it, in a file that the test writes to in the kernel's place.
    #[test]
    fn what_the_kernel_has_written_is_taken_once_and_in_order_also_around_the_rings_end() {
        let file = tempfile::tempfile().unwrap();
        // SAFETY: takes no pointer.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        file.set_len(2 * page as u64).unwrap();
        let mut ring = MappedRing::new(&file, 1).unwrap();
        assert_eq!(ring.size(), page);
        let (mut head, mut written, mut taken) = (0, Vec::new(), Vec::new());
        for length in [0, 8, page - 24, page, 40, 40, page - 8] {
            for _ in 0..length {
                let byte = (written.len() % 251) as u8;
                file.write_all_at(&[byte], (page + head % page) as u64).unwrap();
                written.push(byte);
                head += 1;
            }
            let at = offset_of!(perf_event_mmap_page, data_head) as u64;
            file.write_all_at(&(head as u64).to_ne_bytes(), at).unwrap();
            ring.take(&mut taken);
            assert!(taken == written, "{length}");
            let mut tail = [0; 8];
            file.read_exact_at(&mut tail, offset_of!(perf_event_mmap_page, data_tail) as u64).unwrap();
            assert_eq!(u64::from_ne_bytes(tail), head as u64, "the kernel may write there again");
        }
    }
}
