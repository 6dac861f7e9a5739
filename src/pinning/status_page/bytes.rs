//! Numbers and parts out of a page's bytes. An offset may be anything: nothing here panics.

/// `count` items of `size` bytes from offset `at` on; `None` if the page does not hold them all.
pub(crate) fn part(page: &[u8], at: usize, count: usize, size: usize) -> Option<&[u8]> {
    page.get(at..at.checked_add(count.checked_mul(size)?)?)
}

pub(crate) fn u16_at(page: &[u8], at: usize) -> Option<u16> {
    array_at(page, at).map(u16::from_ne_bytes)
}

pub(crate) fn i32_at(page: &[u8], at: usize) -> Option<i32> {
    array_at(page, at).map(i32::from_ne_bytes)
}

pub(crate) fn u32_at(page: &[u8], at: usize) -> Option<u32> {
    array_at(page, at).map(u32::from_ne_bytes)
}

pub(crate) fn u64_at(page: &[u8], at: usize) -> Option<u64> {
    array_at(page, at).map(u64::from_ne_bytes)
}

fn array_at<const N: usize>(page: &[u8], at: usize) -> Option<[u8; N]> {
    part(page, at, N, 1)?.try_into().ok()
}
