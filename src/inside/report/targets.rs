//! The targets of the log's records, which users name in `PIN_LOG` (`pinshim::affinity=info`).
//!
//! Each record names one of these. Without that its target would be the path of the module that it stands in, and moving
//! code from one file to another would break a user's filter.

/// Where threads were put, and what the kernel refused.
pub(crate) const AFFINITY: &str = "pinshim::affinity";
/// The broker, while it is asked.
pub(crate) const BROKER: &str = "pinshim::broker";
/// The start of the broker.
pub(crate) const BROKER_START: &str = "pinshim::broker::start";
/// Core scheduling.
pub(crate) const CORE: &str = "pinshim::core";
/// Which role and set a thread gets.
pub(crate) const IDENTITY: &str = "pinshim::identity";
/// The memory policy.
pub(crate) const MEMORY: &str = "pinshim::memory";
/// Scheduling classes.
pub(crate) const SCHED: &str = "pinshim::sched";
/// The creation of threads.
pub(crate) const THREAD_START: &str = "pinshim::thread_start";
/// io_uring's workers.
pub(crate) const URING: &str = "pinshim::uring";
