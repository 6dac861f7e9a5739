//! A domain whose configuration is to be changed.

use crate::libvirt::difference;
use crate::libvirt::domain_xml::Domain;
use crate::libvirt::virsh::{Info, Virsh};
use crate::libvirt::xml_edit::{Change, edited};
use crate::output::failure::Failure;
use crate::output::text::in_command;
use std::ffi::OsStr;

/// A domain, as it would be started now.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) uuid: String,
    pub(crate) info: Info,
    pub(crate) xml: String,
    pub(crate) domain: Domain,
}

impl Target {
    /// The domain of this name or UUID.
    ///
    /// # Errors
    /// There is none, or its XML cannot be read, or libvirt keeps none.
    pub(crate) fn find(virsh: &Virsh, name: &OsStr) -> Result<Self, Failure> {
        let uuid = virsh.uuid(name)?;
        let info = virsh.info(&uuid)?;
        if !info.is_persistent {
            return Err(Failure::new(format!("{} is transient: it ends with its QEMU", info.name))
                .next("pin it in the XML that it is created from"));
        }
        let xml = virsh.inactive_xml(&uuid)?;
        let domain = read(&xml)?;
        Ok(Self { uuid, info, xml, domain })
    }

    /// Its XML with a change, and what that says.
    ///
    /// # Errors
    /// It cannot be changed so.
    pub(crate) fn changed(&self, change: &Change<'_>) -> Result<(String, Domain), Failure> {
        let xml = edited(&self.xml, change).map_err(|error| Failure::new(error.to_string()))?;
        let domain = read(&xml)?;
        Ok((xml, domain))
    }

    /// What is changed, for people.
    pub(crate) fn difference(&self, xml: &str, new_name: &str) -> Vec<String> {
        let name = &self.info.name;
        difference::lines(&self.xml, xml, [name, &format!("{name}, {new_name}")])
    }

    /// Makes a changed XML the domain's configuration, and sees that libvirt has kept the change.
    ///
    /// # Errors
    /// Somebody else has changed it meanwhile, or libvirt does not take it.
    pub(crate) fn redefine(&self, virsh: &Virsh, xml: &str, expected: &Domain) -> Result<(), Failure> {
        let name = &self.info.name;
        if virsh.inactive_xml(&self.uuid)? != self.xml {
            return Err(
                Failure::new(format!("somebody else has changed {name} meanwhile")).next("do it again")
            );
        }
        virsh.define(xml)?;
        let kept = read(&virsh.inactive_xml(&self.uuid)?)?;
        if kept.placement == expected.placement && kept.emulator == expected.emulator {
            return Ok(());
        }
        Err(Failure::new(format!("libvirt has not kept the change of {name}"))
            .next("look at virsh dumpxml --inactive"))
    }

    /// What is to be done, and known, before the change counts, each in a sentence.
    pub(crate) fn advice(&self) -> Vec<String> {
        let name = &self.info.name;
        let word = in_command(name, &self.uuid);
        let mut lines = Vec::new();
        if self.info.is_active() {
            lines.push(format!(
                "{name} runs as before until it is started anew; a reboot is not enough: virsh shutdown {word}, \
                 wait until virsh domstate {word} says \"shut off\", virsh start {word}"
            ));
        }
        if self.info.has_managed_save {
            lines.push(format!(
                "{name} has a managed save, which goes on with the XML of that time: let it be restored and shut it \
                 down, or drop what was saved with virsh managedsave-remove {word}"
            ));
        }
        lines
    }
}

/// Reads a domain's XML.
pub(crate) fn read(xml: &str) -> Result<Domain, Failure> {
    Domain::read(xml.as_bytes()).map_err(|error| Failure::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_shell_would_run_is_in_no_command_of_the_advice() {
        let advice = |name: &str| {
            let info = Info {
                name: name.to_owned(),
                state: "running".to_owned(),
                is_persistent: true,
                has_managed_save: true,
            };
            let uuid = "7430d5d9-a334-461e-af4e-526061963a0d".to_owned();
            Target { uuid, info, xml: String::new(), domain: Domain::default() }.advice().join("\n")
        };
        assert_eq!(advice("web").matches("virsh shutdown web,").count(), 1);
        let hostile = advice("web; reboot");
        let commands: Vec<&str> = hostile.split("virsh ").skip(1).collect();
        assert_eq!(commands.len(), 4, "{hostile}");
        for command in commands {
            assert_eq!(
                command.split_whitespace().nth(1).map(|word| word.trim_end_matches(',')),
                Some("7430d5d9-a334-461e-af4e-526061963a0d"),
                "{command}"
            );
        }
    }
}
