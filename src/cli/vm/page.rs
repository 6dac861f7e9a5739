//! Finding a process's status page and reading it.
//!
//! Whoever runs QEMU can put anything there under the page's name: a pipe that blocks whoever opens it, a
//! file that shrinks while it is read, numbers that point outside. So a file is opened only when it is known
//! to be a memfd of that name, it is read only when its size is sealed, and it is never mapped.

use super::layout_1;
use crate::sys::cpuset;
use crate::sys::descriptors::{self, Descriptor};
use crate::sys::linux::size_is_sealed;
use crate::sys::process::Process;
use pinning::status_page::{BadPage, Listed, MAX_BYTES, NAME, Snapshot, State};
use pinning::{CpuSet, DELETED, Policy};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// A page that was found to be sound, and stays open: its size can no longer change.
#[derive(Debug)]
pub(crate) struct Page<'k> {
    file: File,
    process: Process<'k>,
    owner: u32,
}

/// What a page said.
#[derive(Debug)]
pub(crate) struct Content {
    /// All of it, with the entries that two reads agree on.
    pub(crate) snapshot: Snapshot,
    /// The policy that its variables make, with the sets of the snapshot.
    pub(crate) policy: Policy,
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The process has none.
    None,
    /// This user may not look.
    NotPermitted,
    /// It has only that of another process, by this pid: the one that has forked it, if it is what it seems.
    OfParent(u32),
    /// There is something with the page's name that is no sound page; why, in a sentence.
    Bad(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::None => f.write_str("it has no status page"),
            Missing::NotPermitted => f.write_str("its status page may not be read"),
            Missing::OfParent(parent) => write!(
                f,
                "it has no status page of its own, only that of process {parent}, as a child that QEMU forks has until \
                 it creates a thread"
            ),
            Missing::Bad(why) => f.write_str(why),
        }
    }
}

impl From<BadPage> for Missing {
    fn from(bad: BadPage) -> Self {
        Missing::Bad(bad.to_string())
    }
}

/// So many descriptors with the page's name are tried. The library has one, and a child that QEMU forks that of
/// its parent too.
const CANDIDATES: usize = 4;

/// The library's descriptor is the first free one from 200 on: these numbers are looked at first.
const NUMBERS: Range<u32> = 200..264;

/// So many further descriptors are looked at, for a QEMU that may open fewer than that
/// (getrlimit(2), RLIMIT_NOFILE).
const DESCRIPTORS: usize = 256;

impl<'k> Page<'k> {
    /// The page of a process.
    pub(crate) fn find(process: Process<'k>) -> Result<Self, Missing> {
        let others = descriptors::list(process).map_err(|error| missing(&error))?;
        let all =
            NUMBERS.map(|number| descriptors::numbered(process, number)).chain(others.take(DESCRIPTORS));
        let link = format!("/memfd:{NAME}{DELETED}");
        let mut why = Missing::None;
        let mut candidates = 0;
        for descriptor in all {
            match descriptor.target() {
                Ok(target) if target.as_os_str() == link.as_str() => {}
                Err(error) if missing(&error) == Missing::NotPermitted => return Err(Missing::NotPermitted),
                _ => continue,
            }
            candidates += 1;
            if candidates > CANDIDATES {
                break;
            }
            match open(&descriptor, &link).and_then(|file| Self::check(file, process)) {
                Ok(page) => return Ok(page),
                // Keep why a page is bad; that a file is no page says nothing.
                Err(Missing::None) => {}
                Err(other) => why = other,
            }
        }
        Err(why)
    }

    fn check(file: File, process: Process<'k>) -> Result<Self, Missing> {
        let owner = Snapshot::parse(&bytes(&file)?)?.owner;
        // A child that a QEMU forks holds its parent's page too.
        if i64::from(owner) != i64::from(process.inner_pid()) {
            return Err(Missing::OfParent(owner));
        }
        Ok(Self { file, process, owner })
    }

    /// Reads the page.
    pub(crate) fn read(&self) -> Result<Content, Missing> {
        let first = Snapshot::parse(&bytes(&self.file)?)?;
        let mut second = Snapshot::parse(&bytes(&self.file)?)?;
        if second.owner != self.owner {
            return Err(Missing::None);
        }
        second.threads = agreed(&first.threads, second.threads);
        let policy = policy_of(&second, || cpuset::available_to(self.process))
            .ok_or_else(|| Missing::Bad("the status page contradicts itself in its policy".to_owned()))?;
        Ok(Content { snapshot: second, policy })
    }
}

/// Opens what a descriptor of another process stands for, if it is a memfd of this name whose size is
/// sealed.
///
/// The process may put something else in its place at any time. So it is taken hold of first, and what was
/// checked is what is opened.
fn open(descriptor: &Descriptor<'_>, link: &str) -> Result<File, Missing> {
    let held = descriptor.hold().map_err(|error| missing(&error))?;
    if held.target().is_ok_and(|target| target.as_os_str() != link) {
        return Err(Missing::None);
    }
    if !held.is_file() {
        return Err(Missing::Bad("its status page is not a regular file".to_owned()));
    }
    let file = held.open().map_err(|error| missing(&error))?;
    if !size_is_sealed(&file) {
        return Err(Missing::Bad("its status page is not sealed, so it was not read".to_owned()));
    }
    Ok(file)
}

/// The whole of a sealed file.
fn bytes(file: &File) -> Result<Vec<u8>, Missing> {
    let unreadable = |error: io::Error| Missing::Bad(format!("its status page could not be read: {error}"));
    let size = file.metadata().map_err(unreadable)?.len();
    if size > MAX_BYTES as u64 {
        return Err(Missing::Bad(format!("its status page is too large ({size} bytes)")));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0).map_err(unreadable)?;
    Ok(bytes)
}

fn missing(error: &io::Error) -> Missing {
    match error.kind() {
        ErrorKind::PermissionDenied => Missing::NotPermitted,
        // This command has too many files open, for one.
        _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => {
            Missing::Bad(format!("it could not be looked into: {error}"))
        }
        _ => Missing::None,
    }
}

/// The entries that two reads agree on. An entry of which only the state or the class differs is kept as not placed yet,
/// so that a later look judges it.
fn agreed(first: &[Listed], second: Vec<Listed>) -> Vec<Listed> {
    let before: HashMap<_, _> = first.iter().map(|listed| (listed.tid, listed)).collect();
    let agrees = |listed: Listed| {
        let before = before.get(&listed.tid)?;
        let is_settled = (before.state, before.class) == (listed.state, listed.class);
        let state = if is_settled { listed.state } else { State::Born };
        let same = Listed { state: listed.state, class: listed.class, ..(*before).clone() };
        (listed == same).then_some(Listed { state, ..listed })
    };
    second.into_iter().filter_map(agrees).collect()
}

/// The policy that the page's variables make on the host that it names. `None` if its sets are not those of
/// the page.
fn policy_of(snapshot: &Snapshot, available_now: impl FnOnce() -> CpuSet) -> Option<Policy> {
    let Some(host) = &snapshot.host else { return layout_1::policy_of(snapshot, available_now) };
    let variables = snapshot.environment.iter().map(|(name, value)| (name, value));
    let policy = Policy::parse(variables, host).policy?;
    (policy.sets() == snapshot.sets).then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use crate::sys::linux::{SIZE_SEALS, memfd};
    use crate::vm::sample::web;
    use pinning::status_page::{ENTRIES, Entry, Header, NewPage};
    use pinning::{Host, Role, RoleKind, SetId, Tid};
    use std::mem::offset_of;

    fn snapshot() -> Snapshot {
        let host = Host { available: CpuSet::from_words(&[0xff]), start: CpuSet::from_words(&[3]) };
        let policy = Policy::parse([("PIN_VCPUS", "[all,^0]")], &host).policy.unwrap();
        let mut page = NewPage::new(&policy, &host).unwrap().beginning().to_vec();
        page.resize(page.len() + ENTRIES * size_of::<Entry>(), 0);
        page[offset_of!(Header, owner)] = 7;
        Snapshot::parse(&page).unwrap()
    }

    fn nobody_asks() -> CpuSet {
        panic!("the page says what was available")
    }

    #[test]
    fn the_policy_is_made_again_on_the_host_that_the_page_names() {
        let snapshot = snapshot();
        let policy = policy_of(&snapshot, nobody_asks).unwrap();
        assert_eq!(policy.set(policy.base()).to_string(), "0-1");
        assert_eq!(policy.set(policy.cpus_for(Role::AllVcpus, 0, policy.base())).to_string(), "1-7");
    }

    #[test]
    fn sets_that_are_not_those_of_the_variables_are_not_believed() {
        let mut snapshot = snapshot();
        snapshot.sets[1] = CpuSet::from_words(&[1]);
        assert!(policy_of(&snapshot, nobody_asks).is_none());
        // Nor is a host that does not make them.
        let mut snapshot = self::snapshot();
        snapshot.host =
            Some(Host { available: CpuSet::from_words(&[0x7f]), start: CpuSet::from_words(&[3]) });
        assert!(policy_of(&snapshot, nobody_asks).is_none());
    }

    #[test]
    fn only_what_two_reads_agree_on_counts() {
        let listed = |tid, state, set| Listed {
            tid: Tid(tid),
            state,
            role: RoleKind::Worker,
            index: None,
            set: SetId(set),
            home: SetId(0),
            born_ns: 1,
            given_name: Vec::new(),
            class: None,
            name: "worker".to_owned(),
        };
        let first = [listed(1, State::Placed, 0), listed(2, State::Placed, 0), listed(3, State::Born, 0)];
        let second =
            vec![listed(1, State::Placed, 0), listed(2, State::Placed, 1), listed(3, State::Placed, 0)];
        let agreed = agreed(&first, [second, vec![listed(4, State::Born, 0)]].concat());
        assert_eq!(agreed, [listed(1, State::Placed, 0), listed(3, State::Born, 0)]);
    }

    /// What is found in process 100 with something else open under the page's name.
    fn found(descriptor: File) -> Missing {
        let kernel = FakeKernel::new();
        let vm = kernel.process(100, &["/usr/bin/qemu-system-x86_64"]).thread(100, "qemu", "0");
        vm.descriptor(200, LINK, descriptor);
        Page::find(Process::new(&kernel, 100).unwrap()).unwrap_err()
    }

    const LINK: &str = "/memfd:pinshim (deleted)";

    #[test]
    fn what_only_has_the_name_of_a_page_is_not_read() {
        let bad = |why: &str| Missing::Bad(why.to_owned());
        assert_eq!(found(File::open("/dev/zero").unwrap()), Missing::None);
        assert_eq!(found(memfd("other", b"", SIZE_SEALS)), Missing::None);
        assert_eq!(found(memfd(NAME, b"", 0)), bad("its status page is not sealed, so it was not read"));
        assert_eq!(found(memfd(NAME, b"x", SIZE_SEALS)), bad("the status page is cut short"));
        let large = vec![0; MAX_BYTES + 1];
        let why = format!("its status page is too large ({} bytes)", MAX_BYTES + 1);
        assert_eq!(found(memfd(NAME, &large, SIZE_SEALS)), bad(&why));
    }

    #[test]
    fn the_page_of_a_parent_is_not_that_of_its_child() {
        let kernel = FakeKernel::new();
        let page = web(&kernel).page_file();
        kernel
            .process(200, &["/usr/bin/qemu-system-x86_64"])
            .thread(200, "q", "0")
            .descriptor(200, LINK, page);
        assert!(Page::find(Process::new(&kernel, 100).unwrap()).is_ok());
        assert_eq!(Page::find(Process::new(&kernel, 200).unwrap()).unwrap_err(), Missing::OfParent(100));
    }

    #[test]
    fn a_sound_page_is_found_beside_one_that_is_not() {
        let kernel = FakeKernel::new();
        web(&kernel).descriptor(199, LINK, memfd(NAME, b"", 0)).descriptor(201, LINK, memfd(NAME, b"", 0));
        assert!(Page::find(Process::new(&kernel, 100).unwrap()).is_ok());
    }

    /// Whether a page is found in a process that has it under a number, and all these descriptors open.
    fn is_found(number: Option<u32>, open: Range<u32>) -> bool {
        let page = web(&FakeKernel::new()).page_file();
        let kernel = FakeKernel::new();
        let vm = kernel.process(100, &["/usr/bin/qemu-system-x86_64"]).thread(100, "qemu", "0");
        for other in open.filter(|other| Some(*other) != number) {
            std::os::unix::fs::symlink("/dev/null", kernel.path(format!("/proc/100/fd/{other}"))).unwrap();
        }
        if let Some(number) = number {
            vm.descriptor(number, LINK, page);
        }
        let before = kernel.located();
        let found = Page::find(Process::new(&kernel, 100).unwrap()).is_ok();
        let looked_at = kernel.located() - before;
        assert!(looked_at < 400, "{looked_at} files");
        found
    }

    #[test]
    fn a_page_is_looked_for_where_the_library_puts_it_and_not_in_thousands_of_other_files() {
        for number in [200, 263] {
            assert!(is_found(Some(number), 0..1000), "{number}");
        }
        assert!(is_found(Some(5), 0..6), "QEMU may have few descriptors");
        assert!(!is_found(None, 0..1000));
    }

    #[test]
    fn a_process_of_another_user_may_not_be_looked_into() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.deny("/proc/100/fd");
        assert_eq!(Page::find(Process::new(&kernel, 100).unwrap()).unwrap_err(), Missing::NotPermitted);
    }
}
