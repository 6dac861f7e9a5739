//! What libvirt's daemon keeps about a domain that runs, beside its pid file: `NAME.xml`, with the domain's XML inside
//! `<domstatus>` (qemuDomainObjPrivateXMLFormat in libvirt's src/qemu/qemu_domain.c). Only root may read it.

use crate::libvirt::domain_xml::is_uuid;
use crate::libvirt::root_file;
use crate::libvirt::xml_input::XML_BYTES;
use crate::sys::kernel::Kernel;
use quick_xml::events::Event;
use quick_xml::reader::Reader;
use std::ffi::OsStr;
use std::path::Path;

/// The UUID of the domain that runs under this name.
///
/// # Errors
/// Why it cannot be told, in a sentence.
pub(crate) fn uuid(kernel: &dyn Kernel, folder: &Path, domain: &OsStr) -> Result<String, String> {
    let mut name = domain.to_owned();
    name.push(".xml");
    let path = folder.join(name);
    let (file, _) = root_file::open_in_any_folder(kernel, &path)?
        .ok_or_else(|| format!("there is no {}", path.display()))?;
    let text = root_file::text(file, &path, XML_BYTES as u64)?;
    read_uuid(&text).ok_or_else(|| format!("{} names no UUID", path.display()))
}

/// The text of `<domstatus><domain><uuid>`.
fn read_uuid(xml: &str) -> Option<String> {
    let mut reader = Reader::from_str(xml);
    let mut path: Vec<Vec<u8>> = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) => path.push(element.name().as_ref().to_vec()),
            Event::End(_) => drop(path.pop()),
            Event::Text(text) if path == [&b"domstatus"[..], b"domain", b"uuid"] => {
                let text = text.decode().ok()?.trim().to_owned();
                return is_uuid(&text).then_some(text);
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;

    const UUID: &str = "7430d5d9-a334-461e-af4e-526061963a0d";

    #[test]
    fn the_domains_own_uuid_is_read_and_no_other() {
        let status = |inside: &str| format!("<!--\n-->\n\n<domstatus state='running'>{inside}</domstatus>\n");
        let own = format!("<domain type='kvm' id='1'><name>web</name><uuid>{UUID}</uuid></domain>");
        assert_eq!(read_uuid(&status(&own)), Some(UUID.to_owned()));
        let other = "<job><domain><uuid>00000000-0000-0000-0000-000000000000</uuid></domain></job>";
        assert_eq!(read_uuid(&status(&format!("{other}{own}"))), Some(UUID.to_owned()));
        for bad in ["", "<domain/>", "<domain><uuid>../x</uuid></domain>", "<domain><uuid>", "</domain>"] {
            assert_eq!(read_uuid(&status(bad)), None, "{bad}");
        }
    }

    #[test]
    fn it_is_roots_word_alone() {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        let said = || uuid(&kernel, Path::new("/run/libvirt/qemu"), OsStr::new("web"));
        assert_eq!(said(), Err("there is no /run/libvirt/qemu/web.xml".to_owned()));
        kernel.write(
            "/run/libvirt/qemu/web.xml",
            format!("<domstatus><domain><uuid>{UUID}</uuid></domain></domstatus>"),
        );
        assert_eq!(said(), Ok(UUID.to_owned()));
        let at = kernel.locate(Path::new("/run/libvirt/qemu/web.xml")).unwrap();
        std::fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert!(said().unwrap_err().contains("can be written to by others than root"));
    }
}
