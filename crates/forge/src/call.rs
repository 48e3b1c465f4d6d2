//! One run of the git program: hardened, bounded in time, memory and output, killed with all its children
//! when dropped.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::{Git, GitError, access::Presented};

/// Settings that have the last word over every configuration file. A repository's own configuration is the
/// one file that is still read, so whatever in it names a program, or starts one, is named here.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.askPass=",
    "core.pager=cat",
    "core.editor=false",
    // Asked for the references of an alternate: an empty value would run the alternate's path itself.
    "core.alternateRefsCommand=true",
    "core.logAllRefUpdates=false",
    "core.quotePath=true",
    "core.useReplaceRefs=false",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "log.showSignature=false",
    "protocol.allow=never",
    // See the documentation of `Git`.
    "safe.directory=*",
    // A transfer that stands still for a minute is given up.
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
];

/// How `ssh` is run: never asks, gives up on a dead connection, leaves no process behind that holds our
/// pipes.
const SSH: &str = "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15 -oServerAliveCountMax=4 -oControlMaster=no -oForwardAgent=no -oClearAllForwardings=yes -oPermitLocalCommand=no";

const ERROR_OUTPUT_LIMIT: usize = 16 << 10;

/// Which transports a command may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// None: it stays in its repository.
    None,
    /// Another repository on this machine.
    File,
    /// The network, encrypted.
    Network,
    /// A server on this machine's loopback, which needs no encryption.
    Loopback,
}

impl Transport {
    const fn allowed(self) -> &'static str {
        match self {
            // An empty list allows nothing: git-protocol settings, `GIT_ALLOW_PROTOCOL` in git(1).
            Self::None => "",
            Self::File => "file",
            Self::Network => "https:ssh",
            Self::Loopback => "http",
        }
    }
}

/// What a command reads on standard input.
#[derive(Debug)]
pub(crate) enum Input {
    Nothing,
    Bytes(Vec<u8>),
    File(File),
}

/// A git command to be run.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    git: &'a Git,
    repository: Option<&'a Path>,
    directory: &'a Path,
    settings: Vec<String>,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    presented: Option<Presented>,
    transport: Transport,
    input: Input,
    output: Option<File>,
    output_limit: u64,
    keep_start: bool,
    memory: Option<u64>,
    largest_file: Option<u64>,
    finishes: bool,
    time: Duration,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// Whether more was written than is in `stdout`.
    pub(crate) cut: bool,
}

impl Git {
    /// A command in the repository whose git directory is `repository`.
    pub(crate) fn at<'a>(&'a self, repository: &'a Path, subcommand: &str) -> Call<'a> {
        Call { repository: Some(repository), ..self.call(subcommand) }
    }

    /// A command that belongs to no repository.
    pub(crate) fn call(&self, subcommand: &str) -> Call<'_> {
        Call {
            git: self,
            repository: None,
            directory: Path::new("/"),
            settings: Vec::new(),
            arguments: vec![subcommand.into()],
            environment: Vec::new(),
            presented: None,
            transport: Transport::None,
            input: Input::Nothing,
            output: None,
            output_limit: 64 << 20,
            keep_start: false,
            memory: None,
            largest_file: None,
            finishes: false,
            time: Duration::from_secs(300),
        }
    }

    /// What a local transport is to run as its other end. Git hands it to a shell together with the quoted
    /// path, and does not hand down our settings, so they are repeated. `--strict`: the path is the git
    /// directory itself, not one in which to look for `.git`.
    pub(crate) fn upload_pack(&self) -> OsString {
        let mut command = OsString::from("--upload-pack=");
        command.push(shell_quoted(self.program().as_os_str()));
        command.push(" --no-replace-objects");
        for setting in SETTINGS {
            command.push(" -c ");
            command.push(shell_quoted(OsStr::new(setting)));
        }
        command.push(" upload-pack --strict");
        command
    }
}

/// The word for a POSIX shell.
pub(crate) fn shell_quoted(word: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut quoted = vec![b'\''];
    for byte in word.as_bytes() {
        if *byte == b'\'' {
            quoted.extend_from_slice(b"'\\''");
        } else {
            quoted.push(*byte);
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

impl<'a> Call<'a> {
    /// Runs it in `directory` rather than at the root, for commands that look for the repository that they
    /// are in.
    pub(crate) fn within(self, directory: &'a Path) -> Self {
        Self { directory, ..self }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// A setting for this command only, as `name=value`.
    pub(crate) fn setting(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    /// It presents this where it is for, and nothing else is told of it: it is in git's environment, not in
    /// its arguments, and is cut out of what git says. Whoever redirects it elsewhere is not followed.
    pub(crate) fn presenting(self, presented: Presented) -> Self {
        Self { presented: Some(presented), ..self }.setting("http.followRedirects=false")
    }

    pub(crate) fn transport(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    pub(crate) fn input(self, input: Input) -> Self {
        Self { input, ..self }
    }

    /// Standard output goes to `file` and is not kept.
    pub(crate) fn output_to(self, file: File) -> Self {
        Self { output: Some(file), ..self }
    }

    /// More output than this is an error.
    pub(crate) fn output_limit(self, output_limit: u64) -> Self {
        Self { output_limit, ..self }
    }

    /// More output than this is cut off.
    pub(crate) fn output_start(self, output_limit: u64) -> Self {
        Self { output_limit, keep_start: true, ..self }
    }

    pub(crate) fn time(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// Address space that the command may use, in bytes: for commands that take in hostile objects.
    pub(crate) fn memory(self, bytes: u64) -> Self {
        Self { memory: Some(bytes), ..self }
    }

    /// Bytes that a file may have which the command writes: it is ended by a signal before it writes more.
    pub(crate) fn largest_file(self, bytes: u64) -> Self {
        Self { largest_file: Some(bytes), ..self }
    }

    /// It is short and leaves a lock behind when it is killed: once started, it comes to its own end, whoever
    /// waits for it or not.
    pub(crate) fn finishes(self) -> Self {
        Self { finishes: true, ..self }
    }

    /// Runs it; an exit status other than zero is an error.
    pub(crate) async fn run(self) -> Result<Output, GitError> {
        let output = self.run_to_any_end().await?;
        if output.code == Some(0) || output.cut { Ok(output) } else { Err(output.into_error()) }
    }

    /// Runs it, whatever its exit status.
    pub(crate) async fn run_to_any_end(self) -> Result<Output, GitError> {
        let command = format!("git {}", self.arguments[0].to_string_lossy());
        let (time, limit) = (self.time, self.output_limit);
        let output = match tokio::time::timeout(time, Box::pin(self.drive(&command))).await {
            Err(_) => return Err(GitError::TimedOut { command, after: time }),
            Ok(Err(source)) if source.kind() == io::ErrorKind::StorageFull => {
                return Err(GitError::DiskFull { command });
            }
            Ok(Err(source)) => return Err(GitError::Run { command, source }),
            Ok(Ok(None)) => return Err(GitError::TooMuchOutput { command, limit }),
            Ok(Ok(Some(output))) => output,
        };
        if output.code != Some(0) && output.stderr.contains("No space left on device") {
            return Err(GitError::DiskFull { command });
        }
        Ok(output)
    }

    /// Spawns the program and moves its bytes; `None` when there were too many.
    async fn drive(mut self, command: &str) -> io::Result<Option<Output>> {
        let input = std::mem::replace(&mut self.input, Input::Nothing);
        let mut prepared = self.prepare();
        let bytes = match input {
            Input::Nothing => {
                prepared.stdin(Stdio::null());
                None
            }
            Input::File(file) => {
                prepared.stdin(file);
                None
            }
            Input::Bytes(bytes) => {
                prepared.stdin(Stdio::piped());
                Some(bytes)
            }
        };
        match self.output.take() {
            Some(file) => prepared.stdout(file),
            None => prepared.stdout(Stdio::piped()),
        };
        let mut child = prepared.spawn()?;
        let mut group = Group::of(&child);
        for (resource, limit) in [(Resource::As, self.memory), (Resource::Fsize, self.largest_file)] {
            if let (Some(bytes), Some(pid)) = (limit, group.0) {
                prlimit(Some(pid), resource, Rlimit { current: Some(bytes), maximum: Some(bytes) })?;
            }
        }
        if self.finishes {
            group.forget();
        }
        let feed = feed(child.stdin.take(), bytes);
        let stdout = collect(child.stdout.take(), self.output_limit);
        let stderr = collect_errors(child.stderr.take());
        let keep_start = self.keep_start;
        // Too much output ends the wait at once: nothing more of it is wanted.
        let transfer = async {
            let stdout = async {
                let (bytes, cut) = stdout.await?;
                if cut { Err(Stopped::TooMuch(bytes)) } else { Ok(bytes) }
            };
            let feed = async { feed.await.map_err(Stopped::Io) };
            let stderr = async { stderr.await.map_err(Stopped::Io) };
            tokio::try_join!(stdout, stderr, feed)
        };
        match transfer.await {
            Ok((stdout, stderr, ())) => {
                let status = child.wait().await?;
                group.forget();
                let clean = |said: Vec<u8>| match &self.presented {
                    Some(presented) => presented.cut_out_of(said),
                    None => said,
                };
                Ok(Some(Output::new(command, status, clean(stdout), &clean(stderr))))
            }
            Err(Stopped::TooMuch(stdout)) if keep_start => Ok(Some(Output {
                command: command.to_owned(),
                code: None,
                stdout,
                stderr: String::new(),
                cut: true,
            })),
            Err(Stopped::TooMuch(_)) => Ok(None),
            Err(Stopped::Io(error)) => Err(error),
        }
    }

    fn prepare(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.git.program());
        command
            .env_clear()
            .current_dir(self.directory)
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(!self.finishes);
        command
            .env("PATH", self.git.search_path())
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_PROTOCOL_FROM_USER", "0")
            .env("GIT_ALLOW_PROTOCOL", self.transport.allowed())
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_GRAFT_FILE", "/dev/null")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_ADVICE", "0")
            .env("GIT_SSH_COMMAND", SSH)
            .env("GIT_SSH_VARIANT", "ssh");
        if self.transport == Transport::Network {
            command.envs(self.git.network_variables().iter().map(|(name, value)| (name, value)));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(presented) = &self.presented {
            command.envs(presented.variables());
        }
        for setting in SETTINGS.iter().copied().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        if let Some(repository) = self.repository {
            let mut option = OsString::from("--git-dir=");
            option.push(repository);
            command.arg(option);
        }
        command.args(&self.arguments);
        command
    }
}

/// Why a transfer did not come to its end.
enum Stopped {
    TooMuch(Vec<u8>),
    Io(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Output {
    fn new(command: &str, status: ExitStatus, stdout: Vec<u8>, stderr: &[u8]) -> Self {
        let stderr = String::from_utf8_lossy(stderr).into_owned();
        Self { command: command.to_owned(), code: status.code(), stdout, stderr, cut: false }
    }

    /// The output as an error, for a command that failed.
    pub(crate) fn into_error(self) -> GitError {
        let said = self.stderr.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("hint:"));
        let message: String = said.collect::<Vec<_>>().join("; ").chars().take(1_000).collect();
        let message = match self.code {
            _ if !message.is_empty() => cofferdam_domain::hidden::visible(message.as_bytes()),
            Some(code) => format!("exit status {code}"),
            None => "ended by a signal".to_owned(),
        };
        GitError::Failed { command: self.command, code: self.code, message }
    }

    /// The output as an error, for a command that printed what git does not print.
    pub(crate) fn unexpected(&self, what: &[u8]) -> GitError {
        let detail = String::from_utf8_lossy(&what[..what.len().min(200)]).escape_debug().to_string();
        GitError::Unexpected { command: self.command.clone(), detail }
    }

    /// The one object name that was printed.
    pub(crate) fn object(&self) -> Result<crate::ObjectId, GitError> {
        let text = self.stdout.strip_suffix(b"\n").unwrap_or(&self.stdout);
        crate::ObjectId::from_bytes(text).map_err(|_| self.unexpected(&self.stdout))
    }
}

/// The child's process group, killed when dropped: git's own children (`ssh`, `index-pack`, …) die with it.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The child was waited for, so that its number may soon be another's; or it is to come to its own end.
    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may be gone already, which is what was wanted.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

async fn feed(stdin: Option<tokio::process::ChildStdin>, bytes: Option<Vec<u8>>) -> io::Result<()> {
    let (Some(mut stdin), Some(bytes)) = (stdin, bytes) else { return Ok(()) };
    match stdin.write_all(&bytes).await {
        // The command has seen enough; its exit status says whether that was right.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Reads to the end, or until there is more than `limit`, which the second value tells.
async fn collect(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let Some(stream) = stream else { return Ok((bytes, false)) };
    stream.take(limit.saturating_add(1)).read_to_end(&mut bytes).await?;
    let cut = bytes.len() as u64 > limit;
    bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok((bytes, cut))
}

/// Reads to the end and keeps the start.
async fn collect_errors(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return Ok(kept) };
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(kept);
        }
        let room = ERROR_OUTPUT_LIMIT.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&buffer[..room]);
    }
}
