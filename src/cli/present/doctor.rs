//! What the doctor has found, as lines for people and as JSON for programs.

use crate::doctor::finding::{Finding, Grade};
use crate::doctor::subject::Subject;
use crate::doctor::words::named;
use crate::output::failure::Failure;
use crate::output::line::{Emphasis, Line};
use crate::output::print::Output;
use crate::output::style::Style;
use crate::output::text::count;
use crate::present::json;
use serde::Serialize;

/// What was found for a VM, or for CPUs.
#[derive(Debug, Serialize)]
pub(crate) struct Examined {
    /// What it is called.
    #[serde(skip)]
    title: String,
    /// The VM's; null for CPUs.
    pid: Option<i32>,
    name: Option<String>,
    user: Option<u32>,
    /// The CPUs that were looked at.
    cpus: String,
    findings: Vec<Finding>,
    fixes: usize,
    notes: usize,
    oks: usize,
}

impl Examined {
    /// What was found for this subject.
    pub(crate) fn new(subject: &Subject<'_, '_>, findings: Vec<Finding>) -> Self {
        let number = |grade| findings.iter().filter(|finding| finding.grade == grade).count();
        let vm = subject.vm.map(|seen| &seen.vm);
        let cpus = subject.cpus.to_string();
        let title = match vm {
            Some(vm) if subject.vcpus().next().is_some() => format!("{}, vCPUs on {cpus}", vm.title()),
            Some(vm) => format!("{}, on {cpus}", vm.title()),
            None => named(&subject.cpus),
        };
        Self {
            title,
            pid: vm.map(|vm| vm.process.pid),
            name: vm.and_then(|vm| vm.name.clone()),
            user: vm.and_then(|vm| vm.owner),
            cpus,
            fixes: number(Grade::Fix),
            notes: number(Grade::Note),
            oks: number(Grade::Ok),
            findings,
        }
    }

    /// Whether there is something to be mended.
    pub(crate) fn has_fix(&self) -> bool {
        self.fixes > 0
    }

    /// The lines: one for each finding, on a terminal with what to do in a line of its own, where it can be copied.
    pub(crate) fn lines(&self, style: Style) -> Vec<Line> {
        let width = self.findings.iter().map(|finding| finding.topic.len()).max().unwrap_or(0);
        let mut lines = vec![Line::new(self.title.clone(), Some(Emphasis::Bold))];
        for finding in &self.findings {
            let emphasis = match finding.grade {
                Grade::Fix => Some(Emphasis::Red),
                Grade::Note => Some(Emphasis::Yellow),
                Grade::Ok => None,
            };
            let text = format!("{:4}  {:width$}  {finding}", finding.grade.word(), finding.topic);
            match &finding.to_do {
                Some(to_do) if style.size.is_some() => {
                    lines.push(Line::new(text, emphasis));
                    lines.push(Line::from(format!("      -> {to_do}")));
                }
                Some(to_do) => lines.push(Line::new(format!("{text} -> {to_do}"), emphasis)),
                None => lines.push(Line::new(text, emphasis)),
            }
        }
        let summary = format!("{} to fix, {}, {} ok", self.fixes, count(self.notes, "note"), self.oks);
        lines.push(Line::new(summary, Some(Emphasis::Bold)));
        lines
    }
}

/// The document of `pinshim doctor --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    pub(crate) version: u32,
    /// Whether there is nothing to fix, and all could be looked at.
    pub(crate) ok: bool,
    pub(crate) exit_status: u8,
    pub(crate) examined: &'a [Examined],
    /// Pids of QEMUs that are not pinned; only where nothing was named.
    pub(crate) not_pinned: &'a [i32],
    /// Why something could not be looked at.
    pub(crate) errors: Vec<String>,
}

/// Prints the document.
pub(crate) fn print_json(output: &mut Output, document: &Document<'_>) -> Result<(), Failure> {
    json::print(output, document)
}
