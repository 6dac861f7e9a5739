//! The homes of QEMU's worker pools: a pool's workers run where its home runs.

use crate::state::current::CurrentThread;
use pinning::{Policy, RoleKind, SetId};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Worker pools: the address of each in `key`, its home's set in `home`. Pools are one for the main loop
/// and one for each IOThread in use.
struct Pool {
    key: AtomicU64,
    home: AtomicU32,
}

static POOLS: [Pool; 256] = [const { Pool { key: AtomicU64::new(0), home: AtomicU32::new(0) } }; 256];

/// The set of the home of the pool at this address.
///
/// A creator that is no worker tells it: an IOThread is the home itself, anyone else (a vCPU thread
/// included) acts for the main loop. A worker creates for its own pool.
pub(super) fn pool_home(policy: &Policy, pool: usize, creator: &CurrentThread) -> SetId {
    if creator.known && creator.role == RoleKind::Worker {
        return find_pool(pool).map_or(creator.home, |pool| SetId(pool.home.load(Ordering::Relaxed) as u16));
    }
    let home = match creator.role {
        RoleKind::IoThread if creator.known => creator.home,
        _ => policy.emulator(),
    };
    // An address is used again when a pool is gone, so what was known of it is replaced. With every
    // place taken, later workers follow their creator.
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
