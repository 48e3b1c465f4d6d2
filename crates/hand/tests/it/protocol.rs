//! Properties of frames and records: nothing panics, and what is accepted is exactly what an encoder writes.

use std::{
    io::{self, Read},
    os::fd::AsFd,
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError},
    frame::{self, FrameError, Message},
    message::{
        EntryKind, Exited, FilePart, FileProblem, ProcessLimits, Profile, Reply, ReplyBody, Request,
        RequestBody, RequestId, Search, SearchProblem, Start, StartProblem, Stat, Status, Streams, Tested,
        Usage, User, Variable, Version,
    },
    records::{self, Decoder, Entry, Found, MAX_RECORD},
    text::{Bytes, KernelString, Notice, SandboxPath, TextError, VariableName},
};
use proptest::{collection::vec, option, prelude::*};

use crate::host::send_with;

fn kernel_string() -> impl Strategy<Value = KernelString> {
    vec(1..=u8::MAX, 0..50).prop_map(|bytes| KernelString::new(bytes).unwrap())
}

fn path() -> impl Strategy<Value = SandboxPath> {
    vec(1..=u8::MAX, 0..50).prop_map(|bytes| SandboxPath::new([b"/", bytes.as_slice()].concat()).unwrap())
}

fn version() -> impl Strategy<Value = Version> {
    any::<(u64, u64, i128)>().prop_map(|(inode, size, changed_ns)| Version { inode, size, changed_ns })
}

fn notice() -> impl Strategy<Value = Notice> {
    any::<String>().prop_map(Notice::new)
}

fn start() -> impl Strategy<Value = Start> {
    let variable = ("[A-Z_]{1,9}", kernel_string())
        .prop_map(|(name, value)| Variable { name: VariableName::new(name).unwrap(), value });
    let streams = prop_oneof![Just(Streams::Output), Just(Streams::InputOutput), Just(Streams::Terminal)];
    let limits = any::<[Option<u64>; 4]>().prop_map(|[open_files, file_size, processes, address_space]| {
        ProcessLimits { open_files, file_size, processes, address_space }
    });
    let user = prop_oneof![Just(User::Agent), Just(User::Root)];
    (kernel_string(), vec(kernel_string(), 0..9), vec(variable, 0..9), path(), streams, limits, user)
        .prop_map(|(program, args, env, cwd, streams, limits, user)| Start {
            program,
            args,
            env,
            cwd,
            streams,
            limits,
            user,
        })
}

fn search() -> impl Strategy<Value = Search> {
    let options = any::<([bool; 4], u32, u32, u32)>();
    (path(), any::<Option<String>>(), any::<Option<String>>(), options).prop_map(
        |(root, pattern, glob, (flags, context, limit, timeout_ms))| {
            let [literal, ignore_case, multiline, hidden] = flags;
            Search {
                root,
                pattern,
                glob,
                literal,
                ignore_case,
                multiline,
                context,
                hidden,
                limit,
                timeout_ms,
            }
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let body = prop_oneof![
        Just(RequestBody::Hello),
        Just(RequestBody::Ping),
        any::<(bool, bool, bool)>().prop_map(|(landlock, own_users, own_kernel)| {
            RequestBody::SelfTest(Profile { landlock, own_users, own_kernel })
        }),
        Just(RequestBody::Shutdown),
        start().prop_map(RequestBody::Start),
        search().prop_map(RequestBody::Search),
        any::<u64>().prop_map(|id| RequestBody::Kill { target: RequestId(id) }),
        (path(), any::<u64>(), any::<u64>()).prop_map(|(path, offset, limit)| RequestBody::Read {
            path,
            offset,
            limit
        }),
        (path(), any::<u64>(), option::of(version()))
            .prop_map(|(path, length, expected)| RequestBody::Write { path, length, expected }),
        path().prop_map(|path| RequestBody::Remove { path }),
        path().prop_map(|path| RequestBody::Stat { path }),
        (path(), any::<u32>()).prop_map(|(path, limit)| RequestBody::List { path, limit }),
    ];
    (any::<u64>(), body).prop_map(|(id, body)| Request { id: RequestId(id), body })
}

fn file_problem() -> impl Strategy<Value = FileProblem> {
    prop_oneof![Just(FileProblem::Missing), Just(FileProblem::NoSpace), notice().prop_map(FileProblem::Other)]
}

fn reply() -> impl Strategy<Value = Reply> {
    let status = prop_oneof![
        any::<u8>().prop_map(Status::Code),
        any::<u8>().prop_map(Status::Signal),
        Just(Status::Lost)
    ];
    let usage = any::<[u64; 3]>().prop_map(|[user_us, system_us, max_rss_kib]| Usage {
        user_us,
        system_us,
        max_rss_kib,
    });
    let kind = prop_oneof![Just(EntryKind::File), Just(EntryKind::Other)];
    let body = prop_oneof![
        Just(ReplyBody::Hello),
        Just(ReplyBody::Started),
        Just(ReplyBody::Emptied),
        notice().prop_map(|text| ReplyBody::NotStarted(StartProblem::Other(text))),
        file_problem().prop_map(|problem| ReplyBody::NotStarted(StartProblem::Cwd(problem))),
        (status, usage).prop_map(|(status, usage)| ReplyBody::Exited(Exited { status, usage })),
        any::<u32>().prop_map(|survivors| ReplyBody::Killed { survivors }),
        (any::<u64>(), version()).prop_map(|(length, version)| ReplyBody::Read(FilePart { length, version })),
        version().prop_map(ReplyBody::Written),
        (kind, any::<u32>(), version()).prop_map(|(kind, mode, version)| ReplyBody::Stat(Stat {
            kind,
            mode,
            version
        })),
        any::<(u32, u64)>().prop_map(|(entries, more)| ReplyBody::Listed { entries, more }),
        any::<bool>().prop_map(|cut| ReplyBody::Searched { cut }),
        (any::<u32>(), proptest::option::of(notice()))
            .prop_map(|(passed, failed)| ReplyBody::Tested(Tested { passed, failed })),
        notice().prop_map(|text| ReplyBody::NotSearched(SearchProblem::Pattern(text))),
        file_problem().prop_map(ReplyBody::File),
        notice().prop_map(ReplyBody::Refused),
        notice().prop_map(ReplyBody::Broken),
    ];
    (any::<u64>(), body).prop_map(|(id, body)| Reply { id: RequestId(id), body })
}

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![
        vec(any::<u8>(), 0..100).prop_map(|name| Found::File(Bytes(name))),
        (any::<u64>(), vec(any::<u8>(), 0..100), any::<bool>())
            .prop_map(|(number, text, is_match)| Found::Line { number, text: Bytes(text), is_match }),
    ]
}

/// What holds of any bytes at all, whoever sent them. The fuzz targets `hand_frame_hand` and
/// `hand_frame_host` check the same.
fn is_rejected_or_canonical<M: Message>(bytes: &[u8]) {
    if let Ok(message) = frame::decode::<M>(bytes) {
        assert_eq!(frame::encode(&message).unwrap(), bytes);
    }
}

/// Bytes with a good header, so that most of them reach the message.
fn framed<M: Message>(body: &[u8]) -> Vec<u8> {
    [M::KIND.as_slice(), &frame::VERSION.to_le_bytes(), body].concat()
}

proptest! {
    #[test]
    fn requests_come_out_as_they_went_in(request in request()) {
        prop_assert_eq!(frame::decode::<Request>(&frame::encode(&request).unwrap()).unwrap(), request);
    }

    #[test]
    fn replies_come_out_as_they_went_in(reply in reply()) {
        prop_assert_eq!(frame::decode::<Reply>(&frame::encode(&reply).unwrap()).unwrap(), reply);
    }

    #[test]
    fn any_bytes_are_rejected_or_canonical(bytes in vec(any::<u8>(), 0..300)) {
        is_rejected_or_canonical::<Request>(&bytes);
        is_rejected_or_canonical::<Reply>(&bytes);
        is_rejected_or_canonical::<Request>(&framed::<Request>(&bytes));
        is_rejected_or_canonical::<Reply>(&framed::<Reply>(&bytes));
    }

    #[test]
    fn a_changed_frame_is_rejected_or_canonical(request in request(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = frame::encode(&request).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        is_rejected_or_canonical::<Request>(&bytes);
        bytes.truncate(at);
        prop_assert!(frame::decode::<Request>(&bytes).is_err());
    }

    #[test]
    fn frames_of_one_kind_are_no_frames_of_another(request in request(), reply in reply()) {
        let wrong = [
            frame::decode::<Reply>(&frame::encode(&request).unwrap()).unwrap_err(),
            frame::decode::<Request>(&frame::encode(&reply).unwrap()).unwrap_err(),
        ];
        let refused = |error: &FrameError| matches!(error, FrameError::Kind | FrameError::TooLong { .. });
        prop_assert!(wrong.iter().all(refused));
    }

    #[test]
    fn records_come_out_as_they_went_in(found in vec(found(), 0..20), piece in 1_usize..40) {
        let mut bytes = Vec::new();
        for record in &found {
            records::append(record, &mut bytes).unwrap();
        }
        let (mut decoder, mut decoded) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            decoder.push(piece);
            while let Some(record) = decoder.next_record::<Found>().unwrap() {
                decoded.push(record);
            }
        }
        prop_assert!(decoder.finish().is_ok());
        prop_assert_eq!(decoded, found);
    }

    #[test]
    fn any_bytes_are_records_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        // Each record uses up bytes, so this ends.
        while let Ok(Some(_)) = decoder.next_record::<Entry>() {}
    }
}

#[test]
fn a_frame_over_its_bound_is_neither_written_nor_read() {
    let argument = KernelString::new(vec![b'x'; 100 << 10]).unwrap();
    let mut request = Request { id: RequestId(1), body: RequestBody::Ping };
    request.body = RequestBody::Start(Start {
        program: argument.clone(),
        args: vec![argument],
        env: Vec::new(),
        cwd: SandboxPath::new("/").unwrap(),
        streams: Streams::Output,
        limits: ProcessLimits::default(),
        user: User::Agent,
    });
    assert!(matches!(frame::encode(&request), Err(FrameError::TooLong { .. })));
    let long = framed::<Reply>(&[0; Reply::MAX_FRAME]);
    assert!(matches!(frame::decode::<Reply>(&long), Err(FrameError::TooLong { .. })));
}

#[test]
fn a_reply_is_never_over_its_bound() {
    let longest = Notice::new("ü".repeat(5000));
    let problem = StartProblem::Cwd(FileProblem::Other(longest));
    let reply = Reply { id: RequestId(u64::MAX), body: ReplyBody::NotStarted(problem) };
    assert!(frame::encode(&reply).is_ok());
}

#[test]
fn a_record_over_its_bound_is_neither_written_nor_read() {
    let mut bytes = Vec::new();
    assert!(records::append(&Found::File(Bytes(vec![b'x'; MAX_RECORD])), &mut bytes).is_err());
    assert!(bytes.is_empty());
    let mut decoder = Decoder::default();
    decoder.push(&u32::MAX.to_le_bytes());
    assert!(decoder.next_record::<Found>().is_err());
    let mut decoder = Decoder::default();
    decoder.push(&[1, 0]);
    assert!(decoder.next_record::<Found>().unwrap().is_none());
    assert!(decoder.finish().is_err());
}

#[test]
fn strings_keep_their_rules() {
    assert_eq!(KernelString::new("a\0b"), Err(TextError::Nul));
    assert_eq!(SandboxPath::new("relative"), Err(TextError::NotAbsolute));
    assert_eq!(SandboxPath::new(""), Err(TextError::NotAbsolute));
    assert_eq!(SandboxPath::new("/".repeat(4096)), Err(TextError::TooLong));
    assert!(SandboxPath::new("/".repeat(4095)).is_ok());
    assert_eq!(VariableName::new("A=B"), Err(TextError::VariableName));
    assert_eq!(VariableName::new(""), Err(TextError::VariableName));
}

#[test]
fn descriptors_from_a_hand_are_refused_and_closed() {
    let (host, hand) = channel::pair().unwrap();
    let (mut read_end, write_end) = io::pipe().unwrap();
    let reply = frame::encode(&Reply { id: RequestId(1), body: ReplyBody::Pong }).unwrap();
    for count in [1, 2, 50] {
        send_with(&hand, &reply, &vec![write_end.as_fd(); count]);
        let received = channel::receive::<Reply>(&host);
        assert!(matches!(received, Err(ChannelError::TooManyDescriptors(0))), "{received:?}");
    }
    drop(write_end);
    assert_eq!(read_end.read(&mut [0]).unwrap(), 0);
}

#[test]
fn packets_of_a_hand_over_the_bound_are_refused() {
    let (host, hand) = channel::pair().unwrap();
    rustix::net::send(&hand, &[0; Reply::MAX_FRAME + 1], rustix::net::SendFlags::empty()).unwrap();
    let received = channel::receive::<Reply>(&host);
    assert!(matches!(received, Err(ChannelError::TooLong(_))), "{received:?}");
    drop(hand);
    assert!(matches!(channel::receive::<Reply>(&host), Err(ChannelError::Closed)));
}

#[test]
fn a_hand_that_is_silent_does_not_hold_up_a_host_that_does_not_wait() {
    let (host, _hand) = channel::pair().unwrap();
    rustix::io::ioctl_fionbio(&host, true).unwrap();
    let received = channel::receive::<Reply>(&host);
    assert!(
        matches!(&received, Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock)
    );
}
