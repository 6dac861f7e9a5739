//! The file that carries a domain's pinning to the wrapper `qemu-pinned`, and the administrator's of the same
//! form.
//!
//! The hook's goes by the domain's name, names its UUID and lives as long as its QEMU. The administrator's goes by the
//! UUID, which a domain keeps when it is renamed and no later one has; where there is none, by the name.
//!
//! The domain's owner chose its name, so the file's name must not lead out of the folder. The file is renamed
//! into place, so that nobody reads half of it. The wrapper makes the same name and reads the same lines: a
//! change here needs the same change there.

use crate::libvirt::domain_xml::is_uuid;
use crate::libvirt::placement_element::shown;
use crate::libvirt::root_file;
use crate::sys::kernel::Kernel;
use pinning::VARIABLES;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The mode of a folder: every user may list it and pass through it.
const FOLDER_MODE: u32 = 0o755;

/// The mode of a domain's file: every user may read it.
const FILE_MODE: u32 = 0o644;

/// The line that names the socket at which QEMU gets the domain's leases.
const LEASES: &str = "LEASES";

/// A longer file is not taken, by the wrapper neither.
const FILE_BYTES: usize = 96 << 10;

/// Writes the file. QEMU's user must be able to read it, whatever the umask of libvirt's daemon; only root
/// may write to it.
///
/// # Errors
/// It cannot be written, or a field would not be read again as it is.
pub(crate) fn write(
    folder: &Path,
    domain: &OsStr,
    uuid: &str,
    variables: &[(String, String)],
    leases: Option<&Path>,
) -> io::Result<()> {
    let text = text(uuid, variables, leases).map_err(|why| io::Error::new(ErrorKind::InvalidInput, why))?;
    make_folders(folder)?;
    // A name that no domain's file has: theirs never begin with a dot.
    let draft = folder.join(format!(".{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&draft)
        .and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            file.write_all(text.as_bytes())
        })
        .and_then(|()| fs::rename(&draft, path(folder, domain)));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Makes the folder of the hook's files, and the one above it, which belongs to the hook as well.
pub(crate) fn make_folders(folder: &Path) -> io::Result<()> {
    if let Some(run) = folder.parent() {
        make_folder(run)?;
    }
    make_folder(folder)
}

/// Makes a folder and those above it, each with the mode that QEMU's user needs. A folder that exists may
/// have been made under another umask: the permissions that it lacks are added.
fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = folder.parent().ok_or(error)?;
            make_folder(above)?;
            DirBuilder::new().mode(FOLDER_MODE).create(folder)?;
        }
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let opened =
        File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(folder)?;
    let mode = opened.metadata()?.permissions().mode();
    if mode & FOLDER_MODE != FOLDER_MODE {
        opened.set_permissions(Permissions::from_mode(mode | FOLDER_MODE))?;
    }
    Ok(())
}

/// Removes the file, if there is one.
pub(crate) fn remove(folder: &Path, domain: &OsStr) -> io::Result<()> {
    match fs::remove_file(path(folder, domain)) {
        // A name that is too long is no file's.
        Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The variables of the file that the hook has left for a domain, and its UUID. `None`: there is none.
///
/// # Errors
/// There is one and it does not count: it could be another user's word, or a line is not understood.
pub(crate) fn left(kernel: &dyn Kernel, folder: &Path, domain: &OsStr) -> Result<Option<Fields>, String> {
    read(kernel, &path(folder, domain))
}

/// The variables of the administrator's file for a domain. `None`: there is none.
///
/// # Errors
/// There is one and it does not count: it could be another user's word, or a line is not understood.
pub(crate) fn administrators(
    kernel: &dyn Kernel,
    folder: &Path,
    domain: &OsStr,
    uuid: &str,
) -> Result<Option<Vec<(String, String)>>, String> {
    for path in administrators_paths(folder, domain, uuid) {
        let fields = read(kernel, &path)?;
        let of_this_domain = |fields: &Fields| fields.uuid.as_deref().is_none_or(|of| of == uuid);
        if let Some(fields) = fields.filter(of_this_domain) {
            if fields.leases.is_some() {
                return Err(format!("{}: only the hook writes {LEASES}=", path.display()));
            }
            return Ok(Some(fields.variables));
        }
    }
    Ok(None)
}

/// Where the administrator's file for a domain may be, in this order.
pub(crate) fn administrators_paths(folder: &Path, domain: &OsStr, uuid: &str) -> Vec<PathBuf> {
    let by_uuid = is_uuid(uuid).then(|| folder.join(format!("{uuid}.env")));
    // A domain could be given another one's UUID for a name.
    let has_own_name = !domain.to_str().is_some_and(is_uuid);
    by_uuid.into_iter().chain(has_own_name.then(|| path(folder, domain))).collect()
}

/// What a domain's file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// The UUID of the only domain that it is for, if it names one.
    pub(crate) uuid: Option<String>,
    pub(crate) variables: Vec<(String, String)>,
    /// The socket at which QEMU gets the domain's leases, if it has some.
    pub(crate) leases: Option<PathBuf>,
}

fn read(kernel: &dyn Kernel, path: &Path) -> Result<Option<Fields>, String> {
    let Some(text) = root_file::read(kernel, path, FILE_BYTES as u64)? else { return Ok(None) };
    let mut fields = Fields::default();
    for (number, line) in (1..).zip(text.lines()) {
        match parse_line(line).map_err(|why| format!("{}, line {number}: {why}", path.display()))? {
            None => {}
            // The wrapper goes by the first one.
            Some((name, value)) if name == "UUID" => {
                fields.uuid.get_or_insert(value);
            }
            Some((name, value)) if name == LEASES => fields.leases = Some(PathBuf::from(value)),
            Some(variable) => fields.variables.push(variable),
        }
    }
    Ok(Some(fields))
}

/// The name and the value of a line. `None`: the line has none.
fn parse_line(line: &str) -> Result<Option<(String, String)>, String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if let Some(socket) = line.strip_prefix("LEASES=").filter(|socket| socket.starts_with('/')) {
        check_value(LEASES, socket)?;
        return Ok(Some((LEASES.to_owned(), socket.to_owned())));
    }
    let no_variable = || format!("this is no PIN_NAME=value: {}", shown(line));
    let (name, value) = line.split_once('=').ok_or_else(no_variable)?;
    if name == "UUID" {
        let field = || Some((name.to_owned(), value.to_owned()));
        return if is_uuid(value) { Ok(field()) } else { Err(format!("{} is no UUID", shown(value))) };
    }
    if !name.starts_with("PIN_") || !name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
        return Err(no_variable());
    }
    check_value(name, value)?;
    Ok(Some((name.to_owned(), value.to_owned())))
}

fn check_value(name: &str, value: &str) -> Result<(), String> {
    if value.contains(char::is_control) {
        return Err(format!("the value of {name} holds a control character"));
    }
    Ok(())
}

/// The text of the hook's file. Each field is checked, whoever has checked it before.
fn text(uuid: &str, variables: &[(String, String)], leases: Option<&Path>) -> Result<String, String> {
    if !is_uuid(uuid) {
        return Err(format!("{} is no UUID", shown(uuid)));
    }
    let mut text =
        format!("# From the domain's XML, by pinshim's libvirt hook; gone when it ends.\nUUID={uuid}\n");
    if let Some(socket) = leases {
        let socket = socket.to_str().ok_or_else(|| format!("{} is no text", socket.display()))?;
        check_value(LEASES, socket)?;
        text.extend([LEASES, "=", socket, "\n"]);
    }
    for (name, value) in variables {
        if !VARIABLES.iter().any(|variable| variable.places() && variable.name == name) {
            return Err(format!("{} places no threads", shown(name)));
        }
        check_value(name, value)?;
        text.extend([name, "=", value, "\n"]);
    }
    if text.len() > FILE_BYTES {
        return Err(format!("it has {} bytes, more than {FILE_BYTES}", text.len()));
    }
    Ok(text)
}

/// The path of a domain's file in a folder of such files.
pub(crate) fn path(folder: &Path, domain: &OsStr) -> PathBuf {
    folder.join(name(domain))
}

/// The file's name: a byte that could lead elsewhere becomes `%` and two hexadecimal digits.
fn name(domain: &OsStr) -> std::ffi::OsString {
    let mut name = Vec::new();
    for (at, byte) in domain.as_bytes().iter().enumerate() {
        match byte {
            b'%' | b'/' | b'\n' => name.extend(format!("%{byte:02X}").into_bytes()),
            b'.' if at == 0 => name.extend(b"%2E"),
            _ => name.push(*byte),
        }
    }
    name.extend(b".env");
    OsStr::from_bytes(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::placement_element::VALUE_BYTES;
    use crate::sys::fake::FakeKernel;

    const UUID: &str = "7430d5d9-a334-461e-af4e-526061963a0d";

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect()
    }

    #[test]
    fn a_name_leads_nowhere() {
        let is = |domain: &str, file: &str| assert_eq!(name(OsStr::new(domain)), file);
        is("web", "web.env");
        is("größe 1.2", "größe 1.2.env");
        is("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.env");
        is(".", "%2E.env");
        is("a\nb", "a%0Ab.env");
        is("100%2F", "100%252F.env");
    }

    #[test]
    fn a_name_of_any_bytes_is_one_file_in_the_folder_and_its_own() {
        let mut names = std::collections::HashSet::new();
        let mut count = 0;
        for byte in 1..=255u8 {
            for (before, after) in [("", ""), ("a", ""), ("", "a"), (".", ""), ("%", "2F"), ("../", "/..")] {
                let domain = [before.as_bytes(), &[byte], after.as_bytes()].concat();
                let path = path(Path::new("/folder"), OsStr::from_bytes(&domain));
                assert_eq!(path.parent(), Some(Path::new("/folder")), "{domain:?}");
                let file = path.file_name().unwrap().as_bytes();
                assert!(!file.starts_with(b".") && file.ends_with(b".env") && !file.contains(&b'\n'));
                names.insert(path);
                count += 1;
            }
        }
        // Different domains have different files; some of these names are made twice.
        assert_eq!(names.len(), count - 2);
    }

    #[test]
    fn it_is_written_whole_and_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("run/domains");
        let domain = OsStr::new("we/b");
        let variables = pairs(&[("PIN_CPUS", "0-1")]);
        let other = UUID.replace('7', "8");
        write(&folder, domain, UUID, &variables, None).unwrap();
        write(&folder, domain, &other, &variables, None).unwrap();
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["we%2Fb.env"]);
        let text = fs::read_to_string(folder.join("we%2Fb.env")).unwrap();
        assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), [&format!("UUID={other}"), "PIN_CPUS=0-1"]);
        remove(&folder, domain).unwrap();
        remove(&folder, domain).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        remove(&folder, OsStr::new(&"x".repeat(300))).unwrap();
    }

    #[test]
    fn a_field_that_would_become_another_is_not_written() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("domains");
        let refused = |uuid: &str, variables: &[(&str, &str)], why: &str| {
            let error = write(&folder, OsStr::new("web"), uuid, &pairs(variables), None).unwrap_err();
            assert_eq!(error.to_string(), why);
            assert!(!folder.exists());
        };
        refused("", &[], " is no UUID");
        refused(&format!("{UUID}\nPIN_LOG=trace"), &[], &format!("{UUID}\nPIN_LOG=trace is no UUID"));
        refused(UUID, &[("PIN_CPUS", "0\nPIN_LOG=trace")], "the value of PIN_CPUS holds a control character");
        refused(UUID, &[("PIN_CPUS=1\nX", "0")], "PIN_CPUS=1\nX places no threads");
        refused(UUID, &[("PIN_LOG", "trace")], "PIN_LOG places no threads");
        refused(UUID, &[("PIN_CPUS", &"0".repeat(FILE_BYTES))], "it has 98427 bytes, more than 98304");
    }

    #[test]
    fn all_that_an_xml_may_say_fits() {
        let longest = "0".repeat(VALUE_BYTES);
        let all = VARIABLES.iter().filter(|variable| variable.places());
        let variables: Vec<(String, String)> =
            all.map(|variable| (variable.name.to_owned(), longest.clone())).collect();
        assert!(text(UUID, &variables, Some(Path::new("/run/pinshim/domains/1.leases"))).is_ok());
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        let folder = Path::new("/run/pinshim/domains");
        let domain = OsStr::new("web");
        assert_eq!(left(&kernel, folder, domain), Ok(None));
        let variables = pairs(&[("PIN_CPUS", "0-1"), ("PIN_THREADS", "a=b@1")]);
        for leases in [None, Some(PathBuf::from("/run/pinshim/domains/7.leases"))] {
            write(&kernel.locate(folder).unwrap(), domain, UUID, &variables, leases.as_deref()).unwrap();
            let fields = Fields { uuid: Some(UUID.to_owned()), variables: variables.clone(), leases };
            assert_eq!(left(&kernel, folder, domain), Ok(Some(fields)));
        }
    }

    #[test]
    fn the_administrators_file_goes_by_the_uuid_before_the_name() {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        let folder = Path::new("/etc/pinshim/domains");
        let other = UUID.replace('7', "8");
        let said = |name: &str, uuid: &str| {
            let read = administrators(&kernel, folder, OsStr::new(name), uuid).unwrap();
            read.map(|variables| variables[0].1.clone())
        };
        assert_eq!(said("web", UUID), None);
        kernel.write("/etc/pinshim/domains/web.env", "PIN_CPUS=0\n");
        assert_eq!((said("web", UUID), said("web", &other)), (Some("0".into()), Some("0".into())));
        kernel.write(format!("/etc/pinshim/domains/{UUID}.env"), "PIN_CPUS=1\n");
        assert_eq!((said("web", UUID), said("web", &other)), (Some("1".into()), Some("0".into())));
        // Renamed; and one that was given another one's UUID for a name.
        assert_eq!((said("db", UUID), said(UUID, &other)), (Some("1".into()), None));
        // What is no UUID as libvirt writes it is a name like any other, for the wrapper too.
        let name = UUID.to_uppercase();
        kernel.write(format!("/etc/pinshim/domains/{name}.env"), "PIN_CPUS=2\n");
        assert_eq!(said(&name, &other), Some("2".into()));
        // One that names its domain is for no other.
        kernel.write("/etc/pinshim/domains/web.env", format!("UUID={UUID}\nPIN_CPUS=0\n"));
        assert_eq!(said("web", &other), None);
    }

    #[test]
    fn an_administrators_file_sends_qemu_to_no_socket() {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        kernel.write("/etc/pinshim/domains/web.env", "PIN_CPUS=0\nLEASES=/tmp/x\n");
        let said = administrators(&kernel, Path::new("/etc/pinshim/domains"), OsStr::new("web"), UUID);
        assert_eq!(said, Err("/etc/pinshim/domains/web.env: only the hook writes LEASES=".to_owned()));
    }

    #[test]
    fn a_line_that_is_not_understood_is_said() {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        let folder = Path::new("/etc/pinshim/domains");
        for (line, why) in [
            ("PATH=/", "this is no PIN_NAME=value: PATH=/"),
            ("PIN_CPUS", "this is no PIN_NAME=value: PIN_CPUS"),
            ("PIN_cpus=1", "this is no PIN_NAME=value: PIN_cpus=1"),
            ("PIN_CPUS=1\u{1b}", "the value of PIN_CPUS holds a control character"),
            ("UUID=1", "1 is no UUID"),
            ("LEASES=x", "this is no PIN_NAME=value: LEASES=x"),
        ] {
            kernel.write("/etc/pinshim/domains/web.env", format!("# by hand\n\n{line}\n"));
            let said = administrators(&kernel, folder, OsStr::new("web"), UUID);
            assert_eq!(said, Err(format!("/etc/pinshim/domains/web.env, line 3: {why}")));
        }
    }
}
