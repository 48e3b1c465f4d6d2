//! `browser_*`: a browser in the sandbox, started when it is first needed.
//!
//! It runs where commands run, so it reaches what they reach: servers that the agent has started, and through the egress door what policy lets
//! out. It is as untrusted as they are. Whatever becomes of it, a call has an outcome that says how to go on.

mod act;
mod evaluate;
mod navigate;
mod read;
mod screenshot;
mod snapshot;

use std::{sync::Arc, time::Duration};

use cofferdam_browser::{Answer, Browser, BrowserError, Snapshot, program};
use cofferdam_domain::{BlobRef, ToolOutcome, ToolSpec, quote::quote};
use cofferdam_sandbox::{Command, Console, User, carry};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::{
    net::unix::pipe::Sender,
    sync::{Mutex, MutexGuard},
    task::AbortHandle,
};

use crate::{
    call::Arguments,
    text::changes,
    tool::{Context, Failure, Tool, outcome},
};

/// So often a browser may be lost in a session before it is left alone.
const MOST_DEATHS: u32 = 5;
/// Bytes of its output that wait to be read. What is more than that is lost, and the browser with it.
const UNREAD: u64 = 16 << 20;
/// Bytes that are on their way to whoever reads messages.
const ON_THE_WAY: usize = 1 << 20;
/// How long a browser may live; sessions end before that.
const LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Bytes of an outline that is shown unasked.
const UNASKED: usize = 8_000;
/// Bytes of pictures after which no more are taken: whoever poses as the browser may give large ones.
const MOST_PICTURES: u64 = 256 << 20;
/// The beginning of the names of all its tools.
const NAMES: &str = "browser_";

/// The browser of a session.
pub(crate) struct Surf {
    /// The program inside; `None` where this machine has none.
    program: Option<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    deaths: u32,
    /// Bytes of the pictures that were kept.
    pictures: u64,
    /// What was shown of the page last.
    shown: Option<Snapshot>,
}

struct Running {
    browser: Browser,
    _process: Carried,
}

/// The program's process, which ends with this.
struct Carried(AbortHandle);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The tools of a browser.
pub(crate) fn tools(program: Option<String>) -> Vec<Box<dyn Tool>> {
    let surf = Arc::new(Surf { program, state: Mutex::default() });
    vec![
        Box::new(navigate::Navigate(surf.clone())),
        Box::new(snapshot::TakeSnapshot(surf.clone())),
        Box::new(act::Act(surf.clone())),
        Box::new(screenshot::Screenshot(surf.clone())),
        Box::new(read::ReadPage(surf.clone())),
        Box::new(evaluate::Evaluate(surf)),
    ]
}

/// Whether a tool is one of them.
pub(crate) fn is_one(name: &str) -> bool {
    name.starts_with(NAMES)
}

/// Whether these have some of them.
pub(crate) fn are_among(fixed: &[ToolSpec]) -> bool {
    fixed.iter().any(|tool| tool.name == navigate::NAME)
}

impl Surf {
    /// The browser, running.
    async fn open<'a>(&'a self, context: &Context<'_>) -> Result<Held<'a>, Failure> {
        let program = self.program.as_deref().ok_or_else(|| {
            Failure::new("The machine that works on this session now has no browser. Go on without it, and say so in `finish`.")
        })?;
        let mut state = self.state.lock().await;
        if state.running.as_ref().is_some_and(|running| running.browser.is_over()) {
            state.lose();
        }
        if state.running.is_none() {
            if state.deaths >= MOST_DEATHS {
                return Err(Failure(format!(
                    "The browser was lost {MOST_DEATHS} times and is not started again in this session. Go on without it."
                )));
            }
            match start(context, program).await {
                Ok(running) => state.running = Some(running),
                Err(failure) => {
                    state.lose();
                    return Err(failure);
                }
            }
        }
        let held = Held { state };
        if let Some(running) = &held.state.running {
            running.browser.begin();
        }
        Ok(held)
    }
}

impl State {
    fn lose(&mut self) {
        self.running = None;
        self.shown = None;
        self.deaths += 1;
    }

    /// Whether another picture may be taken.
    fn room_for_pictures(&self) -> Result<(), Failure> {
        if self.pictures < MOST_PICTURES {
            return Ok(());
        }
        Err(Failure(format!(
            "The pictures of this session have {} MiB altogether, and no more are taken. Look at pages with `browser_snapshot`.",
            MOST_PICTURES >> 20
        )))
    }

    fn kept(&mut self, picture: BlobRef) {
        self.pictures = self.pictures.saturating_add(picture.size);
    }
}

/// The browser, for one call.
struct Held<'a> {
    state: MutexGuard<'a, State>,
}

impl Held<'_> {
    fn browser(&mut self) -> Result<&mut Browser, Failure> {
        let running = self.state.running.as_mut();
        running.map(|running| &mut running.browser).ok_or_else(|| Failure::new("The browser is not there."))
    }

    /// What came of something, where need be with the page or the browser given up.
    async fn judge<T>(&mut self, result: Result<T, BrowserError>) -> Result<T, Failure> {
        let error = match result {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !error.page_is_lost() {
            let notes = match self.browser() {
                Ok(browser) => {
                    browser.state().await.map(|state| format!("\n{}", words(&state))).unwrap_or_default()
                }
                Err(_) => String::new(),
            };
            return Err(Failure(format!("{}{notes}", sentence(&error))));
        }
        let given_up = !error.is_over()
            && match self.state.running.as_mut() {
                Some(running) => running.browser.give_up_page().await,
                None => false,
            };
        self.state.shown = None;
        if given_up {
            let silent = matches!(error, BrowserError::Silent { .. });
            let why =
                if silent { " Its script may run in a circle, or the page may be too large." } else { "" };
            return Err(Failure(format!(
                "{}{why} Its tab was closed; there is an empty one. Whether the call had an effect is not known.",
                sentence(&error)
            )));
        }
        self.state.lose();
        Err(Failure(format!(
            "{} It is started anew when it is used again: its tabs, and what pages had kept in it, are gone.",
            sentence(&error)
        )))
    }

    /// Where the page is, what happened, and how its outline has changed.
    async fn tell(&mut self, context: &Context<'_>, done: &str) -> Result<ToolOutcome, Failure> {
        let state = self.browser()?.state().await;
        let state = self.judge(state).await?;
        let mut text = format!("{done}\n{}", words(&state));
        let taken = self.browser()?.snapshot(None).await;
        match taken {
            Ok(now) => {
                let (about, outline) = self.news(&now);
                if outline.is_empty() {
                    text.push_str(&format!("\n{about}"));
                } else {
                    text.push_str(&format!("\n{about}\n{}", marked(context, &outline)));
                }
                self.state.shown = Some(now);
            }
            // What was done is done.
            Err(error) if error.page_is_lost() => {
                let lost =
                    self.judge::<()>(Err(error)).await.err().map_or_else(String::new, |failure| failure.0);
                text.push_str(&format!("\n{lost}"));
            }
            Err(error) => text.push_str(&format!("\nNo outline: {}", sentence(&error))),
        }
        Ok(outcome(text))
    }

    /// What there is to show of an outline, with a line about it.
    fn news(&self, now: &Snapshot) -> (String, String) {
        let whole = now.text();
        if let Some(before) = self.state.shown.as_ref().filter(|before| before.document == now.document) {
            let old = before.text();
            if old == whole {
                return ("Its outline is as it was.".to_owned(), String::new());
            }
            let (diff, ..) = changes(&old, &whole);
            if diff.len() < whole.len().min(UNASKED) * 3 / 5 {
                return ("What has changed in its outline:".to_owned(), diff);
            }
        }
        if whole.len() <= UNASKED {
            return ("Its outline:".to_owned(), whole);
        }
        let end = whole.floor_char_boundary(UNASKED);
        let end = whole.get(..end).and_then(|part| part.rfind('\n')).unwrap_or(end);
        let about = "The beginning of its outline (`browser_snapshot` shows more, or a part of it):";
        (about.to_owned(), whole.get(..end).unwrap_or_default().to_owned())
    }
}

/// Words of a page's, so marked that they cannot end the mark.
fn marked(context: &Context<'_>, text: &str) -> String {
    quote("page", "", context.call.to_string().as_bytes(), text)
}

fn words(state: &cofferdam_browser::State) -> String {
    let mut words = state.page.clone();
    for note in &state.notes {
        words.push('\n');
        words.push_str(note);
    }
    words
}

fn sentence(error: &BrowserError) -> String {
    let words = error.to_string();
    let mut characters = words.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if words.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

/// How dialogs are answered, from the arguments of a call.
fn answer(arguments: &Arguments) -> Answer {
    Answer {
        accept: arguments.text("dialogs") == "accept",
        text: arguments.optional_text("dialog_text").map(str::to_owned),
    }
}

/// Starts the program, and begins to speak with it.
async fn start(context: &Context<'_>, path: &str) -> Result<Running, Failure> {
    let pipe = |what: &str| format!("The browser cannot be started: a pipe cannot be {what}.");
    let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(|_| Failure(pipe("made")))?;
    let input = Sender::from_owned_fd(ours).map_err(|_| Failure(pipe("watched")))?;
    let command = Command {
        argv: program::command(path),
        env: program::variables(),
        cwd: "/tmp".to_owned(),
        stdin: Vec::new(),
        terminal: false,
        user: User::Agent,
        timeout: LIFE,
        output_limit: UNREAD,
    };
    let process = context.sandbox.start_at(command, Console::Pipe(theirs)).await?;
    let (inward, output) = tokio::io::duplex(ON_THE_WAY);
    let process = Carried(tokio::spawn(carry(process, inward)).abort_handle());
    match Browser::connect(output, input).await {
        Ok(browser) => Ok(Running { browser, _process: process }),
        Err(error) => {
            let said = context.sandbox.read(program::ERRORS, 0, 2_000).await;
            let said =
                said.map_or_else(|_| String::new(), |data| String::from_utf8_lossy(&data.bytes).into_owned());
            let said = cofferdam_browser::quoted(&said, 600);
            Err(Failure(format!("The browser cannot be started: {error}. It said: {said}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_an_end() {
        let mut state = State::default();
        let picture = BlobRef { digest: cofferdam_domain::Digest::of(b""), size: MOST_PICTURES / 2 };
        for _ in 0..2 {
            assert_eq!(state.room_for_pictures(), Ok(()));
            state.kept(picture);
        }
        let full = state.room_for_pictures().unwrap_err().0;
        assert!(full.contains("256 MiB") && full.contains("`browser_snapshot`"), "{full}");
        state.lose();
        assert!(state.room_for_pictures().is_err(), "another browser has no more");
    }
}
