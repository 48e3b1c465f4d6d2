//! The way into the sandbox of a session that this process works on: a socket in the session's directory, for processes of the same user.
//!
//! What is said over it is what is said to the keeper of a sandbox ([`super::wire`]); only commands are run here.

use std::{
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::SessionId;
use cofferdam_sandbox::Sandbox;
use cofferdam_worker::{Entrance, Entrances, Visitor, now};
use tokio::{
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use super::{
    attend::attend,
    cast::Cast,
    furnish,
    keeper::is_ours,
    wire::{self, Answer, Ended, Exec, Request},
};
use crate::terminal::complain;

/// How long somebody who has connected may take to say what they want, or to take an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The socket's name in the session's directory.
const SOCKET: &str = "attach";
/// How many may wait at the door.
const WAITING: usize = 4;

/// Entrances that are sockets.
pub(crate) struct Sockets {
    /// Who the user of this process is, as text for people: nobody else gets in.
    pub(crate) user: String,
    /// Bytes of output that are kept of a command.
    pub(crate) output_limit: u64,
}

/// A socket for as long as it is listened to.
struct Listening {
    task: JoinHandle<()>,
    path: PathBuf,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        // Whoever listens next puts theirs in its place.
        std::fs::remove_file(&self.path).ok();
    }
}

impl Entrances for Sockets {
    fn open(&self, session: SessionId, directory: &Path) -> Entrance {
        let (come, visitors) = mpsc::channel(WAITING);
        let (user, output_limit) = (self.user.clone(), self.output_limit);
        match listen(directory) {
            Ok(listener) => {
                let task = tokio::spawn(receive(listener, come, user, output_limit));
                Entrance { visitors, hold: Box::new(Listening { task, path: directory.join(SOCKET) }) }
            }
            Err(error) => {
                // The session does not need it.
                complain(&format!("nobody can be let into the sandbox of {session}: {error}"));
                Entrance { visitors, hold: Box::new(()) }
            }
        }
    }
}

fn listen(directory: &Path) -> io::Result<UnixListener> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let path = directory.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = by_descriptor(directory, |socket| UnixListener::bind(socket))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Calls something with the path of the socket. Such a path has at most 107 bytes (unix(7)), so it leads through a descriptor.
fn by_descriptor<T>(directory: &Path, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let directory = std::fs::File::open(directory)?;
    call(Path::new(&format!("/proc/self/fd/{}/{SOCKET}", directory.as_fd().as_raw_fd())))
}

/// Connects to the worker that has a session on this machine; `None` if there is none.
pub(super) fn connect(directory: &Path) -> io::Result<Option<UnixStream>> {
    let connected = by_descriptor(directory, |socket| {
        let stream = std::os::unix::net::UnixStream::connect(socket)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    });
    match connected {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Takes in those who come, one after the other.
async fn receive(
    listener: UnixListener,
    come: mpsc::Sender<Box<dyn Visitor>>,
    user: String,
    output_limit: u64,
) {
    while let Ok((stream, _)) = listener.accept().await {
        if !is_ours(&stream) {
            complain("somebody else's connection was refused");
            continue;
        }
        let (mut from, mut to) = stream.into_split();
        let Ok(Ok(Some(frame))) = timeout(PATIENCE, wire::read(&mut from)).await else { continue };
        match frame.message() {
            Ok(Request::Exec(exec)) => {
                let guest = Guest { name: user.clone(), exec, output_limit, from, to };
                if come.send(Box::new(guest)).await.is_err() {
                    return;
                }
            }
            Ok(_) | Err(_) => {
                answer(&mut to, &Answer::Refused("only commands can be run here".to_owned())).await
            }
        }
    }
}

/// Whoever has gone away needs no answer.
async fn answer(to: &mut OwnedWriteHalf, answer: &Answer) {
    timeout(PATIENCE, wire::send(to, answer)).await.ok();
}

/// Somebody who wants to run a command in the session's sandbox.
struct Guest {
    name: String,
    exec: Exec,
    output_limit: u64,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
}

#[async_trait]
impl Visitor for Guest {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn visit(self: Box<Self>, sandbox: &dyn Sandbox) -> Vec<u8> {
        let Self { exec, output_limit, from, mut to, .. } = *self;
        let mut cast = Cast::new(exec.terminal, now());
        let ended = match attend(sandbox, (exec, output_limit), &mut cast, from, &mut to).await {
            Ok(finished) => {
                let (status, notes) = furnish::status(&finished);
                Answer::Ended(Ended { status, notes })
            }
            Err(error) => Answer::Refused(format!("{error:#}")),
        };
        answer(&mut to, &ended).await;
        cast.finish()
    }

    async fn refuse(mut self: Box<Self>, reason: String) {
        answer(&mut self.to, &Answer::Refused(reason)).await;
    }
}
