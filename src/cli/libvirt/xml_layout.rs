//! Where the few things stand in a domain's XML that are changed to pin it, by bytes.

use crate::libvirt::domain_xml::{BadXml, Space, space};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::NsReader;
use std::ops::Range;

/// Where things stand.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// How the domain is run: `kvm` or `qemu`.
    pub(crate) virt_type: String,
    /// The architecture of its guest, such as `x86_64`.
    pub(crate) arch: String,
    /// The last element of those that describe the domain, after which libvirt writes its metadata.
    pub(crate) description: Range<usize>,
    /// `<metadata>`, as a whole.
    pub(crate) metadata: Option<Range<usize>>,
    /// What is in it; `None` where it is written as `<metadata/>`.
    pub(crate) inside_metadata: Option<Range<usize>>,
    /// The elements directly in it that are in a namespace of pinshim's.
    pub(crate) ours: Vec<Ours>,
    /// The path in `<emulator>`.
    pub(crate) emulator: Option<Range<usize>>,
    /// `<cputune>`, as a whole.
    pub(crate) tuning: Option<Range<usize>>,
    /// What is in it.
    pub(crate) inside_tuning: Option<Range<usize>>,
    /// The elements of it that pin threads.
    pub(crate) pins: Vec<Range<usize>>,
}

/// An element in a namespace of pinshim's.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) at: Range<usize>,
    /// Whether it is in the very namespace that is known here, not only in one like it.
    pub(crate) is_known: bool,
}

/// An element around.
struct Step {
    name: String,
    space: Space,
    /// Where it begins, and where its start tag ends.
    begins: usize,
    opened: usize,
}

impl Layout {
    /// Finds everything in an XML that was read by [`crate::libvirt::domain_xml::Domain`] before, with its limits.
    pub(crate) fn read(xml: &str) -> Result<Self, BadXml> {
        let mut reader = NsReader::from_str(xml);
        let mut layout = Self::default();
        let mut path: Vec<Step> = Vec::new();
        loop {
            let begins = reader.buffer_position() as usize;
            let event = reader.read_event()?;
            let ends = reader.buffer_position() as usize;
            match event {
                Event::Start(element) => {
                    path.push(step(&reader, &element, begins, ends));
                    layout.enter(&path, &element)?;
                }
                Event::Empty(element) => {
                    path.push(step(&reader, &element, begins, ends));
                    layout.enter(&path, &element)?;
                    layout.leave(&path, None, ends);
                    path.pop();
                }
                Event::End(_) => {
                    layout.leave(&path, Some(begins), ends);
                    path.pop();
                }
                Event::Eof => return Ok(layout),
                _ => {}
            }
        }
    }

    fn enter(&mut self, path: &[Step], element: &BytesStart<'_>) -> Result<(), BadXml> {
        let attribute = |name: &str| -> Result<String, BadXml> {
            let value = element.try_get_attribute(name)?.map(|attribute| attribute.value);
            Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default())
        };
        match plain(path).as_deref() {
            Some(["domain"]) => self.virt_type = attribute("type")?,
            Some(["domain", "os", "type"]) => self.arch = attribute("arch")?,
            _ => {}
        }
        Ok(())
    }

    /// Takes the end of the innermost element; `closes` is where its end tag begins, if it has one.
    fn leave(&mut self, path: &[Step], closes: Option<usize>, ends: usize) {
        let Some((step, around)) = path.split_last() else { return };
        let whole = step.begins..ends;
        let inside = closes.map(|closes| step.opened..closes);
        if step.space != Space::None {
            let is_ours = matches!(step.space, Space::Pin | Space::LikePin(_));
            if is_ours && plain(around).as_deref() == Some(&["domain", "metadata"]) {
                self.ours.push(Ours { at: whole, is_known: step.space == Space::Pin });
            }
            return;
        }
        match plain(path).as_deref() {
            Some(["domain", "name" | "uuid" | "genid" | "title" | "description"]) => self.description = whole,
            Some(["domain", "metadata"]) => {
                self.metadata = Some(whole);
                self.inside_metadata = inside;
            }
            Some(["domain", "devices", "emulator"]) => self.emulator = inside,
            Some(["domain", "cputune"]) => {
                self.tuning = Some(whole);
                self.inside_tuning = inside;
            }
            Some(["domain", "cputune", "vcpupin" | "iothreadpin" | "emulatorpin"]) => self.pins.push(whole),
            _ => {}
        }
    }
}

fn step(reader: &NsReader<&[u8]>, element: &BytesStart<'_>, begins: usize, opened: usize) -> Step {
    let (resolved, name) = reader.resolver().resolve_element(element.name());
    let name = String::from_utf8_lossy(name.as_ref()).into_owned();
    Step { name, space: space(&resolved), begins, opened }
}

/// The names of the elements around, where none is in a namespace.
fn plain(path: &[Step]) -> Option<Vec<&str>> {
    // Nothing that matters stands deeper.
    if path.len() > 3 {
        return None;
    }
    path.iter().map(|step| (step.space == Space::None).then_some(step.name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_domain_is_is_found() {
        let xml = "<domain type='kvm'><os><type arch='x86_64'>hvm</type></os></domain>";
        let layout = Layout::read(xml).unwrap();
        assert_eq!((layout.virt_type.as_str(), layout.arch.as_str()), ("kvm", "x86_64"));
    }
}
