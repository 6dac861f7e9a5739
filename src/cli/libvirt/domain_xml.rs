//! What a domain's XML says about its pinning, as libvirt hands it to a hook.
//!
//! `<metadata><pin:placement xmlns:pin="urn:pinshim:domain:1" cpus="0" vcpus="*@1"/></metadata>`: one
//! attribute for each variable that places threads, by the variable's name without `PIN_` in small letters.
//! libvirt checks nothing inside `<metadata>`, so it is checked here: what is not understood is a fault with
//! a sentence of its own, and is never left out silently.
//!
//! The domain's owner wrote the XML, so it is read as hostile: up to a bound, and no entity is expanded.

use pinning::{CpuSet, VARIABLES};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::{NsReader, XmlVersion};
use std::fmt;

/// The namespace of the element. It ends in the version of what may stand in it.
pub(crate) const NAMESPACE: &str = "urn:pinshim:domain:1";

/// libvirt's namespace of `<qemu:env>` (libvirt's docs/drvqemu).
const QEMU_NAMESPACE: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// What a domain's XML says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Domain {
    /// Its UUID.
    pub(crate) uuid: String,
    /// The variables that its `<pin:placement>` stands for; `None` where it has no such element.
    pub(crate) placement: Option<Vec<(String, String)>>,
    /// The faults of that element, each a sentence without a full stop.
    pub(crate) faults: Vec<String>,
    /// The `PIN_*` variables of its `<qemu:env>` elements.
    pub(crate) environment: Vec<(String, String)>,
    /// The CPUs that libvirt itself gives to threads.
    pub(crate) tuning: Tuning,
}

/// `<cputune>`: the CPUs that libvirt gives to threads, at the start or on `virsh vcpupin` and its like.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tuning {
    /// By the vCPU's index.
    pub(crate) vcpus: Vec<(u32, CpuSet)>,
    /// By the IOThread's number: libvirt calls number 1 `iothread1`.
    pub(crate) iothreads: Vec<(u32, CpuSet)>,
    /// The emulator's threads.
    pub(crate) emulator: Option<CpuSet>,
}

/// Text that is no XML, or not a domain's.
#[derive(Debug)]
pub(crate) struct BadXml(String);

impl fmt::Display for BadXml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "libvirt's XML of the domain cannot be read: {}", self.0)
    }
}

impl From<quick_xml::Error> for BadXml {
    fn from(error: quick_xml::Error) -> Self {
        Self(error.to_string())
    }
}

impl Domain {
    /// Reads a domain's XML.
    ///
    /// # Errors
    /// [`BadXml`]. What is wrong with the domain's pinning alone is in [`Domain::faults`].
    pub(crate) fn read(xml: &str) -> Result<Self, BadXml> {
        let mut reader = NsReader::from_str(xml);
        let mut domain = Self::default();
        // The names of the elements around, as `name` makes them.
        let mut path: Vec<String> = Vec::new();
        loop {
            let (space, event) = reader.read_resolved_event()?;
            let space = namespace(&space);
            match event {
                Event::Start(element) => {
                    path.push(name(space, &element));
                    domain.take_element(&path, &reader, &element)?;
                }
                Event::Empty(element) => {
                    path.push(name(space, &element));
                    domain.take_element(&path, &reader, &element)?;
                    path.pop();
                }
                Event::End(_) => {
                    path.pop();
                }
                Event::Text(text) if path == ["domain", "uuid"] => {
                    let text = text.decode().map_err(|error| BadXml(error.to_string()))?;
                    domain.uuid.push_str(text.trim());
                }
                Event::Eof => break,
                _ => {}
            }
        }
        if domain.uuid.is_empty() {
            return Err(BadXml("it names no UUID".to_owned()));
        }
        Ok(domain)
    }

    fn take_element(
        &mut self,
        path: &[String],
        reader: &NsReader<&[u8]>,
        element: &BytesStart<'_>,
    ) -> Result<(), BadXml> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["domain", "metadata", "pin:placement"] => self.take_placement(attributes(reader, element)?),
            ["domain", "qemu:commandline", "qemu:env"] => self.take_variable(&attributes(reader, element)?),
            ["domain", "cputune", kind] => self.tuning.take(kind, &attributes(reader, element)?),
            _ => {}
        }
        Ok(())
    }

    fn take_placement(&mut self, attributes: Vec<(String, String)>) {
        if self.placement.is_some() {
            self.faults.push("there is more than one <pin:placement>".to_owned());
        }
        let placement = self.placement.get_or_insert_default();
        for (attribute, value) in attributes {
            match variable_of(&attribute) {
                Ok(_) if value.contains(|c: char| c.is_control() && !c.is_whitespace()) => {
                    self.faults.push(format!("attribute {attribute}: the value holds a control character"));
                }
                // White space separates items. A line feed would end the value in the wrapper's file.
                Ok(variable) => {
                    placement.push((variable.to_owned(), value.replace(char::is_whitespace, " ")));
                }
                Err(fault) => self.faults.push(fault),
            }
        }
    }

    fn take_variable(&mut self, attributes: &[(String, String)]) {
        if let Some(name) = value_of(attributes, "name").filter(|name| name.starts_with("PIN_")) {
            let value = value_of(attributes, "value").unwrap_or_default();
            self.environment.push((name.to_owned(), value.to_owned()));
        }
    }
}

impl Tuning {
    fn take(&mut self, kind: &str, attributes: &[(String, String)]) {
        // libvirt writes a cpuset as numbers and ranges with commas between.
        let cpus = value_of(attributes, "cpuset").and_then(|text| CpuSet::parse(text, &CpuSet::new()).ok());
        let Some(cpus) = cpus else { return };
        let number = |name| value_of(attributes, name).and_then(|text| text.parse().ok());
        match kind {
            "vcpupin" => self.vcpus.extend(number("vcpu").map(|vcpu| (vcpu, cpus))),
            "iothreadpin" => self.iothreads.extend(number("iothread").map(|iothread| (iothread, cpus))),
            "emulatorpin" => self.emulator = Some(cpus),
            _ => {}
        }
    }
}

/// The variable that an attribute stands for, or why there is none.
fn variable_of(attribute: &str) -> Result<&'static str, String> {
    let named = |attribute: &str| {
        let places = VARIABLES.iter().filter(|variable| variable.places());
        let mut names = places.map(|variable| variable.name);
        names.find(|name| attribute_of(name) == attribute)
    };
    named(attribute).ok_or_else(|| {
        let (plural, singular) = (format!("{attribute}s"), attribute.trim_end_matches('s'));
        let meant = [plural.as_str(), singular].into_iter().find(|meant| named(meant).is_some());
        let hint = meant.map_or_else(
            || {
                let places = VARIABLES.iter().filter(|variable| variable.places());
                let all: Vec<String> = places.map(|variable| attribute_of(variable.name)).collect();
                format!("there are {}", all.join(", "))
            },
            |meant| format!("did you mean {meant}?"),
        );
        format!("<pin:placement> has no attribute {}; {hint}", attribute.escape_debug())
    })
}

fn attribute_of(variable: &str) -> String {
    variable.trim_start_matches("PIN_").to_ascii_lowercase()
}

/// An element's name, with a prefix that stands for its namespace. The prefix `foreign` stands for all
/// namespaces that do not matter here, and matches nothing.
fn name(namespace: Space, element: &BytesStart<'_>) -> String {
    let local = element.local_name();
    let local = String::from_utf8_lossy(local.as_ref());
    match namespace {
        Space::None => local.into_owned(),
        Space::Pin => format!("pin:{local}"),
        Space::Qemu => format!("qemu:{local}"),
        Space::Foreign => format!("foreign:{local}"),
    }
}

#[derive(Clone, Copy)]
enum Space {
    None,
    Pin,
    Qemu,
    Foreign,
}

fn namespace(resolved: &ResolveResult<'_>) -> Space {
    match resolved {
        ResolveResult::Unbound => Space::None,
        ResolveResult::Bound(Namespace(bytes)) if *bytes == NAMESPACE.as_bytes() => Space::Pin,
        ResolveResult::Bound(Namespace(bytes)) if *bytes == QEMU_NAMESPACE.as_bytes() => Space::Qemu,
        ResolveResult::Bound(_) | ResolveResult::Unknown(_) => Space::Foreign,
    }
}

/// An element's own attributes, without declarations of namespaces and attributes of other namespaces.
fn attributes(reader: &NsReader<&[u8]>, element: &BytesStart<'_>) -> Result<Vec<(String, String)>, BadXml> {
    let mut found = Vec::new();
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|error| BadXml(error.to_string()))?;
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        if key == "xmlns" || key.contains(':') {
            continue;
        }
        let value = attribute.decoded_and_normalized_value(XmlVersion::Implicit1_0, reader.decoder())?;
        found.push((key, value.into_owned()));
    }
    Ok(found)
}

fn value_of<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(attribute, _)| attribute == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "7430d5d9-a334-461e-af4e-526061963a0d";

    fn domain(inside: &str) -> Domain {
        let xml = format!(
            "<domain type='kvm' id='1' xmlns:qemu='{QEMU_NAMESPACE}'><uuid>{UUID}</uuid>{inside}</domain>"
        );
        Domain::read(&xml).unwrap()
    }

    fn placement(inside: &str) -> Domain {
        domain(&format!("<metadata>{inside}</metadata>"))
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect()
    }

    #[test]
    fn every_placement_variable_has_its_attribute() {
        let text: String = VARIABLES
            .iter()
            .filter(|variable| variable.places())
            .map(|variable| format!(" {}='0'", attribute_of(variable.name)))
            .collect();
        let read = placement(&format!("<pin:placement xmlns:pin='{NAMESPACE}'{text}/>"));
        assert_eq!(read.uuid, UUID);
        assert!(read.faults.is_empty());
        let names: Vec<String> = read.placement.unwrap().into_iter().map(|(name, _)| name).collect();
        let all = VARIABLES.iter().filter(|variable| variable.places());
        assert_eq!(names, all.map(|variable| variable.name).collect::<Vec<_>>());
    }

    #[test]
    fn the_prefix_is_free_and_the_element_may_have_an_end() {
        let expected = Some(pairs(&[("PIN_CPUS", "0-1"), ("PIN_VCPUS", "0@2,1@3")]));
        for text in [
            format!("<p:placement xmlns:p=\"{NAMESPACE}\" cpus=\"0-1\" vcpus='0@2,1@3'></p:placement>"),
            format!("<placement xmlns='{NAMESPACE}' cpus='0&#45;1' vcpus='0@2,1@3'/>"),
            format!("<other xmlns='urn:x'/><x:placement xmlns:x='{NAMESPACE}' cpus='0-1' vcpus='0@2,1@3'/>"),
        ] {
            assert_eq!(placement(&text).placement, expected, "{text}");
        }
    }

    #[test]
    fn an_element_elsewhere_or_of_another_namespace_is_none() {
        let pin = format!("<pin:placement xmlns:pin='{NAMESPACE}' cpus='9'/>");
        for text in [
            "<metadata><placement cpus='9'/></metadata>".to_owned(),
            "<metadata><pin:placement xmlns:pin='urn:pinshim:domain:2' cpus='9'/></metadata>".to_owned(),
            format!("<description>{pin}</description>"),
            format!("<metadata><deeper>{pin}</deeper></metadata>"),
            pin,
            format!("<!-- <metadata><pin:placement xmlns:pin='{NAMESPACE}' cpus='9'/></metadata> -->"),
            String::new(),
        ] {
            assert_eq!(domain(&text).placement, None, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_element_is_said() {
        let one = |text: &str| placement(&format!("<pin:placement xmlns:pin='{NAMESPACE}' {text}/>")).faults;
        assert_eq!(one("vcpu='1'"), ["<pin:placement> has no attribute vcpu; did you mean vcpus?"]);
        assert_eq!(
            one("emulators='1'"),
            ["<pin:placement> has no attribute emulators; did you mean emulator?"]
        );
        let all = "cpus, vcpus, iothreads, emulator, workers, migration, vhost, threads";
        assert_eq!(one("disks='1'"), [format!("<pin:placement> has no attribute disks; there are {all}")]);
        // PIN_ERRORS does not place threads: it belongs into the environment.
        assert_eq!(
            one("errors='warn'"),
            [format!("<pin:placement> has no attribute errors; there are {all}")]
        );
        assert_eq!(one("cpus='0&#27;'"), ["attribute cpus: the value holds a control character"]);
        let two = format!("<pin:placement xmlns:pin='{NAMESPACE}' cpus='0'/>").repeat(2);
        assert_eq!(placement(&two).faults, ["there is more than one <pin:placement>"]);
    }

    #[test]
    fn a_value_stays_on_one_line() {
        let read = placement(&format!("<pin:placement xmlns:pin='{NAMESPACE}' cpus='0&#10;PIN_LOG=x'/>"));
        assert_eq!(read.placement, Some(pairs(&[("PIN_CPUS", "0 PIN_LOG=x")])));
    }

    #[test]
    fn the_environment_and_libvirts_own_pins() {
        let read = domain(
            "<cputune><vcpupin vcpu='1' cpuset='0-2,^1'/><emulatorpin cpuset='3'/><shares>5</shares>\
             <iothreadpin iothread='2' cpuset='1'/><vcpupin vcpu='x' cpuset='1'/><vcpupin vcpu='0'/></cputune>\
             <qemu:commandline><qemu:arg value='-S'/><qemu:env name='PIN_CPUS' value='1'/>\
             <qemu:env name='PATH' value='/'/><qemu:env name='PIN_LOG'/></qemu:commandline>",
        );
        assert_eq!(read.environment, pairs(&[("PIN_CPUS", "1"), ("PIN_LOG", "")]));
        let cpus = |mask| CpuSet::from_words(&[mask]);
        let tuning = Tuning {
            vcpus: vec![(1, cpus(0b101))],
            iothreads: vec![(2, cpus(0b10))],
            emulator: Some(cpus(0b1000)),
        };
        assert_eq!(read.tuning, tuning);
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        let uuid = format!("<uuid>{UUID}</uuid>");
        for text in ["", "no XML", "<domain>", "<domain/>", "<domain><uuid/></domain>"] {
            assert!(Domain::read(text).is_err(), "{text}");
        }
        let pin = format!("<pin:placement xmlns:pin='{NAMESPACE}' cpus");
        for inside in [
            "<a></b>".to_owned(),
            "<qemu:commandline><qemu:env name=x/>".to_owned(),
            format!("<metadata>{pin}='&unknown;'/></metadata>"),
            format!("<metadata>{pin}=0/></metadata>"),
        ] {
            let xml = format!("<domain xmlns:qemu='{QEMU_NAMESPACE}'>{uuid}{inside}");
            assert!(Domain::read(&xml).is_err(), "{xml}");
        }
    }

    /// libvirt's XML is always complete; a text that breaks off is read as far as it goes.
    #[test]
    fn an_entity_elsewhere_and_a_missing_end_do_not_matter() {
        let xml = format!("<domain><uuid>{UUID}</uuid><metadata><x y='&unknown;'/>");
        assert_eq!(Domain::read(&xml).unwrap().placement, None);
    }
}
