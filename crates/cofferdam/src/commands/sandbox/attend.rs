//! The other side of `cofferdam sandbox exec` and `cofferdam attach`: a command, its output as it comes, its input as it is given.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use cofferdam_sandbox::{Command, Console, Finished, Process, Sandbox, User, WORKSPACE};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::{
    io::AsyncWriteExt as _,
    net::{
        unix::pipe::Sender,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    furnish,
    keeper::{ENDED, Keeper},
    wire::{self, Answer, Ended, Exec, Frame, Meanwhile, Size},
};

/// How often whoever waits is looked after: nothing tells that he has gone but that he no longer takes anything.
const BEAT: Duration = Duration::from_secs(5);
/// How long a terminal may take what was typed.
const TYPING: Duration = Duration::from_secs(1);
/// Things that were typed and not yet taken.
const TYPED: usize = 16;

/// What comes from whoever runs the command.
enum Heard {
    Typed(Vec<u8>),
    Resized(Size),
}

/// Counts a command for as long as it lives.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Sees what somebody sees who runs a command.
pub(super) trait Screen: Send {
    /// The command has printed this.
    fn printed(&mut self, bytes: &[u8]);

    /// The terminal has this size now.
    fn resized(&mut self, size: Size);
}

/// Looks away.
struct Unseen;

impl Screen for Unseen {
    fn printed(&mut self, _: &[u8]) {}
    fn resized(&mut self, _: Size) {}
}

/// Runs a command in a kept sandbox for whoever is at the other end.
pub(super) async fn run(
    keeper: &Keeper,
    exec: Exec,
    from: OwnedReadHalf,
    to: &mut OwnedWriteHalf,
) -> Result<Answer> {
    let mut ending = keeper.ending.subscribe();
    let _counted = Counted::new(&keeper.commands);
    let slot = keeper.sandbox.read().await;
    let sandbox = slot.as_ref().context(ENDED)?;
    let refused = keeper.refusals.count();
    let mut unseen = Unseen;
    let mut alarm = keeper.alarm.subscribe();
    let finished = tokio::select! {
        finished = attend(&**sandbox, (exec, keeper.output_limit), &mut unseen, from, to) => finished?,
        () = turned(&mut ending) => bail!(ENDED),
        Ok(reason) = frozen_because(&mut alarm) => bail!(
            "the sandbox was frozen: {reason}. Its files are kept, and the command ends with it or when it is thawed: \
             `cofferdam sandbox thaw {id}` lets it go on, `cofferdam sandbox destroy {id}` ends it",
            id = sandbox.id()
        ),
    };
    let (status, mut notes) = furnish::status(&finished);
    notes.extend(keeper.refusals.since(refused));
    Ok(Answer::Ended(Ended { status, notes }))
}

/// Runs a command in a sandbox, of whose output so many bytes are kept, for whoever is at the other end.
pub(super) async fn attend(
    sandbox: &dyn Sandbox,
    (exec, output_limit): (Exec, u64),
    screen: &mut dyn Screen,
    from: OwnedReadHalf,
    to: &mut OwnedWriteHalf,
) -> Result<Finished> {
    let terminal = exec.terminal;
    let command = Command {
        argv: exec.command,
        env: Vec::new(),
        cwd: WORKSPACE.to_owned(),
        stdin: Vec::new(),
        terminal: terminal.is_some(),
        user: if exec.root { User::Root } else { User::Agent },
        timeout: exec.timeout.map_or(Duration::MAX, Duration::from_secs),
        output_limit,
    };
    let (console, input) = match terminal {
        Some(Size { columns, rows }) => (Console::Terminal { columns, rows }, Input::Terminal),
        None => {
            let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).context("failed to make a pipe")?;
            (
                Console::Pipe(theirs),
                Input::Pipe(Sender::from_owned_fd(ours).context("failed to watch a pipe")?),
            )
        }
    };
    let mut process = sandbox.start_at(command, console).await?;
    let (tell, mut heard) = mpsc::channel(TYPED);
    let mut listening = JoinSet::new();
    listening.spawn(listen(from, input, tell));
    follow(&mut *process, &mut heard, screen, to).await
}

/// Waits until it is frozen without anybody having asked for it.
async fn frozen_because(alarm: &mut watch::Receiver<Option<String>>) -> Result<String> {
    let reason = alarm.wait_for(Option::is_some).await?;
    Ok(reason.clone().unwrap_or_default())
}

async fn turned(ending: &mut watch::Receiver<bool>) {
    ending.wait_for(|ending| *ending).await.ok();
}

/// Sends what the command prints until it has ended.
async fn follow(
    process: &mut dyn Process,
    heard: &mut mpsc::Receiver<Heard>,
    screen: &mut dyn Screen,
    to: &mut OwnedWriteHalf,
) -> Result<Finished> {
    loop {
        tokio::select! {
            () = process.stir(BEAT) => {}
            heard = heard.recv() => match heard {
                // What a terminal does not take in time is lost, as with typing.
                Some(Heard::Typed(bytes)) => drop(timeout(TYPING, process.write_input(&bytes)).await),
                Some(Heard::Resized(size)) => {
                    screen.resized(size);
                    process.resize(size.columns, size.rows);
                }
                None => bail!("nobody waits for the command any more"),
            }
        }
        let finished = process.wait(Duration::ZERO).await?;
        let printed = process.take_output();
        screen.printed(&printed);
        wire::send_bytes(to, &printed).await?;
        if let Some(finished) = finished {
            return Ok(finished);
        }
    }
}

/// Where input goes.
enum Input {
    Pipe(Sender),
    Terminal,
    Closed,
}

/// Takes what comes from whoever runs the command, until he goes or says what he may not.
async fn listen(mut from: OwnedReadHalf, mut input: Input, tell: mpsc::Sender<Heard>) {
    while let Ok(Some(frame)) = wire::read(&mut from).await {
        let told = match (frame, &mut input) {
            (Frame::Bytes(bytes), Input::Pipe(pipe)) => {
                // It may read only what it needs.
                if pipe.write_all(&bytes).await.is_err() {
                    input = Input::Closed;
                }
                Ok(())
            }
            (Frame::Bytes(bytes), Input::Terminal) => tell.send(Heard::Typed(bytes)).await,
            (Frame::Bytes(_), Input::Closed) => Ok(()),
            (message @ Frame::Message(_), _) => match message.message() {
                Ok(Meanwhile::Resized(size)) => tell.send(Heard::Resized(size)).await,
                Ok(Meanwhile::InputEnded) => {
                    if let Input::Pipe(_) = input {
                        input = Input::Closed;
                    }
                    Ok(())
                }
                Err(_) => return,
            },
        };
        if told.is_err() {
            return;
        }
    }
}
