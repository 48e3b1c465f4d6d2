//! `cofferdam sandbox exec`: a command in a sandbox that is kept.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    call::{OUT_OF_PLACE, connect_to_living},
    list,
    wire::{self, Answer, Ended, Exec, Frame, Meanwhile, PIECE, Request, Size},
};
use crate::{
    args::SandboxExecArguments,
    compose::App,
    exit::Exit,
    terminal::{Raw, Style, complain, inert},
};

/// Pieces of input that wait to be sent.
const WAITING: usize = 4;

/// Runs the command, shows its output as it comes, and gives it this program's input.
pub(super) async fn exec(app: &App, arguments: &SandboxExecArguments) -> Result<Exit> {
    let kept = list::find(app, arguments.id).await?;
    let line = connect_to_living(&kept)?;
    if arguments.terminal {
        ensure!(at_a_terminal(), "-t needs a terminal as standard input and output: leave it out");
    }
    let (command, timeout) = (arguments.command.clone(), arguments.timeout);
    let wanted = Wanted { command, root: arguments.root, timeout };
    run(app, line.stream, wanted, arguments.terminal).await
}

/// A command that is to be run at the other end.
pub(super) struct Wanted {
    pub(super) command: Vec<String>,
    pub(super) root: bool,
    pub(super) timeout: Option<u64>,
}

/// Runs a command at the other end of a connection, at a terminal if this program has one.
pub(super) async fn at_the_other_end(app: &App, stream: UnixStream, wanted: Wanted) -> Result<Exit> {
    run(app, stream, wanted, at_a_terminal()).await
}

fn at_a_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

async fn run(app: &App, stream: UnixStream, wanted: Wanted, terminal: bool) -> Result<Exit> {
    let raw = terminal.then(Raw::enter).transpose().context("failed to change the terminal")?;
    let mut stop = app.stop_on_interrupt();
    let (mut from, mut to) = stream.into_split();
    let Wanted { command, root, timeout } = wanted;
    let exec = Exec { command, root, terminal: raw.as_ref().map(|_| size()), timeout };
    wire::send(&mut to, &Request::Exec(exec)).await?;
    let mut speaking = JoinSet::new();
    speaking.spawn(speak(to, raw.is_some()));
    let ended = tokio::select! {
        ended = hear(app, &mut from, raw.is_some()) => ended,
        _ = stop.changed() => return Ok(Exit::Interrupted),
    };
    // Before anything is said.
    drop(raw);
    let Ended { status, notes } = ended?;
    for note in notes {
        complain(&app.terminal.paint(Style::Warn, &inert(&note)));
    }
    Ok(Exit::Command(status))
}

fn size() -> Size {
    let (columns, rows) = Raw::size();
    Size { columns, rows }
}

/// Shows what the command prints, until it has ended.
async fn hear(app: &App, from: &mut OwnedReadHalf, raw: bool) -> Result<Ended> {
    loop {
        let frame = wire::read(from).await.context("the keeper was lost")?;
        match frame.context("the sandbox has ended, and the command with it")? {
            Frame::Bytes(bytes) if raw => app.terminal.raw(&bytes),
            Frame::Bytes(bytes) => app.terminal.output(&bytes),
            message @ Frame::Message(_) => match message.message()? {
                Answer::Ended(ended) => return Ok(ended),
                Answer::Refused(reason) => bail!("{reason}"),
                Answer::Seen(_) | Answer::Snapshot(_) | Answer::Done => bail!(OUT_OF_PLACE),
            },
        }
    }
}

/// Sends input, and the sizes of the terminal, for as long as the keeper takes them.
async fn speak(mut to: OwnedWriteHalf, terminal: bool) -> std::io::Result<()> {
    let mut resized = signal(SignalKind::window_change())?;
    let mut input = (terminal || !std::io::stdin().is_terminal()).then(input);
    if input.is_none() {
        wire::send(&mut to, &Meanwhile::InputEnded).await?;
    }
    loop {
        tokio::select! {
            piece = next(&mut input) => match piece {
                Some(piece) => wire::send_bytes(&mut to, &piece).await?,
                None => {
                    input = None;
                    wire::send(&mut to, &Meanwhile::InputEnded).await?;
                }
            },
            _ = resized.recv(), if terminal => {
                wire::send(&mut to, &Meanwhile::Resized(size())).await?;
            }
        }
    }
}

/// The next piece of input; never comes where there is none.
async fn next(input: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

/// Standard input, piece by piece. A thread of its own reads it, which nothing waits for: it may be waiting for a person.
fn input() -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut piece)) {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    let read = piece.get(..length).unwrap_or_default().to_vec();
                    if send.blocking_send(read).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receive
}
