//! One run of the real program, watched from outside through `/proc`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::{
    server::{self, Seen, now},
    world::World,
};
use crate::process::{TICKS, children, field, path};

/// How often memory is looked at: high-water marks, so nothing but the last moment is missed.
const LOOK: Duration = Duration::from_millis(10);
/// Every so many looks the whole tree is looked at, which costs more.
const TREE: usize = 10;
/// What one run came to.
#[derive(Debug)]
pub(crate) struct Run {
    /// When the program was started, in nanoseconds of the monotonic clock.
    pub(crate) started: u64,
    /// When it had ended.
    pub(crate) ended: u64,
    /// Processor seconds of it and everything that it started and waited for.
    pub(crate) cpu: f64,
    pub(crate) memory: Memory,
    pub(crate) seen: Seen,
}

/// The most memory that was seen, in kB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident in the program's own process until the model's last answer.
    pub(crate) steps: u64,
    /// The same until its end, delivery included (`VmHWM`).
    pub(crate) worker: u64,
    /// Resident in any one of the sandboxes' own processes, the zygote and the hands (`VmHWM`).
    pub(crate) hand: u64,
    /// Of the whole tree with git and what ran in sandboxes, shared pages divided among those who share them (`Pss`).
    pub(crate) tree: u64,
}

/// Runs a session of `steps` steps with the real program.
pub(crate) fn run(program: &Path, world: &World, wire: &str, steps: usize) -> Result<Run> {
    let server = server::start(wire, &world.recording(steps)?)?;
    world.configure(wire, &server.base_url)?;
    let mut command = Command::new(program);
    command
        .args(["run", "--json", "--model", "bench/recorded", "--repo"])
        .arg(world.repository())
        .arg("Mark line 7 of each note as seen.")
        .env("COFFERDAM_CONFIG", world.configuration())
        .env("COFFERDAM_DATA", world.data())
        .env("BENCH_KEY", "a key for nobody")
        // With it, looking for the place of an error that is dealt with reads symbols, which stay resident.
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null());
    let watched =
        Watched::run(command, &world.output()).with_context(|| format!("a session of {steps} steps"))?;
    let Watched { started, ended, cpu, mut memory, looks, .. } = watched;
    let seen: Seen = server.finish()?;
    ensure!(seen.broken.is_empty(), "requests broke the rules: {}", seen.broken.join("\n"));
    ensure!(seen.asked.len() == steps + 1, "{} requests for {steps} steps", seen.asked.len());
    let last = seen.answered.last().copied().unwrap_or(ended);
    memory.steps = looks.iter().take_while(|(at, _)| *at <= last).map(|(_, kb)| *kb).max().unwrap_or(0);
    Ok(Run { started, ended, cpu, memory, seen })
}

/// A program that was run to its end, and watched.
#[derive(Debug)]
pub(crate) struct Watched {
    /// When it was started, in nanoseconds of the monotonic clock.
    pub(crate) started: u64,
    /// When it had ended.
    pub(crate) ended: u64,
    /// Processor seconds of it and everything that it started and waited for.
    pub(crate) cpu: f64,
    pub(crate) memory: Memory,
    looks: Vec<Look>,
    output: PathBuf,
}

impl Watched {
    /// Runs a program, with what it says going to a file. Whatever it leaves behind is ended, where that becomes this process's child.
    pub(crate) fn run(mut command: Command, output: &Path) -> Result<Self> {
        let program = command.get_program().to_owned();
        let others = children(std::process::id());
        let before = children_cpu()?;
        command.stdout(File::create(output)?).stderr(Stdio::piped());
        let started = now();
        let child = command.spawn().with_context(|| format!("failed to start {}", program.display()))?;
        let watcher = Watcher::start(child.id());
        let said = child.wait_with_output()?;
        let ended = now();
        let (memory, looks) = watcher.finish();
        end_leftovers(&others)?;
        let cpu = children_cpu()? - before;
        let watched = Self { started, ended, cpu, memory, looks, output: output.to_owned() };
        let errors = String::from_utf8_lossy(&said.stderr);
        ensure!(
            said.status.success(),
            "{} ended with {}: {errors}\n{}",
            program.display(),
            said.status,
            watched.last_lines()?,
        );
        Ok(watched)
    }

    /// The end of what it said.
    pub(crate) fn last_lines(&self) -> Result<String> {
        let text = fs::read_to_string(&self.output)?;
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        Ok(lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

/// Ends the children of this process that were not there before: orphans that it has adopted.
fn end_leftovers(before: &[u32]) -> Result<()> {
    for pid in children(std::process::id()).into_iter().filter(|pid| !before.contains(pid)) {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
        // It may just have ended; then there is only its status to collect.
        kill_process(pid, Signal::KILL).ok();
        waitpid(Some(pid), WaitOptions::empty())?;
    }
    Ok(())
}

/// How long the program takes to start and end when it has nothing to do.
pub(crate) fn version(program: &Path) -> Result<Duration> {
    let started = now();
    let output = Command::new(program).arg("--version").output()?;
    ensure!(output.status.success(), "{} --version failed", program.display());
    Ok(Duration::from_nanos(now() - started))
}

/// Processor seconds of all children that have been waited for, and theirs (proc_pid_stat(5), `cutime` and `cstime`).
fn children_cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    // After the name in brackets comes field 3.
    let ticks: Result<Vec<f64>, _> = fields.split_whitespace().skip(16 - 3).take(2).map(str::parse).collect();
    Ok(ticks.context("/proc/self/stat has another form than proc_pid_stat(5) says")?.iter().sum::<f64>()
        / TICKS)
}

/// When a process was looked at, and how many kB had been resident in it by then.
type Look = (u64, u64);

/// Looks at the memory of a process and its descendants until it is told to stop.
struct Watcher {
    stop: Sender<()>,
    thread: JoinHandle<(Memory, Vec<Look>)>,
}

impl Watcher {
    fn start(pid: u32) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut memory = Memory::default();
            let mut looks = Vec::new();
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                looks.push((now(), field(pid, "status", "VmHWM:")));
                if looks.len() % TREE == 1 {
                    memory.look_at_tree(pid);
                }
            }
            memory.worker = looks.iter().map(|(_, kb)| *kb).max().unwrap_or(0);
            (memory, looks)
        });
        Self { stop, thread }
    }

    fn finish(self) -> (Memory, Vec<Look>) {
        // A watcher that has ended by itself has said what it saw.
        self.stop.send(()).ok();
        self.thread.join().unwrap_or_default()
    }
}

impl Memory {
    fn look_at_tree(&mut self, pid: u32) {
        let mut tree = 0;
        let mut open = vec![pid];
        while let Some(process) = open.pop() {
            tree += field(process, "smaps_rollup", "Pss:");
            let program = fs::read_link(path(process, "exe")).unwrap_or_default();
            if program.to_string_lossy().starts_with("/memfd:cofferdam-hand") {
                self.hand = self.hand.max(field(process, "status", "VmHWM:"));
            }
            open.extend(children(process));
        }
        self.tree = self.tree.max(tree);
    }
}
