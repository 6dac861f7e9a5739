//! Globs on names: `*` for any bytes, `?` for one.
//!
//! The library matches the names of threads as they are created, so matching does not allocate, and a glob of
//! many stars takes no longer than the product of the lengths.

/// No glob is longer. The names that globs are for are shorter: those of threads, and basenames, which end at
/// 255 bytes (NAME_MAX).
pub(crate) const MAX_GLOB_BYTES: usize = 256;

/// The message about a longer glob.
pub(crate) fn too_long() -> String {
    format!("a glob has {MAX_GLOB_BYTES} bytes at most")
}

/// Whether the whole name matches the glob. `*` stands for any number of bytes, none included, `?` for
/// exactly one, every other byte for itself.
///
/// Takes at most about `glob.len() * name.len()` steps.
pub fn glob_matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    // Where the glob goes on after the last star, and where the name does. If the rest does not match, the
    // last star takes one byte more. An earlier star never has to: the last one can take those bytes as well.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = name.get(n) {
        match glob.get(g) {
            Some(b'*') => {
                g += 1;
                star = Some((g, n));
            }
            Some(&wanted) if wanted == b'?' || wanted == byte => {
                g += 1;
                n += 1;
            }
            _ => {
                let Some((after, taken)) = star else {
                    return false;
                };
                (g, n) = (after, taken + 1);
                star = Some((after, n));
            }
        }
    }
    glob.iter().skip(g).all(|&rest| rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::glob_matches;

    #[test]
    fn stars_take_any_bytes_and_question_marks_one() {
        for (glob, name) in [
            ("", ""),
            ("*", ""),
            ("worker", "worker"),
            ("CPU */KVM", "CPU 12/KVM"),
            ("a*b*c", "a-b-b-c"),
            ("*.so*", "lib.so.so"),
            ("mig/???/*", "mig/src/main"),
            ("**", "x"),
        ] {
            assert!(glob_matches(glob.as_bytes(), name.as_bytes()), "{glob} {name}");
        }
        for (glob, name) in
            [("", "x"), ("?", ""), ("worker", "workers"), ("*a", "ab"), ("a*b*c", "acb"), ("[a]", "a")]
        {
            assert!(!glob_matches(glob.as_bytes(), name.as_bytes()), "{glob} {name}");
        }
    }
}
