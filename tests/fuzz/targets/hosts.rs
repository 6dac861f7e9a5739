//! Hosts to parse on. The first byte of an input chooses.

use pinning::{CpuSet, Host};

/// The host that an input chooses, and the rest of the input.
pub(crate) fn choose(data: &[u8]) -> (Host, &[u8]) {
    let (choice, rest) = data.split_first().unwrap_or((&b'0', &[]));
    let mask = |words: &[u64]| CpuSet::from_words(words);
    let host = match choice % 4 {
        // As most are.
        0 => Host { available: mask(&[0xff]), start: mask(&[0x0f]) },
        // As large as there are, every second CPU missing.
        1 => Host { available: mask(&[0x5555_5555_5555_5555; 128]), start: mask(&[u64::MAX; 128]) },
        // What a hostile page may say.
        2 => Host { available: CpuSet::new(), start: CpuSet::new() },
        _ => Host { available: mask(&[0, 0, 1 << 63]), start: mask(&[1]) },
    };
    (host, rest)
}
