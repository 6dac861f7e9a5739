//! Where `libpinshim.so` is.
//!
//! `PINSHIM_LIB` names it; else it is looked for beside the command, in `../lib` and `../lib64` from there,
//! and in the usual library folders, in this order; then in a folder `pinshim` in each of these, where a package
//! may put it.

use crate::output::failure::Failure;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The library's file name.
pub(crate) const NAME: &str = "libpinshim.so";

/// The variable that names it.
pub(crate) const VARIABLE: &str = "PINSHIM_LIB";

/// The usual library folders. Those beside the command are tried before.
#[cfg(target_arch = "x86_64")]
const MULTIARCH: &[&str] = &["/usr/local/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"];
#[cfg(target_arch = "aarch64")]
const MULTIARCH: &[&str] = &["/usr/local/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const MULTIARCH: &[&str] = &[];
const FOLDERS: &[&str] = &["/usr/local/lib", "/usr/local/lib64", "/usr/lib64", "/usr/lib"];

/// The library's path, fit for `LD_PRELOAD`.
pub(crate) fn find() -> Result<PathBuf, Failure> {
    let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    let command = std::env::current_exe().unwrap_or_default();
    let path = among(named, &candidates(&command))?;
    fit_for_preload(&path)?;
    Ok(path)
}

/// Every path that is tried, in this order.
fn candidates(command: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(beside) = command.parent() {
        folders.push(beside.to_owned());
        if let Some(above) = beside.parent() {
            folders.extend([above.join("lib"), above.join("lib64")]);
        }
    }
    folders.extend(MULTIARCH.iter().chain(FOLDERS).map(PathBuf::from));
    let packaged: Vec<PathBuf> = folders.iter().map(|folder| folder.join("pinshim")).collect();
    folders.extend(packaged);
    folders.into_iter().map(|folder| folder.join(NAME)).collect()
}

fn among(named: Option<OsString>, candidates: &[PathBuf]) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        let path = PathBuf::from(named);
        if !path.is_file() {
            return Err(Failure::new(format!("{VARIABLE}={}: there is no such file", path.display())));
        }
        // An absolute path: a wrapper may change to another folder before it starts QEMU.
        return std::path::absolute(&path)
            .map_err(|error| Failure::new(format!("{VARIABLE}={}: {error}", path.display())));
    }
    candidates.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let folders: Vec<String> =
            candidates.iter().filter_map(|path| Some(path.parent()?.display().to_string())).collect();
        Failure::new(format!("{NAME} is in none of {}", folders.join(", ")))
            .next(format!("name it with {VARIABLE}=PATH"))
    })
}

/// Refuses a path that ld.so(8) would change: it splits `LD_PRELOAD` at colons and white space and replaces
/// `$ORIGIN` and the like, and nothing in it can be quoted.
fn fit_for_preload(path: &Path) -> Result<(), Failure> {
    let bytes = path.as_os_str().as_bytes();
    let what = if bytes.contains(&b':') {
        "a colon"
    } else if bytes.iter().any(u8::is_ascii_whitespace) {
        "white space"
    } else if bytes.contains(&b'$') {
        "a dollar sign"
    } else {
        return Ok(());
    };
    Err(Failure::new(format!(
        "the library's path {path:?} holds {what}, at which ld.so cuts LD_PRELOAD apart"
    ))
    .next(format!("put a copy or a link elsewhere and name it with {VARIABLE}=PATH")))
}

/// `LD_PRELOAD` with the library in it, and whether it could not be put first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Preload {
    pub(crate) value: OsString,
    /// The library before it that must be first.
    pub(crate) behind: Option<OsString>,
}

/// `LD_PRELOAD` with the library before all others. Of several `pthread_create`s the first is called, and another library's
/// may call glibc's past ours. Only the runtimes of sanitizers stay before it: AddressSanitizer ends a program in which
/// it is not the first library.
pub(crate) fn first(preload: Option<OsString>, library: &Path) -> Preload {
    let preload = preload.unwrap_or_default();
    let separators = |byte: &u8| *byte == b':' || byte.is_ascii_whitespace();
    let library = library.as_os_str().as_bytes();
    let others: Vec<&[u8]> =
        preload.as_bytes().split(separators).filter(|entry| !entry.is_empty() && *entry != library).collect();
    let before = others.iter().take_while(|entry| is_sanitizer(entry)).count();
    let (sanitizers, rest) = others.split_at(before);
    let entries: Vec<&[u8]> =
        sanitizers.iter().copied().chain([library]).chain(rest.iter().copied()).collect();
    Preload {
        value: OsString::from_vec(entries.join(&b':')),
        behind: sanitizers.first().map(|entry| OsString::from_vec(entry.to_vec())),
    }
}

/// Whether an entry names the runtime of a sanitizer, of GCC's or of Clang's.
fn is_sanitizer(entry: &[u8]) -> bool {
    let name = entry.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    [&b"libasan."[..], b"libtsan.", b"libhwasan.", b"libclang_rt."]
        .iter()
        .any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_as_documented() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        let all = [at("bin/libpinshim.so"), at("lib/libpinshim.so"), at("lib64/libpinshim.so")];
        let candidates = candidates(&at("bin/pinshim"));
        assert_eq!(candidates[..3], all);
        // Where a package may put it comes after all of those.
        let packaged = at("lib/pinshim/libpinshim.so");
        let place = candidates.iter().position(|path| *path == packaged).unwrap();
        assert!(candidates[..place].contains(&PathBuf::from("/usr/lib/libpinshim.so")));
        std::fs::create_dir_all(packaged.parent().unwrap()).unwrap();
        std::fs::write(&packaged, "").unwrap();
        assert_eq!(
            among(None, &candidates[..=place]).ok().as_ref(),
            candidates[..=place].iter().find(|path| path.is_file())
        );
        for path in all.iter().rev() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
            assert_eq!(among(None, &candidates), Ok(path.clone()));
        }
        let named = at("elsewhere.so");
        std::fs::write(&named, "").unwrap();
        assert_eq!(among(Some(named.clone().into()), &candidates), Ok(named));
        let missing = among(Some("/nonexistent.so".into()), &candidates).unwrap_err().to_string();
        assert_eq!(missing, "PINSHIM_LIB=/nonexistent.so: there is no such file");
    }

    #[test]
    fn a_path_that_ld_so_would_cut_is_refused() {
        for (path, what) in [
            ("/a:b/libpinshim.so", "a colon"),
            ("/a b/libpinshim.so", "white space"),
            ("/a\tb", "white space"),
            ("/$LIB/libpinshim.so", "a dollar sign"),
        ] {
            let why = format!(
                "the library's path {path:?} holds {what}, at which ld.so cuts LD_PRELOAD apart; \
                 put a copy or a link elsewhere and name it with PINSHIM_LIB=PATH"
            );
            assert_eq!(fit_for_preload(Path::new(path)).unwrap_err().to_string(), why);
        }
        assert_eq!(fit_for_preload(Path::new("/usr/lib/libpinshim.so")), Ok(()));
    }

    #[test]
    fn it_comes_before_all_others_but_sanitizers() {
        let first = |preload: Option<&str>| {
            let Preload { value, behind } = first(preload.map(OsString::from), Path::new("/l.so"));
            (value.into_string().unwrap(), behind.map(|behind| behind.into_string().unwrap()))
        };
        let alone = |value: &str| (value.to_owned(), None);
        for nothing in [None, Some(""), Some(" : ")] {
            assert_eq!(first(nothing), alone("/l.so"));
        }
        assert_eq!(first(Some("a.so")), alone("/l.so:a.so"));
        assert_eq!(first(Some("a.so /l.so:b.so")), alone("/l.so:a.so:b.so"), "it is moved, not named twice");
        assert_eq!(first(Some("a.so:/lib/libasan.so.8")), alone("/l.so:a.so:/lib/libasan.so.8"));
        let behind = ("/lib/libasan.so.8:/l.so:a.so".to_owned(), Some("/lib/libasan.so.8".to_owned()));
        assert_eq!(first(Some("/lib/libasan.so.8:a.so")), behind);
    }
}
