//! A process of the product: started, watched from outside, ended in one way or another.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// Longer than the product needs to start on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of a log that are shown when something went wrong.
const SHOWN: i64 = 20_000;

/// A process of the product. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    handle: OwnedFd,
    lines: Receiver<String>,
    log: PathBuf,
    /// Where in the log this process began.
    begins: u64,
}

impl Program {
    /// Starts one. What it says on standard error is added to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let errors = File::options().create(true).append(true).open(log).context("open a log")?;
        let begins = errors.metadata()?.len();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        let stdout = child.stdout.take().context("a pipe")?;
        let (send, lines) = channel();
        // It reads to the end, so that the program can always write.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                send.send(line).ok();
            }
        });
        Ok(Self { name: name.to_owned(), child, handle, lines, log: log.to_owned(), begins })
    }

    /// Waits for a line of standard output with this in it.
    pub(crate) fn until(&self, wanted: &str) -> Result<String> {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(wanted) => return Ok(line),
                Ok(_) => {}
                Err(_) => bail!("{} does not say {wanted:?}: {}", self.name, self.last_words()),
            }
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(&self.handle, signal).with_context(|| format!("signal {}", self.name))
    }

    /// Whether it has ended, within this time.
    pub(crate) fn ends_within(&self, patience: Duration) -> Result<bool> {
        ends(&self.handle, patience)
    }

    /// Kills it, and nothing that it has started.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// Freezes it for a time.
    pub(crate) fn freeze(&self, time: Duration) -> Result<()> {
        self.signal(Signal::STOP)?;
        thread::sleep(time);
        self.signal(Signal::CONT)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        ensure!(self.ends_within(patience)?, "{} does not end: {}", self.name, self.last_words());
        Ok(self.child.wait()?)
    }

    /// Waits until it has said this on standard error since it was started.
    pub(crate) fn has_logged(&self, wanted: &str, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !self.logged()?.contains(wanted) {
            ensure!(
                Instant::now() < deadline,
                "{} does not log {wanted:?}: {}",
                self.name,
                self.last_words()
            );
            ensure!(
                !self.ends_within(Duration::from_millis(50))?,
                "{} has ended: {}",
                self.name,
                self.last_words()
            );
        }
        Ok(())
    }

    fn logged(&self) -> Result<String> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.begins))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn last_words(&self) -> String {
        last_words(&self.log)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The end of a log.
pub(crate) fn last_words(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = i64::try_from(file.metadata()?.len()).unwrap_or(SHOWN);
        file.seek(SeekFrom::End(-length.min(SHOWN)))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // Every request is logged too.
        let text = String::from_utf8_lossy(&text).into_owned();
        let told: Vec<&str> = text.lines().filter(|line| !line.contains("\"answered\"")).collect();
        Ok(told.join("\n"))
    };
    read().unwrap_or_else(|error| error.to_string())
}

/// Whether the process ends in this time.
pub(crate) fn ends(handle: &OwnedFd, patience: Duration) -> Result<bool> {
    let patience = Timespec::try_from(patience)?;
    Ok(poll(&mut [PollFd::new(&handle.as_fd(), PollFlags::IN)], Some(&patience))? == 1)
}

/// Kills a process that descends from `ancestor`; nothing if it does not any more, whoever has its number by now.
pub(crate) fn kill_descendant(process: i32, ancestor: i32) -> bool {
    let Some(Ok(handle)) = Pid::from_raw(process).map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
        return false;
    };
    // The number is this process's for as long as the handle is open.
    descendants(ancestor).contains(&process) && pidfd_send_signal(&handle, Signal::KILL).is_ok()
}

/// All that a process has started, and what they have, as far as it still belongs to it.
pub(crate) fn descendants(ancestor: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = all().into_iter().filter_map(|id| Some((id, parent(id)?))).collect();
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(of) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(id, _)| *id));
        next += 1;
    }
    found.split_off(1)
}

/// What a process calls itself.
pub(crate) fn command(process: i32) -> String {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned()
}

/// The numbers of all processes.
pub(crate) fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// proc_pid_stat(5), field 4.
fn parent(process: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether it is a process 1 in the namespace that it was made with (proc_pid_status(5), `NSpid`).
pub(crate) fn is_first(process: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    // One number for each namespace that it is in, the outermost first.
    numbers.split_whitespace().skip(1).last() == Some("1")
}

/// Whether it runs the program of zygotes and hands.
pub(crate) fn is_hand(process: i32) -> bool {
    let program = fs::read_link(format!("/proc/{process}/exe")).unwrap_or_default();
    program.to_string_lossy().starts_with("/memfd:cofferdam-hand")
}
