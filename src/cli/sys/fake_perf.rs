//! The recording part of the kernel for tests: rings that the test fills.

use crate::sys::fake::FakeKernel;
use crate::sys::kernel::Kernel;
use crate::sys::perf_event::{Event, Perf, Ring, Whom};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many bytes a ring has.
const RING: usize = 64 << 10;

/// What records; by default nobody may.
#[derive(Debug, Default)]
pub(crate) struct FakePerf {
    /// Whether everybody may be recorded, and whether threads may.
    pub(crate) everybody: Cell<bool>,
    pub(crate) threads: Cell<bool>,
    /// So many events may be open.
    pub(crate) open_files: Cell<Option<usize>>,
    /// The flag for Ctrl-C.
    pub(crate) interruption: Arc<AtomicBool>,
    /// The events that were opened, in order.
    opened: RefCell<Vec<Event>>,
    /// The CPU of each event, by its descriptor.
    cpus: RefCell<HashMap<i32, u32>>,
    /// What each CPU's ring holds.
    rings: RefCell<HashMap<u32, Contents>>,
}

type Contents = Rc<RefCell<Vec<u8>>>;

impl FakePerf {
    /// Writes records into the ring of a CPU, as far as there is one.
    pub(crate) fn write(&self, cpu: u32, records: &[u8]) {
        if let Some(ring) = self.rings.borrow().get(&cpu) {
            ring.borrow_mut().extend_from_slice(records);
        }
    }

    /// Has the user press Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.interruption.store(true, Ordering::Relaxed);
    }

    /// The events that were opened so far.
    pub(crate) fn opened(&self) -> Vec<Event> {
        self.opened.borrow().clone()
    }
}

impl Perf for FakeKernel {
    fn open_event(&self, event: Event) -> io::Result<File> {
        let may = match event.whom {
            Whom::Everybody => self.perf.everybody.get(),
            Whom::Thread(_) => self.perf.threads.get(),
        };
        if !may {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        if self.perf.open_files.get().is_some_and(|files| self.perf.opened.borrow().len() >= files) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let file = File::open("/dev/null")?;
        self.perf.cpus.borrow_mut().insert(file.as_raw_fd(), event.cpu.0);
        self.perf.opened.borrow_mut().push(event);
        Ok(file)
    }

    fn map_ring(&self, event: &File, _: usize) -> io::Result<Box<dyn Ring>> {
        let cpu = self.perf.cpus.borrow()[&event.as_raw_fd()];
        let contents = Contents::default();
        self.perf.rings.borrow_mut().insert(cpu, Rc::clone(&contents));
        Ok(Box::new(FakeRing { contents }))
    }

    fn share_ring(&self, event: &File, with: &File) -> io::Result<()> {
        let cpus = self.perf.cpus.borrow();
        assert_eq!(cpus[&event.as_raw_fd()], cpus[&with.as_raw_fd()], "the kernel wants one CPU");
        Ok(())
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.now().as_nanos()).unwrap()
    }

    fn raise_open_files(&self) -> io::Result<u64> {
        Ok(20_000)
    }
}

#[derive(Debug)]
struct FakeRing {
    contents: Contents,
}

impl Ring for FakeRing {
    fn take(&mut self, records: &mut Vec<u8>) {
        records.append(&mut self.contents.borrow_mut());
    }

    fn size(&self) -> usize {
        RING
    }
}
