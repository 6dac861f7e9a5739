//! `<pin:placement>`: what may stand in it, and the sentences for what may not.
//!
//! Nothing that stands in a namespace of pinshim's is left out silently: what is not understood is a fault.

use crate::output::text::cut;
use pinning::VARIABLES;
use quick_xml::escape::escape;

/// The namespace of the element. It ends in the version of what may stand in it.
pub(crate) const NAMESPACE: &str = "urn:pinshim:domain:1";

/// A longer value is a fault. All of them then fit into the file that the wrapper reads, of 96 KiB.
pub(crate) const VALUE_BYTES: usize = 8000;

/// So many characters of a stranger's word stand in a sentence.
const SHOWN: usize = 60;

/// The attribute that has the domain's CPUs kept for it: it stands for no variable.
pub(crate) const EXCLUSIVE: &str = "exclusive";

/// What that attribute says.
///
/// # Errors
/// It says something else.
pub(crate) fn exclusive(value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("attribute {EXCLUSIVE}: {} is neither yes nor no", shown(value))),
    }
}

/// The variable that an attribute stands for: the variable's name without `PIN_`, in small letters.
///
/// # Errors
/// There is none.
pub(crate) fn variable_of(attribute: &str) -> Result<&'static str, String> {
    let named = |attribute: &str| placing().find(|variable| attribute_of(variable) == attribute);
    named(attribute).ok_or_else(|| {
        let (plural, singular) = (format!("{attribute}s"), attribute.trim_end_matches('s'));
        let meant = [plural.as_str(), singular].into_iter().find(|meant| named(meant).is_some());
        let hint = meant.map_or_else(known, |meant| format!("did you mean {meant}?"));
        format!("<pin:placement> has no attribute {}; {hint}", shown(attribute))
    })
}

/// The value of an attribute as a variable has it: white space, which only separates items, is blanks. A line
/// feed would end the value in the wrapper's file.
///
/// # Errors
/// It is too long, or holds a control character.
pub(crate) fn value_of(attribute: &str, value: &str) -> Result<String, String> {
    if value.len() > VALUE_BYTES {
        let bytes = value.len();
        return Err(format!("attribute {attribute}: the value has {bytes} bytes, more than {VALUE_BYTES}"));
    }
    if value.contains(|c: char| c.is_control() && !c.is_whitespace()) {
        return Err(format!("attribute {attribute}: the value holds a control character"));
    }
    Ok(value.replace(char::is_whitespace, " "))
}

/// The sentence for an element without attributes, or without any but [`EXCLUSIVE`].
pub(crate) fn no_attributes(is_exclusive: bool) -> String {
    let that = if is_exclusive { " that places threads" } else { "" };
    format!("<pin:placement> has no attribute{that}; {}", known())
}

fn known() -> String {
    let all: Vec<String> = placing().map(attribute_of).chain([EXCLUSIVE.to_owned()]).collect();
    format!("there are {}", all.join(", "))
}

/// The variables that place threads.
fn placing() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().filter(|variable| variable.places()).map(|variable| variable.name)
}

/// The attribute that stands for a variable.
pub(crate) fn attribute_of(variable: &str) -> String {
    variable.trim_start_matches("PIN_").to_ascii_lowercase()
}

/// The element that stands for variables, as it is written into an XML.
pub(crate) fn element<N: AsRef<str>>(variables: &[(N, String)]) -> String {
    let attributes = variables.iter().map(|(variable, value)| {
        format!(" {}=\"{}\"", attribute_of(variable.as_ref()), escape(value.as_str()))
    });
    format!("<pin:placement xmlns:pin=\"{NAMESPACE}\"{}/>", attributes.collect::<String>())
}

/// The beginning of a stranger's word, for a sentence.
pub(crate) fn shown(word: &str) -> String {
    cut(word, SHOWN).into_owned()
}
