//! The tools of a session, and how a call of one becomes an outcome.

use std::sync::Arc;

use cofferdam_domain::{ToolCall, ToolOutcome, ToolSpec, egress::AccessPolicy, event::EditFormat};
use cofferdam_sandbox::System;

use crate::{
    access::RequestAccess,
    apply_patch::ApplyPatch,
    ask::Ask,
    background::Background,
    call::Arguments,
    edit::Edit,
    files::Seen,
    finish::FinishTool,
    glob::Glob,
    grep::Grep,
    list::List,
    plan::Plan,
    process::ProcessTool,
    propose_plan::ProposePlan,
    read::Read,
    shell::{self, Shell},
    text::{capped, closest, shorten},
    tool::{Context, Failure, Tool},
    write::Write,
};

/// Names that other tool sets have for tools like ours, in lower case: (theirs, ours).
const FOREIGN_NAMES: [(&str, &str); 22] = [
    ("bash", "shell"),
    ("exec", "shell"),
    ("exec_command", "shell"),
    ("run", "shell"),
    ("execute_command", "shell"),
    ("run_command", "shell"),
    ("run_shell_command", "shell"),
    ("terminal", "shell"),
    ("cat", "read"),
    ("view", "read"),
    ("create", "write"),
    ("create_file", "write"),
    ("str_replace", "edit"),
    ("str_replace_editor", "edit"),
    ("replace", "edit"),
    ("search", "grep"),
    ("find", "glob"),
    ("ls", "list"),
    ("todo_write", "plan"),
    ("update_plan", "plan"),
    ("write_stdin", "process"),
    ("submit", "finish"),
];

/// The tools of one session, with what they remember: which state of each file the agent has seen, and what
/// runs in the background.
///
/// All of that is lost with the value, and a new one is as good: after a crash the agent is told to read
/// files again, and the background commands have ended with their sandbox.
pub struct Toolbox {
    tools: Vec<Box<dyn Tool>>,
    background: Arc<Background>,
}

impl Toolbox {
    /// The usual tools, with the one edit tool that the model was trained on.
    #[must_use]
    pub fn standard(edits: EditFormat) -> Self {
        let seen = Arc::new(Seen::default());
        let background = Arc::new(Background::default());
        let edit: Box<dyn Tool> = match edits {
            EditFormat::Replace => Box::new(Edit::new(Arc::clone(&seen))),
            EditFormat::ApplyPatch => Box::new(ApplyPatch::new(Arc::clone(&seen))),
        };
        Self {
            tools: vec![
                Box::new(Shell::new(Arc::clone(&background), System::ReadOnly)),
                Box::new(ProcessTool::new(Arc::clone(&background))),
                Box::new(Read::new(Arc::clone(&seen))),
                edit,
                Box::new(Write::new(seen)),
                Box::new(Grep),
                Box::new(Glob),
                Box::new(List),
                Box::new(Plan),
                Box::new(Ask),
                Box::new(FinishTool),
            ],
            background,
        }
    }

    /// The same with the tool that asks for access, where policy lets an agent ask.
    #[must_use]
    pub fn with_access(mut self, policy: AccessPolicy) -> Self {
        match policy {
            AccessPolicy::Refuse => {}
            AccessPolicy::Ask => self.tools.push(Box::new(RequestAccess)),
        }
        self
    }

    /// The same with the tool that proposes a plan, for sessions in which nothing may be changed before one is approved.
    #[must_use]
    pub fn with_plan_first(mut self, plan_first: bool) -> Self {
        if plan_first {
            self.tools.push(Box::new(ProposePlan));
        }
        self
    }

    /// Whether a command runs beside the conversation.
    #[must_use]
    pub fn has_background(&self) -> bool {
        !self.background.running().is_empty()
    }

    /// The same for sandboxes with such a system: where it can be changed, `shell` can be told to be root.
    #[must_use]
    pub fn with_system(mut self, system: System) -> Self {
        for tool in self.tools.iter_mut().filter(|tool| tool.definition().name == shell::NAME) {
            *tool = Box::new(Shell::new(Arc::clone(&self.background), system));
        }
        self
    }

    /// The tools as the model is shown them: the same bytes every time.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.iter().map(|tool| tool.definition().spec()).collect()
    }

    /// Carries out a call. Never fails: whatever goes wrong is an outcome whose text lets a model recover.
    /// The text is at most [`MAX_TEXT`](crate::MAX_TEXT) bytes. Dropping the future kills what the call has
    /// started, but for background commands.
    pub async fn call(&self, context: &Context<'_>, call: &ToolCall) -> ToolOutcome {
        let outcome = self.attempt(context, call).await.unwrap_or_else(ToolOutcome::from);
        ToolOutcome { text: capped(outcome.text), ..outcome }
    }

    async fn attempt(&self, context: &Context<'_>, call: &ToolCall) -> Result<ToolOutcome, Failure> {
        let tool = self.find(&call.name)?;
        let arguments = Arguments::of(call, tool.definition())?;
        tool.call(context, &arguments).await
    }

    fn find(&self, name: &str) -> Result<&dyn Tool, Failure> {
        let named =
            |wanted: &str| self.tools.iter().find(|tool| tool.definition().name == wanted).map(AsRef::as_ref);
        // Some models put the name of a namespace before it.
        let bare = name.rsplit(['.', ':', '/']).next().unwrap_or(name).trim();
        if let Some(tool) = named(bare) {
            return Ok(tool);
        }
        let known: Vec<&str> = self.tools.iter().map(|tool| tool.definition().name).collect();
        let lower = bare.to_lowercase();
        let foreign = FOREIGN_NAMES.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours);
        let near =
            foreign.filter(|ours| named(ours).is_some()).or_else(|| closest(bare, known.iter().copied()));
        let meant = near.map_or(String::new(), |near| format!(" Did you mean {near}?"));
        Err(Failure(format!("There is no tool {}.{meant} Tools: {}.", shorten(name, 60), known.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_valid_call() {
        for edits in [EditFormat::Replace, EditFormat::ApplyPatch] {
            for tool in Toolbox::standard(edits).with_access(AccessPolicy::Ask).with_plan_first(true).tools {
                let definition = tool.definition();
                let call = ToolCall {
                    provider_id: "x".into(),
                    name: definition.name.into(),
                    arguments: definition.example.into(),
                    opaque: None,
                };
                assert!(Arguments::of(&call, definition).is_ok(), "{}", definition.name);
            }
        }
    }

    #[test]
    fn one_edit_tool_and_no_name_twice() {
        for (edits, own, other) in
            [(EditFormat::Replace, "edit", "apply_patch"), (EditFormat::ApplyPatch, "apply_patch", "edit")]
        {
            let toolbox = Toolbox::standard(edits);
            let mut names: Vec<String> = toolbox.specs().into_iter().map(|spec| spec.name).collect();
            assert!(names.iter().any(|name| name == own) && names.iter().all(|name| name != other));
            names.sort();
            names.dedup();
            assert_eq!(names.len(), toolbox.tools.len());
            assert!(FOREIGN_NAMES.iter().all(|(theirs, _)| !names.iter().any(|name| name == theirs)));
        }
    }
}
