//! A command with its environment as one line that a POSIX shell reads back, byte for byte.

use pinning::is_harmful;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Names that a shell takes for itself unless they have a slash: reserved words and built-in commands of dash and bash.
/// env(1) knows none of them.
const OWN: &str = "! . : [ [[ ]] alias bg bind break builtin caller case cd chdir command compgen complete compopt \
    continue coproc declare dirs disown do done echo elif else enable esac eval exec exit export false fc fg fi for \
    function getopts hash help history if in jobs kill let local logout mapfile newgrp popd printf pushd pwd read \
    readarray readonly return select set shift shopt source suspend test then time times trap true type typeset ulimit \
    umask unalias unset until wait while { }";

/// The line.
pub(crate) fn line<'a>(
    variables: impl Iterator<Item = &'a (&'static str, OsString)>,
    command: &[OsString],
) -> String {
    let mut words: Vec<Vec<u8>> = Vec::new();
    if command.first().is_some_and(|name| OWN.split(' ').any(|own| name == own)) {
        words.push(b"env".to_vec());
    }
    words.extend(variables.map(|(name, value)| [name.as_bytes(), b"=", &quoted(value)].concat()));
    for (at, word) in command.iter().enumerate() {
        // Without quotes it would be one variable more.
        let is_assignment = at == 0 && word.as_bytes().contains(&b'=');
        words.push(if is_assignment { in_quotes(word.as_bytes()) } else { quoted(word) });
    }
    match String::from_utf8(words.join(&b' ')) {
        Ok(line) if !line.contains(is_harmful) => line,
        Ok(line) => spelt(line.as_bytes()),
        Err(error) => spelt(error.as_bytes()),
    }
}

/// A word as a shell reads it back: in quotes, if it needs them.
fn quoted(word: &OsStr) -> Vec<u8> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(byte);
    let word = word.as_bytes();
    if !word.is_empty() && word.iter().all(is_plain) { word.to_vec() } else { in_quotes(word) }
}

fn in_quotes(word: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = word.split(|byte| *byte == b'\'').collect();
    [b"'", parts.join(&br"'\''"[..]).as_slice(), b"'"].concat()
}

/// A line with bytes that a terminal must not get, such as the end of a line inside an argument, for printf(1) to spell
/// out. The quotes that only some shells know, `$'…'`, would not do.
fn spelt(line: &[u8]) -> String {
    let text: String = line
        .iter()
        .map(|byte| match byte {
            b'\\' => r"\\".to_owned(),
            b'%' => "%%".to_owned(),
            b'\'' => r"'\''".to_owned(),
            b' '..=b'~' => char::from(*byte).to_string(),
            byte => format!("\\{byte:03o}"),
        })
        .collect();
    format!("eval \"$(printf '{text}')\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn of(variables: &[(&'static str, &str)], command: &[&str]) -> String {
        let variables: Vec<(&'static str, OsString)> =
            variables.iter().map(|(name, value)| (*name, OsString::from(value))).collect();
        line(variables.iter(), &command.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        let placement = [("PIN_VCPUS", "*@[0,1]"), ("PIN_CPUS", "0-1")];
        assert_eq!(
            of(&placement, &["qemu", "-name", "it's me", "", "größe", "a=b"]),
            r"PIN_VCPUS='*@[0,1]' PIN_CPUS=0-1 qemu -name 'it'\''s me' '' 'größe' a=b"
        );
    }

    #[test]
    fn a_command_that_a_shell_would_take_for_its_own_is_started_by_env() {
        assert_eq!(of(&[("PIN_CPUS", "1")], &["time", "x"]), "env PIN_CPUS=1 time x");
        assert_eq!(of(&[("PIN_CPUS", "1")], &["/bin/echo"]), "PIN_CPUS=1 /bin/echo");
        assert_eq!(of(&[("PIN_CPUS", "1")], &["./a=b"]), "PIN_CPUS=1 './a=b'");
    }

    #[test]
    fn what_is_harmful_to_a_terminal_is_spelt() {
        assert_eq!(
            of(&[("PIN_CPUS", "1")], &["qemu", "a\nb", "5%"]),
            r#"eval "$(printf 'PIN_CPUS=1 qemu '\''a\012b'\'' 5%%')""#
        );
        let word = OsString::from_vec(b"\xff".to_vec());
        assert_eq!(line([].iter(), &[word]), r#"eval "$(printf ''\''\377'\''')""#);
    }
}
