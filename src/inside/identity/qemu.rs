//! Reading QEMU's name for a thread that it is about to create.
//!
//! `qemu_thread_create` (util/qemu-thread-posix.c) calls `pthread_create` with one static function,
//! `qemu_thread_start`, and a pointer to its arguments. The name in there is filled in whether or not
//! QEMU runs with `debug-threads=on`. Other libraries in the process create threads with arguments of
//! their own, so no pointer is followed until the address of the function is known. It is learned from QEMU's
//! first thread, `call_rcu`, by reads that cannot fault.

use crate::sys::thread;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

/// QEMU's `QemuThreadArgs`, the same from QEMU 5.2 to 11.1.
#[repr(C)]
struct QemuThreadArgs {
    start_routine: *const c_void,
    arg: *mut c_void,
    name: *const u8,
}

/// The most bytes of a name. Names are short (`IO ` and a user's id); longer ones are cut.
pub(crate) const NAME_LIMIT: usize = 256;

/// The first thread of every QEMU, created by a constructor of util/rcu.c before `main`.
const FIRST_NAME: &[u8] = b"call_rcu";

/// The address of `qemu_thread_start`; 0 until it is learned.
static THREAD_START: AtomicUsize = AtomicUsize::new(0);

/// What the creator can read of a thread that QEMU is about to create. Valid only until the real
/// `pthread_create`, since the new thread frees what `name` points to.
pub(crate) struct Thread<'a> {
    /// QEMU's name, without its end.
    pub(crate) name: &'a [u8],
    /// The argument of the thread's own routine. A worker's is the address of its pool.
    pub(crate) argument: usize,
}

/// Whether `start` was learned as `qemu_thread_start`, for tests.
#[cfg(test)]
pub(crate) fn is_thread_start(start: usize) -> bool {
    start != 0 && start == THREAD_START.load(Ordering::Relaxed)
}

/// Whether the address of that function is known: QEMU's threads are then known from their creation.
pub(crate) fn thread_start_is_known() -> bool {
    THREAD_START.load(Ordering::Relaxed) != 0
}

/// Reads QEMU's name for the thread that is about to be created with this routine and argument, and
/// calls `then` with it; `None` if it is no thread of QEMU's.
///
/// # Safety
/// `start` and `arg` are what the caller of `pthread_create` passed. Where `start` is QEMU's own
/// function, QEMU upholds that `arg` points to its arguments until the thread runs.
pub(crate) unsafe fn with_thread<R>(
    executable: &std::ops::Range<usize>,
    start: usize,
    arg: *mut c_void,
    then: impl FnOnce(Option<Thread<'_>>) -> R,
) -> R {
    let known = THREAD_START.load(Ordering::Relaxed);
    if known == 0 {
        let mut room = [0u8; NAME_LIMIT];
        let learned = learn(executable, start, arg, &mut room);
        return then(learned);
    }
    if start != known || arg.is_null() {
        return then(None);
    }
    // SAFETY: this is QEMU's function, so `arg` is its QemuThreadArgs, alive until the new thread
    // frees it; the new thread does not exist yet.
    let args = unsafe { &*arg.cast::<QemuThreadArgs>() };
    if args.name.is_null() {
        return then(None);
    }
    // SAFETY: QEMU made `name` with g_strdup: it ends with NUL. strnlen reads no further than that.
    let length = unsafe { libc::strnlen(args.name.cast(), NAME_LIMIT) };
    // SAFETY: `length` bytes were just found readable, and nobody writes to them.
    let name = unsafe { std::slice::from_raw_parts(args.name, length) };
    then(Some(Thread { name, argument: args.arg as usize }))
}

/// Takes `start` for `qemu_thread_start` if it lies in the main executable and its argument reads as three
/// pointers, the last to the name of QEMU's first thread. No other name is accepted: another function in the
/// executable, called with an argument that merely looks alike, would be taken for it from then on.
fn learn<'a>(
    executable: &std::ops::Range<usize>,
    start: usize,
    arg: *mut c_void,
    room: &'a mut [u8; NAME_LIMIT],
) -> Option<Thread<'a>> {
    if !executable.contains(&start) {
        return None;
    }
    let pid = thread::getpid();
    let mut args = [0u8; size_of::<QemuThreadArgs>()];
    if thread::read_own_memory(pid, arg as usize, &mut args).ok()?.len() < args.len() {
        return None;
    }
    let mut words = args.chunks_exact(size_of::<usize>()).map(|word| {
        usize::from_ne_bytes(word.try_into().unwrap_or_default()) // chunks_exact makes them of that length
    });
    let (routine, argument, name) = (words.next()?, words.next()?, words.next()?);
    if routine == 0 || name == 0 {
        return None;
    }
    let name = read_name(pid, name, room)?;
    if name != FIRST_NAME {
        return None;
    }
    THREAD_START.store(start, Ordering::Relaxed);
    Some(Thread { name, argument })
}

/// Reads a NUL-ended text at an address that may not be readable, or may have no NUL. `None` for those and
/// for an empty text.
fn read_name(pid: i32, address: usize, room: &mut [u8; NAME_LIMIT]) -> Option<&[u8]> {
    // A read that crosses from a readable page to one that is not returns what there is, but the kernel may
    // also refuse all of it. So each page is read on its own.
    let to_page_end = 4096 - address % 4096;
    let first = to_page_end.min(NAME_LIMIT);
    let mut got = thread::read_own_memory(pid, address, room.get_mut(..first)?).ok()?.len();
    if got == first && first < NAME_LIMIT && !room.get(..got)?.contains(&0) {
        got += thread::read_own_memory(pid, address + first, room.get_mut(first..)?).map_or(0, <[u8]>::len);
    }
    let end = room.get(..got)?.iter().position(|byte| *byte == 0)?;
    room.get(..end).filter(|name| !name.is_empty())
}

/// Where the code of the main executable lies.
pub(crate) fn executable_code() -> std::ops::Range<usize> {
    unsafe extern "C" fn first(
        object: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        out: *mut c_void,
    ) -> libc::c_int {
        // SAFETY: dl_iterate_phdr passes a live description; dl_iterate_phdr(3): the first object is the program.
        let object = unsafe { &*object };
        // SAFETY: `out` is the range below, which outlives the call.
        let range = unsafe { &mut *out.cast::<std::ops::Range<usize>>() };
        // SAFETY: dlpi_phdr points to dlpi_phnum headers of a loaded object.
        let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
        for header in headers {
            if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0 {
                let at = (object.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
                let end = at.wrapping_add(header.p_memsz as usize);
                *range =
                    if range.start == range.end { at..end } else { range.start.min(at)..range.end.max(end) };
            }
        }
        1 // no further objects
    }
    let mut range = 0..0;
    // SAFETY: `first` only writes to `range`, which is live for the call.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut range).cast()) };
    range
}

#[cfg(test)]
mod tests {
    use super::{FIRST_NAME, NAME_LIMIT, QemuThreadArgs, is_thread_start, learn, read_name, with_thread};
    use crate::sys::thread;
    use crate::testing::TwoPages;
    use std::ffi::c_void;

    /// The name at this address after the beginning of the pages.
    fn name_at(pages: &TwoPages, at: usize) -> Option<Vec<u8>> {
        let mut room = [0u8; NAME_LIMIT];
        read_name(thread::getpid(), pages.address() + at, &mut room).map(<[u8]>::to_vec)
    }

    /// Lengths of names at which something changes.
    const LENGTHS: [usize; 9] = [0, 1, 2, 8, 100, NAME_LIMIT - 2, NAME_LIMIT - 1, NAME_LIMIT, NAME_LIMIT + 1];

    #[test]
    fn a_name_is_read_wherever_it_lies_on_two_pages() {
        let mut pages = TwoPages::new();
        let page = TwoPages::page_bytes();
        for length in LENGTHS {
            let text = [b"n".repeat(length), vec![0]].concat();
            for at in page - 300..=page {
                pages.write(at, &text);
                let expected = (1..NAME_LIMIT).contains(&length).then(|| b"n".repeat(length));
                assert_eq!(name_at(&pages, at), expected, "{length} bytes at {at}");
            }
        }
    }

    #[test]
    fn a_name_is_read_up_to_the_end_of_what_is_readable() {
        let mut pages = TwoPages::new();
        let page = TwoPages::page_bytes();
        for length in LENGTHS {
            let text = [b"n".repeat(length), vec![0]].concat();
            for at in page - 300..page {
                pages.write(at, &text);
                pages.hide_second();
                // A text whose end cannot be read is no name.
                let readable = at + length < page && (1..NAME_LIMIT).contains(&length);
                let expected = readable.then(|| b"n".repeat(length));
                assert_eq!(name_at(&pages, at), expected, "{length} bytes at {at}");
            }
        }
        assert_eq!(name_at(&pages, page), None);
        let mut room = [0u8; NAME_LIMIT];
        assert!(read_name(thread::getpid(), 1, &mut room).is_none());
    }

    /// Stands for an address in the executable; it is never called.
    const START: usize = 0x5000;

    #[test]
    fn the_thread_function_is_learned_from_qemu_s_first_thread_alone_and_then_known() {
        let routine: *const c_void = std::ptr::without_provenance(0x77);
        let args = |name: &'static [u8]| QemuThreadArgs {
            start_routine: routine,
            arg: std::ptr::without_provenance_mut(0x88),
            name: name.as_ptr(),
        };
        let address = |args: &QemuThreadArgs| std::ptr::from_ref(args).cast_mut().cast::<c_void>();
        let executable = START..START + 0x1000;
        let mut room = [0u8; NAME_LIMIT];
        let first = args(b"call_rcu\0");
        for (start, args) in [
            (START, &args(b"call_rcu2\0")),
            (START, &args(b"worker\0")),
            (START - 1, &first),
            (START + 0x1000, &first),
            (START, &QemuThreadArgs { start_routine: std::ptr::null(), ..args(b"call_rcu\0") }),
            (START, &QemuThreadArgs { name: std::ptr::null(), ..args(b"call_rcu\0") }),
            (START, &QemuThreadArgs { name: std::ptr::without_provenance(1), ..args(b"call_rcu\0") }),
        ] {
            assert!(learn(&executable, start, address(args), &mut room).is_none());
        }
        for unreadable in [0, 1, usize::MAX - 3] {
            let unreadable = std::ptr::without_provenance_mut(unreadable);
            assert!(learn(&executable, START, unreadable, &mut room).is_none());
        }
        assert!(!is_thread_start(START) && !is_thread_start(0));

        let read = |start, args: *mut c_void| {
            // SAFETY: where `start` is the function that was learned, `args` points to live arguments or is null.
            unsafe {
                with_thread(&executable, start, args, |thread| {
                    thread.map(|thread| (thread.name.to_vec(), thread.argument))
                })
            }
        };
        assert_eq!(read(START, address(&args(b"worker\0"))), None);
        assert_eq!(read(START, address(&first)), Some((FIRST_NAME.to_vec(), 0x88)));
        assert!(is_thread_start(START) && !is_thread_start(START + 1));
        // From now on any name is read, and another function's argument is not followed.
        assert_eq!(read(START, address(&args(b"worker\0"))), Some((b"worker".to_vec(), 0x88)));
        assert_eq!(read(START, address(&args(b"\0"))), Some((b"".to_vec(), 0x88)));
        let name = "n".repeat(400);
        let long = QemuThreadArgs { name: name.as_ptr(), ..args(b"") };
        assert_eq!(read(START, address(&long)).map(|(name, _)| name.len()), Some(NAME_LIMIT));
        assert_eq!(read(START + 1, std::ptr::without_provenance_mut(1)), None);
        assert_eq!(read(START, std::ptr::null_mut()), None);
        assert_eq!(read(START, address(&QemuThreadArgs { name: std::ptr::null(), ..first })), None);
    }

    #[test]
    fn the_code_of_the_executable_is_where_this_test_lies() {
        let code = super::executable_code();
        let here = super::executable_code as fn() -> _ as usize;
        assert!(code.contains(&here), "{here:#x} in {code:#x?}");
        assert!(!code.contains(&(libc::getpid as *const () as usize)), "libc is another object");
    }
}
