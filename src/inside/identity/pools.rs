//! QEMU's worker pools, and the thread that each of them works for: its home. Workers run where their home runs.

use crate::state::current::CurrentThread;
use pinning::{Policy, RoleKind, SetId};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A worker pool. There is one for the main loop, and one for each IOThread in use.
struct Pool {
    /// The pool's address in QEMU; 0 in a free place.
    key: AtomicU64,
    /// The set of the pool's home.
    home: AtomicU32,
}

/// The pools of this process.
pub(super) static POOLS: Pools = Pools::new();

/// The worker pools that are known.
pub(super) struct Pools([Pool; 256]);

impl Pools {
    /// No pool is known.
    const fn new() -> Self {
        Self([const { Pool { key: AtomicU64::new(0), home: AtomicU32::new(0) } }; 256])
    }

    /// The set of the home of the pool at this address, asked when `creator` creates a worker for the pool.
    ///
    /// A creator that is no worker tells which thread the home is: an IOThread is the home itself, and any other (a vCPU
    /// too) acts for the main loop. A worker creates another worker for its own pool.
    pub(super) fn home(&self, policy: &Policy, pool: usize, creator: &CurrentThread) -> SetId {
        if creator.known && creator.role == RoleKind::Worker {
            let pool = self.find(pool);
            return pool.map_or(creator.home, |pool| SetId(pool.home.load(Ordering::Relaxed) as u16));
        }
        let home = match creator.role {
            RoleKind::IoThread if creator.known => creator.home,
            _ => policy.emulator(),
        };
        // QEMU may use the address of a deleted pool again, so what was known of it is replaced. Where no place is free,
        // workers follow their creator.
        if let Some(pool) = self.find(pool).or_else(|| self.add(pool)) {
            pool.home.store(u32::from(home.0), Ordering::Relaxed);
        }
        home
    }

    fn find(&self, address: usize) -> Option<&Pool> {
        self.0.iter().find(|pool| pool.key.load(Ordering::Acquire) == address as u64)
    }

    fn add(&self, address: usize) -> Option<&Pool> {
        self.0.iter().find(|pool| {
            pool.key.compare_exchange(0, address as u64, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Pools;
    use crate::state::current::{self, CurrentThread};
    use crate::testing;
    use pinning::{RoleKind, SetId};

    fn creator(role: RoleKind, home: u16) -> CurrentThread {
        CurrentThread { known: true, role, home: SetId(home), ..current::thread() }
    }

    #[test]
    fn whoever_is_no_worker_says_where_a_pool_s_workers_run() {
        let policy = testing::policy(&[("PIN_CPUS", "0"), ("PIN_EMULATOR", "1")]);
        let emulator = policy.emulator();
        let unknown = CurrentThread { known: false, ..creator(RoleKind::IoThread, 7) };
        for (creator, home) in [
            (creator(RoleKind::IoThread, 7), SetId(7)),
            (creator(RoleKind::Emulator, 7), emulator),
            (creator(RoleKind::Vcpu, 7), emulator),
            (unknown, emulator),
        ] {
            let pools = Pools::new();
            assert_eq!(pools.home(&policy, 0x1000, &creator), home);
            // Its workers create the others.
            let worker = self::creator(RoleKind::Worker, 9);
            assert_eq!(pools.home(&policy, 0x1000, &worker), home);
        }
    }

    #[test]
    fn a_worker_of_a_pool_that_is_not_known_creates_for_its_own_home() {
        let policy = testing::policy(&[("PIN_CPUS", "0")]);
        let pools = Pools::new();
        assert_eq!(pools.home(&policy, 0x1000, &creator(RoleKind::Worker, 9)), SetId(9));
        assert!(pools.find(0x1000).is_none(), "which says nothing of the pool's home");
    }

    #[test]
    fn an_address_that_is_used_again_is_the_pool_of_its_last_home() {
        let policy = testing::policy(&[("PIN_CPUS", "0")]);
        let pools = Pools::new();
        for home in [3, 4, 5] {
            pools.home(&policy, 0x1000, &creator(RoleKind::IoThread, home));
            pools.home(&policy, 0x2000, &creator(RoleKind::IoThread, 8));
            assert_eq!(pools.home(&policy, 0x1000, &creator(RoleKind::Worker, 9)), SetId(home));
        }
        let taken = pools.0.iter().filter(|pool| pool.key.load(super::Ordering::Relaxed) != 0).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn workers_of_a_pool_for_which_there_is_no_room_follow_their_creator() {
        let policy = testing::policy(&[("PIN_CPUS", "0")]);
        let pools = Pools::new();
        for pool in 1..=300 {
            let home = creator(RoleKind::IoThread, pool);
            assert_eq!(pools.home(&policy, usize::from(pool), &home), SetId(pool));
        }
        for pool in 1..=300 {
            let expected = if pool <= 256 { pool } else { 9 };
            let worker = creator(RoleKind::Worker, 9);
            assert_eq!(pools.home(&policy, usize::from(pool), &worker), SetId(expected));
        }
    }
}
