//! A thread's scheduling class in the form that the kernel takes and gives it.

use crate::class::{Class, ClassKind};

/// linux/sched.h: SCHED_FLAG_RESET_ON_FORK.
const RESET_ON_FORK: u64 = 1;

/// `struct sched_attr` of the kernel (linux/sched/types.h) in its first version, which every kernel takes: what
/// sched_setattr(2) reads and sched_getattr(2) fills.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// Nanoseconds: of a usual class its slice (Linux 6.12 on).
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl SchedAttributes {
    /// The size of the struct in bytes, as both calls are told it.
    pub const SIZE: u32 = size_of::<Self>() as u32;

    /// What has a thread scheduled by this class. A slice of 0 is the kernel's choice. With `reset_on_fork` what the thread
    /// creates has no real-time class and no nice value below 0 (sched(7), "The reset-on-fork flag").
    pub fn new(class: Class, reset_on_fork: bool) -> Self {
        let Class { kind, value, slice_us } = class;
        let value = i32::from(value.unwrap_or(0));
        let has_priority = kind.has_priority();
        Self {
            size: Self::SIZE,
            policy: kind as u32,
            flags: if reset_on_fork { RESET_ON_FORK } else { 0 },
            nice: if has_priority { 0 } else { value },
            priority: if has_priority { value.unsigned_abs() } else { 0 },
            runtime: u64::from(slice_us) * 1000,
            ..Self::default()
        }
    }

    /// The class, as the kernel has filled it in; `None` for one that is not known here. The slice is the one that the kernel
    /// gives the thread, whoever has chosen that.
    pub fn class(&self) -> Option<Class> {
        let kind = ClassKind::from_number(self.policy)?;
        let value =
            if kind.has_priority() { i8::try_from(self.priority).ok() } else { i8::try_from(self.nice).ok() };
        Some(Class { kind, value, slice_us: u32::try_from(self.runtime / 1000).unwrap_or(0) })
    }

    /// Whether what the thread creates begins without a real-time class and a nice value below 0.
    pub fn resets_on_fork(&self) -> bool {
        self.flags & RESET_ON_FORK != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(kind: ClassKind, value: i8, slice_us: u32) -> Class {
        Class { kind, value: Some(value), slice_us }
    }

    #[test]
    fn a_class_goes_to_the_kernels_form_and_back() {
        let classes = [
            class(ClassKind::Fifo, 99, 0),
            class(ClassKind::Batch, -20, 3000),
            class(ClassKind::Idle, 19, 0),
        ];
        for class in classes {
            for reset_on_fork in [false, true] {
                let attributes = SchedAttributes::new(class, reset_on_fork);
                assert_eq!((attributes.class(), attributes.resets_on_fork()), (Some(class), reset_on_fork));
            }
        }
    }

    #[test]
    fn a_real_time_class_has_a_priority_and_another_a_nice_value_and_a_slice() {
        let fifo = SchedAttributes::new(class(ClassKind::Fifo, 2, 0), true);
        assert_eq!((fifo.size, fifo.policy, fifo.flags, fifo.nice, fifo.priority), (48, 1, 1, 0, 2));
        let other = SchedAttributes::new(class(ClassKind::Other, -5, 3000), false);
        assert_eq!((other.policy, other.flags, other.nice, other.priority), (0, 0, -5, 0));
        assert_eq!(other.runtime, 3_000_000);
    }

    #[test]
    fn a_class_of_a_later_kernel_is_none() {
        let later = SchedAttributes { policy: 8, ..SchedAttributes::default() };
        assert_eq!(later.class(), None);
    }
}
