//! The tools of a session, and how a call of one becomes an outcome.

use std::sync::Arc;

use cofferdam_domain::{
    Parent, ToolCall, ToolOutcome, ToolSpec,
    delegation::{CustomShape, DELEGATE},
    egress::AccessPolicy,
    event::EditFormat,
    foreign::Foreign,
};
use cofferdam_sandbox::System;

use crate::{
    access::RequestAccess,
    apply_patch::ApplyPatch,
    ask::Ask,
    background::Background,
    browser,
    call::Arguments,
    delegate::Delegate,
    display::{self, Display, Lit},
    edit::Edit,
    files::Seen,
    finish::FinishTool,
    finish_review::FinishReview,
    finish_subagent::FinishSubagent,
    foreign::ForeignTools,
    glob::Glob,
    grep::Grep,
    list::List,
    plan::Plan,
    process::ProcessTool,
    propose_plan::ProposePlan,
    read::Read,
    remember::{self, Remember},
    shell::{self, Shell},
    skill::{self, Skill},
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
    /// The display that windows appear on.
    lit: Arc<Lit>,
    foreign: ForeignTools,
}

impl Toolbox {
    /// The usual tools, with the one edit tool that the model was trained on.
    #[must_use]
    pub fn standard(edits: EditFormat) -> Self {
        let seen = Arc::new(Seen::default());
        let background = Arc::new(Background::default());
        let lit = Arc::new(Lit::default());
        let edit: Box<dyn Tool> = match edits {
            EditFormat::Replace => Box::new(Edit::new(Arc::clone(&seen))),
            EditFormat::ApplyPatch => Box::new(ApplyPatch::new(Arc::clone(&seen))),
        };
        Self {
            tools: vec![
                Box::new(Shell::new(Arc::clone(&background), System::ReadOnly, Arc::clone(&lit))),
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
            lit,
            foreign: ForeignTools::default(),
        }
    }

    /// The same with tools of other programs: each of them, or where they are many, two tools that find and call them.
    #[must_use]
    pub fn with_foreign(mut self, foreign: &Foreign) -> Self {
        self.foreign = ForeignTools::new(foreign.clone());
        self
    }

    /// The same with the tool that asks for access, where policy lets an agent ask.
    #[must_use]
    pub fn with_access(mut self, policy: AccessPolicy) -> Self {
        match policy {
            AccessPolicy::Refuse => {}
            AccessPolicy::Ask => self.tools.push(Box::new(RequestAccess::default())),
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

    /// The same with the tools of a browser, where a session has them. `program` is where the browser is inside, if there is one.
    #[must_use]
    pub fn with_browser(mut self, browser: bool, program: Option<&str>) -> Self {
        if browser {
            self.tools.extend(browser::tools(program.map(str::to_owned)));
        }
        self
    }

    /// The same with the tool of a display, where a session has it. `display` says where its programs are inside, if there are any.
    #[must_use]
    pub fn with_display(mut self, has: bool, display: Option<&Display>) -> Self {
        if has {
            self.tools.push(display::tool(display.cloned(), Arc::clone(&self.lit)));
        }
        self
    }

    /// Whether tools that were fixed have that of a display.
    #[must_use]
    pub fn has_display(fixed: &[ToolSpec]) -> bool {
        display::is_among(fixed)
    }

    /// Whether tools that were fixed have those of a browser.
    #[must_use]
    pub fn has_browser(fixed: &[ToolSpec]) -> bool {
        browser::are_among(fixed)
    }

    /// The same with the tool that gives the texts of skills.
    #[must_use]
    pub fn with_skills(mut self, skills: bool) -> Self {
        if skills {
            self.tools.push(Box::new(Skill));
        }
        self
    }

    /// Whether tools that were fixed have the one that gives the texts of skills.
    #[must_use]
    pub fn has_skills(fixed: &[ToolSpec]) -> bool {
        fixed.iter().any(|tool| tool.name == skill::NAME)
    }

    /// The same with the tool that proposes what later sessions should know, where sessions have memories.
    #[must_use]
    pub fn with_memory(mut self, memory: bool) -> Self {
        if memory {
            self.tools.push(Box::new(Remember));
        }
        self
    }

    /// Whether tools that were fixed have the one that proposes what later sessions should know.
    #[must_use]
    pub fn has_memory(fixed: &[ToolSpec]) -> bool {
        fixed.iter().any(|tool| tool.name == remember::NAME)
    }

    /// The same for a session that reviews what is there, if this is one: nothing to write files with, and another end. Commands may change
    /// files all the same, to try something out; nothing comes of that.
    #[must_use]
    pub fn reviewing(mut self, reviews: bool) -> Self {
        if reviews {
            self.tools
                .retain(|tool| !["edit", "apply_patch", "write", "finish"].contains(&tool.definition().name));
            self.tools.push(Box::new(FinishReview));
        }
        self
    }

    /// The same with the tool that hands work out, where a session may do that.
    #[must_use]
    pub fn with_subagents(mut self, may: bool) -> Self {
        if may {
            self.tools.push(Box::new(Delegate));
        }
        self
    }

    /// Whether tools that were fixed have the one that hands work out.
    #[must_use]
    pub fn has_subagents(fixed: &[ToolSpec]) -> bool {
        fixed.iter().any(|tool| tool.name == DELEGATE)
    }

    /// The same for a session that works for another one, if this is one: never more than that has, nothing that asks people, and another end.
    #[must_use]
    pub fn working_for(mut self, parent: Option<&Parent>) -> Self {
        let Some(parent) = parent else { return self };
        self.tools.retain(|tool| match tool.definition().name {
            "edit" | "apply_patch" | "write" => parent.kind.changes_files(),
            "shell" | "process" => parent.kind.runs_programs(),
            name if browser::is_one(name) || display::is_one(name) => parent.kind.runs_programs(),
            name => ["read", "grep", "glob", "list", "plan", DELEGATE].contains(&name),
        });
        if let Some(custom) = &parent.custom {
            self.tools.retain(|tool| keeps(&custom.shape, tool.definition().name));
        }
        self.tools.push(Box::new(FinishSubagent::new(parent.schema.clone())));
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
            *tool = Box::new(Shell::new(Arc::clone(&self.background), system, Arc::clone(&self.lit)));
        }
        self
    }

    /// The tools as the model is shown them: the same bytes every time.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.iter().map(|tool| tool.definition().spec()).chain(self.foreign.specs()).collect()
    }

    /// Carries out a call. Never fails: whatever goes wrong is an outcome whose text lets a model recover.
    /// The text is at most [`MAX_TEXT`](crate::MAX_TEXT) bytes. Dropping the future kills what the call has
    /// started, but for background commands.
    pub async fn call(&self, context: &Context<'_>, call: &ToolCall) -> ToolOutcome {
        let outcome = self.attempt(context, call).await.unwrap_or_else(ToolOutcome::from);
        ToolOutcome { text: capped(outcome.text), ..outcome }
    }

    async fn attempt(&self, context: &Context<'_>, call: &ToolCall) -> Result<ToolOutcome, Failure> {
        if self.foreign.has(&call.name) {
            return self.foreign.call(context, call).await;
        }
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
        let ours = self.tools.iter().map(|tool| tool.definition().name);
        let known: Vec<&str> = ours.chain(self.foreign.names()).collect();
        let lower = bare.to_lowercase();
        let foreign = FOREIGN_NAMES.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours);
        let near =
            foreign.filter(|ours| named(ours).is_some()).or_else(|| closest(bare, known.iter().copied()));
        let meant = near.map_or(String::new(), |near| format!(" Did you mean {near}?"));
        Err(Failure(format!("There is no tool {}.{meant} Tools: {}.", shorten(name, 60), known.join(", "))))
    }
}

/// Whether a kind that a file describes keeps a tool that its built-in kind has. One that names its tools hands no work out: whoever works for it
/// would have tools that it has not named.
fn keeps(shape: &CustomShape, tool: &str) -> bool {
    match tool {
        "plan" => true,
        "apply_patch" => shape.keeps("edit"),
        "process" => shape.keeps("shell"),
        DELEGATE => shape.tools.is_none(),
        name if browser::is_one(name) => shape.keeps("browser"),
        name => shape.keeps(name),
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{CallId, SubagentKind, delegation::CustomKind};

    use super::*;

    #[test]
    fn every_example_is_a_valid_call() {
        for edits in [EditFormat::Replace, EditFormat::ApplyPatch] {
            let usual = Toolbox::standard(edits)
                .with_access(AccessPolicy::Ask)
                .with_plan_first(true)
                .with_skills(true)
                .with_browser(true, None)
                .with_display(true, None)
                .with_memory(true);
            for tool in usual.tools.into_iter().chain(Toolbox::standard(edits).reviewing(true).tools) {
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
    fn whoever_reviews_writes_nothing() {
        for edits in [EditFormat::Replace, EditFormat::ApplyPatch] {
            let specs = Toolbox::standard(edits).reviewing(true).specs();
            let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
            assert_eq!(names, ["shell", "process", "read", "grep", "glob", "list", "plan", "ask", "finish"]);
            assert!(specs.last().unwrap().parameters.to_string().contains("remarks"));
        }
    }

    #[test]
    fn whoever_works_for_another_has_less() {
        let standard = || Toolbox::standard(EditFormat::Replace);
        let whole = standard().with_access(AccessPolicy::Ask).with_plan_first(true).with_skills(true);
        let all: Vec<String> = whole.specs().into_iter().map(|spec| spec.name).collect();
        for (kind, expected) in [
            (SubagentKind::Explore, "read grep glob list plan finish"),
            (SubagentKind::Plan, "read grep glob list plan finish"),
            (SubagentKind::Test, "shell process read grep glob list plan finish"),
            (SubagentKind::Review, "shell process read grep glob list plan finish"),
            (SubagentKind::Implement, "shell process read edit write grep glob list plan finish"),
        ] {
            let (session, call) = (cofferdam_domain::SessionId::from_u128(1), CallId { step: 1, index: 0 });
            let parent = Parent { session, call, kind, depth: 1, schema: None, custom: None };
            let toolbox = standard().with_access(AccessPolicy::Ask).with_plan_first(true).with_skills(true);
            let toolbox = toolbox.with_memory(true);
            let names: Vec<String> =
                toolbox.working_for(Some(&parent)).specs().into_iter().map(|spec| spec.name).collect();
            assert_eq!(names.join(" "), expected, "{kind:?}");
            assert!(names.iter().all(|name| all.contains(name)));
        }
    }

    #[test]
    fn a_kind_of_a_file_has_less_and_never_more() {
        let (session, call) = (cofferdam_domain::SessionId::from_u128(1), CallId { step: 1, index: 0 });
        let names = |base: SubagentKind, tools: Option<&[&str]>| {
            let tools = tools.map(|tools| tools.iter().map(|tool| (*tool).to_owned()).collect());
            let shape = CustomShape { base, tools, model: None };
            let giver = cofferdam_domain::event::Giver::Repository;
            let digest = cofferdam_domain::Digest::of(b"");
            let custom = Some(Box::new(CustomKind { name: "x".into(), giver, digest, shape }));
            let parent = Parent { session, call, kind: base, depth: 1, schema: None, custom };
            let toolbox =
                Toolbox::standard(EditFormat::ApplyPatch).with_subagents(true).with_browser(true, None);
            let specs = toolbox.working_for(Some(&parent)).specs();
            specs.into_iter().map(|spec| spec.name).collect::<Vec<_>>().join(" ")
        };
        let all = ["read", "grep", "glob", "list", "shell", "edit", "write", "browser", "delegate", "root"];
        assert_eq!(names(SubagentKind::Explore, Some(&all)), "read grep glob list plan finish");
        assert_eq!(names(SubagentKind::Explore, None), "read grep glob list plan delegate finish");
        assert_eq!(names(SubagentKind::Implement, Some(&["read", "edit"])), "read apply_patch plan finish");
        assert_eq!(names(SubagentKind::Test, Some(&["shell"])), "shell process plan finish");
        assert!(names(SubagentKind::Test, Some(&["browser"])).starts_with("plan browser_"));
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
