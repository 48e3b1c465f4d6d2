//! `apply_patch`: a patch over several files, all of it or nothing.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::ToolOutcome;
use cofferdam_sandbox::{Command, FileProblem, SandboxError, User, Version, WORKSPACE};
use serde_json::{Map, Value};

use crate::{
    call::{Arguments, Definition, Field, Kind},
    files::{Seen, load, missing},
    patch::{Applied, Hunk, Operation, apply, parse},
    place::Place,
    text::changes,
    tool::{Context, Failure, Tool, outcome},
    write::edited,
};

/// Files that one patch may touch.
const MAX_FILES: usize = 200;
/// Operations that do not apply after which the rest is not looked at.
const MAX_PROBLEMS: usize = 5;

static DEFINITION: Definition = Definition {
    name: "apply_patch",
    description: "Change files by a patch; all of it applies or nothing. Paths are relative to /workspace.\n\
                  *** Begin Patch\n*** Update File: src/a.py\n*** Move to: src/b.py\n@@ def f():\n context line\n-old line\n+new line\n\
                  *** Add File: c.txt\n+every line begins with +\n*** Delete File: d.txt\n*** End Patch\n\
                  Give about 3 lines of context; where that is not unique, name the enclosing class or function after @@. \
                  Move to is optional.",
    fields: &[Field::required("patch", Kind::Text, "").or(&["input", "diff", "text", "patchtext"])],
    parallel: false,
    read_only: false,
    example: r#"{"patch":"*** Begin Patch\n*** Update File: a.py\n@@ def f():\n-    return 1\n+    return 2\n*** End Patch"}"#,
    adapt: patch_in_a_command,
    bare: Some("patch"),
};

/// Some models call it as they would in a shell: `["apply_patch", "*** Begin Patch…"]`.
fn patch_in_a_command(arguments: &mut Map<String, Value>) {
    if let Some(Value::Array(words)) = arguments.get("command")
        && let [program, patch] = words.as_slice()
        && program == "apply_patch"
    {
        let patch = patch.clone();
        arguments.remove("command");
        arguments.insert("patch".to_owned(), patch);
    }
}

/// The tool.
pub(crate) struct ApplyPatch {
    seen: Arc<Seen>,
}

impl ApplyPatch {
    pub(crate) const fn new(seen: Arc<Seen>) -> Self {
        Self { seen }
    }
}

#[async_trait]
impl Tool for ApplyPatch {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let operations = parse(arguments.text("patch")).map_err(|error| {
            Failure(format!("Nothing was changed: {error}.\nExample: {}", DEFINITION.example))
        })?;
        if operations.len() > MAX_FILES {
            return Err(Failure(format!("A patch touches at most {MAX_FILES} files: split it.")));
        }
        let mut plan = Plan::default();
        for operation in &operations {
            if let Err(failure) = plan.take(context, operation).await {
                plan.problems.push(failure.0);
            }
            if plan.problems.len() == MAX_PROBLEMS {
                plan.problems.push("What comes after this was not looked at.".to_owned());
                break;
            }
        }
        if !plan.problems.is_empty() {
            return Err(Failure(format!("Nothing was changed.\n{}", plan.problems.join("\n"))));
        }
        self.carry_out(context, &plan).await?;
        let mut lines = vec!["Applied.".to_owned()];
        lines.extend(plan.report());
        Ok(ToolOutcome {
            effect: edited(plan.files.iter().map(|file| &file.place)),
            ..outcome(lines.join("\n"))
        })
    }
}

/// What the files will be, worked out before anything is written.
#[derive(Default)]
struct Plan {
    files: Vec<Planned>,
    /// What the model should know about it.
    notes: Vec<String>,
    problems: Vec<String>,
}

/// One file before and after.
struct Planned {
    place: Place,
    before: Before,
    after: After,
    /// The file that it was moved from: it is executable if that was.
    moved_from: Option<Place>,
}

enum Before {
    Absent,
    Text {
        text: String,
        version: Version,
    },
    /// Not text; can only be deleted.
    Opaque,
}

enum After {
    Absent,
    Text(String),
    /// Not text, and not touched.
    Opaque,
}

impl Plan {
    async fn take(&mut self, context: &Context<'_>, operation: &Operation) -> Result<(), Failure> {
        match operation {
            Operation::Add { path, content } => {
                let place = Place::of(path)?;
                let file = self.file(context, &place).await?;
                if !matches!(file.after, After::Absent) {
                    return Err(Failure(format!("{place} exists already: use *** Update File.")));
                }
                file.after = After::Text(content.clone());
            }
            Operation::Delete { path } => {
                let place = Place::of(path)?;
                let file = self.file(context, &place).await?;
                if matches!(file.after, After::Absent) {
                    return Err(missing(context.sandbox, &place).await);
                }
                file.after = After::Absent;
            }
            Operation::Update { path, to, hunks } => self.update(context, path, to.as_deref(), hunks).await?,
        }
        Ok(())
    }

    async fn update(
        &mut self,
        context: &Context<'_>,
        path: &str,
        to: Option<&str>,
        hunks: &[Hunk],
    ) -> Result<(), Failure> {
        let place = Place::of(path)?;
        let file = self.file(context, &place).await?;
        let text = match &file.after {
            After::Text(text) => text,
            After::Absent => return Err(missing(context.sandbox, &place).await),
            After::Opaque => {
                return Err(Failure(format!(
                    "{place} is not text of moderate length. Change it with a command in the shell."
                )));
            }
        };
        let Applied { text, notes } =
            apply(text, hunks).map_err(|problem| Failure(format!("{place}: {problem}")))?;
        self.notes.extend(notes.into_iter().map(|note| format!("{place}: {note}")));
        let target = to.map_or_else(|| Ok(place.clone()), Place::of)?;
        if target == place {
            self.file(context, &place).await?.after = After::Text(text);
            return Ok(());
        }
        let moved = self.file(context, &target).await?;
        if !matches!(moved.after, After::Absent) {
            return Err(Failure(format!("{place} cannot be moved: {target} exists already.")));
        }
        moved.after = After::Text(text);
        moved.moved_from = Some(place.clone());
        self.file(context, &place).await?.after = After::Absent;
        Ok(())
    }

    /// The file at a place as earlier operations of the patch leave it.
    async fn file(&mut self, context: &Context<'_>, place: &Place) -> Result<&mut Planned, Failure> {
        let index = match self.files.iter().position(|file| file.place == *place) {
            Some(index) => index,
            None => {
                let (before, after) = state(context, place).await?;
                self.files.push(Planned { place: place.clone(), before, after, moved_from: None });
                self.files.len() - 1
            }
        };
        Ok(&mut self.files[index])
    }

    /// One line for each file, and the notes.
    fn report(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Planned { place, before, after, moved_from } in &self.files {
            let source =
                |from: &Place| self.files.iter().find(|file| file.place == *from).map(|file| &file.before);
            match (before, after, moved_from) {
                (_, After::Text(text), Some(from)) => {
                    let old = match source(from) {
                        Some(Before::Text { text, .. }) => text,
                        Some(Before::Absent | Before::Opaque) | None => "",
                    };
                    lines.push(format!("R {from} -> {place}{}", counts(old, text)));
                }
                (Before::Text { text: old, .. }, After::Text(new), None) => {
                    lines.push(format!("M {place}{}", counts(old, new)));
                }
                (Before::Absent | Before::Opaque, After::Text(text), None) => {
                    lines.push(format!("A {place}{}", counts("", text)));
                }
                (Before::Text { .. } | Before::Opaque, After::Absent, _) if !self.moved_away(place) => {
                    lines.push(format!("D {place}"));
                }
                (_, After::Absent | After::Opaque, _) => {}
            }
        }
        lines.extend(self.notes.iter().map(|note| format!("[{note}]")));
        lines
    }

    fn moved_away(&self, place: &Place) -> bool {
        self.files.iter().any(|file| file.moved_from.as_ref() == Some(place))
    }
}

fn counts(old: &str, new: &str) -> String {
    let (_, added, removed) = changes(old, new);
    format!(" (+{added} -{removed})")
}

/// What is at a place now.
async fn state(context: &Context<'_>, place: &Place) -> Result<(Before, After), Failure> {
    match context.sandbox.read(place.absolute(), 0, 1).await {
        Ok(_) => {}
        Err(SandboxError::File { problem: FileProblem::Missing, .. }) => {
            return Ok((Before::Absent, After::Absent));
        }
        Err(error) => return Err(error.into()),
    }
    match load(context.sandbox, place).await {
        Ok(Some(file)) => {
            Ok((Before::Text { text: file.text.clone(), version: file.version }, After::Text(file.text)))
        }
        Ok(None) => Ok((Before::Absent, After::Absent)),
        // Too long, or not text: good enough to be deleted.
        Err(_) => Ok((Before::Opaque, After::Opaque)),
    }
}

impl ApplyPatch {
    /// Writes first, then removes; if a step fails, takes back the steps before it.
    async fn carry_out(&self, context: &Context<'_>, plan: &Plan) -> Result<(), Failure> {
        let mut done: Vec<&Planned> = Vec::new();
        let removed =
            |file: &&Planned| matches!(file.after, After::Absent) && !matches!(file.before, Before::Absent);
        let written = plan.files.iter().filter(|file| matches!(file.after, After::Text(_)));
        // What cannot be written back goes last.
        let (opaque, text): (Vec<&Planned>, Vec<&Planned>) =
            plan.files.iter().filter(removed).partition(|file| matches!(file.before, Before::Opaque));
        for file in written.chain(text).chain(opaque) {
            if let Err(failure) = self.step(context, file).await {
                let mut problem = format!("{}\nNothing was changed.", failure.0);
                for file in done.iter().rev() {
                    if let Err(error) = self.take_back(context, file).await {
                        problem.push_str(&format!("\nBut {} could not be restored: {}", file.place, error.0));
                    }
                }
                return Err(Failure(problem));
            }
            done.push(file);
        }
        Ok(())
    }

    async fn step(&self, context: &Context<'_>, file: &Planned) -> Result<(), Failure> {
        match (&file.before, &file.after) {
            (Before::Text { text: old, .. }, After::Text(new)) if old == new => {}
            (before, After::Text(text)) => {
                let expected = match before {
                    Before::Text { version, .. } => Some(*version),
                    Before::Absent | Before::Opaque => None,
                };
                let version = context.sandbox.write(file.place.absolute(), text.as_bytes(), expected).await?;
                self.seen.note(&file.place, version);
                if let Some(from) = &file.moved_from {
                    keep_executable(context, from, &file.place).await?;
                }
            }
            (_, After::Absent | After::Opaque) => {
                context.sandbox.remove(file.place.absolute()).await?;
                self.seen.forget(&file.place);
            }
        }
        Ok(())
    }

    async fn take_back(&self, context: &Context<'_>, file: &Planned) -> Result<(), Failure> {
        self.seen.forget(&file.place);
        match &file.before {
            Before::Absent => context.sandbox.remove(file.place.absolute()).await?,
            Before::Text { text, .. } => {
                context.sandbox.write(file.place.absolute(), text.as_bytes(), None).await?;
            }
            Before::Opaque => return Err(Failure::new("it was not text.")),
        }
        Ok(())
    }
}

/// Makes a moved file executable if it was: the sandbox writes files, it does not move them.
async fn keep_executable(context: &Context<'_>, from: &Place, to: &Place) -> Result<(), Failure> {
    let script = r#"if [ -x "$1" ]; then chmod +x -- "$2"; fi"#;
    let command = Command {
        argv: ["sh", "-c", script, "sh", from.absolute(), to.absolute()].map(str::to_owned).to_vec(),
        env: Vec::new(),
        cwd: WORKSPACE.to_owned(),
        stdin: Vec::new(),
        terminal: false,
        user: User::Agent,
        timeout: std::time::Duration::from_secs(10),
        output_limit: 4096,
    };
    let mut process = context.sandbox.start(command).await?;
    match process.wait(std::time::Duration::from_secs(10)).await? {
        Some(finished) if finished.exit.success() => Ok(()),
        Some(_) | None => Err(Failure(format!("The mode of {from} could not be kept."))),
    }
}
