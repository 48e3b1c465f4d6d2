//! Relays that lie. Each must end as an error and a sandbox that is to be ended, never as a panic, a wait without end, or something believed.

use std::{sync::Arc, time::Duration};

use cofferdam_domain::policy::Limits;
use cofferdam_hand::protocol::{
    message::{Exited, FilePart, Reply, ReplyBody, RequestBody, RequestId, Status, Usage, Version},
    text::Bytes,
    tunnel::{self, Down, Flow, PIECE, Splitter, StreamId, Up, WINDOW},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, split};

use super::{RemoteHand, RemoteSpec};
use crate::{Command, Network, Process, SandboxError, User};

const LONG: Duration = Duration::from_secs(60);

/// A relay that the test plays.
struct Liar {
    from: ReadHalf<DuplexStream>,
    to: WriteHalf<DuplexStream>,
    splitter: Splitter,
}

impl Liar {
    /// The next thing that the host says.
    async fn hear(&mut self) -> Down {
        let mut bytes = vec![0; 1 << 16];
        loop {
            if let Some(down) = self.splitter.next_message().unwrap() {
                return down;
            }
            let length = self.from.read(&mut bytes).await.unwrap();
            assert!(length > 0, "the host has hung up");
            self.splitter.push(&bytes[..length]);
        }
    }

    /// The next request.
    async fn asked(&mut self) -> (RequestId, RequestBody) {
        loop {
            if let Down::Ask { request, .. } = self.hear().await {
                return (request.id, request.body);
            }
        }
    }

    async fn say(&mut self, up: &Up) {
        let mut bytes = Vec::new();
        tunnel::append(up, &mut bytes).unwrap();
        // The host may have hung up at an earlier lie.
        self.to.write_all(&bytes).await.ok();
    }

    async fn answer(&mut self, id: RequestId, body: ReplyBody) {
        self.say(&Up::Answer(Reply { id, body })).await;
    }
}

/// A hand behind a relay that has told the truth so far.
async fn hand(network: Network) -> (Arc<RemoteHand>, Liar) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let ((from, to), (near, far)) = (split(theirs), split(ours));
    let mut liar = Liar { from, to, splitter: Splitter::default() };
    let spec = RemoteSpec {
        network,
        variables: super::remote_variables(Vec::new(), network, &[]),
        limits: Limits::default(),
        layer: std::env::temp_dir(),
        first: None,
        kills: None,
    };
    let honest = async {
        liar.say(&Up::Ready { landlock: 7 }).await;
        let (id, body) = liar.asked().await;
        assert_eq!(body, RequestBody::Hello);
        liar.answer(id, ReplyBody::Hello).await;
    };
    let (hand, ()) = tokio::join!(RemoteHand::open(near, far, spec), honest);
    let hand = Arc::new(hand.unwrap());
    assert_eq!(hand.landlock(), 7);
    (hand, liar)
}

/// A command that the relay says it has started.
async fn started(hand: &Arc<RemoteHand>, liar: &mut Liar) -> (Box<dyn Process>, RequestId) {
    let command = Command {
        argv: vec!["true".to_owned()],
        env: Vec::new(),
        cwd: String::new(),
        stdin: Vec::new(),
        terminal: false,
        user: User::Agent,
        timeout: LONG,
        output_limit: 100,
    };
    let told = async {
        let (id, _) = liar.asked().await;
        liar.answer(id, ReplyBody::Started).await;
        id
    };
    let (process, id) = tokio::join!(hand.start(command, None), told);
    (process.unwrap(), id)
}

/// Asserts that the sandbox is to be ended, and that callers hear why.
async fn assert_caught(hand: &RemoteHand, word: &str) {
    tokio::time::timeout(LONG, hand.ended()).await.unwrap();
    let error = hand.read("x", 0, 1).await.unwrap_err();
    assert!(matches!(&error, SandboxError::Gone(why) if why.contains(word)), "{error}");
}

#[tokio::test]
async fn what_is_no_message_ends_it() {
    for lie in [&b"\xff\xff\xff\xff"[..], b"\x06\0\0\0CofU\x01\0", b"\x08\0\0\0CofD\x01\0\0\0"] {
        let (hand, mut liar) = hand(Network::Off).await;
        liar.to.write_all(lie).await.unwrap();
        assert_caught(&hand, "protocol").await;
    }
    let (hand, liar) = hand(Network::Off).await;
    drop(liar);
    assert_caught(&hand, "its first process ended").await;
}

#[tokio::test]
async fn what_nobody_asked_for_ends_it() {
    for (lie, word) in [
        (Up::Ready { landlock: 7 }, "twice"),
        (Up::Answer(Reply { id: RequestId(99), body: ReplyBody::Pong }), "nobody asked"),
        (Up::Connected(1), "no door"),
    ] {
        let (hand, mut liar) = hand(Network::Off).await;
        liar.say(&lie).await;
        assert_caught(&hand, word).await;
    }
    let (hand, mut liar) = hand(Network::Door).await;
    liar.say(&Up::Connected(5)).await;
    liar.say(&Up::Connected(5)).await;
    assert_caught(&hand, "counted").await;
}

#[tokio::test]
async fn a_relay_that_does_not_begin_as_one_is_refused() {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let ((near, far), (from, to)) = (split(ours), split(theirs));
    let mut liar = Liar { from, to, splitter: Splitter::default() };
    liar.answer(RequestId(1), ReplyBody::Hello).await;
    let spec = RemoteSpec {
        network: Network::Off,
        variables: super::remote_variables(Vec::new(), Network::Off, &[]),
        limits: Limits::default(),
        layer: std::env::temp_dir(),
        first: None,
        kills: None,
    };
    let refused = RemoteHand::open(near, far, spec).await.unwrap_err();
    assert!(matches!(refused, SandboxError::Setup { .. }), "{refused:?}");
}

#[tokio::test]
async fn more_than_there_is_credit_for_ends_it() {
    let (hand, mut liar) = hand(Network::Off).await;
    let (_process, id) = started(&hand, &mut liar).await;
    let stream = StreamId::Request(id);
    liar.say(&Up::Stream(stream, Flow::Credit(1))).await;
    assert_caught(&hand, "credit").await;

    let (hand, mut liar) = self::hand(Network::Door).await;
    liar.say(&Up::Connected(1)).await;
    // Nobody takes what comes in at the door.
    let piece = Flow::Piece(Bytes(vec![0; PIECE]));
    let socket_buffers = 16 * WINDOW;
    for _ in 0..(WINDOW + socket_buffers) / PIECE as u64 {
        liar.say(&Up::Stream(StreamId::Connection(1), piece.clone())).await;
    }
    assert_caught(&hand, "credit").await;
}

#[tokio::test]
async fn what_comes_before_an_answer_belongs_to_it() {
    let (hand, mut liar) = hand(Network::Off).await;
    let (mut process, id) = started(&hand, &mut liar).await;
    liar.say(&Up::Stream(StreamId::Request(id), Flow::Piece(Bytes(b"printed".to_vec())))).await;
    // About streams that are nobody's: heard, and no more.
    liar.say(&Up::Stream(StreamId::Request(RequestId(77)), Flow::Piece(Bytes(b"noise".to_vec())))).await;
    liar.say(&Up::Stream(StreamId::Connection(77), Flow::End)).await;
    let exited = Exited { status: Status::Code(3), usage: Usage::default() };
    liar.answer(id, ReplyBody::Exited(exited)).await;
    let finished = process.wait(LONG).await.unwrap().unwrap();
    assert_eq!(finished.output.head, b"printed");
    assert!(!*hand.ended.borrow());
}

#[tokio::test]
async fn content_that_is_not_there_is_not_believed() {
    let (hand, mut liar) = hand(Network::Off).await;
    let reader = Arc::clone(&hand);
    let read = tokio::spawn(async move { reader.read("x", 0, 100).await });
    let (id, _) = liar.asked().await;
    liar.say(&Up::Stream(StreamId::Request(id), Flow::Piece(Bytes(b"ten bytes.".to_vec())))).await;
    let version = Version { inode: 1, size: 50, changed_ns: 0 };
    liar.answer(id, ReplyBody::Read(FilePart { length: 50, version })).await;
    let error = read.await.unwrap().unwrap_err();
    assert!(matches!(error, SandboxError::Protocol(_)), "{error:?}");
    assert_caught(&hand, "another question").await;
}
