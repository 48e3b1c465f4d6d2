//! `shell`: runs a command line.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::{
    ToolOutcome, ToolStatus,
    amount::{counted, duration},
    evidence::Exit,
};
use cofferdam_sandbox::{Command, FileProblem, Finished, Process, SandboxError, System, User, WORKSPACE};
use serde_json::{Map, Value};

use crate::{
    background::{Background, follow},
    call::{Arguments, Definition, Field, Kind},
    display::Lit,
    files::missing,
    place::Place,
    text::{Bounds, cleaned, head_and_tail, size},
    tool::{Context, Failure, Tool, outcome},
    whole::keep,
};

/// How much of an output is shown.
const SHOWN: Bounds = Bounds { bytes: 30_000, lines: 1000, line: 2000 };
/// How long a background command is watched before the call returns: one that fails at once has failed by
/// then.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// No command is given less time, in milliseconds.
const SHORTEST: u64 = 100;
/// What the model calls it by.
pub(crate) const NAME: &str = "shell";
/// Bytes of a command line; Linux takes 128 KiB as one argument (execve(2)).
const MAX_LINE: usize = 120 << 10;

static DEFINITION: Definition = definition(&[COMMAND, TIMEOUT, BACKGROUND, TERMINAL, WORKDIR]);
/// Where the sandbox's system can be changed.
static WITH_ROOT: Definition = definition(&[COMMAND, TIMEOUT, BACKGROUND, TERMINAL, WORKDIR, ROOT]);

const COMMAND: Field =
    Field::required("command", Kind::CommandLine, "").or(&["cmd", "script", "commandline"]);
const TIMEOUT: Field =
    Field::optional("timeout_ms", Kind::Count { least: 1, most: u64::MAX }, "more for long builds and tests")
        .or(&["timeoutms", "timeoutmillis"]);
const BACKGROUND: Field =
    Field::optional("background", Kind::Flag, "return at once with an id for `process`")
        .or(&["runinbackground", "isbackground"]);
const TERMINAL: Field =
    Field::optional("terminal", Kind::Flag, "give it a terminal instead of a pipe").or(&["tty", "pty"]);
const WORKDIR: Field =
    Field::optional("workdir", Kind::Text, "").or(&["cwd", "dir", "directory", "workingdirectory", "cd"]);
const ROOT: Field = Field::optional(
    "root",
    Kind::Flag,
    "run it as root of the sandbox: to install system packages, not for work in /workspace",
)
.or(&["sudo", "asroot"]);

const fn definition(fields: &'static [Field]) -> Definition {
    Definition {
        name: NAME,
        description: "Run a bash command line in /workspace. stdout and stderr come together; long output is cut in the middle and saved \
                      whole to a file. Each call is a new shell. What it leaves running is killed when it ends: start servers and watchers \
                      with background: true. Nobody answers prompts. Prefer read, grep, glob and the edit tool \
                      over cat, grep, find and sed.",
        fields,
        parallel: true,
        read_only: false,
        example: r#"{"command":"cargo test parser 2>&1 | tail -n 40","timeout_ms":300000}"#,
        adapt: understand_timeout,
        bare: None,
    }
}

/// Other tool sets have `timeout`, in seconds or in milliseconds. Nobody means less than two seconds, or more
/// than half an hour.
fn understand_timeout(arguments: &mut Map<String, Value>) {
    if let Some(given) = arguments.remove("timeout") {
        let given = given.as_f64().map_or(given, |number| {
            Value::from(if number <= 1800.0 { number * 1000.0 } else { number }.round())
        });
        arguments.entry("timeout_ms").or_insert(given);
    }
}

/// The tool.
pub(crate) struct Shell {
    background: Arc<Background>,
    system: System,
    /// The display that windows appear on.
    lit: Arc<Lit>,
    /// Set once it is known that the environment has no bash.
    plain: AtomicBool,
}

impl Shell {
    /// `system` is that of the sandboxes: where it can be changed, a command may be root's.
    pub(crate) fn new(background: Arc<Background>, system: System, lit: Arc<Lit>) -> Self {
        Self { background, system, lit, plain: AtomicBool::new(false) }
    }

    /// Starts the line in bash, or in sh where there is no bash.
    async fn start(&self, context: &Context<'_>, command: Command) -> Result<Box<dyn Process>, Failure> {
        let mut plain = command.clone();
        "sh".clone_into(&mut plain.argv[0]);
        if self.plain.load(Ordering::Relaxed) {
            return Ok(context.sandbox.start(plain).await?);
        }
        let place = Place::of(&command.cwd)?;
        let failed = match context.sandbox.start(command).await {
            Err(failed @ SandboxError::Start { .. }) => failed,
            other => return Ok(other?),
        };
        // Either there is no bash, or no such directory.
        if let Ok(process) = context.sandbox.start(plain).await {
            self.plain.store(true, Ordering::Relaxed);
            return Ok(process);
        }
        match context.sandbox.list(place.absolute(), 1).await {
            Err(SandboxError::File { problem: FileProblem::Missing, .. }) => {
                Err(missing(context.sandbox, &place).await)
            }
            Err(other) => Err(other.into()),
            Ok(_) => Err(failed.into()),
        }
    }
}

#[async_trait]
impl Tool for Shell {
    fn definition(&self) -> &'static Definition {
        match self.system {
            System::ReadOnly => &DEFINITION,
            System::Writable => &WITH_ROOT,
        }
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let line = arguments.text("command");
        if line.trim().is_empty() {
            return Err(Failure::new("The command is empty."));
        }
        if line.len() > MAX_LINE {
            return Err(Failure(format!(
                "The command has {}: make a file with `write` and run that.",
                size(line.len() as u64)
            )));
        }
        if line.contains('\0') {
            return Err(Failure::new("The command contains NUL."));
        }
        let background = arguments.flag("background");
        let limits = context.limits;
        let usual = if background { limits.command_max_ms } else { limits.command_ms };
        let timeout = arguments.count("timeout_ms").unwrap_or(usual).max(SHORTEST).min(limits.command_max_ms);
        let cwd = match arguments.optional_text("workdir") {
            Some(path) if !path.is_empty() => Place::of(path)?.absolute().to_owned(),
            Some(_) | None => WORKSPACE.to_owned(),
        };
        let user = match self.system {
            System::Writable if arguments.flag("root") => User::Root,
            System::Writable | System::ReadOnly => User::Agent,
        };
        let command = Command {
            argv: ["bash", "-c", line].map(str::to_owned).to_vec(),
            // Nobody presses a key.
            env: [("PAGER", "cat"), ("GIT_PAGER", "cat"), ("GIT_TERMINAL_PROMPT", "0")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .chain(self.lit.variables())
                .collect(),
            cwd,
            stdin: Vec::new(),
            terminal: arguments.flag("terminal"),
            user,
            timeout: Duration::from_millis(timeout),
            output_limit: limits.output,
        };
        if background {
            self.background.room()?;
            let process = self.start(context, command).await?;
            let command = self.background.add(line, process);
            return crate::process::look(context, &self.background, &command, FIRST_LOOK).await;
        }
        let mut process = self.start(context, command).await?;
        // The process ends at its own time limit; this bound is only for a driver that fails to end it.
        let patience = Duration::from_millis(timeout).saturating_add(Duration::from_secs(30));
        match follow(context, process.as_mut(), patience, 0).await? {
            (Some(finished), _) => Ok(ended(context, "", &finished, &finished.output.joined()).await),
            (None, _) => {
                process.kill().await?;
                Err(Failure::new("The command did not end at its time limit and was killed."))
            }
        }
    }
}

/// The outcome of a command that has ended, with `printed` as its output. `name` stands before its status, if
/// it has one.
pub(crate) async fn ended(
    context: &Context<'_>,
    name: &str,
    finished: &Finished,
    printed: &[u8],
) -> ToolOutcome {
    let time = duration(finished.elapsed);
    let mut notes = vec![match finished.exit {
        Exit::Code(code) => format!("exit {code} after {time}"),
        Exit::Signal(number) => format!("killed by {} after {time}", signal(number)),
        Exit::TimedOut => format!("timed out after {time}: it and everything it started were killed"),
    }];
    if finished.exit == Exit::TimedOut && name.is_empty() {
        let most = context.limits.command_max_ms;
        notes.push(format!(
            "give it more timeout_ms (at most {most}), or background: true if it does not end by itself"
        ));
    }
    if finished.out_of_memory {
        notes.push(format!(
            "out of memory: all processes together may use {}; run fewer jobs at once",
            size(context.limits.memory)
        ));
    }
    if finished.output.dropped > 0 {
        notes.push(format!("{} of output dropped in the middle", size(finished.output.dropped)));
    }
    let status = if finished.exit == Exit::TimedOut { ToolStatus::TimedOut } else { ToolStatus::Ok };
    ToolOutcome { status, ..report(context, name, notes, printed).await }
}

/// A command's output for the model: notes in brackets first, then what it printed, bounded, the rest kept
/// elsewhere.
pub(crate) async fn report(
    context: &Context<'_>,
    name: &str,
    mut notes: Vec<String>,
    printed: &[u8],
) -> ToolOutcome {
    let (text, unprintable) = cleaned(printed);
    if unprintable > 0 {
        notes.push(format!("{} not text, shown as \u{fffd}", counted(unprintable as u64, "byte")));
    }
    let (shown, cut) = head_and_tail(text.trim_end_matches('\n'), SHOWN);
    let mut blob = None;
    if cut {
        let whole = keep(context, printed, &text).await;
        blob = whole.blob;
        notes.push(format!(
            "{} in {}",
            size(text.len() as u64),
            counted(text.lines().count() as u64, "line")
        ));
        notes.push(whole.hint);
    }
    if shown.is_empty() {
        notes.push("no output".to_owned());
    }
    let space = if name.is_empty() { "" } else { " " };
    let mut lines: Vec<String> = Vec::with_capacity(notes.len() + 1);
    for (index, note) in notes.iter().enumerate() {
        lines.push(if index == 0 { format!("[{name}{space}{note}]") } else { format!("[{note}]") });
    }
    if !shown.is_empty() {
        lines.push(shown);
    }
    ToolOutcome { whole: blob, ..outcome(lines.join("\n")) }
}

/// A signal by its name (signal(7)); numbers are those of x86 and ARM.
fn signal(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        other => return format!("signal {other}"),
    };
    format!("signal {number} ({name})")
}
