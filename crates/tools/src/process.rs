//! `process`: background commands: their new output, their input, their end.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cofferdam_domain::{ToolOutcome, ToolStatus, amount::duration};
use cofferdam_sandbox::SandboxError;
use tokio::time::timeout;

use crate::{
    background::{Background, BackgroundCommand, follow},
    call::{Arguments, Definition, Field, Kind, as_they_are},
    shell::{ended, report},
    text::shorten,
    tool::{Context, Failure, Tool, outcome},
};

/// How long a command may take to accept input.
const FOR_INPUT: Duration = Duration::from_secs(5);
/// How long output is waited for after input.
const AFTER_INPUT: Duration = Duration::from_millis(500);
/// How long `wait` waits when it is not told, and at most, in milliseconds.
const WAIT_MS: (u64, u64) = (30_000, 600_000);
/// How long a killed command may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(5);

static DEFINITION: Definition = Definition {
    name: "process",
    description: "Look after a background command: output (what is new since the last look), wait (until it ends or timeout_ms), \
                  input (write `input` to its terminal), kill (with all that it started), list.",
    fields: &[
        Field::optional("id", Kind::Text, "as `shell` returned it: p1").or(&[
            "processid",
            "sessionid",
            "pid",
        ]),
        Field::optional(
            "action",
            Kind::Choice {
                words: &["output", "wait", "input", "kill", "list"],
                aliases: &[("read", "output"), ("poll", "output"), ("write", "input"), ("stop", "kill")],
            },
            "default output",
        ),
        Field::optional("input", Kind::Text, "end it with \\n to press return")
            .or(&["chars", "text", "stdin"]),
        Field::optional("timeout_ms", Kind::Count { least: 0, most: WAIT_MS.1 }, "of wait; default 30000"),
    ],
    parallel: false,
    read_only: false,
    example: r#"{"id":"p1","action":"wait","timeout_ms":60000}"#,
    adapt: as_they_are,
    bare: None,
};

/// The tool.
pub(crate) struct ProcessTool {
    background: Arc<Background>,
}

impl ProcessTool {
    pub(crate) const fn new(background: Arc<Background>) -> Self {
        Self { background }
    }

    fn list(&self) -> String {
        let running = self.background.running();
        if running.is_empty() {
            return "No background commands.".to_owned();
        }
        let lines: Vec<String> = running
            .iter()
            .map(|command| {
                let line = command.line.lines().next().unwrap_or_default();
                format!(
                    "{}  started {} ago  {}",
                    command.id,
                    duration(command.started.elapsed()),
                    shorten(line, 200)
                )
            })
            .collect();
        lines.join("\n")
    }

    fn find(&self, id: Option<&str>) -> Result<Arc<BackgroundCommand>, Failure> {
        let running = self.background.running();
        let found = match id {
            Some(id) => self.background.find(id),
            None => running.first().filter(|_| running.len() == 1).cloned(),
        };
        found.ok_or_else(|| {
            let known: Vec<&str> = running.iter().map(|command| command.id.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let what = id.map_or("Say which `id`.".to_owned(), |id| {
                format!("No background command {}.", shorten(id, 40))
            });
            Failure(format!("{what} Running: {known}. A command whose end was reported is gone."))
        })
    }
}

#[async_trait]
impl Tool for ProcessTool {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let input = arguments.optional_text("input");
        let action =
            arguments.optional_text("action").unwrap_or(if input.is_some() { "input" } else { "output" });
        if action == "list" {
            return Ok(outcome(self.list()));
        }
        let command = self.find(arguments.optional_text("id"))?;
        let patience = match action {
            "wait" => Duration::from_millis(arguments.count("timeout_ms").unwrap_or(WAIT_MS.0)),
            "input" => {
                let input = input.ok_or_else(|| Failure::new("Give the text to write as `input`."))?;
                write(&command, input).await?;
                AFTER_INPUT
            }
            "kill" => {
                if let Some(process) = command.process.lock().await.as_mut() {
                    process.kill().await?;
                }
                AFTER_KILL
            }
            _ => Duration::ZERO,
        };
        look(context, &self.background, &command, patience).await
    }
}

/// Writes to a command's terminal.
async fn write(command: &BackgroundCommand, input: &str) -> Result<(), Failure> {
    let mut slot = command.process.lock().await;
    let Some(process) = slot.as_mut() else { return Ok(()) };
    match timeout(FOR_INPUT, process.write_input(input.as_bytes())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(gone @ (SandboxError::Gone(_) | SandboxError::Protocol(_)))) => Err(gone.into()),
        Ok(Err(_)) => Err(Failure(format!(
            "{} takes no input: it has ended, or was not started with terminal: true.",
            command.id
        ))),
        Err(_) => Err(Failure(format!(
            "{} does not read its input; a part of it may have been written.",
            command.id
        ))),
    }
}

/// Waits for a background command for a while and reports what it printed since the last report, and its end
/// if it came.
pub(crate) async fn look(
    context: &Context<'_>,
    background: &Background,
    command: &BackgroundCommand,
    patience: Duration,
) -> Result<ToolOutcome, Failure> {
    let mut slot = command.process.lock().await;
    let Some(process) = slot.as_mut() else {
        return Err(Failure(format!("{} has ended, and its end was reported before.", command.id)));
    };
    let (finished, printed) = follow(context, process.as_mut(), patience, context.limits.output).await?;
    let printed = printed.joined();
    let Some(finished) = finished else {
        let note = format!("running for {}", duration(command.started.elapsed()));
        return Ok(report(context, &command.id, vec![note], &printed).await);
    };
    // Kills what the command left behind.
    drop(slot.take());
    background.remove(&command.id);
    // That it was stopped by its limit is what was to be expected of a background command; the text says it.
    Ok(ToolOutcome { status: ToolStatus::Ok, ..ended(context, &command.id, &finished, &printed).await })
}
