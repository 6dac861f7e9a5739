//! How thorough the tests are.

/// Whether the long forms of the tests are asked for, with `PINSHIM_LONG=1`: more rounds and more starts, for
/// races that show rarely.
pub fn long() -> bool {
    std::env::var_os("PINSHIM_LONG").is_some()
}
