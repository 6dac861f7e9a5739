//! A time limit for each test, so that what hangs fails the test.

use std::cell::RefCell;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::library;
use crate::process::Handle;

/// How long a test whose processes have been killed may take to notice.
const GRACE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Watched {
    children: Mutex<Vec<Handle>>,
    tripped: Mutex<bool>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Watched>>> = const { RefCell::new(None) };
}

/// While it lives, the processes that this thread starts are killed once the time is over, and
/// the test then fails.
#[derive(Debug)]
pub struct TimeLimit {
    watched: Arc<Watched>,
    over: Option<Sender<()>>,
    watchdog: Option<JoinHandle<()>>,
    seconds: u64,
}

impl TimeLimit {
    /// Starts the clock for the calling thread. What is under test is built before, so that a first
    /// build is on no test's clock.
    pub fn seconds(seconds: u64) -> Self {
        library();
        let watched = Arc::new(Watched::default());
        CURRENT.with(|current| {
            let before = current.replace(Some(Arc::clone(&watched)));
            assert!(before.is_none(), "one time limit for a test");
        });
        let (over, wait) = mpsc::channel();
        let name = thread::current().name().unwrap_or("?").to_owned();
        let dog = Arc::clone(&watched);
        let watchdog = thread::spawn(move || {
            if wait.recv_timeout(Duration::from_secs(seconds)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            eprintln!("{name}: not done after {seconds} s, its processes are killed");
            *dog.tripped.lock().unwrap() = true;
            dog.kill_all();
            if wait.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                dog.kill_all();
                eprintln!("{name}: hangs in the test itself");
                std::process::abort();
            }
        });
        Self { watched, over: Some(over), watchdog: Some(watchdog), seconds }
    }
}

impl Watched {
    fn kill_all(&self) {
        for child in self.children.lock().unwrap().iter() {
            child.kill();
        }
    }
}

impl Drop for TimeLimit {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(None));
        drop(self.over.take());
        if let Some(watchdog) = self.watchdog.take() {
            let _ = watchdog.join();
        }
        if *self.watched.tripped.lock().unwrap() && !thread::panicking() {
            panic!("the test took longer than {} s", self.seconds);
        }
    }
}

/// Puts a new process under the calling thread's limit.
pub(crate) fn watch(child: Handle) {
    CURRENT.with(|current| match current.borrow().as_ref() {
        Some(watched) => {
            watched.children.lock().unwrap().push(child.clone());
            if *watched.tripped.lock().unwrap() {
                child.kill();
            }
        }
        None => {
            child.kill();
            panic!("a process may be started only under a TimeLimit");
        }
    });
}
