//! Which functions of a program are entered, in it and in every process that it forks: a breakpoint at each, taken away when it is hit.
//!
//! A command is run with all that it starts; what of that is the program gets breakpoints when it begins, before its first instruction. A process
//! that becomes another program is let go. See ptrace(2).

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Event, Options},
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// The instruction `int3`.
const BREAKPOINT: u8 = 0xcc;
/// What precedes the command in a shell: it waits until it is traced.
const WHEN_TRACED: &str = "read -r go && exec \"$@\"";

/// Sees which functions of one program are entered.
pub(super) struct Tracer {
    program: PathBuf,
    /// Where functions begin, from the program's own beginning, with the byte that is there once it is known.
    functions: BTreeMap<u64, Option<u8>>,
    entered: BTreeSet<u64>,
    /// Where the program lies in each of its threads' memory, as far as that was looked up.
    bases: BTreeMap<i32, u64>,
}

impl Tracer {
    pub(super) fn new(program: &Path, functions: BTreeSet<u64>) -> Self {
        Self {
            program: program.to_owned(),
            functions: functions.into_iter().map(|address| (address, None)).collect(),
            entered: BTreeSet::new(),
            bases: BTreeMap::new(),
        }
    }

    /// The functions that were entered in all runs until now.
    pub(super) const fn entered(&self) -> &BTreeSet<u64> {
        &self.entered
    }

    /// Runs a command to its end, and that of all that it has started and that was traced.
    ///
    /// # Errors
    ///
    /// It cannot be traced, or it fails.
    pub(super) fn run(&mut self, command: &[OsString], settings: &[(String, OsString)]) -> Result<()> {
        let mut child = Command::new("sh")
            .args(["-c", WHEN_TRACED, "sh"])
            .args(command)
            .envs(settings.iter().cloned())
            // With it errors collect what few sessions ask for.
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("failed to run sh")?;
        let root = Pid::from_raw(i32::try_from(child.id())?);
        let follow = Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(root, follow).context("failed to trace a process of ours: is another tracer there?")?;
        child.stdin.take().context("a pipe was asked for")?.write_all(b"go\n")?;
        // Threads are traced, too, and only this thread's.
        let ours = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let mut ended = None;
        loop {
            match waitpid(None, Some(ours)) {
                Ok(WaitStatus::Exited(process, status)) if process == root => ended = Some(status),
                Ok(WaitStatus::Signaled(process, signal, _)) if process == root => {
                    bail!("it was ended by {signal:?}")
                }
                Ok(status) => self.stopped(root, status)?,
                Err(Errno::ECHILD) => break,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("failed to wait for what is traced"),
            }
        }
        ensure!(ended == Some(0), "it ended with status {ended:?}");
        Ok(())
    }

    /// Lets go on what has stopped.
    fn stopped(&mut self, root: Pid, status: WaitStatus) -> Result<()> {
        match status {
            WaitStatus::PtraceEvent(process, _, event) if event == Event::PTRACE_EVENT_EXEC as i32 => {
                self.bases.remove(&process.as_raw());
                if self.is_program(process) {
                    self.plant(process)?;
                } else if process != root {
                    return alive(ptrace::detach(process, None));
                }
                alive(ptrace::cont(process, None))
            }
            WaitStatus::PtraceEvent(thread, ..) => alive(ptrace::cont(thread, None)),
            WaitStatus::Stopped(thread, Signal::SIGTRAP) if self.hit(thread)? => {
                alive(ptrace::cont(thread, None))
            }
            WaitStatus::Stopped(thread, signal) => alive(ptrace::cont(thread, signal)),
            WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..) => {
                self.bases.remove(&thread.as_raw());
                Ok(())
            }
            // Not asked for.
            WaitStatus::PtraceSyscall(_) | WaitStatus::Continued(_) | WaitStatus::StillAlive => Ok(()),
        }
    }

    fn is_program(&self, process: Pid) -> bool {
        fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|program| program == self.program)
    }

    /// Puts a breakpoint at every function that was not entered yet.
    fn plant(&mut self, process: Pid) -> Result<()> {
        let base = self.base(process)?;
        let memory = memory(process)?;
        for (address, original) in &mut self.functions {
            if self.entered.contains(address) {
                continue;
            }
            if original.is_none() {
                let mut byte = [0];
                memory.read_exact_at(&mut byte, base + address)?;
                *original = Some(byte[0]);
            }
            memory.write_all_at(&[BREAKPOINT], base + address)?;
        }
        Ok(())
    }

    /// If a thread has run into one of the breakpoints: takes it away, and sets the thread back to where the function begins. Another thread of the
    /// process may have done so already.
    fn hit(&mut self, thread: Pid) -> Result<bool> {
        let mut registers = ptrace::getregs(thread).context("failed to read registers")?;
        let base = self.base(thread)?;
        let Some(address) = registers.rip.checked_sub(base + 1) else { return Ok(false) };
        let Some(Some(original)) = self.functions.get(&address) else { return Ok(false) };
        memory(thread)?.write_all_at(&[*original], base + address)?;
        registers.rip -= 1;
        ptrace::setregs(thread, registers).context("failed to write registers")?;
        self.entered.insert(address);
        Ok(true)
    }

    /// Where the program begins in a process's memory: proc_pid_maps(5), which lists mappings in the order of their addresses.
    fn base(&mut self, thread: Pid) -> Result<u64> {
        if let Some(base) = self.bases.get(&thread.as_raw()) {
            return Ok(*base);
        }
        let maps = fs::read_to_string(format!("/proc/{thread}/maps"))?;
        let program = self.program.to_string_lossy();
        let first = maps.lines().find(|line| line.ends_with(&*program)).context("it is not mapped")?;
        let base = first.split_once('-').map_or(first, |(base, _)| base);
        let base = u64::from_str_radix(base, 16).context("/proc/PID/maps has another form")?;
        self.bases.insert(thread.as_raw(), base);
        Ok(base)
    }
}

/// The memory of a traced process, which may be written even where it may not itself.
fn memory(process: Pid) -> Result<File> {
    let path = format!("/proc/{process}/mem");
    File::options().read(true).write(true).open(&path).with_context(|| format!("failed to open {path}"))
}

/// What was killed meanwhile need not be let go on.
fn alive(result: nix::Result<()>) -> Result<()> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).context("failed to let a traced process go on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::symbols;

    /// What a process of this test does when it is told to.
    const ROLE: &str = "XTASK_TEST_ENTERS";

    #[inline(never)]
    fn entered_by_the_child() -> u32 {
        std::hint::black_box(7)
    }

    #[inline(never)]
    fn entered_by_nobody() -> u32 {
        std::hint::black_box(8)
    }

    #[test]
    fn what_is_entered_is_seen() {
        if std::env::var_os(ROLE).is_some() {
            // From a thread, and twice: the breakpoint is there once.
            let thread = std::thread::spawn(|| entered_by_the_child() + entered_by_the_child());
            assert_eq!(thread.join().unwrap(), 14);
            return;
        }
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        let functions = symbols::read(&program).unwrap();
        let address = |name: &str| functions.iter().find(|one| one.name.contains(name)).unwrap().address;
        let (entered, idle) = (address("entered_by_the_child"), address("entered_by_nobody"));
        let mut tracer = Tracer::new(&program, BTreeSet::from([entered, idle]));
        let test = "order::trace::tests::what_is_entered_is_seen";
        // Behind another program that starts it, as benchmarks do.
        let command = ["sh", "-c", "\"$@\"; exit $?", "sh"].map(OsString::from);
        let command = [&command[..], &[program.into(), "--exact".into(), test.into()]].concat();
        tracer.run(&command, &[(ROLE.to_owned(), "1".into())]).unwrap();
        assert_eq!(tracer.entered(), &BTreeSet::from([entered]));
        assert_eq!(entered_by_nobody(), 8);
        let failure = tracer.run(&["false".into()], &[]).unwrap_err();
        assert!(failure.to_string().contains("status Some(1)"), "{failure}");
    }
}
