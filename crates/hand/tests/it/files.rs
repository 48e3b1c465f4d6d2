//! File requests, also on what is no file.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::Path,
};

use cofferdam_hand::protocol::{
    message::{EntryKind, FilePart, FileProblem, ReplyBody, RequestBody, Stat, Version},
    records::{Decoder, Entry},
    text::{Bytes, SandboxPath},
};
use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::{TempDir, tempdir};

use crate::host::{Host, content, memory, path};

fn read(host: &mut Host, file: &Path, offset: u64, limit: u64) -> Result<(Vec<u8>, Version), FileProblem> {
    let out = memory(b"");
    let reply = host.ask(RequestBody::Read { path: path(file), offset, limit }, &[out.as_fd()]);
    if let ReplyBody::File(problem) = reply {
        return Err(problem);
    }
    let ReplyBody::Read(FilePart { length, version }) = reply else { panic!("{reply:?}") };
    let bytes = content(out);
    assert_eq!(bytes.len() as u64, length);
    Ok((bytes, version))
}

fn write(
    host: &mut Host,
    file: &Path,
    bytes: &[u8],
    expected: Option<Version>,
) -> Result<Version, FileProblem> {
    let request = RequestBody::Write { path: path(file), length: bytes.len() as u64, expected };
    written(host.ask(request, &[memory(bytes).as_fd()]))
}

fn written(reply: ReplyBody) -> Result<Version, FileProblem> {
    if let ReplyBody::File(problem) = reply {
        return Err(problem);
    }
    let ReplyBody::Written(version) = reply else { panic!("{reply:?}") };
    Ok(version)
}

fn fifo(directory: &TempDir) -> std::path::PathBuf {
    let fifo = directory.path().join("fifo");
    mkfifoat(CWD, &fifo, Mode::from_raw_mode(0o600)).unwrap();
    fifo
}

#[test]
fn reads_the_part_that_is_asked_for() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    let file = directory.path().join("file");
    fs::write(&file, "0123456789").unwrap();
    let (bytes, version) = read(&mut host, &file, 0, u64::MAX).unwrap();
    assert_eq!((bytes.as_slice(), version.size), (b"0123456789".as_slice(), 10));
    assert_eq!(version.inode, fs::metadata(&file).unwrap().ino());
    assert_eq!(read(&mut host, &file, 3, 4).unwrap().0, b"3456");
    assert_eq!(read(&mut host, &file, 8, 100).unwrap().0, b"89");
    assert_eq!(read(&mut host, &file, 100, 100).unwrap().0, b"");
    assert_eq!(read(&mut host, &file, u64::MAX, 1).unwrap().0, b"");
    assert_eq!(read(&mut host, &file, 0, 0).unwrap().0, b"");
}

#[test]
fn reads_large_files_and_files_without_a_size() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    let file = directory.path().join("file");
    let large: Vec<u8> = (0..20_000_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    fs::write(&file, &large).unwrap();
    assert!(read(&mut host, &file, 0, u64::MAX).unwrap().0 == large);
    assert!(!read(&mut host, Path::new("/proc/version"), 0, 1000).unwrap().0.is_empty());
}

#[test]
fn reads_through_links_but_not_those_of_proc() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    fs::write(directory.path().join("file"), "content").unwrap();
    symlink("file", directory.path().join("link")).unwrap();
    symlink("loop", directory.path().join("loop")).unwrap();
    assert_eq!(read(&mut host, &directory.path().join("link"), 0, 100).unwrap().0, b"content");
    for hostile in
        [directory.path().join("loop").as_path(), Path::new("/proc/self/exe"), Path::new("/dev/stdin")]
    {
        assert!(matches!(read(&mut host, hostile, 0, 100), Err(FileProblem::Other(_))), "{hostile:?}");
    }
}

#[test]
fn what_is_no_file_is_not_read_and_not_waited_for() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    for (path, problem) in [
        (fifo(&directory), FileProblem::Special),
        (directory.path().join("socket"), FileProblem::Special),
        ("/dev/zero".into(), FileProblem::Special),
        ("/dev/tty".into(), FileProblem::Special),
        (directory.path().into(), FileProblem::IsDirectory),
        (directory.path().join("missing"), FileProblem::Missing),
        (directory.path().join("file/below"), FileProblem::NotDirectory),
    ] {
        assert_eq!(read(&mut host, &path, 0, 100), Err(problem), "{path:?}");
    }
}

#[test]
fn writes_a_new_file_with_its_parents() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    let file = directory.path().join("a/b/c");
    let version = write(&mut host, &file, b"new", None).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"new");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
    assert_eq!(read(&mut host, &file, 0, 10).unwrap().1, version);
    assert_eq!(write(&mut host, &file, b"", Some(version)).unwrap().size, 0);
}

#[test]
fn replaces_atomically_keeping_the_mode() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    let file = directory.path().join("script");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4750)).unwrap();
    let mut old = File::open(&file).unwrap();
    write(&mut host, &file, b"new content", None).unwrap();
    // Whoever has it open still reads all of the old one.
    assert_eq!(io::read_to_string(&mut old).unwrap(), "old");
    assert_eq!(fs::read(&file).unwrap(), b"new content");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o750);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_link_stays_and_its_target_is_written() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    fs::create_dir(directory.path().join("sub")).unwrap();
    fs::write(directory.path().join("sub/file"), "old").unwrap();
    let link = directory.path().join("link");
    symlink("sub/file", &link).unwrap();
    write(&mut host, &link, b"new", None).unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read(directory.path().join("sub/file")).unwrap(), b"new");
    symlink("nowhere", directory.path().join("dangling")).unwrap();
    let dangling = write(&mut host, &directory.path().join("dangling"), b"new", None);
    assert!(matches!(dangling, Err(FileProblem::Other(_))), "{dangling:?}");
}

#[test]
fn refuses_to_replace_what_has_changed() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    let file = directory.path().join("file");
    let first = write(&mut host, &file, b"one", None).unwrap();
    let second = write(&mut host, &file, b"two", Some(first)).unwrap();
    assert_eq!(write(&mut host, &file, b"three", Some(first)), Err(FileProblem::Changed));
    assert_eq!(fs::read(&file).unwrap(), b"two");
    fs::remove_file(&file).unwrap();
    assert_eq!(write(&mut host, &file, b"three", Some(second)), Err(FileProblem::Changed));
    assert!(!file.exists());
}

#[test]
fn refuses_to_replace_what_is_no_file() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    fs::write(directory.path().join("file"), "").unwrap();
    for (path, problem) in [
        (fifo(&directory), FileProblem::Special),
        (directory.path().into(), FileProblem::IsDirectory),
        (directory.path().join("new/"), FileProblem::IsDirectory),
        (directory.path().join("file/below"), FileProblem::NotDirectory),
        (directory.path().join("file/below/deeper"), FileProblem::NotDirectory),
    ] {
        assert_eq!(write(&mut host, &path, b"x", None), Err(problem), "{path:?}");
    }
    let proc = write(&mut host, Path::new("/proc/new"), b"x", None);
    assert!(proc.is_err());
}

#[test]
fn a_full_place_says_so_and_keeps_the_old_file() {
    // A file system with a size needs privileges to mount; the limit on file sizes fails at the same place.
    let mut host = Host::silent("ulimit -f 8; trap '' XFSZ;");
    assert_eq!(host.ask(RequestBody::Hello, &[]), ReplyBody::Hello);
    let directory = tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "old").unwrap();
    assert!(write(&mut host, &file, &vec![0; 1 << 20], None).is_err());
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn content_must_be_a_memfd_of_its_length() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    let target = path(&directory.path().join("file"));
    let (read_end, write_end) = io::pipe().unwrap();
    let write = |length| RequestBody::Write { path: target.clone(), length, expected: None };
    let refusals = [
        host.ask(write(1), &[read_end.as_fd()]),
        host.ask(write(4), &[memory(b"abc").as_fd()]),
        host.ask(write(u64::MAX), &[memory(b"abc").as_fd()]),
        host.ask(RequestBody::Read { path: target.clone(), offset: 0, limit: 1 }, &[write_end.as_fd()]),
        host.ask(RequestBody::List { path: target.clone(), limit: 1 }, &[write_end.as_fd()]),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, ReplyBody::Refused(_)), "{refusal:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    // Longer than its length is fine: the rest is no content.
    assert!(matches!(host.ask(write(2), &[memory(b"abc").as_fd()]), ReplyBody::Written(_)));
    assert_eq!(fs::read(directory.path().join("file")).unwrap(), b"ab");
}

#[test]
fn removes_files_and_links_only() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    let mut remove = |name: &str| {
        let path: SandboxPath = path(&directory.path().join(name));
        host.ask(RequestBody::Remove { path }, &[])
    };
    fs::write(directory.path().join("file"), "").unwrap();
    fs::create_dir(directory.path().join("sub")).unwrap();
    symlink("sub", directory.path().join("link")).unwrap();
    assert_eq!(remove("file"), ReplyBody::Removed);
    assert_eq!(remove("file"), ReplyBody::File(FileProblem::Missing));
    assert_eq!(remove("link"), ReplyBody::Removed);
    assert_eq!(remove("sub"), ReplyBody::File(FileProblem::IsDirectory));
    fifo(&directory);
    assert_eq!(remove("fifo"), ReplyBody::File(FileProblem::Special));
}

#[test]
fn says_what_is_there() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    symlink("nowhere", directory.path().join("link")).unwrap();
    fs::write(directory.path().join("file"), "four").unwrap();
    fs::set_permissions(directory.path().join("file"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut stat = |name: &str| host.ask(RequestBody::Stat { path: path(&directory.path().join(name)) }, &[]);
    let ReplyBody::Stat(Stat { kind: EntryKind::File, mode: 0o600, version }) = stat("file") else {
        panic!("{:?}", stat("file"))
    };
    assert_eq!(version.size, 4);
    assert!(matches!(stat("link"), ReplyBody::Stat(Stat { kind: EntryKind::Symlink, .. })));
    assert!(matches!(stat("."), ReplyBody::Stat(Stat { kind: EntryKind::Directory, .. })));
    assert_eq!(stat("no"), ReplyBody::File(FileProblem::Missing));
}

#[test]
fn lists_by_name_up_to_the_limit() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    for name in ["c", "a", "d"] {
        fs::write(directory.path().join(name), name.repeat(3)).unwrap();
    }
    fs::create_dir(directory.path().join("b")).unwrap();
    symlink("a", directory.path().join("e")).unwrap();
    fifo(&directory);
    let mut list = |limit| {
        let out = memory(b"");
        let reply = host.ask(RequestBody::List { path: path(directory.path()), limit }, &[out.as_fd()]);
        (reply, entries(&content(out)))
    };
    let (reply, all) = list(100);
    assert_eq!(reply, ReplyBody::Listed { entries: 6, more: 0 });
    let entry = |name: &str, kind, size| Entry { name: Bytes(name.into()), kind, size };
    let expected = [
        entry("a", EntryKind::File, 3),
        entry("b", EntryKind::Directory, 0),
        entry("c", EntryKind::File, 3),
        entry("d", EntryKind::File, 3),
        entry("e", EntryKind::Symlink, 0),
        entry("fifo", EntryKind::Other, 0),
    ];
    assert_eq!(all, expected);
    assert_eq!(list(2), (ReplyBody::Listed { entries: 2, more: 4 }, expected[..2].to_vec()));
    assert_eq!(list(0), (ReplyBody::Listed { entries: 0, more: 6 }, Vec::new()));
}

#[test]
fn only_directories_can_be_listed() {
    let (mut host, directory) = (Host::new(), tempdir().unwrap());
    fs::write(directory.path().join("file"), "").unwrap();
    for (name, problem) in [("file", FileProblem::NotDirectory), ("no", FileProblem::Missing)] {
        let request = RequestBody::List { path: path(&directory.path().join(name)), limit: 10 };
        assert_eq!(host.ask(request, &[memory(b"").as_fd()]), ReplyBody::File(problem));
    }
}

fn entries(bytes: &[u8]) -> Vec<Entry> {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    let mut entries = Vec::new();
    while let Some(entry) = decoder.next_record().unwrap() {
        entries.push(entry);
    }
    decoder.finish().unwrap();
    entries
}
