//! The relay, on this host: its tunnel, and what becomes of hands that are killed.

use std::{
    collections::VecDeque,
    fs,
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use cofferdam_hand::protocol::{
    frame::{self, Message},
    message::{
        ProcessLimits, Reply, ReplyBody, Request, RequestBody, RequestId, Start, Status, Streams, User,
        Variable,
    },
    text::{Bytes, KernelString, SandboxPath, VariableName},
    tunnel::{self, Down, Flow, PIECE, RELAY_ROLE, Size, Splitter, StreamId, TunnelError, Up, WINDOW},
};
use proptest::{collection::vec, prelude::*};
use rustix::process::{Pid, Signal, kill_process};

/// A relay, and the host's ends of its streams.
struct Relay {
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
    splitter: Splitter,
    /// What came before what was waited for.
    early: VecDeque<Up>,
    last_id: u64,
}

impl Relay {
    fn new() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cofferdam-hand"))
            .arg(RELAY_ROLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut relay =
            Self { child, to, from, splitter: Splitter::default(), early: VecDeque::new(), last_id: 0 };
        assert!(matches!(relay.hear(), Up::Ready { .. }));
        let hello = relay.ask(RequestBody::Hello, None);
        assert_eq!(relay.hear(), answer(hello, ReplyBody::Hello));
        relay
    }

    fn hear(&mut self) -> Up {
        self.early.pop_front().unwrap_or_else(|| self.hear_more())
    }

    fn hear_more(&mut self) -> Up {
        let mut bytes = vec![0; 1 << 16];
        loop {
            if let Some(up) = self.splitter.next_message().unwrap() {
                return up;
            }
            let length = self.from.read(&mut bytes).unwrap();
            assert!(length > 0, "the relay has ended");
            self.splitter.push(&bytes[..length]);
        }
    }

    fn say(&mut self, down: &Down) {
        let mut bytes = Vec::new();
        tunnel::append(down, &mut bytes).unwrap();
        self.to.as_mut().unwrap().write_all(&bytes).unwrap();
    }

    fn ask(&mut self, body: RequestBody, size: Option<Size>) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        self.say(&Down::Ask { request: Request { id, body }, size });
        id
    }

    fn shell(&mut self, script: &str, streams: Streams) -> RequestId {
        let text = |text: &str| KernelString::new(text).unwrap();
        let path = Variable { name: VariableName::new("PATH").unwrap(), value: text("/usr/bin:/bin") };
        let start = Start {
            program: text("sh"),
            args: vec![text("-c"), text(script)],
            env: vec![path],
            cwd: SandboxPath::new("/").unwrap(),
            streams,
            limits: ProcessLimits::default(),
            user: User::Agent,
        };
        let id = self.ask(RequestBody::Start(start), Some(Size { columns: 132, rows: 43 }));
        let started = answer(id, ReplyBody::Started);
        // Its output may be faster.
        while let said = self.hear_more()
            && said != started
        {
            self.early.push_back(said);
        }
        id
    }

    /// What a request's stream brings, up to the next answer.
    fn output(&mut self, id: RequestId) -> (Vec<u8>, ReplyBody) {
        let mut all = Vec::new();
        loop {
            match self.hear() {
                Up::Stream(of, Flow::Piece(Bytes(piece))) if of == StreamId::Request(id) => {
                    all.extend_from_slice(&piece);
                    self.say(&Down::Stream(of, Flow::Credit(u32::try_from(piece.len()).unwrap())));
                }
                Up::Stream(_, Flow::Credit(_) | Flow::End) => {}
                Up::Answer(reply) if reply.id == id => return (all, reply.body),
                other @ (Up::Ready { .. } | Up::Connected(_) | Up::Answer(_) | Up::Stream(..)) => {
                    panic!("{other:?}")
                }
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.to.take());
        let status = self.child.wait().unwrap();
        assert!(status.success() || std::thread::panicking(), "it ends when the host has gone: {status}");
    }
}

fn answer(id: RequestId, body: ReplyBody) -> Up {
    Up::Answer(Reply { id, body })
}

fn code(body: ReplyBody) -> Status {
    let ReplyBody::Exited(exited) = body else { panic!("{body:?}") };
    exited.status
}

#[test]
fn input_and_output_travel_as_streams() {
    let mut relay = Relay::new();
    let id = relay.shell("echo begin; cat; exit 5", Streams::InputOutput);
    let stream = StreamId::Request(id);
    relay.say(&Down::Stream(stream, Flow::Piece(Bytes(b"typed".to_vec()))));
    relay.say(&Down::Stream(stream, Flow::End));
    let (output, exited) = relay.output(id);
    assert_eq!((output.as_slice(), code(exited)), (b"begin\ntyped".as_slice(), Status::Code(5)));
    assert_eq!(relay.output(id).1, ReplyBody::Emptied);
}

#[test]
fn a_terminal_has_the_size_that_it_was_given() {
    let mut relay = Relay::new();
    let id = relay.shell("stty size; read line; stty size", Streams::Terminal);
    let Up::Stream(_, Flow::Piece(Bytes(first))) = relay.hear() else { panic!() };
    assert_eq!(first, b"43 132\r\n");
    relay.say(&Down::Resize { id, size: Size { columns: 90, rows: 20 } });
    relay.say(&Down::Stream(StreamId::Request(id), Flow::Piece(Bytes(b"\n".to_vec()))));
    let (output, exited) = relay.output(id);
    assert_eq!(output, b"\r\n20 90\r\n", "the echo of what was typed comes first");
    assert_eq!(code(exited), Status::Code(0));
}

#[test]
fn files_go_through_whole_and_both_ways() {
    let mut relay = Relay::new();
    let place = tempfile::tempdir_in("/tmp").unwrap();
    let path = SandboxPath::new(place.path().join("file").to_str().unwrap()).unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let write = RequestBody::Write { path: path.clone(), length: content.len() as u64, expected: None };
    let id = relay.ask(write, None);
    let stream = StreamId::Request(id);
    let mut credit = WINDOW;
    for piece in content.chunks(PIECE) {
        while credit < piece.len() as u64 {
            let Up::Stream(_, Flow::Credit(more)) = relay.hear() else { panic!() };
            credit += u64::from(more);
        }
        credit -= piece.len() as u64;
        relay.say(&Down::Stream(stream, Flow::Piece(Bytes(piece.to_vec()))));
    }
    assert!(matches!(relay.output(id).1, ReplyBody::Written(_)));
    let id = relay.ask(RequestBody::Read { path, offset: 0, limit: u64::MAX }, None);
    let (read, reply) = relay.output(id);
    assert!(matches!(reply, ReplyBody::Read(part) if part.length == content.len() as u64), "{reply:?}");
    assert!(read == content);
}

#[test]
fn without_credit_nothing_is_sent_and_others_do_not_wait() {
    let mut relay = Relay::new();
    let flood = relay.shell("exec head -c 100000000 /dev/zero", Streams::Output);
    let mut seen = 0;
    while seen < WINDOW {
        let Up::Stream(_, Flow::Piece(Bytes(piece))) = relay.hear() else { panic!() };
        seen += piece.len() as u64;
    }
    assert_eq!(seen, WINDOW, "exactly as much as there was credit for");
    let ping = relay.ask(RequestBody::Ping, None);
    assert_eq!(relay.hear(), answer(ping, ReplyBody::Pong));
    let kill = relay.ask(RequestBody::Kill { target: flood }, None);
    relay.say(&Down::Stream(StreamId::Request(flood), Flow::Credit(u32::try_from(WINDOW).unwrap())));
    loop {
        if let Up::Answer(Reply { id, body }) = relay.hear()
            && id == kill
        {
            assert_eq!(body, ReplyBody::Killed { survivors: 0 });
            break;
        }
    }
}

#[test]
fn another_hand_takes_the_place_of_one_that_was_killed() {
    let mut relay = Relay::new();
    let id = relay.shell("echo runs; sleep 1000", Streams::Output);
    assert!(matches!(relay.hear(), Up::Stream(_, Flow::Piece(_))));
    let pid = relay.child.id();
    let hand = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let hand = Pid::from_raw(hand.trim().parse().unwrap()).unwrap();
    kill_process(hand, Signal::KILL).unwrap();
    assert_eq!(code(relay.output(id).1), Status::Lost);
    assert_eq!(relay.output(id).1, ReplyBody::Emptied);
    let id = relay.shell("echo again", Streams::Output);
    let (output, exited) = relay.output(id);
    assert_eq!((output.as_slice(), code(exited)), (b"again\n".as_slice(), Status::Code(0)));
}

fn flow() -> impl Strategy<Value = Flow> {
    prop_oneof![
        vec(any::<u8>(), 0..200).prop_map(|bytes| Flow::Piece(Bytes(bytes))),
        Just(Flow::End),
        any::<u32>().prop_map(Flow::Credit),
        Just(Flow::Close),
    ]
}

fn stream() -> impl Strategy<Value = StreamId> {
    prop_oneof![
        any::<u64>().prop_map(|id| StreamId::Request(RequestId(id))),
        any::<u64>().prop_map(StreamId::Connection)
    ]
}

fn up() -> impl Strategy<Value = Up> {
    prop_oneof![
        any::<u32>().prop_map(|landlock| Up::Ready { landlock }),
        any::<u64>().prop_map(Up::Connected),
        any::<u64>().prop_map(|id| answer(RequestId(id), ReplyBody::Pong)),
        (stream(), flow()).prop_map(|(id, flow)| Up::Stream(id, flow)),
    ]
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(said in vec(up(), 0..20), piece in 1_usize..60) {
        let mut bytes = Vec::new();
        for message in &said {
            tunnel::append(message, &mut bytes).unwrap();
        }
        let (mut splitter, mut heard) = (Splitter::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            splitter.push(piece);
            while let Some(message) = splitter.next_message::<Up>().unwrap() {
                heard.push(message);
            }
        }
        prop_assert_eq!(heard, said);
    }

    #[test]
    fn any_bytes_are_rejected_or_what_an_encoder_writes(bytes in vec(any::<u8>(), 0..300)) {
        for whole in [bytes.clone(), framed(&bytes)] {
            let mut splitter = Splitter::default();
            splitter.push(&whole);
            let mut again = Vec::new();
            while let Ok(Some(message)) = splitter.next_message::<Up>() {
                tunnel::append(&message, &mut again).unwrap();
            }
            prop_assert!(whole.starts_with(&again));
        }
    }

    #[test]
    fn what_is_over_the_bound_is_refused_before_it_has_come(length in Up::MAX_FRAME + 1..u32::MAX as usize) {
        let mut splitter = Splitter::default();
        splitter.push(&u32::try_from(length).unwrap().to_le_bytes());
        prop_assert!(matches!(splitter.next_message::<Up>(), Err(TunnelError::TooLong(found)) if found == length));
    }
}

/// As a message that has all but a body that makes sense.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = Up::KIND.to_vec();
    frame.extend_from_slice(&frame::VERSION.to_le_bytes());
    frame.extend_from_slice(body);
    [&u32::try_from(frame.len()).unwrap().to_le_bytes()[..], &frame].concat()
}
