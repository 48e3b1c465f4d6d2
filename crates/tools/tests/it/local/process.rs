//! Commands as ordinary processes in a process group of their own.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use cofferdam_domain::evidence::Exit;
use cofferdam_sandbox::{Command, Finished, Output, Process, SandboxError};
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal},
    pty::OpenptFlags,
};

pub(super) struct LocalProcess {
    child: tokio::process::Child,
    group: Pid,
    /// The reading end of its pipe, or the controlling end of its terminal.
    from: File,
    terminal: bool,
    started: Instant,
    timeout: Duration,
    limit: usize,
    all: Vec<u8>,
    taken: usize,
    finished: Option<Finished>,
}

impl LocalProcess {
    pub(super) fn start(command: &Command, cwd: &Path, home: &Path) -> Result<Self, SandboxError> {
        let (program, arguments) = command.argv.split_first().unwrap();
        let refused =
            |error: &io::Error| SandboxError::Start { program: program.clone(), problem: error.to_string() };
        let (from, to) =
            if command.terminal { terminal() } else { pipe() }.map_err(|error| refused(&error))?;
        let mut host = tokio::process::Command::new(program);
        host.args(arguments)
            .current_dir(cwd)
            .env("HOME", home)
            .envs(command.env.iter().cloned())
            .process_group(0)
            .stdin(if command.terminal { Stdio::from(to.try_clone().unwrap()) } else { Stdio::null() })
            .stdout(to.try_clone().unwrap())
            .stderr(to);
        let child = host.spawn().map_err(|error| refused(&error))?;
        let group = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        Ok(Self {
            child,
            group,
            from,
            terminal: command.terminal,
            started: Instant::now(),
            timeout: command.timeout,
            limit: usize::try_from(command.output_limit).unwrap(),
            all: Vec::new(),
            taken: 0,
            finished: None,
        })
    }

    /// Takes in what has come. An error means that nothing more is there now, or ever.
    fn drain(&mut self) {
        let mut buffer = [0; 65536];
        while let Ok(count) = self.from.read(&mut buffer)
            && count > 0
        {
            self.all.extend_from_slice(&buffer[..count]);
        }
    }

    fn kill_group(&self) {
        // The group may be empty by now.
        rustix::process::kill_process_group(self.group, Signal::KILL).unwrap_or_default();
    }

    fn finish(&mut self, exit: Exit) -> Finished {
        self.drain();
        let half = self.limit / 2;
        let output = if self.all.len() <= self.limit {
            Output { head: self.all.clone(), dropped: 0, tail: Vec::new() }
        } else {
            Output {
                head: self.all[..half].to_vec(),
                dropped: (self.all.len() - 2 * half) as u64,
                tail: self.all[self.all.len() - half..].to_vec(),
            }
        };
        Finished { exit, output, elapsed: self.started.elapsed(), out_of_memory: false }
    }
}

fn pipe() -> io::Result<(File, OwnedFd)> {
    let (from, to) = io::pipe()?;
    let from = File::from(OwnedFd::from(from));
    not_blocking(&from)?;
    Ok((from, to.into()))
}

fn terminal() -> io::Result<(File, OwnedFd)> {
    let control = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&control)?;
    rustix::pty::unlockpt(&control)?;
    let name = rustix::pty::ptsname(&control, Vec::new())?;
    let inner =
        rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    not_blocking(&control)?;
    Ok((File::from(control), inner))
}

fn not_blocking(file: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&file)?;
    Ok(rustix::fs::fcntl_setfl(&file, flags | OFlags::NONBLOCK)?)
}

#[async_trait]
impl Process for LocalProcess {
    fn take_output(&mut self) -> Vec<u8> {
        self.drain();
        self.all[std::mem::replace(&mut self.taken, self.all.len())..].to_vec()
    }

    async fn stir(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        while self.finished.is_none() && self.all.len() == self.taken && Instant::now() < until {
            self.wait(Duration::from_millis(2)).await.ok();
        }
    }

    async fn write_input(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        let refused = |problem: String| SandboxError::Start { program: "its input".to_owned(), problem };
        if !self.terminal {
            return Err(refused("it was started without a terminal".to_owned()));
        }
        self.from.write_all(bytes).map_err(|error| refused(error.to_string()))
    }

    async fn wait(&mut self, patience: Duration) -> Result<Option<Finished>, SandboxError> {
        let until = Instant::now() + patience;
        while self.finished.is_none() {
            self.drain();
            let tick = tokio::time::timeout(Duration::from_millis(2), self.child.wait()).await;
            let exit = match tick {
                Ok(status) => {
                    let status = status.map_err(|error| SandboxError::Gone(error.to_string()))?;
                    let signal = std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default();
                    status.code().map_or(Exit::Signal(signal), Exit::Code)
                }
                Err(_) if self.started.elapsed() >= self.timeout => {
                    self.kill_group();
                    Exit::TimedOut
                }
                Err(_) if Instant::now() >= until => return Ok(None),
                Err(_) => continue,
            };
            self.finished = Some(self.finish(exit));
        }
        Ok(self.finished.clone())
    }

    async fn kill(&mut self) -> Result<(), SandboxError> {
        self.kill_group();
        Ok(())
    }
}

impl Drop for LocalProcess {
    fn drop(&mut self) {
        self.kill_group();
    }
}
