//! What the tests share: a world of its own for each test, with data, configuration and repositories, and the real program to run in it.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use cofferdam_domain::{
    CallId, Digest, Event, EventBody, EvidenceRun, PullRequest, SessionId, Side, ToolOutcome,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tempfile::TempDir;

/// Longer than any run of the program takes on a busy machine.
const LONG: Duration = Duration::from_secs(240);

/// A directory with everything that a test's runs of the program see and leave, and nothing that another test sees.
pub(crate) struct World {
    folder: TempDir,
}

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit status; 128 and the number for a signal, as shells have it.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Prints why a test cannot run here. The caller returns then.
pub(crate) fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

impl World {
    /// A world for tests that need no sandbox.
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        world.configure("");
        world
    }

    /// A world in which sandboxes can be made; `None`, loudly, where this host cannot.
    pub(crate) fn with_sandboxes() -> Option<Self> {
        /// The line of configuration with which this host makes sandboxes, or why it cannot.
        static HOST: OnceLock<Result<&'static str, String>> = OnceLock::new();
        let host = HOST.get_or_init(|| {
            let mut reason = String::new();
            for limits in ["", "limits = \"weak\"\n"] {
                let world = Self::new();
                world.configure(&format!("[sandbox]\n{limits}"));
                let tried = world.run(&["sandbox", "run", "--", "true"]);
                if tried.status == 0 {
                    return Ok(limits);
                }
                reason = tried.stderr;
            }
            Err(reason)
        });
        match host {
            Ok(limits) => {
                let world = Self::new();
                world.configure(&format!("[sandbox]\n{limits}"));
                Some(world)
            }
            Err(reason) => {
                skip(&format!("this host makes no sandboxes: {}", reason.trim()));
                None
            }
        }
    }

    /// A place in this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data directory of every run.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Replaces the configuration.
    fn configure(&self, text: &str) {
        self.file("cofferdam.toml", text);
    }

    /// Adds to the configuration. What belongs to the `[sandbox]` table itself has to come first.
    pub(crate) fn add_to_configuration(&self, text: &str) {
        let path = self.path("cofferdam.toml");
        let before = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{before}{text}")).unwrap();
    }

    /// Writes a transcript and gives the name of the model that plays it.
    pub(crate) fn transcript(&self, text: &str) -> String {
        let name = format!("transcript-{}.toml", Digest::of(text.as_bytes()).short());
        format!("scripted:{}", self.file(&name, text).display())
    }

    /// Writes a transcript of these steps and gives the name of the model that plays it.
    pub(crate) fn recording(&self, steps: &serde_json::Value) -> String {
        let transcript = serde_json::json!({ "name": "a recording", "step": steps });
        self.transcript(&toml::to_string(&transcript).unwrap())
    }

    /// A git repository on branch `main` with one commit of these files.
    pub(crate) fn repository(&self, name: &str, files: &[(&str, &str)]) -> Repository {
        for (path, content) in files {
            self.file(&format!("{name}/{path}"), content);
        }
        let repository = Repository { path: self.path(name) };
        repository.git(&["init", "--quiet", "--initial-branch=main", "--template="]);
        repository.commit("Begin");
        repository
    }

    /// A run of the program, not yet started.
    pub(crate) fn cofferdam(&self, arguments: &[&str]) -> Invocation {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command.args(arguments).current_dir(self.folder.path());
        let private = |name: &str| {
            let ours = ["COFFERDAM_", "GIT_", "OTEL_", "XDG_"].iter().any(|prefix| name.starts_with(prefix));
            ours || ["_KEY", "_TOKEN", "_SECRET"].iter().any(|suffix| name.ends_with(suffix))
        };
        for (name, _) in std::env::vars_os() {
            if private(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command
            .env("COFFERDAM_CONFIG", self.path("cofferdam.toml"))
            .env("COFFERDAM_DATA", self.data())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_DATA_HOME", self.path("share"))
            .env("USER", "tester")
            .env("NO_COLOR", "1");
        Invocation { command, input: Vec::new(), patience: LONG }
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.cofferdam(arguments).run()
    }

    /// Runs the program, which must succeed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert_eq!(output.status, 0, "{arguments:?}: {output}");
        output
    }

    /// A session's log, or that of the latest.
    pub(crate) fn events(&self, session: Option<SessionId>) -> Vec<Event> {
        let session = session.map(|session| session.to_string());
        let arguments = ["show", "--json"].into_iter().chain(session.as_deref());
        let output = self.ok(&arguments.collect::<Vec<_>>());
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Has a session on a repository whose tests are `test.sh`.
    pub(crate) fn work_on(&self, repository: &Repository, model: &str, task: &str) -> Output {
        self.run(&["run", "--repo", repository.address(), "--model", model, "--test", "sh test.sh", task])
    }

    /// The runs of the tests that a log tells of, the base first.
    pub(crate) fn evidence(&self, session: Option<SessionId>) -> [EvidenceRun; 2] {
        let events = self.events(session);
        [Side::Base, Side::Head].map(|side| {
            let run = events.iter().find_map(|event| match &event.body {
                EventBody::EvidenceRun(run) if run.side == side => Some(run.clone()),
                _ => None,
            });
            run.unwrap_or_else(|| panic!("no evidence on {side:?}"))
        })
    }

    /// The latest session's pull request.
    pub(crate) fn pull_request(&self) -> PullRequest {
        serde_json::from_str(&self.ok(&["pr", "--json"]).stdout).unwrap()
    }

    /// Asserts that no process and no mount is left that has to do with this world, and no layer of a session.
    pub(crate) fn assert_nothing_is_left(&self) {
        let place = self.folder.path().to_str().unwrap();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(number) = process.file_name().to_string_lossy().parse::<i32>() else { continue };
            // Its mounts, which the processes of a sandbox have on their layers; its arguments, which the program itself has.
            let seen = |file| fs::read(process.path().join(file)).unwrap_or_default();
            let about = [seen("mountinfo"), seen("cmdline")].concat();
            if !String::from_utf8_lossy(&about).contains(place) {
                continue;
            }
            // What ends with the program may take a moment to do so.
            let Some(Ok(handle)) = Pid::from_raw(number).map(|pid| pidfd_open(pid, PidfdFlags::empty()))
            else {
                continue;
            };
            assert!(
                ends(&handle, Duration::from_secs(20)),
                "process {number} is left: {}",
                String::from_utf8_lossy(&about)
            );
        }
        for session in fs::read_dir(self.data().join("sessions")).into_iter().flatten().flatten() {
            let left: Vec<_> =
                fs::read_dir(session.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
            assert!(
                left.iter().all(|name| name == "quarantine.git" || name == "checkpoints"),
                "{left:?} is left of {:?}",
                session.file_name()
            );
        }
    }

    /// The filters that make the program's output the same on every run and every host.
    pub(crate) fn filters(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        let place = self.folder.path().to_str().unwrap();
        settings.add_filter(&regex::escape(place), "[world]");
        for (pattern, shown) in [
            (r"\b(ses|evt|sbx)_[0-9a-z]{26}\b", "[$1]"),
            // How often the files were kept depends on how fast that was.
            (r"\b\d+ events( in an unbroken|, last hash)", "[events] events$1"),
            (r"\bsha256:[0-9a-f]{64}\b", "sha256:[digest]"),
            (r"\b[0-9a-f]{40}\b", "[object]"),
            (r"\b[0-9a-f]{12}\b", "[short]"),
            (r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b", "[minute]"),
            (r"(?m)^ *\d[\d.]* (ms|s)  ", "  [clock]  "),
            (r"\b\d[\d.]* (ms|s)\b", "[time]"),
            (r"\b[\d.]+k? in \([\d.]+k? cached\), [\d.]+k? out", "[tokens]"),
            (r"\b\d+ tokens in \(\d+ from cache\), \d+ tokens out", "[tokens]"),
            (r"\b[\d.]+k? tokens", "[tokens]"),
            (r"sandbox: native: .*", "sandbox: [level]"),
            (r"\bpid \d+|\S+:\d+ \(claim", "[worker] (claim"),
        ] {
            settings.add_filter(pattern, shown);
        }
        settings
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Overlays leave directories that only their owner's explicit permission opens.
        let below =
            |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let layers = below(self.data().join("sessions")).flat_map(below);
        for layer in
            below(self.data().join("bases")).chain(below(self.data().join("sandboxes"))).chain(layers)
        {
            cofferdam_sandbox::remove_layer(&layer).ok();
        }
    }
}

/// A run of the program, not yet started.
pub(crate) struct Invocation {
    command: Command,
    input: Vec<u8>,
    patience: Duration,
}

impl Invocation {
    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Lets it run for longer than other runs.
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Has it started by another program, as that program's last arguments.
    pub(crate) fn under(mut self, program: &[&str]) -> Self {
        let ours = [self.command.get_program()].into_iter().chain(self.command.get_args());
        let ours: Vec<OsString> = ours.map(OsStr::to_owned).collect();
        self.replace(program);
        self.command.args(ours);
        self
    }

    /// Has another program started in its place, with its variables; `None` if there is no such program.
    pub(crate) fn instead(mut self, program: &[&str]) -> Option<Self> {
        Command::new(program[0]).arg("--version").stdout(Stdio::null()).status().ok()?;
        self.replace(program);
        Some(self)
    }

    fn replace(&mut self, program: &[&str]) {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]);
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.command.get_current_dir().unwrap());
        self.command = command;
    }

    /// Starts it in another directory.
    pub(crate) fn within(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Gives it this on standard input.
    pub(crate) fn input(mut self, bytes: &[u8]) -> Self {
        self.input = bytes.to_vec();
        self
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let (mut stdin, stdout, mut stderr) =
            (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        // A program that ends without reading everything closes the pipe: that is its right.
        std::thread::spawn(move || stdin.write_all(&self.input).ok());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                if stdout.read_until(b'\n', &mut line).unwrap_or(0) == 0 || send.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).unwrap();
            text
        });
        Running {
            child,
            handle,
            lines,
            stdout: Vec::new(),
            stderr: Some(stderr),
            deadline: Instant::now() + self.patience,
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Output {
        self.start().finish()
    }
}

/// The program while it runs. Killed when it is dropped or takes too long.
pub(crate) struct Running {
    child: Child,
    handle: OwnedFd,
    lines: Receiver<Vec<u8>>,
    stdout: Vec<u8>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    deadline: Instant,
}

impl Running {
    /// Waits for a line of standard output that has this in it, and gives that line.
    pub(crate) fn until(&mut self, wanted: &str) -> String {
        loop {
            let Some(line) = self.next_line() else {
                panic!("the output ended without {wanted:?}: {}", String::from_utf8_lossy(&self.stdout));
            };
            if line.contains(wanted) {
                return line;
            }
        }
    }

    fn next_line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.stdout.extend_from_slice(&line);
                Some(String::from_utf8_lossy(&line).into_owned())
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("still running: {}", String::from_utf8_lossy(&self.stdout))
            }
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.handle, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Output {
        while self.next_line().is_some() {}
        let patience = self.deadline.saturating_duration_since(Instant::now());
        assert!(ends(&self.handle, patience), "it has closed its output and does not end");
        let status = self.child.wait().unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Output {
            status: status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap(),
            stdout: String::from_utf8_lossy(&self.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether the process ends in this time.
fn ends(handle: &OwnedFd, patience: Duration) -> bool {
    let patience = Timespec::try_from(patience).unwrap();
    poll(&mut [PollFd::new(&handle.as_fd(), PollFlags::IN)], Some(&patience)).unwrap() == 1
}

impl Output {
    /// The session that it is about.
    pub(crate) fn session(&self) -> SessionId {
        let start = self.stdout.find("ses_").unwrap_or_else(|| panic!("no session: {self}"));
        self.stdout[start..]
            .chars()
            .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
            .collect::<String>()
            .parse()
            .unwrap()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "status {}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.stdout, self.stderr)
    }
}

/// A git repository on disk.
pub(crate) struct Repository {
    pub(crate) path: PathBuf,
}

impl Repository {
    /// The repository at this place.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its address for the command line.
    pub(crate) fn address(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Runs git in it, which must succeed, with nobody's configuration.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(&self.path)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs([
                ("GIT_CONFIG_NOSYSTEM", "1"),
                ("GIT_CONFIG_GLOBAL", "/dev/null"),
                ("HOME", "/nonexistent"),
            ])
            .envs([("GIT_AUTHOR_NAME", "Ann"), ("GIT_AUTHOR_EMAIL", "ann@example.org")])
            .envs([("GIT_COMMITTER_NAME", "Ann"), ("GIT_COMMITTER_EMAIL", "ann@example.org")])
            .envs([("GIT_AUTHOR_DATE", "1700000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0000")])
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Commits everything that is there.
    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--no-gpg-sign", "--message", message]);
    }

    /// Replaces `old`, which must stand there exactly once.
    pub(crate) fn replace(&self, file: &str, old: &str, new: &str) {
        let path = self.path.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {file}");
        fs::write(path, text.replacen(old, new, 1)).unwrap();
    }

    /// What every ref points at.
    pub(crate) fn refs(&self) -> BTreeMap<String, String> {
        let listed = self.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let refs = listed.lines().map(|line| line.split_once(' ').unwrap());
        refs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
    }

    /// Every file, its metadata and content included, except the refs and objects that a new branch adds. In `.git` too.
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, (u32, Digest)> {
        let mut contents = BTreeMap::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let (path, metadata) = (entry.path(), entry.metadata().unwrap());
                let name = path.strip_prefix(&self.path).unwrap().to_owned();
                if ["refs", "objects"].iter().any(|part| name.starts_with(Path::new(".git").join(part))) {
                    continue;
                }
                if metadata.is_dir() {
                    folders.push(path);
                } else {
                    use std::os::unix::fs::MetadataExt as _;
                    let content = if metadata.is_symlink() {
                        fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                    } else {
                        fs::read(&path).unwrap()
                    };
                    contents.insert(name, (metadata.mode(), Digest::of(&content)));
                }
            }
        }
        contents
    }
}

/// The calls of tools that have ended, with what came of them.
pub(crate) fn calls(events: &[Event]) -> Vec<(CallId, &ToolOutcome)> {
    let ended = events.iter().filter_map(|event| match &event.body {
        EventBody::ToolFinished { call, outcome, .. } => Some((*call, outcome)),
        _ => None,
    });
    ended.collect()
}

/// What came of the calls of tools that have ended.
pub(crate) fn outcomes(events: &[Event]) -> Vec<&ToolOutcome> {
    calls(events).into_iter().map(|(_, outcome)| outcome).collect()
}
