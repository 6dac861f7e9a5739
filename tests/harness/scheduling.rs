//! How the kernel schedules a thread (sched(7)), in its own words.

/// How a thread is scheduled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduling {
    /// The class with its nice value or priority, as `PIN_SCHED` has it: `other:0`, `fifo:1`, `idle`.
    pub class: String,
    /// How long it runs at a time, in microseconds; 0 where the kernel does not say it (before Linux 6.12).
    pub slice_us: u64,
    /// Whether its children begin without its class (SCHED_FLAG_RESET_ON_FORK).
    pub reset_on_fork: bool,
}

/// `struct sched_attr` of linux/sched/types.h, as long as in its first version.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// How a thread of any process is scheduled (sched_getattr(2)); `None` if it has ended. 0 is the calling one.
pub fn scheduling_of(tid: u32) -> Option<Scheduling> {
    let mut attributes = Attributes::default();
    let size = size_of::<Attributes>();
    // SAFETY: a struct of this size, which the kernel fills.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, tid, &raw mut attributes, size, 0) };
    (result == 0).then(|| Scheduling {
        class: words(attributes.policy, attributes.nice, attributes.priority),
        slice_us: attributes.runtime / 1000,
        reset_on_fork: attributes.flags & 1 != 0,
    })
}

/// Gives a thread the usual class and leaves its nice value (sched_setscheduler(2)), as anybody may for his own. Later
/// versions of chrt(1) ask for a nice value of 0, too.
///
/// # Errors
/// There is no such thread, or it is another user's.
pub fn give_usual_class(tid: u32) -> std::io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: a struct that lives across the call, which only reads it.
    let result =
        unsafe { libc::sched_setscheduler(tid as libc::pid_t, libc::SCHED_OTHER, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A class, as `PIN_SCHED` has it.
pub(crate) fn words(policy: u32, nice: i32, priority: u32) -> String {
    match policy {
        0 => format!("other:{nice}"),
        1 => format!("fifo:{priority}"),
        2 => format!("rr:{priority}"),
        3 => format!("batch:{nice}"),
        5 => "idle".to_owned(),
        _ => format!("{policy}:{nice}:{priority}"),
    }
}
