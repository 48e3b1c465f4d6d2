//! Searches, as the host asks for them. What they find is tested beside their code.

use std::{
    fs,
    io::{self, Read},
    os::fd::AsFd,
    path::Path,
};

use cofferdam_hand::protocol::{
    message::{FileProblem, ReplyBody, RequestBody, Search, SearchProblem},
    records::{Decoder, Found},
    text::{Bytes, SandboxPath},
};

use crate::host::{Host, path};

fn search(root: &Path, pattern: &str) -> Search {
    Search {
        root: path(root),
        pattern: Some(pattern.into()),
        glob: None,
        literal: false,
        ignore_case: false,
        multiline: false,
        context: 0,
        hidden: false,
        limit: 100_000,
        timeout_ms: 60_000,
    }
}

#[test]
fn results_come_through_a_pipe() {
    let (mut host, directory) = (Host::new(), tempfile::tempdir().unwrap());
    fs::write(directory.path().join("file"), "one\ntwo\n").unwrap();
    let (mut results, write_end) = io::pipe().unwrap();
    let id = host.send(RequestBody::Search(search(directory.path(), "two")), &[write_end.as_fd()]);
    drop(write_end);
    let mut bytes = Vec::new();
    results.read_to_end(&mut bytes).unwrap();
    assert_eq!(host.reply(id), ReplyBody::Searched { cut: false });
    let mut decoder = Decoder::default();
    // In pieces, as a pipe may give them.
    let mut found = Vec::new();
    for byte in bytes {
        decoder.push(&[byte]);
        while let Some(record) = decoder.next_record::<Found>().unwrap() {
            found.push(record);
        }
    }
    decoder.finish().unwrap();
    let line = Found::Line { number: 2, text: Bytes(b"two".to_vec()), is_match: true };
    assert_eq!(found, [Found::File(Bytes(b"file".to_vec())), line]);
}

#[test]
fn problems_are_told() {
    let mut host = Host::new();
    let (_results, write_end) = io::pipe().unwrap();
    let missing = Search { root: SandboxPath::new("/no/such/place").unwrap(), ..search(Path::new("/"), "x") };
    let missing = host.ask(RequestBody::Search(missing), &[write_end.as_fd()]);
    assert_eq!(missing, ReplyBody::NotSearched(SearchProblem::Root(FileProblem::Missing)));
    let pattern = host.ask(RequestBody::Search(search(Path::new("/"), "(")), &[write_end.as_fd()]);
    assert!(matches!(pattern, ReplyBody::NotSearched(SearchProblem::Pattern(_))), "{pattern:?}");
    host.wait_until_childless();
}

#[test]
fn a_search_that_nobody_listens_to_can_be_killed() {
    let (mut host, directory) = (Host::new(), tempfile::tempdir().unwrap());
    fs::write(directory.path().join("file"), "hit\n".repeat(50_000)).unwrap();
    let (_results, write_end) = io::pipe().unwrap();
    let id = host.send(RequestBody::Search(search(directory.path(), "hit")), &[write_end.as_fd()]);
    assert_eq!(host.ask(RequestBody::Ping, &[]), ReplyBody::Pong);
    let killed = host.ask(RequestBody::Kill { target: id }, &[]);
    assert_eq!(killed, ReplyBody::Killed { survivors: 0 });
    assert_eq!(host.reply(id), ReplyBody::NotSearched(SearchProblem::Killed));
    assert_eq!(host.children(), Vec::<String>::new());
}
