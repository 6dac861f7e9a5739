//! The scheduling class of a thread: which one it should have, and how what it has differs from that.

use crate::sys::kernel::Kernel;
use crate::sys::threads::Thread;
use crate::vm::identify::{Evidence, Identified, OwnedRole, Sources};
use pinning::status_page::ClassState;
use pinning::{Class, Role, RoleKind, Tid};
use std::fmt;

/// The scheduling class of a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ThreadClass {
    /// The one that it has; the slice only where one is expected.
    seen: Option<Class>,
    /// The one that it should have; `None` where nothing says it.
    expected: Option<Class>,
    /// What the register says became of that.
    state: Option<ClassState>,
    /// It is a library's thread, which may give itself another.
    may_choose: bool,
}

/// A class that is not the one that a thread should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OtherClass {
    /// The one that it has.
    pub(crate) seen: Class,
    /// The one that it should have.
    pub(crate) expected: Class,
    /// What the register says became of that.
    state: Option<ClassState>,
}

impl ThreadClass {
    /// The class of a thread that is known to be this one, and has this role under the policy that decides. Threads that the
    /// kernel made and those that QEMU places itself have none that they should have; nor has one of which it is only
    /// assumed who it is.
    pub(crate) fn new(
        thread: &Thread,
        identified: &Identified,
        role: RoleKind,
        sources: &Sources<'_>,
    ) -> Self {
        let listed = identified.listed.as_ref();
        let word = listed.and_then(|listed| listed.class);
        let is_main = thread.inner.0 == sources.inner_pid;
        Self {
            seen: thread.class,
            expected: expected(thread, identified, role, sources),
            // It is about the class that the page's own policy gives.
            state: word.map(|word| word.state).filter(|_| sources.policy.is_none()),
            may_choose: word.is_some_and(|word| word.state == ClassState::Own)
                || listed.is_some_and(|listed| {
                    listed.role == RoleKind::Emulator && listed.name.is_empty() && !is_main
                }),
        }
    }

    /// Asks for the slice, if it should have one of its own.
    pub(crate) fn read_slice(&mut self, kernel: &dyn Kernel, tid: Tid) {
        let (Some(expected), Some(seen)) = (self.expected, self.seen.as_mut()) else { return };
        if expected.slice_us != 0 {
            let now = kernel.class(tid).ok().flatten();
            // Before Linux 6.12 nobody has one.
            seen.slice_us = now.map(|now| now.slice_us).filter(|us| *us != 0).unwrap_or(expected.slice_us);
        }
    }

    /// Whether it has a real-time class, or should have one.
    pub(crate) fn is_real_time(&self) -> bool {
        self.seen.into_iter().chain(self.expected).any(|class| class.kind.is_real_time())
    }

    fn differs(&self) -> Option<OtherClass> {
        let (expected, seen) = (self.expected?, self.seen?);
        let other = OtherClass { seen, expected, state: self.state };
        (!expected.is_met_by(seen)).then_some(other)
    }

    /// How it differs from what it should be; `None` if it does not, or if the thread has chosen it itself.
    pub(crate) fn offence(&self) -> Option<OtherClass> {
        self.differs().filter(|_| !self.may_choose)
    }

    /// The class in words, where it is not the usual one or something else is expected.
    pub(crate) fn shown(&self) -> Option<String> {
        let seen = self.seen?;
        let own = if self.may_choose && self.differs().is_some() { " (its own)" } else { "" };
        let is_usual = self.expected.unwrap_or(Class::USUAL) == Class::USUAL && Class::USUAL.is_met_by(seen);
        (!is_usual).then(|| format!("{seen}{own}"))
    }

    /// The class that it should have, in words, where that is not the usual one.
    pub(crate) fn expected_shown(&self) -> Option<String> {
        self.expected.filter(|expected| *expected != Class::USUAL).map(|expected| expected.to_string())
    }
}

fn expected(
    thread: &Thread,
    identified: &Identified,
    role: RoleKind,
    sources: &Sources<'_>,
) -> Option<Class> {
    let policy = sources.policy().filter(|policy| policy.has_classes())?;
    let is_known = matches!(identified.evidence, Evidence::Certain | Evidence::Qemu | Evidence::Name);
    let is_kernels = matches!(identified.role, OwnedRole::Kernel(_) | OwnedRole::Vhost);
    let is_placed_by_others = is_kernels || role == RoleKind::Exempt;
    if !is_known || is_placed_by_others || !identified.may_be.is_empty() {
        return None;
    }
    let start = sources.page.and_then(|page| page.snapshot.start_class);
    // A rule that names an exempt thread makes it the emulator's.
    let role = match identified.role.as_role() {
        Role::Exempt => Role::Emulator,
        role => role,
    };
    match policy.class_for(role) {
        Some(wish) => Some(wish.resolved(start.or(thread.class).unwrap_or(Class::USUAL))),
        // A policy in place of the page's says nothing of it.
        None => start.filter(|_| sources.policy.is_none()),
    }
}

impl OtherClass {
    /// A class in place of another, of which the register says nothing.
    #[cfg(test)]
    pub(crate) fn new(seen: Class, expected: Class) -> Self {
        Self { seen, expected, state: None }
    }

    /// Whether the library did not give the class, as other threads would have waited for the thread for ever.
    pub(crate) fn is_withheld(&self) -> bool {
        self.state == Some(ClassState::Withheld)
    }
}

impl fmt::Display for OtherClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, expected, state } = self;
        match state {
            Some(ClassState::Refused) => write!(f, "CLASS {seen}: {expected} was refused"),
            Some(ClassState::Withheld) => {
                write!(f, "CLASS {seen}: {expected} would keep other threads from its CPUs")
            }
            _ => write!(f, "CLASS {seen}: should be {expected}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinning::ClassKind;

    fn class(text: &str) -> Class {
        let (kind, value) = text.split_once(':').unwrap();
        let kind = match kind {
            "fifo" => ClassKind::Fifo,
            "batch" => ClassKind::Batch,
            _ => ClassKind::Other,
        };
        Class { kind, value: value.parse().ok(), slice_us: 0 }
    }

    fn thread_class(seen: &str, expected: Option<&str>) -> ThreadClass {
        ThreadClass { seen: Some(class(seen)), expected: expected.map(class), state: None, may_choose: false }
    }

    #[test]
    fn what_is_usual_is_not_shown() {
        let shown = |seen, expected| thread_class(seen, expected).shown();
        assert_eq!([shown("other:0", None), shown("other:0", Some("other:0"))], [None, None]);
        assert_eq!(shown("fifo:1", None).as_deref(), Some("fifo:1"));
        assert_eq!(shown("other:0", Some("fifo:1")).as_deref(), Some("other:0"));
        assert_eq!(shown("batch:5", Some("other:0")).as_deref(), Some("batch:5"));
    }

    #[test]
    fn a_class_that_differs_is_an_offence_unless_the_thread_may_choose_it() {
        let mut of = thread_class("other:0", Some("fifo:1"));
        assert_eq!(of.offence().unwrap().to_string(), "CLASS other:0: should be fifo:1");
        of.state = Some(ClassState::Refused);
        assert_eq!(of.offence().unwrap().to_string(), "CLASS other:0: fifo:1 was refused");
        of.state = Some(ClassState::Withheld);
        assert!(of.offence().unwrap().is_withheld());
        let own = ThreadClass { may_choose: true, ..thread_class("fifo:9", Some("other:0")) };
        assert_eq!((own.offence(), own.shown().as_deref()), (None, Some("fifo:9 (its own)")));
        assert_eq!(thread_class("fifo:1", Some("fifo:1")).offence(), None);
    }
}
