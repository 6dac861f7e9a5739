//! The name of a user.

use crate::sys::kernel::Kernel;

/// A user's name where /etc/passwd has it, for a sentence.
pub(crate) fn name(kernel: &dyn Kernel, uid: u32) -> String {
    let passwd = kernel.read_text("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.map_or_else(|| format!("user {uid}"), |name| format!("user {name}"))
}
