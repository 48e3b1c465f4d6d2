//! From a command to the request that starts it, and the descriptors that the host makes for it.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    os::fd::OwnedFd,
};

use cofferdam_hand::protocol::{
    message::{self, ProcessLimits, Start, Streams, Variable},
    text::{KernelString, SandboxPath, TextError, VariableName},
};
use rustix::{
    fs::{MemfdFlags, OFlags, memfd_create},
    pipe::{PipeFlags, pipe_with},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{Command, Console, SandboxError, User, WORKSPACE};

/// Size of a terminal that nobody sits at.
const COLUMNS: u16 = 80;
const ROWS: u16 = 24;

/// The home directory of root inside.
const ROOT_HOME: &str = "/root";

/// The request that starts a command. `variables` are those of the sandbox; `reads` says whether it has a standard input.
pub(super) fn start(
    command: &Command,
    variables: &BTreeMap<String, String>,
    reads: bool,
) -> Result<Start, SandboxError> {
    let (program, args) = command.argv.split_first().ok_or_else(|| problem("", "no program is given"))?;
    let text = |bytes: &str| KernelString::new(bytes).map_err(|error| problem(program, &error.to_string()));
    let mut env = variables.clone();
    if command.user == User::Root {
        let root = [("HOME", ROOT_HOME), ("USER", "root"), ("LOGNAME", "root")];
        env.extend(root.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    env.insert("TERM".to_owned(), if command.terminal { "xterm-256color" } else { "dumb" }.to_owned());
    env.extend(command.env.iter().cloned());
    let mut checked = Vec::with_capacity(env.len());
    for (name, value) in env {
        let name = VariableName::new(name).map_err(|error| problem(program, &error.to_string()))?;
        checked.push(Variable { name, value: text(&value)? });
    }
    let streams = match (command.terminal, reads) {
        (true, _) => Streams::Terminal,
        (false, false) => Streams::Output,
        (false, true) => Streams::InputOutput,
    };
    Ok(Start {
        program: text(program)?,
        args: args.iter().map(|argument| text(argument)).collect::<Result<_, _>>()?,
        env: checked,
        cwd: absolute(&command.cwd).map_err(|error| problem(program, &error.to_string()))?,
        streams,
        limits: ProcessLimits::default(),
        user: match command.user {
            User::Agent => message::User::Agent,
            User::Root => message::User::Root,
        },
    })
}

/// A path as callers give it: absolute, or relative to the workspace.
pub(super) fn absolute(path: &str) -> Result<SandboxPath, TextError> {
    match path {
        "" | "." => SandboxPath::new(WORKSPACE),
        absolute if absolute.starts_with('/') => SandboxPath::new(absolute),
        relative => SandboxPath::new(format!("{WORKSPACE}/{relative}")),
    }
}

/// A command that could not be started.
pub(super) fn problem(program: &str, problem: &str) -> SandboxError {
    SandboxError::Start { program: program.to_owned(), problem: problem.to_owned() }
}

/// The host's and the command's ends of its standard streams.
#[derive(Debug)]
pub(super) struct Ends {
    /// The host's: a pipe to read from, or the terminal's own side.
    pub(super) host: OwnedFd,
    /// What goes to the command, in the order of [`Streams`].
    pub(super) command: Vec<OwnedFd>,
}

impl Ends {
    /// The console, if there is one, fits the command.
    pub(super) fn make(command: &Command, console: Option<Console>) -> io::Result<Self> {
        match console {
            Some(Console::Terminal { columns, rows }) => Self::terminal(&[], columns, rows),
            Some(Console::Pipe(pipe)) => Self::pipes(Some(pipe)),
            None if command.terminal => Self::terminal(&command.stdin, COLUMNS, ROWS),
            None if command.stdin.is_empty() => Self::pipes(None),
            None => Self::pipes(Some(input(&command.stdin)?)),
        }
    }

    fn pipes(input: Option<OwnedFd>) -> io::Result<Self> {
        let (host, output) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&host, true)?;
        Ok(Self { host, command: input.into_iter().chain([output]).collect() })
    }

    fn terminal(stdin: &[u8], columns: u16, rows: u16) -> io::Result<Self> {
        let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        unlockpt(&host)?;
        tcsetwinsize(&host, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
        let command =
            ioctl_tiocgptpeer(&host, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&host, true)?;
        if !stdin.is_empty() {
            // As if typed before the program looked. What a terminal cannot hold is not taken, as with typing.
            rustix::io::write(&host, stdin)?;
        }
        Ok(Self { host, command: vec![command] })
    }
}

/// A file in memory with the input, opened for reading only. Unlike a pipe it needs nobody who keeps filling it.
fn input(bytes: &[u8]) -> io::Result<OwnedFd> {
    let memory = memfd_create("input", MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(memory);
    file.write_all(bytes)?;
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_of_the_workspace_unless_absolute() {
        for (given, expected) in [
            ("", "/workspace"),
            (".", "/workspace"),
            ("src/main.rs", "/workspace/src/main.rs"),
            ("/tmp/x", "/tmp/x"),
            ("../x", "/workspace/../x"),
        ] {
            assert_eq!(absolute(given).unwrap().as_bytes(), expected.as_bytes());
        }
        assert!(absolute("a\0b").is_err());
    }
}
