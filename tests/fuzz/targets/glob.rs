//! Globs.

use pinning::glob_matches;

/// A glob and a name, separated by a line feed: the matcher agrees with a table of what matches what.
pub(crate) fn run(data: &[u8]) {
    let data = &data[..data.len().min(1_024)];
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (glob, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    assert_eq!(glob_matches(glob, name), matches(glob, name));
}

/// Whether a glob matches a name, worked out for every beginning of both.
pub(crate) fn matches(glob: &[u8], name: &[u8]) -> bool {
    // Entry i: the glob so far matches the first i bytes of the name.
    let mut row = vec![false; name.len() + 1];
    row[0] = true;
    for &byte in glob {
        if byte == b'*' {
            for i in 0..name.len() {
                row[i + 1] |= row[i];
            }
        } else {
            for i in (0..name.len()).rev() {
                row[i + 1] = row[i] && (byte == b'?' || byte == name[i]);
            }
            row[0] = false;
        }
    }
    row[name.len()]
}
