//! The host's side: starts a hand, talks to it, and checks at the end that it leaves nothing behind.

use std::{
    fs::{self, File},
    io::{self, IoSlice, Read, Seek, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError, Received},
    message::{
        Exited, ProcessLimits, Reply, ReplyBody, Request, RequestBody, RequestId, Start, Streams, User,
        Variable,
    },
    text::{KernelString, SandboxPath, VariableName},
};
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg,
    sockopt::{Timeout, set_socket_timeout},
};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Variable by which this test's processes are found.
const MARK: &str = "COFFERDAM_HAND_TEST";

/// A running hand and the connection to it.
pub(crate) struct Host {
    hand: Child,
    socket: Option<OwnedFd>,
    last_id: u64,
    /// Replies to other requests than the one that was waited for.
    early: Vec<Reply>,
    mark: String,
}

impl Host {
    /// Starts a hand and says hello.
    pub(crate) fn new() -> Self {
        let mut host = Self::silent("");
        assert_eq!(host.ask(RequestBody::Hello, &[]), ReplyBody::Hello);
        host
    }

    /// Starts a hand, after the shell has run `setup`, and says nothing yet.
    pub(crate) fn silent(setup: &str) -> Self {
        let (socket, theirs) = channel::pair().unwrap();
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).unwrap();
        // The shell moves the socket to the agreed descriptor.
        let hand = Command::new("sh")
            .args(["-c", &format!("{setup} exec \"$0\" init 3<&0 0</dev/null")])
            .arg(env!("CARGO_BIN_EXE_cofferdam-hand"))
            .stdin(Stdio::from(theirs))
            .spawn()
            .unwrap();
        let mark = format!("{}-{}", std::process::id(), hand.id());
        Self { hand, socket: Some(socket), last_id: 0, early: Vec::new(), mark }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.hand.id()
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        self.socket.as_ref().unwrap()
    }

    pub(crate) fn send(&mut self, body: RequestBody, descriptors: &[BorrowedFd<'_>]) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        channel::send(self.socket(), &Request { id, body }, descriptors).unwrap();
        id
    }

    /// The next reply to a request, whatever else comes before it.
    pub(crate) fn reply(&mut self, id: RequestId) -> ReplyBody {
        if let Some(at) = self.early.iter().position(|reply| reply.id == id) {
            return self.early.remove(at).body;
        }
        loop {
            let reply = self.receive().unwrap();
            if reply.id == id {
                return reply.body;
            }
            self.early.push(reply);
        }
    }

    pub(crate) fn receive(&self) -> Result<Reply, ChannelError> {
        channel::receive::<Reply>(self.socket()).map(|Received { message, .. }| message)
    }

    pub(crate) fn ask(&mut self, body: RequestBody, descriptors: &[BorrowedFd<'_>]) -> ReplyBody {
        let id = self.send(body, descriptors);
        self.reply(id)
    }

    /// Starts `sh -c script`; returns where its output comes.
    pub(crate) fn shell(&mut self, script: &str) -> (RequestId, File) {
        let (output, write_end) = io::pipe().unwrap();
        let start = self.start("sh", &["-c", script]);
        let id = self.send(RequestBody::Start(start), &[write_end.as_fd()]);
        (id, File::from(OwnedFd::from(output)))
    }

    /// Runs `sh -c script` to its end; what it started must be gone, too.
    pub(crate) fn run(&mut self, script: &str) -> (Exited, String) {
        let (id, mut output) = self.shell(script);
        assert_eq!(self.reply(id), ReplyBody::Started);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        let exited = self.exited(id);
        assert_eq!(self.reply(id), ReplyBody::Emptied);
        (exited, text)
    }

    pub(crate) fn exited(&mut self, id: RequestId) -> Exited {
        let reply = self.reply(id);
        let ReplyBody::Exited(exited) = reply else { panic!("{reply:?} rather than the end of the command") };
        exited
    }

    /// A command with this harness's mark and `PATH`.
    pub(crate) fn start(&self, program: &str, args: &[&str]) -> Start {
        let variable = |name: &str, value: &str| Variable {
            name: VariableName::new(name).unwrap(),
            value: KernelString::new(value).unwrap(),
        };
        Start {
            program: KernelString::new(program).unwrap(),
            args: args.iter().map(|arg| KernelString::new(*arg).unwrap()).collect(),
            env: vec![variable(MARK, &self.mark), variable("PATH", &std::env::var("PATH").unwrap())],
            cwd: SandboxPath::new("/").unwrap(),
            streams: Streams::Output,
            limits: ProcessLimits::default(),
            user: User::Agent,
        }
    }

    /// Command lines of the processes of this hand's commands that are alive.
    pub(crate) fn alive(&self) -> Vec<String> {
        let mark = format!("{MARK}={}", self.mark).into_bytes();
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        processes
            .filter(|process| has_variable(process, &mark))
            .map(|process| command_line(&process))
            .collect()
    }

    /// Waits until `condition` holds of the living processes.
    pub(crate) fn wait_until_alive(&self, condition: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let alive = self.alive();
            if condition(&alive) {
                return;
            }
            assert!(Instant::now() < deadline, "still {alive:?}");
            std::thread::yield_now();
        }
    }

    /// Processes directly below the hand, ended or not, as lines of `/proc/PID/stat`. Not among them: one watcher that waits for its
    /// command, which lives and has no children.
    pub(crate) fn children(&self) -> Vec<String> {
        let hand = self.hand.id().to_string();
        let stats = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let stat = fs::read(entry.unwrap().path().join("stat")).ok()?;
            Some(String::from_utf8_lossy(&stat).into_owned())
        });
        let field =
            |stat: &str, number| stat.rsplit(')').next().unwrap().split(' ').nth(number).unwrap().to_owned();
        let stats: Vec<String> = stats.collect();
        let parents: Vec<String> = stats.iter().map(|stat| field(stat, 2)).collect();
        let mut children: Vec<String> = stats.into_iter().filter(|stat| field(stat, 2) == hand).collect();
        let waits = |stat: &String| {
            field(stat, 1) != "Z" && !parents.iter().any(|parent| stat.starts_with(&format!("{parent} ")))
        };
        if let Some(spare) = children.iter().position(waits) {
            children.remove(spare);
        }
        children
    }

    /// Waits until the hand has reaped all of its children.
    pub(crate) fn wait_until_childless(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.children().is_empty() {
            assert!(Instant::now() < deadline, "still {:?}", self.children());
            std::thread::yield_now();
        }
    }

    pub(crate) fn hang_up(&mut self) {
        drop(self.socket.take());
    }

    /// Waits until the hand has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.hand.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the hand does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.hang_up();
        if std::thread::panicking() {
            // It has killed everything when it ends, unless that is what has failed.
            drop(self.hand.wait());
            return;
        }
        self.ended();
        self.wait_until_alive(<[String]>::is_empty);
    }
}

fn has_variable(process: &Path, variable: &[u8]) -> bool {
    let environ = fs::read(process.join("environ")).unwrap_or_default();
    environ.split(|byte| *byte == 0).any(|found| found == variable)
}

fn command_line(process: &Path) -> String {
    String::from_utf8_lossy(&fs::read(process.join("cmdline")).unwrap_or_default()).replace('\0', " ")
}

/// A memfd with content, as the host passes for content.
pub(crate) fn memory(content: &[u8]) -> File {
    let fd = rustix::fs::memfd_create(c"content", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(fd);
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    file
}

/// Everything in a memfd.
pub(crate) fn content(mut memory: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    memory.rewind().unwrap();
    memory.read_to_end(&mut bytes).unwrap();
    bytes
}

pub(crate) fn path(path: &Path) -> SandboxPath {
    SandboxPath::new(path.as_os_str().as_encoded_bytes()).unwrap()
}

/// A named pipe at which a command waits until the test opens it.
pub(crate) struct Gate(tempfile::TempDir);

impl Gate {
    pub(crate) fn new() -> Self {
        let gate = Self(tempfile::tempdir().unwrap());
        rustix::fs::mkfifoat(rustix::fs::CWD, gate.path(), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        gate
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("gate")
    }

    /// Shell code that waits.
    pub(crate) fn wait(&self) -> String {
        format!("read word <{}", self.path().display())
    }

    /// Lets the one that waits go on.
    pub(crate) fn open(&self) {
        fs::write(self.path(), "open\n").unwrap();
    }
}

/// Sends bytes as they are, with descriptors: what no honest sender would do.
pub(crate) fn send_with(socket: &OwnedFd, packet: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); 1024];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    sendmsg(socket, &[IoSlice::new(packet)], &mut ancillary, SendFlags::empty()).unwrap();
}
