//! `computer`: a virtual display in the sandbox with a pointer and a keyboard, started when it is first used.
//!
//! It is an X server without hardware (Xvfb), and what moves its pointer and presses its keys is a program beside it (xdotool): both run in the sandbox as
//! the agent, like the programs whose windows are shown. Nobody here speaks with any of them. What the display shows is read from the file in which it
//! keeps that, as hostile as every other file in there. Whatever becomes of it, a call has an outcome that says how to go on.

mod action;
mod computer;
mod keys;
mod program;
mod size;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cofferdam_browser::quoted;
use cofferdam_domain::{ToolSpec, evidence::Exit, message::Image};
use cofferdam_sandbox::{Command, Process, User};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

pub use self::size::Size;
use self::{
    action::{Action, Input},
    program::{ERRORS, FRAMEBUFFER, NO_INPUT, NO_SERVER, READY},
};
use crate::{
    picture,
    tool::{Context, Failure, Tool},
};

/// So often a display may be lost in a session before it is left alone.
const MOST_DEATHS: u32 = 5;
/// How long a display may live; sessions end before that.
const LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long it may take until programs can come.
const START: Duration = Duration::from_secs(60);
/// Bytes of output of the programs that are looked at.
const MOST_OUTPUT: u64 = 4_000;
/// Characters of what they say that are handed on.
const MOST_WORDS: usize = 400;
/// How long is waited before a look after something was done, and between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Looks after something was done, until two are the same.
const MOST_LOOKS: usize = 10;

/// The display of sessions: its programs inside sandboxes, and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Display {
    /// Where Xvfb is.
    pub server: String,
    /// Where xdotool is.
    pub input: String,
    /// How large it is.
    pub size: Size,
}

/// Whether a display is there for programs to be shown on.
#[derive(Debug, Default)]
pub(crate) struct Lit(AtomicBool);

impl Lit {
    /// Variables of programs that are started now.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        if self.0.load(Ordering::Relaxed) { program::variables().into() } else { Vec::new() }
    }
}

/// The display of a session.
struct Screen {
    /// Its programs and size; `None` where this machine has none.
    display: Option<Display>,
    lit: Arc<Lit>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Box<dyn Process>>,
    deaths: u32,
}

/// What a call comes to.
struct Taken {
    done: String,
    shown: Image,
    whole: Image,
}

/// The tool of a display.
pub(crate) fn tool(display: Option<Display>, lit: Arc<Lit>) -> Box<dyn Tool> {
    Box::new(Screen { display, lit, state: Mutex::default() })
}

/// Whether a tool is that one.
pub(crate) fn is_one(name: &str) -> bool {
    name == computer::NAME
}

/// Whether these have it.
pub(crate) fn is_among(fixed: &[ToolSpec]) -> bool {
    fixed.iter().any(|tool| is_one(&tool.name))
}

impl Screen {
    fn size(&self) -> Size {
        self.display.as_ref().map_or_else(Size::default, |display| display.size)
    }

    /// Does something, and takes a picture once it has been done.
    async fn carry_out(&self, context: &Context<'_>, action: &Action) -> Result<Taken, Failure> {
        let display = self.display.as_ref().ok_or_else(|| {
            Failure::new("The machine that works on this session now has no display. Go on without it, and say so in `finish`.")
        })?;
        let mut state = self.state.lock().await;
        let before = self.open(context, display, &mut state).await?;
        let done = match action {
            Action::Look => "A picture of the display".to_owned(),
            Action::Wait(time) => {
                sleep(*time).await;
                format!("Waited {} s", time.as_secs())
            }
            Action::Where => {
                let printed = self.press(context, display, &mut state, &Input::of_where()).await?;
                match action::pointer(&printed, display.size) {
                    Some(at) => {
                        let (x, y) = display.size.back(at);
                        format!("The pointer is at [{x}, {y}]")
                    }
                    None => format!("Where the pointer is was not to be learnt: {}", said(&printed)),
                }
            }
            Action::Use(input) => {
                let printed = self.press(context, display, &mut state, input).await?;
                let odd = if printed.is_empty() { String::new() } else { format!(" ({})", said(&printed)) };
                format!("{}{odd}", input.done)
            }
        };
        let settles = matches!(action, Action::Use(_));
        let file = match look(context, display.size, settles).await {
            Ok(file) => file,
            Err(why) => {
                return Err(self.lost(&mut state, &format!("{done}. But there is no picture of it: {why}")));
            }
        };
        let (width, height) = display.size.shown();
        let whole = (display.size.width(), display.size.height());
        let taken = picture::keep_screen(context.blobs, file, whole, (width, height)).await;
        let (shown, whole) = taken.map_err(|why| {
            let why = format!(
                "{done}. But the picture cannot be used: {why}. Another program may have written to it"
            );
            self.lost(&mut state, &why)
        })?;
        let done =
            format!("{before}{done}. The picture goes from [0, 0] to [{}, {}].", width - 1, height - 1);
        Ok(Taken { done, shown, whole })
    }

    /// The display, running; what there is to say about that.
    async fn open(
        &self,
        context: &Context<'_>,
        display: &Display,
        state: &mut State,
    ) -> Result<&'static str, Failure> {
        if let Some(running) = &mut state.running {
            if matches!(running.wait(Duration::ZERO).await, Ok(None)) {
                return Ok("");
            }
            self.lose(state);
        }
        if state.deaths >= MOST_DEATHS {
            return Err(Failure(format!(
                "The display was lost {MOST_DEATHS} times and is not started again in this session. Go on without it."
            )));
        }
        match start(context, display).await {
            Ok(running) => {
                state.running = Some(running);
                self.lit.0.store(true, Ordering::Relaxed);
                let anew = "The display had ended and was started anew: the windows that it had are gone.\n";
                Ok(if state.deaths > 0 { anew } else { "" })
            }
            Err(failure) => {
                self.lose(state);
                Err(failure)
            }
        }
    }

    fn lose(&self, state: &mut State) {
        state.running = None;
        state.deaths += 1;
        self.lit.0.store(false, Ordering::Relaxed);
    }

    fn lost(&self, state: &mut State, why: &str) -> Failure {
        self.lose(state);
        Failure(format!(
            "{why}. The display is started anew when it is used again: the windows that it has are gone."
        ))
    }

    /// Uses pointer and keyboard; what the program printed.
    async fn press(
        &self,
        context: &Context<'_>,
        display: &Display,
        state: &mut State,
        input: &Input,
    ) -> Result<Vec<u8>, Failure> {
        let command = Command {
            argv: [display.input.clone()].into_iter().chain(input.arguments.iter().cloned()).collect(),
            // Characters are read as what they are.
            env: program::variables()
                .into_iter()
                .chain([("LC_ALL".to_owned(), "C.UTF-8".to_owned())])
                .collect(),
            stdin: input.typed.clone(),
            timeout: input.patience,
            ..quiet()
        };
        let mut process = context.sandbox.start(command).await?;
        let finished = process.wait(input.patience.saturating_add(START)).await?;
        let exit = finished.as_ref().map(|finished| finished.exit);
        let printed = finished.map(|finished| finished.output.joined()).unwrap_or_default();
        if exit.is_some_and(Exit::success) {
            return Ok(printed);
        }
        let ended = match &mut state.running {
            Some(running) => !matches!(running.wait(Duration::ZERO).await, Ok(None)),
            None => true,
        };
        if ended {
            return Err(self.lost(state, "The display has ended, and whether that was done is not known"));
        }
        Err(match exit {
            Some(Exit::TimedOut) | None => self.lost(
                state,
                &format!(
                    "The display did not answer within {} s, and whether that was done is not known",
                    input.patience.as_secs()
                ),
            ),
            Some(_) => Failure(format!("Pointer and keyboard cannot be used: {}.", said(&printed))),
        })
    }
}

/// What a program of the sandbox's said, as one line of words that are none of the platform's.
fn said(printed: &[u8]) -> String {
    format!("it said {}", quoted(&String::from_utf8_lossy(printed), MOST_WORDS))
}

/// A command of which little is heard.
fn quiet() -> Command {
    Command {
        argv: Vec::new(),
        env: Vec::new(),
        cwd: "/tmp".to_owned(),
        stdin: Vec::new(),
        terminal: false,
        user: User::Agent,
        timeout: LIFE,
        output_limit: MOST_OUTPUT,
    }
}

/// Starts the display, and waits until programs can come.
async fn start(context: &Context<'_>, display: &Display) -> Result<Box<dyn Process>, Failure> {
    let argv = program::command(&display.server, &display.input, display.size);
    let mut process = context.sandbox.start(Command { argv, ..quiet() }).await?;
    let (mut printed, until) = (Vec::new(), Instant::now() + START);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        process.stir(left).await;
        printed.extend(process.take_output());
        if printed == READY {
            return Ok(process);
        }
        if !READY.starts_with(&printed) {
            return Err(Failure::new(
                "The display cannot be started: it said something else than that it is ready.",
            ));
        }
        if let Some(finished) = process.wait(Duration::ZERO).await? {
            return Err(not_started(context, display, finished.exit).await);
        }
        if left.is_zero() {
            let after = START.as_secs();
            return Err(Failure(format!(
                "The display cannot be started: it was not ready within {after} s."
            )));
        }
    }
}

/// Why it was not started.
async fn not_started(context: &Context<'_>, display: &Display, exit: Exit) -> Failure {
    let missing = |program: &str, package: &str| {
        Failure(format!(
            "There is no {} in this sandbox: it needs the program (Debian: the package {package}). Go on without a display, and say so in `finish`.",
            quoted(program, 200)
        ))
    };
    match exit {
        Exit::Code(NO_SERVER) => return missing(&display.server, "xvfb"),
        Exit::Code(NO_INPUT) => return missing(&display.input, "xdotool"),
        Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut => {}
    }
    let errors =
        context.sandbox.read(ERRORS, 0, MOST_OUTPUT).await.map_or_else(|_| Vec::new(), |data| data.bytes);
    Failure(format!("The display cannot be started: {}.", said(&errors)))
}

/// What the display shows: at once, or when nothing moves on it any more.
async fn look(context: &Context<'_>, size: Size, settles: bool) -> Result<Vec<u8>, String> {
    let most = picture::longest_screen(size.width(), size.height());
    let read = || async {
        let read = context.sandbox.read(FRAMEBUFFER, 0, most.saturating_add(1)).await;
        read.map(|data| data.bytes).map_err(|error| error.to_string())
    };
    if !settles {
        return read().await;
    }
    sleep(PAUSE).await;
    let mut before = read().await?;
    for _ in 1..MOST_LOOKS {
        sleep(PAUSE).await;
        let now = read().await?;
        let rests = now == before;
        before = now;
        if rests {
            break;
        }
    }
    Ok(before)
}
