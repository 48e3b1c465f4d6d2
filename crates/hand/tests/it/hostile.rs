//! What the hand does with a host that breaks the protocol. (The other direction, a hostile hand, is the
//! decoder's: see `protocol`.)

use std::{
    io::{self, Read},
    os::fd::AsFd,
};

use cofferdam_hand::protocol::{
    channel::ChannelError,
    frame::{self, Message},
    message::{ReplyBody, Request, RequestBody, RequestId, Streams},
};
use rustix::net::{SendFlags, send};

use crate::host::{Host, memory, send_with};

/// Sends raw bytes instead of a request, and expects the end.
fn breaks(host: &mut Host, packet: &[u8], problem: &str) {
    send(host.socket(), packet, SendFlags::empty()).unwrap();
    assert_broken(host, problem);
}

fn assert_broken(host: &mut Host, problem: &str) {
    let reply = host.reply(RequestId::CONNECTION);
    let ReplyBody::Broken(notice) = reply else { panic!("{reply:?}") };
    assert!(notice.as_str().contains(problem), "{notice}");
    assert!(matches!(host.receive(), Err(ChannelError::Closed)));
    assert_eq!(host.ended().code(), Some(76));
}

fn ping() -> Vec<u8> {
    frame::encode(&Request { id: RequestId(1), body: RequestBody::Ping }).unwrap()
}

#[test]
fn bytes_that_are_no_frame_end_the_hand() {
    let mut longer = ping();
    longer.push(0);
    let mut other_version = ping();
    other_version[4] = 99;
    let too_long = vec![0; Request::MAX_FRAME + 1];
    let mut unknown = ping();
    *unknown.last_mut().unwrap() = 200;
    for (packet, problem) in [
        (b"garbage".as_slice(), "not a frame"),
        (b"x", "not a frame"),
        (&longer, "canonical"),
        (&other_version, "version 99"),
        (&too_long, "over the bound"),
        (&unknown, "does not parse"),
    ] {
        breaks(&mut Host::new(), packet, problem);
    }
}

#[test]
fn commands_end_with_a_broken_connection() {
    let mut host = Host::new();
    let (id, _output) = host.shell("exec sleep 1001");
    assert_eq!(host.reply(id), ReplyBody::Started);
    breaks(&mut host, b"garbage", "not a frame");
    assert_eq!(host.alive(), Vec::<String>::new());
}

#[test]
fn nothing_is_done_before_hello() {
    let mut host = Host::silent("");
    breaks(&mut host, &ping(), "hello");
}

#[test]
fn a_wrong_number_of_descriptors_is_refused_and_they_are_closed() {
    let mut host = Host::new();
    let (mut read_end, write_end) = io::pipe().unwrap();
    let refused = host.ask(RequestBody::Ping, &[write_end.as_fd()]);
    assert!(matches!(refused, ReplyBody::Refused(_)), "{refused:?}");
    drop(write_end);
    // The end of the pipe comes only if the hand has closed its copy.
    assert_eq!(read_end.read(&mut [0]).unwrap(), 0);
    for (streams, count) in
        [(Streams::Output, 0), (Streams::Output, 2), (Streams::InputOutput, 1), (Streams::Terminal, 2)]
    {
        let mut start = host.start("true", &[]);
        start.streams = streams;
        let content = memory(b"");
        let refused = host.ask(RequestBody::Start(start), &vec![content.as_fd(); count]);
        assert!(matches!(refused, ReplyBody::Refused(_)), "{refused:?}");
    }
    assert_eq!(host.ask(RequestBody::Ping, &[]), ReplyBody::Pong);
}

#[test]
fn more_descriptors_than_any_request_has_end_the_hand_and_are_closed() {
    for count in [3, 4, 50] {
        let mut host = Host::new();
        let (mut read_end, write_end) = io::pipe().unwrap();
        send_with(host.socket(), &ping(), &vec![write_end.as_fd(); count]);
        drop(write_end);
        assert_eq!(read_end.read(&mut [0]).unwrap(), 0);
        assert_broken(&mut host, "descriptors");
    }
}

#[test]
fn an_id_cannot_be_used_twice_at_a_time() {
    let mut host = Host::new();
    let (id, _output) = host.shell("exec sleep 1001");
    assert_eq!(host.reply(id), ReplyBody::Started);
    let again = Request { id, body: RequestBody::Start(host.start("true", &[])) };
    send_with(host.socket(), &frame::encode(&again).unwrap(), &[memory(b"").as_fd()]);
    assert!(matches!(host.reply(id), ReplyBody::Refused(_)));
    host.wait_until_alive(|alive| alive == ["sleep 1001 "]);
}

#[test]
fn a_wrong_start_says_what_is_missing() {
    for args in [vec![], vec!["init"], vec!["no-such-role"]] {
        let output = std::process::Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&-", env!("CARGO_BIN_EXE_cofferdam-hand")])
            .args(&args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("cofferdam-hand: "));
    }
}

#[test]
fn a_command_cannot_look_into_the_hand() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root may look into every process; run the tests as another user as well");
        return;
    }
    let mut host = Host::new();
    let (exited, output) = host
        .run("for p in $(ps -o ppid= -p $PPID) $PPID; do cat /proc/$p/environ; ls /proc/$p/fd; done; exit 7");
    assert_eq!(exited.status, cofferdam_hand::protocol::message::Status::Code(7));
    assert_eq!(output.matches("ermission denied").count(), 4, "{output}");
}
