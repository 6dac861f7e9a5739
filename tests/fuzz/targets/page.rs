//! Status pages: any bytes, and good pages that were changed.

use super::hosts;
use super::policy::{self, PAGE};
use pinning::status_page::{ENTRIES, NewPage, Snapshot};
use pinning::{MASK_WORDS, Policy, VARIABLES};

/// Any bytes.
pub(crate) fn run(data: &[u8]) {
    let Ok(snapshot) = PAGE.holds(0, || Snapshot::parse(data)) else {
        return;
    };
    assert!(snapshot.owner != 0 && snapshot.broker != Some(0));
    assert!((1..=8_198).contains(&snapshot.sets.len()));
    let host = snapshot.host.iter().flat_map(|host| [&host.available, &host.start]);
    assert!(snapshot.sets.iter().chain(host).all(|set| set.words().len() <= MASK_WORDS));
    assert!(snapshot.threads.len() <= ENTRIES);
    for thread in &snapshot.threads {
        assert!(usize::from(thread.set.0) < snapshot.sets.len());
        assert!(usize::from(thread.home.0) < snapshot.sets.len());
        assert!(thread.tid.0 > 0 && !thread.name.contains(char::is_control));
    }
    assert!(snapshot.environment.len() <= VARIABLES.len());
    // What a page says may be parsed on the host that it names, as the command does it.
    if let Some(host) = &snapshot.host {
        let environment: Vec<_> =
            snapshot.environment.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        policy::check(&environment, host);
    }
}

/// A good page with up to 16 of its numbers changed: six bytes each, where and what. Small offsets are in the
/// header.
pub(crate) fn changed(data: &[u8]) {
    let (host, data) = hosts::choose(data);
    let environment = [("PIN_CPUS", "0,1"), ("PIN_VCPUS", "[0-1],0"), ("PIN_MANAGER", "libvirt")];
    let Some(new) = Policy::parse(environment, &host).policy.and_then(|policy| NewPage::new(&policy, &host))
    else {
        return;
    };
    let mut page = new.beginning().to_vec();
    // Room for a few threads is enough.
    page.resize(page.len() + 16 * 128, 0);
    page[12..16].copy_from_slice(&1u32.to_ne_bytes()); // the owner
    let bytes = page.len() as u64;
    page[16..24].copy_from_slice(&bytes.to_ne_bytes());
    page[48..52].copy_from_slice(&16u32.to_ne_bytes()); // so many entries
    for change in data.chunks_exact(6).take(16) {
        let at = usize::from(u16::from_ne_bytes([change[0], change[1]])) % (page.len() - 4);
        page[at..at + 4].copy_from_slice(&change[2..]);
    }
    run(&page);
}
