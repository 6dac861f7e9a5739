//! A domain's XML with another placement or another emulator, and all else byte for byte as it was.

use crate::libvirt::domain_xml::BadXml;
use crate::libvirt::placement_element::element;
use crate::libvirt::xml_layout::Layout;
use quick_xml::escape::escape;
use std::ops::Range;

/// What is to be changed.
#[derive(Debug, Default)]
pub(crate) struct Change<'a> {
    pub(crate) placement: PlacementChange<'a>,
    /// The path of another emulator.
    pub(crate) emulator: Option<&'a str>,
    /// Whether what `<cputune>` pins goes.
    pub(crate) drops_pins: bool,
}

/// What becomes of `<pin:placement>`.
#[derive(Debug, Default)]
pub(crate) enum PlacementChange<'a> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It stands for these variables, whatever stood there before.
    Set(&'a [(String, String)]),
    /// It goes, with all else in `<metadata>` that is in a namespace like pinshim's.
    Remove,
}

/// A part of the text with what comes in its place.
struct Edit {
    at: Range<usize>,
    text: String,
}

/// The XML with a change.
///
/// # Errors
/// It cannot be read, or has no place for what is to be changed.
pub(crate) fn edited(xml: &str, change: &Change<'_>) -> Result<String, BadXml> {
    let layout = Layout::read(xml)?;
    let mut edits = Vec::new();
    match change.placement {
        PlacementChange::Keep => {}
        PlacementChange::Set(variables) => edits.extend(set_placement(xml, &layout, &element(variables))),
        PlacementChange::Remove => {
            let gone: Vec<_> = layout.ours.iter().map(|ours| ours.at.clone()).collect();
            edits.extend(remove(xml, gone, layout.metadata.as_ref(), layout.inside_metadata.as_ref()));
        }
    }
    if let Some(path) = change.emulator {
        let at = layout.emulator.clone().ok_or_else(|| BadXml::because("it names no <emulator>"))?;
        edits.push(Edit { at, text: escape(path).into_owned() });
    }
    if change.drops_pins {
        edits.extend(remove(xml, layout.pins, layout.tuning.as_ref(), layout.inside_tuning.as_ref()));
    }
    Ok(apply(xml, edits))
}

fn set_placement(xml: &str, layout: &Layout, element: &str) -> Vec<Edit> {
    let mut known = layout.ours.iter().filter(|ours| ours.is_known).map(|ours| ours.at.clone());
    if let Some(first) = known.next() {
        let replaced = Edit { at: first, text: element.to_owned() };
        return [replaced].into_iter().chain(known.map(|at| without_its_line(xml, at))).collect();
    }
    let (at, text) = match (&layout.metadata, &layout.inside_metadata) {
        (Some(metadata), Some(inside)) => {
            let indent = indent(xml, metadata.start);
            let content = xml.get(inside.clone()).unwrap_or_default();
            let end = inside.start + content.trim_end().len();
            // The end tag stays on its own line, or comes there.
            let line = if content.get(content.trim_end().len()..).unwrap_or_default().contains('\n') {
                String::new()
            } else {
                format!("\n{indent}")
            };
            (end..end, format!("\n{indent}  {element}{line}"))
        }
        (Some(metadata), None) => {
            let indent = indent(xml, metadata.start);
            (metadata.clone(), format!("<metadata>\n{indent}  {element}\n{indent}</metadata>"))
        }
        (None, _) => {
            let indent = indent(xml, layout.description.start);
            let text = format!("\n{indent}<metadata>\n{indent}  {element}\n{indent}</metadata>");
            (layout.description.end..layout.description.end, text)
        }
    };
    vec![Edit { at, text }]
}

/// Takes elements away, and the one around them if it then holds nothing.
fn remove(
    xml: &str,
    elements: Vec<Range<usize>>,
    around: Option<&Range<usize>>,
    inside: Option<&Range<usize>>,
) -> Vec<Edit> {
    let edits: Vec<Edit> = elements.into_iter().map(|at| without_its_line(xml, at)).collect();
    let (Some(around), Some(inside)) = (around, inside) else { return edits };
    let mut rest = inside.start;
    let mut is_empty = !edits.is_empty();
    for edit in &edits {
        is_empty &= is_blank(xml, rest..edit.at.start.max(rest));
        rest = edit.at.end;
    }
    if is_empty && is_blank(xml, rest..inside.end) {
        vec![without_its_line(xml, around.clone())]
    } else {
        edits
    }
}

/// Takes an element away, with its line if nothing else stands on it.
fn without_its_line(xml: &str, at: Range<usize>) -> Edit {
    let before = xml.get(..at.start).unwrap_or_default();
    let line = before.rfind('\n').filter(|line| is_blank(xml, *line..at.start));
    let ends_line =
        xml.get(at.end..).is_some_and(|after| after.trim_start_matches([' ', '\t', '\r']).starts_with('\n'));
    Edit { at: line.filter(|_| ends_line).unwrap_or(at.start)..at.end, text: String::new() }
}

fn is_blank(xml: &str, at: Range<usize>) -> bool {
    xml.get(at).is_some_and(|text| text.trim().is_empty())
}

/// What stands before an element on its line, if it is only white space.
fn indent(xml: &str, start: usize) -> &str {
    let before = xml.get(..start).unwrap_or_default();
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    before.get(line..).filter(|indent| indent.trim().is_empty()).unwrap_or("  ")
}

/// The text with its edits, of which no two overlap.
fn apply(xml: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| edit.at.start);
    let mut text = String::new();
    let mut rest = 0;
    for Edit { at, text: new } in edits {
        text += xml.get(rest..at.start).unwrap_or_default();
        text += &new;
        rest = at.end;
    }
    text + xml.get(rest..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect()
    }

    /// A domain as libvirt writes it, with these lines after its description and in its `<cputune>`.
    fn domain(metadata: &str, tuning: &str) -> String {
        format!(
            "<domain type='kvm' id='1'>\n  <name>we&amp;b</name>\n  <uuid>x</uuid>\n  <description>é\n  </description>\n{metadata}  \
             <memory unit='KiB'>1</memory>\n{tuning}  <os>\n    <type arch='x86_64' machine='pc'>hvm</type>\n  </os>\n  \
             <devices>\n    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n    <disk><emulator>x</emulator></disk>\n  \
             </devices>\n</domain>\n"
        )
    }

    const PIN: &str = "<pin:placement xmlns:pin=\"urn:pinshim:domain:1\" cpus=\"0\"/>";

    #[track_caller]
    fn sets(before: &str, after: &str) {
        let placement = variables(&[("PIN_CPUS", "0")]);
        let change = Change { placement: PlacementChange::Set(&placement), ..Change::default() };
        assert_eq!(edited(&domain(before, ""), &change).unwrap(), domain(after, ""));
    }

    #[track_caller]
    fn removes(before: &str, after: &str) {
        let change = Change { placement: PlacementChange::Remove, ..Change::default() };
        assert_eq!(edited(&domain(before, ""), &change).unwrap(), domain(after, ""));
    }

    #[test]
    fn a_placement_comes_where_libvirt_writes_it() {
        let alone = format!("  <metadata>\n    {PIN}\n  </metadata>\n");
        sets("", &alone);
        sets("  <metadata/>\n", &alone);
        sets("  <metadata></metadata>\n", &alone);
        sets("  <metadata>\n  </metadata>\n", &alone);
        let other = "    <a:b xmlns:a='urn:a'>\n      <a:c/>\n    </a:b>\n";
        sets(
            &format!("  <metadata>\n{other}  </metadata>\n"),
            &format!("  <metadata>\n{other}    {PIN}\n  </metadata>\n"),
        );
    }

    #[test]
    fn a_placement_takes_the_place_of_those_that_there_are() {
        let old = "<p:placement xmlns:p='urn:pinshim:domain:1' vcpus='1'><x/></p:placement>";
        let other = "    <a:b xmlns:a='urn:a'/>\n";
        sets(
            &format!("  <metadata>\n    {old}\n{other}    {old}\n  </metadata>\n"),
            &format!("  <metadata>\n    {PIN}\n{other}  </metadata>\n"),
        );
    }

    #[test]
    fn a_placement_goes_without_a_trace() {
        removes("", "");
        removes(&format!("  <metadata>\n    {PIN}\n  </metadata>\n"), "");
        let newer = "<pin:placement xmlns:pin='URN:pinshim:domain:9'/>";
        removes(&format!("  <metadata>\n    {PIN}\n    {newer}\n  </metadata>\n"), "");
        let other = "    <a:b xmlns:a='urn:a'/>\n";
        removes(
            &format!("  <metadata>\n{other}    {PIN}\n  </metadata>\n"),
            &format!("  <metadata>\n{other}  </metadata>\n"),
        );
        removes(&format!("  <metadata>{PIN}<a/></metadata>\n"), "  <metadata><a/></metadata>\n");
        removes("  <metadata>\n  </metadata>\n", "  <metadata>\n  </metadata>\n");
    }

    #[test]
    fn only_the_domains_own_emulator_is_changed() {
        let xml = domain("", "");
        let change = Change { emulator: Some("/opt/a&b/qemu-pinned"), ..Change::default() };
        let expected = xml.replace(
            "<emulator>/usr/bin/qemu-system-x86_64</emulator>",
            "<emulator>/opt/a&amp;b/qemu-pinned</emulator>",
        );
        assert_eq!(edited(&xml, &change).unwrap(), expected);
        assert!(edited("<domain/>", &change).is_err());
    }

    #[test]
    fn the_pins_of_cputune_go_and_nothing_else_of_it() {
        let pins = "    <vcpupin vcpu='0' cpuset='1'/>\n    <emulatorpin cpuset='0'/>\n    <iothreadpin iothread='1' cpuset='1'/>\n";
        let shares = "    <shares>2048</shares>\n";
        let change = Change { drops_pins: true, ..Change::default() };
        let edit = |tuning: &str| edited(&domain("", tuning), &change).unwrap();
        assert_eq!(edit(&format!("  <cputune>\n{pins}  </cputune>\n")), domain("", ""));
        assert_eq!(
            edit(&format!("  <cputune>\n{shares}{pins}  </cputune>\n")),
            domain("", &format!("  <cputune>\n{shares}  </cputune>\n"))
        );
        assert_eq!(edit(""), domain("", ""));
    }

    #[test]
    fn a_value_is_written_so_that_it_is_read_again() {
        let placement = variables(&[("PIN_THREADS", "a<b>\"c&d@1")]);
        let element = element(&placement);
        let uuid = "7430d5d9-a334-461e-af4e-526061963a0d";
        let xml = format!("<domain><uuid>{uuid}</uuid><metadata>{element}</metadata></domain>");
        let read = crate::libvirt::domain_xml::Domain::read(xml.as_bytes()).unwrap();
        assert_eq!((read.placement, read.faults.lines()), (Some(placement), Vec::new()));
    }

    #[test]
    fn what_is_taken_back_leaves_the_xml_as_it_was() {
        let placement = variables(&[("PIN_CPUS", "0")]);
        for metadata in ["", "  <metadata>\n    <a:b xmlns:a='urn:a'/>\n  </metadata>\n"] {
            let xml = domain(metadata, "");
            let to = Change {
                placement: PlacementChange::Set(&placement),
                emulator: Some("/usr/local/bin/qemu-pinned"),
                drops_pins: false,
            };
            let back = Change {
                placement: PlacementChange::Remove,
                emulator: Some("/usr/bin/qemu-system-x86_64"),
                drops_pins: false,
            };
            assert_eq!(edited(&edited(&xml, &to).unwrap(), &back).unwrap(), xml);
        }
    }
}
