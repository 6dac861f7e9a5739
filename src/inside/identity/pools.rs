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

static POOLS: [Pool; 256] = [const { Pool { key: AtomicU64::new(0), home: AtomicU32::new(0) } }; 256];

/// The set of the home of the pool at this address, asked when `creator` creates a worker for the pool.
///
/// A creator that is no worker tells which thread the home is: an IOThread is the home itself, and any other (a vCPU
/// too) acts for the main loop. A worker creates another worker for its own pool.
pub(super) fn pool_home(policy: &Policy, pool: usize, creator: &CurrentThread) -> SetId {
    if creator.known && creator.role == RoleKind::Worker {
        return find_pool(pool).map_or(creator.home, |pool| SetId(pool.home.load(Ordering::Relaxed) as u16));
    }
    let home = match creator.role {
        RoleKind::IoThread if creator.known => creator.home,
        _ => policy.emulator(),
    };
    // QEMU may use the address of a deleted pool again, so what was known of it is replaced. Where no place is free,
    // workers follow their creator.
    if let Some(pool) = find_pool(pool).or_else(|| add_pool(pool)) {
        pool.home.store(u32::from(home.0), Ordering::Relaxed);
    }
    home
}

fn find_pool(address: usize) -> Option<&'static Pool> {
    POOLS.iter().find(|pool| pool.key.load(Ordering::Acquire) == address as u64)
}

fn add_pool(address: usize) -> Option<&'static Pool> {
    POOLS.iter().find(|pool| {
        pool.key.compare_exchange(0, address as u64, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    })
}
