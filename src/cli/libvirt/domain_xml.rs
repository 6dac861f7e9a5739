//! What a domain's XML says about its pinning, as libvirt hands it to a hook.
//!
//! `<metadata><pin:placement xmlns:pin="urn:pinshim:domain:1" cpus="0" vcpus="*@1"/></metadata>`: one
//! attribute for each variable that places threads, by the variable's name without `PIN_` in small letters.
//! libvirt checks nothing inside `<metadata>`, so it is checked here: what stands in a namespace of pinshim's and
//! is not understood is a fault with a sentence of its own, and is never left out silently.
//!
//! The domain's owner wrote the XML, so it is read as hostile: no entity is expanded, and the time and the memory
//! that it takes are at most in proportion to its length.

use crate::libvirt::faults::Faults;
use crate::libvirt::own_threads::OwnThreads;
use crate::libvirt::placement_element::{
    self, EXCLUSIVE, NAMESPACE, VALUE_BYTES, no_attributes, shown, value_of, variable_of,
};
use crate::libvirt::tuning::Tuning;
use pinning::VARIABLES;
use quick_xml::escape::unescape;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, NamespaceResolver, QName, ResolveResult};
use quick_xml::{Decoder, NsReader, XmlVersion};
use std::fmt;

/// libvirt's namespace of `<qemu:env>` (libvirt's docs/drvqemu).
const QEMU_NAMESPACE: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// Elements deeper than this are not read. It is libxml2's own limit, with which libvirt reads a domain.
const DEPTH: usize = 256;

/// More declarations of namespaces than this are not read, those of the elements around counted too: each name's
/// prefix is looked up among them.
const DECLARATIONS: usize = 64;

/// An element of pinshim's or of `<qemu:env>` has far fewer attributes.
const ATTRIBUTES: usize = 64;

/// The beginning of a namespace's name that is compared with pinshim's.
const NAMESPACE_BYTES: usize = 200;

/// What a domain's XML says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Domain {
    /// Its UUID: 36 hexadecimal digits and dashes.
    pub(crate) uuid: String,
    /// The path of its emulator.
    pub(crate) emulator: String,
    /// The variables that its `<pin:placement>` stands for; `None` where it has no such element.
    pub(crate) placement: Option<Vec<(String, String)>>,
    /// Whether that element wants the CPUs of vCPUs and IOThreads for this domain alone.
    pub(crate) is_exclusive: bool,
    /// What is wrong with that element, and what else stands in a namespace of pinshim's.
    pub(crate) faults: Faults,
    /// The `PIN_*` variables of its `<qemu:env>` elements that pinshim knows, each once: the first counts.
    pub(crate) environment: Vec<(String, String)>,
    /// The CPUs that libvirt itself gives to threads.
    pub(crate) tuning: Tuning,
    /// The vCPUs and IOThreads that it has or may get.
    pub(crate) threads: OwnThreads,
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

impl From<quick_xml::events::attributes::AttrError> for BadXml {
    fn from(error: quick_xml::events::attributes::AttrError) -> Self {
        Self(error.to_string())
    }
}

impl BadXml {
    pub(crate) fn because(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl Domain {
    /// Reads a domain's XML.
    ///
    /// # Errors
    /// [`BadXml`]. What is wrong with the domain's pinning alone is in [`Domain::faults`].
    pub(crate) fn read(xml: &[u8]) -> Result<Self, BadXml> {
        let xml = std::str::from_utf8(xml).map_err(|error| BadXml::because(error.to_string()))?;
        let mut reader = NsReader::from_str(xml);
        reader.resolver_mut().set_max_declarations_per_element(DECLARATIONS);
        let mut walk = Walk::default();
        loop {
            match reader.read_event()? {
                Event::Start(element) => walk.enter(reader.resolver(), reader.decoder(), &element)?,
                Event::Empty(element) => {
                    walk.enter(reader.resolver(), reader.decoder(), &element)?;
                    walk.leave();
                }
                Event::End(_) => walk.leave(),
                Event::Text(text) => {
                    walk.take_text(&text.decode().map_err(|error| BadXml::because(error.to_string()))?);
                }
                Event::CData(text) => {
                    walk.take_text(&text.decode().map_err(|error| BadXml::because(error.to_string()))?);
                }
                // Not expanded: it is in no UUID and no path, and has no place in `<pin:placement>`.
                Event::GeneralRef(_) => walk.take_text("&"),
                Event::Eof => break,
                _ => {}
            }
        }
        walk.end()
    }

    fn take_placement(&mut self, attributes: Vec<(String, String)>) {
        if self.placement.is_some() {
            self.faults.add("there is more than one <pin:placement>");
            return;
        }
        let placement = self.placement.get_or_insert_default();
        let (exclusive, placing): (Vec<_>, Vec<_>) =
            attributes.into_iter().partition(|(attribute, _)| attribute == EXCLUSIVE);
        if placing.is_empty() {
            self.faults.add(no_attributes(!exclusive.is_empty()));
        }
        // A second one of the name is no XML.
        for (_, value) in exclusive {
            match placement_element::exclusive(&value) {
                Ok(is_exclusive) => self.is_exclusive = is_exclusive,
                Err(fault) => self.faults.add(fault),
            }
        }
        for (attribute, value) in placing {
            match variable_of(&attribute).and_then(|variable| Ok((variable, value_of(&attribute, &value)?))) {
                Ok((variable, value)) => placement.push((variable.to_owned(), value)),
                Err(fault) => self.faults.add(fault),
            }
        }
    }

    fn take_variable(&mut self, attributes: &[(String, String)]) {
        let value =
            |name| attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let Some(name) = value("name").filter(|name| is_ours(name)) else { return };
        let value = value("value").unwrap_or_default();
        if self.environment.iter().any(|(known, _)| known == name) {
            return;
        }
        if value.len() > VALUE_BYTES {
            let bytes = value.len();
            self.faults
                .add(format!("<qemu:env> {name}: the value has {bytes} bytes, more than {VALUE_BYTES}"));
        } else {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
    }
}

/// Whether a variable is one of pinshim's, or its name a slip: the one that was meant is then a letter longer or
/// shorter.
fn is_ours(name: &str) -> bool {
    let is_like = |known: &str| {
        known == name || known.strip_suffix('S') == Some(name) || name.strip_suffix('S') == Some(known)
    };
    VARIABLES.iter().any(|variable| is_like(variable.name))
}

/// The way through the elements, with what was found on it.
#[derive(Debug, Default)]
struct Walk {
    domain: Domain,
    /// The elements around, outermost first.
    path: Vec<Step>,
    /// How many namespaces they declare.
    declarations: usize,
}

/// An element around.
#[derive(Debug)]
struct Step {
    space: Space,
    name: String,
    /// How many namespaces it declares.
    declarations: usize,
}

/// An element that matters, by where it stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    Uuid,
    Emulator,
    /// `<pin:placement>`.
    Placement,
    /// `<qemu:env>`.
    Variable,
    /// `<qemu:arg>`.
    Argument,
    /// `<vcpu>`.
    Vcpus,
    /// `<iothreads>`.
    IoThreads,
    /// An `<iothread>` of `<iothreadids>`.
    IoThread,
    /// A pin of `<cputune>`, by its name.
    Pin(&'static str),
    Other,
}

/// The namespace of a name, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Space {
    /// None.
    None,
    /// Pinshim's.
    Pin,
    /// One that only begins like pinshim's: of another version, or misspelt.
    LikePin(String),
    /// libvirt's for QEMU.
    Qemu,
    /// Nobody has declared the prefix.
    Undeclared,
    /// Any other.
    Foreign,
}

impl Walk {
    /// Takes the beginning of an element.
    fn enter(
        &mut self,
        resolver: &NamespaceResolver,
        decoder: Decoder,
        element: &BytesStart<'_>,
    ) -> Result<(), BadXml> {
        let (resolved, name) = resolver.resolve_element(element.name());
        let space = space(&resolved);
        let name = String::from_utf8_lossy(name.as_ref()).into_owned();
        let declarations = self.look_at_attributes(resolver, element)?;
        self.path.push(Step { space, name, declarations });
        self.declarations += declarations;
        if self.path.len() > DEPTH {
            return Err(BadXml::because(format!("its elements are nested deeper than {DEPTH}")));
        }
        if self.declarations > DECLARATIONS {
            return Err(BadXml::because(format!(
                "it declares more than {DECLARATIONS} namespaces at one place"
            )));
        }
        let here = || attributes(decoder, element);
        match self.place() {
            Place::Placement => self.domain.take_placement(here()?),
            Place::Variable => self.domain.take_variable(&here()?),
            Place::Argument => self.domain.threads.take_argument(&here()?),
            Place::IoThread => self.domain.threads.take_iothread(&here()?),
            Place::Pin(kind) => self.domain.tuning.take(kind, &here()?),
            Place::Vcpus => self.domain.threads.take_cpuset(&here()?),
            Place::Uuid | Place::Emulator | Place::IoThreads | Place::Other => {
                self.domain.faults.extend(self.fault_of_element())
            }
        }
        Ok(())
    }

    /// Takes the end of an element.
    fn leave(&mut self) {
        if let Some(step) = self.path.pop() {
            self.declarations -= step.declarations;
        }
    }

    /// Takes text between elements.
    fn take_text(&mut self, text: &str) {
        match self.place() {
            Place::Uuid => self.domain.uuid.push_str(text),
            Place::Emulator => self.domain.emulator.push_str(text),
            Place::Vcpus => self.domain.threads.take_vcpus(text),
            Place::IoThreads => self.domain.threads.take_iothreads(text),
            Place::Placement if !text.trim().is_empty() => {
                self.domain.faults.add(format!("<pin:placement> holds text: {}", shown(text.trim())));
            }
            _ => {}
        }
    }

    /// The domain, at the end of the text.
    fn end(mut self) -> Result<Domain, BadXml> {
        if !self.path.is_empty() {
            return Err(BadXml::because("it breaks off"));
        }
        self.domain.uuid = self.domain.uuid.trim().to_owned();
        self.domain.emulator = self.domain.emulator.trim().to_owned();
        match self.domain.uuid.as_str() {
            "" => Err(BadXml::because("it names no UUID")),
            uuid if !is_uuid(uuid) => Err(BadXml::because(format!("{} is no UUID", shown(uuid)))),
            _ => Ok(self.domain),
        }
    }

    /// Where it has come to.
    fn place(&self) -> Place {
        // No element that matters stands deeper.
        if self.path.len() > 3 {
            return Place::Other;
        }
        let names: Vec<(&Space, &str)> =
            self.path.iter().map(|step| (&step.space, step.name.as_str())).collect();
        match names.as_slice() {
            [(Space::None, "domain"), rest @ ..] => match rest {
                [(Space::None, "uuid")] => Place::Uuid,
                [(Space::None, "vcpu")] => Place::Vcpus,
                [(Space::None, "iothreads")] => Place::IoThreads,
                [(Space::None, "iothreadids"), (Space::None, "iothread")] => Place::IoThread,
                [(Space::None, "devices"), (Space::None, "emulator")] => Place::Emulator,
                [(Space::None, "metadata"), (Space::Pin, "placement")] => Place::Placement,
                [(Space::Qemu, "commandline"), (Space::Qemu, "env")] => Place::Variable,
                [(Space::Qemu, "commandline"), (Space::Qemu, "arg")] => Place::Argument,
                [(Space::None, "cputune"), (Space::None, "vcpupin")] => Place::Pin("vcpupin"),
                [(Space::None, "cputune"), (Space::None, "iothreadpin")] => Place::Pin("iothreadpin"),
                [(Space::None, "cputune"), (Space::None, "emulatorpin")] => Place::Pin("emulatorpin"),
                _ => Place::Other,
            },
            _ => Place::Other,
        }
    }

    /// What is wrong with the innermost element, of which nothing is known but where it stands.
    fn fault_of_element(&self) -> Option<String> {
        let (step, around) = self.path.split_last()?;
        let name = shown(&step.name);
        let above = around.last();
        let place = above
            .map_or_else(|| "outside <domain>".to_owned(), |above| format!("in <{}>", shown(&above.name)));
        if above.is_some_and(|above| above.space == Space::Pin) {
            return Some(format!("<pin:{}> holds an element, <{name}>", shown(&above?.name)));
        }
        match &step.space {
            Space::LikePin(space) => {
                let space = shown(space);
                Some(format!("<{name}> is of the namespace {space}; this pinshim knows {NAMESPACE} alone"))
            }
            Space::Pin if step.name == "placement" => {
                Some(format!("<pin:placement> stands {place}, and belongs directly into <metadata>"))
            }
            Space::Pin => Some(format!("<pin:{name}> is not known; there is <pin:placement>")),
            Space::Undeclared if step.name == "placement" => Some(format!(
                "the prefix of <placement> {place} is not declared; write xmlns:pin=\"{NAMESPACE}\""
            )),
            _ => None,
        }
    }

    /// Looks at the attributes of any element: how many namespaces it declares, and whether one of them stands in
    /// a namespace of pinshim's, where none belongs.
    fn look_at_attributes(
        &mut self,
        resolver: &NamespaceResolver,
        element: &BytesStart<'_>,
    ) -> Result<usize, BadXml> {
        let mut declarations = 0;
        // Whether one name stands twice is asked where attributes are read.
        for attribute in element.attributes().with_checks(false) {
            let Ok(Attribute { key, .. }) = attribute else { break };
            if key.as_namespace_binding().is_some() {
                declarations += 1;
            } else if key.prefix().is_some() {
                let (resolved, name) = resolver.resolve_attribute(key);
                if matches!(space(&resolved), Space::Pin | Space::LikePin(_)) {
                    let name = String::from_utf8_lossy(name.as_ref());
                    let whole = String::from_utf8_lossy(key.as_ref());
                    self.domain.faults.add(format!(
                        "attribute {} has a prefix; the attributes of <pin:placement> have none: {}",
                        shown(&whole),
                        shown(&name)
                    ));
                }
            }
        }
        Ok(declarations)
    }
}

/// Whether a text is a UUID as libvirt writes it: in small letters, with dashes at four places (virUUIDFormat in its
/// src/util/viruuid.c). The wrapper asks the same.
pub(crate) fn is_uuid(text: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

/// The namespace that a name was found to be in.
pub(crate) fn space(resolved: &ResolveResult<'_>) -> Space {
    match resolved {
        ResolveResult::Unbound => Space::None,
        ResolveResult::Unknown(_) => Space::Undeclared,
        ResolveResult::Bound(Namespace(bytes)) if *bytes == NAMESPACE.as_bytes() => Space::Pin,
        ResolveResult::Bound(Namespace(bytes)) if *bytes == QEMU_NAMESPACE.as_bytes() => Space::Qemu,
        ResolveResult::Bound(Namespace(bytes)) => like_pin(bytes).map_or(Space::Foreign, Space::LikePin),
    }
}

/// A namespace, as the text has it, that begins like pinshim's when white space around it, capitals and references
/// to characters do not count.
fn like_pin(bytes: &[u8]) -> Option<String> {
    // Each element's is looked at: of a long one only the beginning.
    let raw = String::from_utf8_lossy(bytes.get(..NAMESPACE_BYTES).unwrap_or(bytes));
    let name = unescape(&raw).unwrap_or(raw.as_ref().into());
    name.trim().to_ascii_lowercase().starts_with("urn:pinshim").then(|| name.into_owned())
}

/// An element's own attributes, without declarations of namespaces and without those that have a prefix.
fn attributes(decoder: Decoder, element: &BytesStart<'_>) -> Result<Vec<(String, String)>, BadXml> {
    let mut found = Vec::new();
    for (number, attribute) in element.attributes().enumerate() {
        let attribute = attribute?;
        if number == ATTRIBUTES {
            let name = String::from_utf8_lossy(element.name().into_inner()).into_owned();
            return Err(BadXml::because(format!("<{}> has more than {ATTRIBUTES} attributes", shown(&name))));
        }
        let QName(key) = attribute.key;
        if attribute.key.as_namespace_binding().is_some() || attribute.key.prefix().is_some() {
            continue;
        }
        let value = attribute.decoded_and_normalized_value(XmlVersion::Implicit1_0, decoder)?;
        found.push((String::from_utf8_lossy(key).into_owned(), value.into_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::placement_element::attribute_of;

    const UUID: &str = "7430d5d9-a334-461e-af4e-526061963a0d";

    fn domain(inside: &str) -> Domain {
        let xml = format!(
            "<domain type='kvm' id='1' xmlns:qemu='{QEMU_NAMESPACE}'><uuid>{UUID}</uuid>{inside}</domain>"
        );
        Domain::read(xml.as_bytes()).unwrap()
    }

    fn placement(inside: &str) -> Domain {
        domain(&format!("<metadata>{inside}</metadata>"))
    }

    /// The faults of a placement with these attributes.
    fn faults_of(attributes: &str) -> Vec<String> {
        placement(&format!("<pin:placement xmlns:pin='{NAMESPACE}' {attributes}/>")).faults.lines()
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
            format!(
                "<p:placement xmlns:p='{NAMESPACE}' cpus='0-1' vcpus='0@2,1@3'>\n <!-- x --></p:placement>"
            ),
            format!("<placement xmlns='{NAMESPACE}' cpus='0&#45;1' vcpus='0@2,1@3'/>"),
            format!("<other xmlns='urn:x'/><x:placement xmlns:x='{NAMESPACE}' cpus='0-1' vcpus='0@2,1@3'/>"),
        ] {
            let read = placement(&text);
            assert_eq!((read.placement, read.faults.lines()), (expected.clone(), Vec::new()), "{text}");
        }
    }

    #[test]
    fn what_stands_in_no_namespace_of_pinshims_is_nothing() {
        for text in [
            "<metadata><placement cpus='9'/></metadata>".to_owned(),
            "<metadata><x:placement xmlns:x='urn:x' cpus='9' x:cpus='9'/></metadata>".to_owned(),
            format!("<!-- <metadata><pin:placement xmlns:pin='{NAMESPACE}' cpus='9'/></metadata> -->"),
            format!("<metadata xmlns:pin='{NAMESPACE}'><note>urn:pinshim</note></metadata>"),
            String::new(),
        ] {
            let read = domain(&text);
            assert_eq!((read.placement, read.faults.lines()), (None, Vec::new()), "{text}");
        }
    }

    #[test]
    fn what_stands_elsewhere_in_pinshims_namespace_is_a_fault() {
        let pin = format!("<pin:placement xmlns:pin='{NAMESPACE}' cpus='9'/>");
        let stands =
            |place: &str| format!("<pin:placement> stands {place}, and belongs directly into <metadata>");
        for (text, fault) in [
            (format!("<description>{pin}</description>"), stands("in <description>")),
            (format!("<metadata><deeper>{pin}</deeper></metadata>"), stands("in <deeper>")),
            (format!("<a><b><c><d>{pin}</d></c></b></a>"), stands("in <d>")),
            (format!("<x:metadata xmlns:x='urn:x'>{pin}</x:metadata>"), stands("in <metadata>")),
            (pin.clone(), stands("in <domain>")),
        ] {
            let read = domain(&text);
            assert_eq!((read.placement, read.faults.lines()), (None, vec![fault]), "{text}");
        }
        let whole =
            format!("<pin:placement xmlns:pin='{NAMESPACE}' cpus='9'/><domain><uuid>{UUID}</uuid></domain>");
        assert_eq!(Domain::read(whole.as_bytes()).unwrap().faults.lines(), [stands("outside <domain>")]);
    }

    #[test]
    fn what_pinshims_namespace_does_not_know_is_a_fault() {
        let of = |space: &str| {
            format!("<placement> is of the namespace {space}; this pinshim knows {NAMESPACE} alone")
        };
        for (text, fault) in [
            (
                format!("<p:placements xmlns:p='{NAMESPACE}'/>"),
                "<pin:placements> is not known; there is <pin:placement>".to_owned(),
            ),
            (
                format!("<p:pinning xmlns:p='{NAMESPACE}' cpus='0'/>"),
                "<pin:pinning> is not known; there is <pin:placement>".to_owned(),
            ),
            ("<p:placement xmlns:p='urn:pinshim:domain:2' cpus='0'/>".to_owned(), of("urn:pinshim:domain:2")),
            ("<placement xmlns='urn:pinshim' cpus='0'/>".to_owned(), of("urn:pinshim")),
            ("<p:placement xmlns:p='URN:Pinshim:domain:1' cpus='0'/>".to_owned(), of("URN:Pinshim:domain:1")),
            ("<p:placement xmlns:p='urn:pins&#104;im:domain:1' cpus='0'/>".to_owned(), of(NAMESPACE)),
            (format!("<p:placement xmlns:p=' {NAMESPACE}' cpus='0'/>"), of(&format!(" {NAMESPACE}"))),
            (
                "<pin:placement cpus='0'/>".to_owned(),
                format!(
                    "the prefix of <placement> in <metadata> is not declared; write xmlns:pin=\"{NAMESPACE}\""
                ),
            ),
            (
                format!("<note xmlns:p='{NAMESPACE}' p:cpus='0'/>"),
                "attribute p:cpus has a prefix; the attributes of <pin:placement> have none: cpus".to_owned(),
            ),
        ] {
            let read = placement(&text);
            assert_eq!((read.placement, read.faults.lines()), (None, vec![fault]), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_element_is_said() {
        assert_eq!(faults_of("vcpu='1'"), ["<pin:placement> has no attribute vcpu; did you mean vcpus?"]);
        assert_eq!(
            faults_of("emulators='1'"),
            ["<pin:placement> has no attribute emulators; did you mean emulator?"]
        );
        let all = "cpus, vcpus, iothreads, emulator, workers, migration, vhost, threads, sched, memory, core, \
                   exclusive";
        assert_eq!(
            faults_of("disks='1'"),
            [format!("<pin:placement> has no attribute disks; there are {all}")]
        );
        // PIN_ERRORS does not place threads: it belongs into the environment.
        assert_eq!(
            faults_of("errors='warn'"),
            [format!("<pin:placement> has no attribute errors; there are {all}")]
        );
        assert_eq!(faults_of("cpus='0&#27;'"), ["attribute cpus: the value holds a control character"]);
        assert_eq!(
            faults_of("cpus='0' pin:cpus='1'"),
            ["attribute pin:cpus has a prefix; the attributes of <pin:placement> have none: cpus"]
        );
        assert_eq!(faults_of(""), [format!("<pin:placement> has no attribute; there are {all}")]);
        let two = format!("<pin:placement xmlns:pin='{NAMESPACE}' cpus='0'/>").repeat(2);
        assert_eq!(placement(&two).faults.lines(), ["there is more than one <pin:placement>"]);
        let with = |inside: &str| {
            let open = format!("<pin:placement xmlns:pin='{NAMESPACE}' cpus='0'>");
            placement(&format!("{open}{inside}</pin:placement>")).faults.lines()
        };
        assert_eq!(with("<vcpu/>"), ["<pin:placement> holds an element, <vcpu>"]);
        assert_eq!(with("<pin:vcpu/>"), ["<pin:placement> holds an element, <vcpu>"]);
        assert_eq!(with("<x:y xmlns:x='urn:x'/>"), ["<pin:placement> holds an element, <y>"]);
        assert_eq!(with("\n vcpus=1 "), ["<pin:placement> holds text: vcpus=1"]);
        assert_eq!(with("<![CDATA[1]]>"), ["<pin:placement> holds text: 1"]);
        assert_eq!(with("&amp;"), ["<pin:placement> holds text: &"]);
    }

    #[test]
    fn a_domain_may_want_its_cpus_for_itself() {
        let read = |attributes: &str| {
            placement(&format!("<pin:placement xmlns:pin='{NAMESPACE}' {attributes}/>")).is_exclusive
        };
        assert!(read("vcpus='1' exclusive='yes'") && read("exclusive='yes' vcpus='1'"));
        assert!(!read("vcpus='1'") && !read("vcpus='1' exclusive='no'"));
        assert_eq!(
            faults_of("vcpus='1' exclusive='true'"),
            ["attribute exclusive: true is neither yes nor no"]
        );
        let faults = faults_of("exclusive='yes'");
        assert!(
            faults[0].starts_with("<pin:placement> has no attribute that places threads; "),
            "{faults:?}"
        );
    }

    #[test]
    fn a_value_is_bounded_and_stays_on_one_line() {
        let read = placement(&format!("<pin:placement xmlns:pin='{NAMESPACE}' cpus='0&#10;PIN_LOG=x'/>"));
        assert_eq!(read.placement, Some(pairs(&[("PIN_CPUS", "0 PIN_LOG=x")])));
        assert!(faults_of(&format!("cpus='{}'", "0".repeat(VALUE_BYTES))).is_empty());
        let long = "0".repeat(VALUE_BYTES + 1);
        assert_eq!(
            faults_of(&format!("cpus='{long}'")),
            ["attribute cpus: the value has 8001 bytes, more than 8000"]
        );
        let read = domain(&format!(
            "<qemu:commandline><qemu:env name='PIN_CPUS' value='{long}'/></qemu:commandline>"
        ));
        assert_eq!(read.faults.lines(), ["<qemu:env> PIN_CPUS: the value has 8001 bytes, more than 8000"]);
    }

    #[test]
    fn the_environment_and_the_emulator() {
        let read = domain(
            "<devices><emulator>/usr/bin/qemu-pinned</emulator></devices>\
             <qemu:commandline><qemu:arg value='-S'/><qemu:env name='PIN_CPUS' value='1'/>\
             <qemu:env name='PATH' value='/'/><qemu:env name='PIN_LOG'/><qemu:env name='PIN_ROOT' value='/'/>\
             <qemu:env name='PIN_CPUS' value='2'/><qemu:env name='PIN_VCPU' value='2'/></qemu:commandline>",
        );
        assert_eq!(read.environment, pairs(&[("PIN_CPUS", "1"), ("PIN_LOG", ""), ("PIN_VCPU", "2")]));
        assert_eq!(read.emulator, "/usr/bin/qemu-pinned");
    }

    #[test]
    fn the_threads_that_a_domain_has_and_where_they_run_without_a_pin() {
        let read = domain(
            "<vcpu placement='static' cpuset='0-2' current='1'> 4 </vcpu><iothreads>2</iothreads>\
             <metadata><a:vcpu xmlns:a='urn:a' cpuset='7'>9</a:vcpu></metadata>",
        );
        assert_eq!((read.threads.vcpus().unwrap().len(), read.threads.iothreads().len()), (4, 2));
        assert_eq!(read.threads.cpuset().unwrap().to_string(), "0-2");
        let nothing = domain("").threads;
        assert_eq!((nothing.vcpus(), nothing.iothreads(), nothing.cpuset()), (None, Vec::new(), None));
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        let uuid = format!("<uuid>{UUID}</uuid>");
        for text in ["", "no XML", "<domain>", "<domain/>", "<domain><uuid/></domain>"] {
            assert!(Domain::read(text.as_bytes()).is_err(), "{text}");
        }
        let pin = format!("<pin:placement xmlns:pin='{NAMESPACE}' cpus");
        for inside in [
            "<a></b>".to_owned(),
            "<qemu:commandline><qemu:env name=x/></qemu:commandline></domain>".to_owned(),
            format!("<metadata>{pin}='&unknown;'/></metadata></domain>"),
            format!("<metadata>{pin}=0/></metadata></domain>"),
            format!("<metadata>{pin}='0' cpus='1'/></metadata></domain>"),
            "<metadata>".to_owned(),
        ] {
            let xml = format!("<domain xmlns:qemu='{QEMU_NAMESPACE}'>{uuid}{inside}");
            assert!(Domain::read(xml.as_bytes()).is_err(), "{xml}");
        }
        assert!(Domain::read(b"<domain>\xff</domain>").is_err());
    }

    #[test]
    fn a_uuid_is_one_and_nothing_else() {
        let read = |uuid: &str| Domain::read(format!("<domain><uuid>{uuid}</uuid></domain>").as_bytes());
        assert_eq!(read(&format!("\n {UUID} ")).unwrap().uuid, UUID);
        for uuid in [
            format!("{UUID}\nPIN_LOG=trace"),
            format!("{UUID}&#10;PIN_LOG=trace"),
            format!("{UUID}</uuid><uuid>{UUID}"),
            UUID.replace('-', "\n"),
            UUID.replace('a', "g"),
            UUID.replace('a', "é"),
            UUID.to_uppercase(),
            UUID.replace('-', "0"),
            "-".repeat(36),
            "x".to_owned(),
        ] {
            let why = read(&uuid).unwrap_err().to_string();
            assert!(why.contains("is no UUID"), "{uuid}: {why}");
        }
    }

    #[test]
    fn an_entity_elsewhere_does_not_matter() {
        let read = domain("<metadata><x y='&unknown;'>&unknown;</x></metadata>");
        assert_eq!((read.placement, read.faults.lines()), (None, Vec::new()));
    }

    #[test]
    fn what_no_domain_needs_is_not_read() {
        let read =
            |inside: String| Domain::read(format!("<domain><uuid>{UUID}</uuid>{inside}</domain>").as_bytes());
        let nested = |depth| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(read(nested(DEPTH - 1)).is_ok());
        let why = read(nested(200_000)).unwrap_err().to_string();
        assert!(why.ends_with("its elements are nested deeper than 256"), "{why}");
        let declared =
            |count| (0..count).map(|number| format!(" xmlns:n{number}='urn:n'")).collect::<String>();
        assert!(read(format!("<a{}/>", declared(64)).repeat(3)).is_ok());
        assert!(read(format!("<a{}/>", declared(65))).is_err());
        let why = read(format!("<a{0}><b{0}/></a>", declared(33))).unwrap_err().to_string();
        assert!(why.ends_with("it declares more than 64 namespaces at one place"), "{why}");
        let many: String = (0..100_000).map(|number| format!(" a{number}=''")).collect();
        let pin = format!("<metadata><pin:placement xmlns:pin='{NAMESPACE}'{many}/></metadata>");
        let why = read(pin).unwrap_err().to_string();
        assert!(why.ends_with("<pin:placement> has more than 64 attributes"), "{why}");
        // Elsewhere they are not looked at.
        assert!(read(format!("<a{many}/>")).is_ok());
    }
}
