//! The difference between two versions of a domain's XML, as diff(1) writes it.

use similar::TextDiff;

/// So many lines that stay stand around what is changed.
const CONTEXT: usize = 2;

/// The lines of the difference. Passwords, which may stand in a line around it, are left out.
pub(crate) fn lines(before: &str, after: &str, names: [&str; 2]) -> Vec<String> {
    let diff = TextDiff::from_lines(before, after);
    let [from, to] = names;
    let text = diff.unified_diff().context_radius(CONTEXT).header(from, to).to_string();
    text.lines().map(without_password).collect()
}

/// A line without the value of libvirt's attribute `passwd` (docs/formatdomain, "Graphical framebuffers").
fn without_password(line: &str) -> String {
    let Some((before, rest)) = line.split_once(" passwd=") else { return line.to_owned() };
    let Some(quote) = rest.chars().next() else { return line.to_owned() };
    let after = rest.get(1..).and_then(|rest| rest.split_once(quote)).map_or("", |(_, after)| after);
    format!("{before} passwd={quote}…{quote}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_diff_writes() {
        let before = "a\nb\nc\nd\ne\nf\n";
        let after = "a\nb\nc\nX\ne\nf\n";
        let expected = ["--- web", "+++ web, pinned", "@@ -2,5 +2,5 @@", " b", " c", "-d", "+X", " e", " f"];
        assert_eq!(lines(before, after, ["web", "web, pinned"]), expected);
        assert_eq!(lines(before, before, ["web", "web"]), [""; 0]);
    }

    #[test]
    fn no_password_is_shown() {
        let line = " <graphics type='vnc' passwd='a\"b' port='-1'/>";
        assert_eq!(without_password(line), " <graphics type='vnc' passwd='…' port='-1'/>");
        for odd in [" passwd=", " passwd='x", "passwd"] {
            assert!(!without_password(odd).contains('x'), "{odd}");
        }
    }
}
