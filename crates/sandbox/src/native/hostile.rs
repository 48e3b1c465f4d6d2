//! Hands that lie. Each must end as an error and a killed sandbox, never as a panic, a wait without end, or something believed.

use std::{
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};

use cofferdam_hand::protocol::{
    channel::{self, Received},
    frame,
    message::{
        EntryKind, Exited, FilePart, Reply, ReplyBody, Request, RequestBody, RequestId, Status, Usage,
        Version,
    },
    records,
    text::Bytes,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{connection::Connection, files};
use crate::{SandboxError, Search};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// A connection to a hand that the test plays. A sleeping process stands for the sandbox that must be killed.
struct Liar {
    connection: Arc<Connection>,
    hand: OwnedFd,
    sandbox: Child,
}

impl Liar {
    fn new() -> Self {
        let sandbox = Command::new("sleep").arg("100000").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(sandbox.id()).unwrap()).unwrap();
        let (host, hand) = channel::pair().unwrap();
        let pidfd = Arc::new(pidfd_open(pid, PidfdFlags::empty()).unwrap());
        Self { connection: Connection::open(host, pidfd).unwrap(), hand, sandbox }
    }

    /// Answers the next request as `lie` says.
    async fn answer(&self, lie: impl FnOnce(&Received<Request>) -> Vec<ReplyBody> + Send + 'static) {
        let hand = self.hand.try_clone().unwrap();
        let answered = tokio::task::spawn_blocking(move || {
            let received = channel::receive::<Request>(&hand).unwrap();
            for body in lie(&received) {
                // The host may have hung up at an earlier lie.
                channel::send(&hand, &Reply { id: received.message.id, body }, &[]).ok();
            }
        });
        answered.await.unwrap();
    }

    /// Asserts that the sandbox has been killed and the connection is of no use any more.
    async fn assert_caught(mut self) {
        let killed = tokio::task::spawn_blocking(move || self.sandbox.wait()).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.unwrap()), Some(9));
        let error = self.connection.ask(RequestBody::Ping, &[], LONG).await.unwrap_err();
        assert!(matches!(error, SandboxError::Gone(_)), "{error}");
    }
}

fn version(size: u64) -> Version {
    Version { inode: 1, size, changed_ns: 0 }
}

#[tokio::test]
async fn silence_is_not_waited_for() {
    let liar = Liar::new();
    let error = liar.connection.ask(RequestBody::Ping, &[], SHORT).await.unwrap_err();
    assert!(error.to_string().contains("in time"), "{error}");
    liar.assert_caught().await;
}

#[tokio::test]
async fn hanging_up_is_the_end() {
    let mut liar = Liar::new();
    liar.hand = channel::pair().unwrap().0;
    let error = liar.connection.ask(RequestBody::Ping, &[], LONG).await.unwrap_err();
    assert!(matches!(error, SandboxError::Gone(_)), "{error}");
    liar.assert_caught().await;
}

#[tokio::test]
async fn bytes_that_are_no_reply_are_the_end() {
    let pong = Reply { id: RequestId(1), body: ReplyBody::Pong };
    let mut longer = frame::encode(&pong).unwrap();
    longer.push(0);
    for bytes in [b"x".to_vec(), vec![0; 100_000], longer] {
        let liar = Liar::new();
        rustix::net::send(&liar.hand, &bytes, rustix::net::SendFlags::NOSIGNAL).unwrap();
        liar.assert_caught().await;
    }
}

#[tokio::test]
async fn descriptors_are_not_taken() {
    let liar = Liar::new();
    let bytes = frame::encode(&Reply { id: RequestId(1), body: ReplyBody::Pong }).unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = rustix::net::SendAncillaryBuffer::new(&mut space);
    let sent = [liar.hand.as_fd()];
    assert!(ancillary.push(rustix::net::SendAncillaryMessage::ScmRights(&sent)));
    let slices = [std::io::IoSlice::new(&bytes)];
    rustix::net::sendmsg(&liar.hand, &slices, &mut ancillary, rustix::net::SendFlags::NOSIGNAL).unwrap();
    liar.assert_caught().await;
}

#[tokio::test]
async fn answers_to_nothing_and_too_many_answers_are_the_end() {
    let liar = Liar::new();
    channel::send(&liar.hand, &Reply { id: RequestId(77), body: ReplyBody::Pong }, &[]).unwrap();
    liar.assert_caught().await;

    let liar = Liar::new();
    let _replies = liar.connection.request(RequestBody::Ping, &[]).await.unwrap();
    let exited = Exited { status: Status::Code(0), usage: Usage::default() };
    liar.answer(move |_| vec![ReplyBody::Exited(exited); 100]).await;
    liar.assert_caught().await;
}

#[tokio::test]
async fn another_answer_than_was_asked_for_is_the_end() {
    let liar = Liar::new();
    let (read, ()) =
        tokio::join!(files::read(&liar.connection, "x", 0, 10), liar.answer(|_| vec![ReplyBody::Pong]));
    assert!(matches!(read, Err(SandboxError::Protocol(_))), "{read:?}");
    liar.assert_caught().await;
}

#[tokio::test]
async fn contents_are_what_was_written_and_not_more_than_was_asked_for() {
    for (written, claimed) in [(0_usize, 10), (20, 20), (0, u64::MAX), (5, 4)] {
        let liar = Liar::new();
        let lie = move |received: &Received<Request>| {
            rustix::io::write(&received.descriptors[0], &vec![b'x'; written]).unwrap();
            vec![ReplyBody::Read(FilePart { length: claimed, version: version(claimed) })]
        };
        let (read, ()) = tokio::join!(files::read(&liar.connection, "x", 0, 10), liar.answer(lie));
        if claimed == 4 {
            assert_eq!(read.unwrap().bytes, b"xxxx");
            liar.connection.end("the test is over");
        } else {
            assert!(matches!(read, Err(SandboxError::Protocol(_))), "{read:?}");
        }
        liar.assert_caught().await;
    }
}

#[tokio::test]
async fn listings_are_records_and_as_many_as_claimed() {
    for (written, claimed) in [(vec![0xff_u8; 64], 1), (Vec::new(), 3), (Vec::new(), u32::MAX)] {
        let liar = Liar::new();
        let lie = move |received: &Received<Request>| {
            rustix::io::write(&received.descriptors[0], &written).unwrap();
            vec![ReplyBody::Listed { entries: claimed, more: 0 }]
        };
        let (listed, ()) = tokio::join!(files::list(&liar.connection, "", 100), liar.answer(lie));
        assert!(matches!(listed, Err(SandboxError::Protocol(_))), "{listed:?}");
        liar.assert_caught().await;
    }
}

#[tokio::test]
async fn more_entries_and_findings_than_memory_are_not_collected() {
    let liar = Liar::new();
    let lie = |received: &Received<Request>| {
        let entry = records::Entry { name: Bytes(Vec::new()), kind: EntryKind::File, size: 0 };
        let mut bytes = Vec::new();
        (0..1000).for_each(|_| records::append(&entry, &mut bytes).unwrap());
        rustix::io::write(&received.descriptors[0], &bytes).unwrap();
        vec![ReplyBody::Listed { entries: 100, more: 0 }]
    };
    let (listed, ()) = tokio::join!(files::list(&liar.connection, "", 100), liar.answer(lie));
    assert!(matches!(listed, Err(SandboxError::Protocol(_))), "{listed:?}");
    liar.assert_caught().await;

    let liar = Liar::new();
    let lie = |received: &Received<Request>| {
        let mut bytes = Vec::new();
        records::append(&records::Found::File(Bytes(Vec::new())), &mut bytes).unwrap();
        let piece = bytes.repeat(10_000);
        let mut pipe = std::fs::File::from(received.descriptors[0].try_clone().unwrap());
        // Forty megabytes on the way, which are gigabytes where they arrive.
        for _ in 0..700 {
            if std::io::Write::write_all(&mut pipe, &piece).is_err() {
                return vec![ReplyBody::Searched { cut: false }];
            }
        }
        panic!("seven million findings were taken");
    };
    let search = Search {
        root: String::new(),
        pattern: None,
        glob: None,
        literal: false,
        ignore_case: false,
        multiline: false,
        context: 0,
        hidden: false,
        limit: 100,
        timeout: LONG,
    };
    let (found, ()) = tokio::join!(files::search(&liar.connection, search), liar.answer(lie));
    assert!(matches!(found, Err(SandboxError::Protocol(_))), "{found:?}");
    liar.assert_caught().await;
}
