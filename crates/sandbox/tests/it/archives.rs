//! Snapshots that leave the machine and come back, and archives that mean harm.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use cofferdam_sandbox::{ArchiveBounds, LayerError, LayerStack};
use flate2::{Compression, write::GzEncoder};
use sha2::Digest as _;
use tar::{Builder, EntryType, Header};

use crate::support::{Place, exists, sh};

async fn in_layer(place: &Place, layer: &str, script: &str) -> String {
    let sandbox = place.sandbox(layer).await;
    let printed = sh(&*sandbox, script).await;
    sandbox.destroy().await.unwrap();
    printed
}

#[tokio::test]
async fn what_comes_back_is_what_left() {
    let Some(place) = Place::new().await else { return };
    let stack = LayerStack::at(&place.path("layer"));
    in_layer(&place, "layer", "echo 1 > a; mkdir -p d/e; echo x > d/e/f; chmod 755 d/e/f; ln -s ../../a d/e/link; rm README; echo h > ~/h").await;
    stack.snapshot().unwrap();
    // A file that is gone, a directory that hides one below, and a name longer than a tar header has room for.
    let long = "n".repeat(180);
    in_layer(
        &place,
        "layer",
        &format!("rm -r src d/e; mkdir src; echo 2 > src/two.rs; echo l > {long}; mkfifo pipe; chmod 4755 a"),
    )
    .await;
    let snapshot = stack.snapshot().unwrap();
    let look = format!(
        "cat a src/two.rs {long} ~/h; ls -R d src; ls README src/one.rs pipe 2>/dev/null; stat -c '%a %U' a"
    );
    let before = in_layer(&place, "layer", "true").await + &in_layer(&place, "layer", &look).await;

    let archive = stack.export(snapshot, &place.path(""), ArchiveBounds::default()).unwrap();
    assert!(archive.path.ends_with(format!("{}.layer.tar.gz", archive.digest)));
    assert_eq!(fs::metadata(&archive.path).unwrap().len(), archive.bytes);
    let again = stack.export(snapshot, &place.path(""), ArchiveBounds::default()).unwrap();
    assert_eq!(again, archive, "the same content has the same name");

    let back = LayerStack::at(&place.path("back"));
    let imported = back.import(&archive.path, ArchiveBounds::default()).unwrap();
    assert_eq!(back.snapshots().unwrap(), [imported]);
    let after = in_layer(&place, "back", &look).await;
    // The pipe and the set-user-id bit do not travel.
    assert_eq!(after, before.replace("pipe\n", "").replace("4755 agent", "755 agent"));
    assert!(matches!(back.import(&archive.path, ArchiveBounds::default()), Err(LayerError::Exists(_))));
    let copy = back.export(imported, &place.path(""), ArchiveBounds::default()).unwrap();
    assert_eq!(copy.digest, archive.digest, "nothing was lost on the way");
}

/// Writes an archive with its right name.
fn archive(place: &Place, name: &str, write: impl FnOnce(&mut Builder<GzEncoder<Vec<u8>>>)) -> PathBuf {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    write(&mut builder);
    let bytes = builder.into_inner().unwrap().finish().unwrap();
    let digest: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = place.path(name);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{digest}.layer.tar.gz"));
    fs::write(&path, bytes).unwrap();
    path
}

/// Path, kind, target of a link, content.
type Raw<'a> = (&'a str, EntryType, &'a str, &'a [u8]);

/// Adds an entry whose path is taken as it is, however wrong.
fn add(to: &mut Builder<GzEncoder<Vec<u8>>>, path: &str, kind: EntryType, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    let bytes = header.as_old_mut();
    bytes.name[..path.len()].copy_from_slice(path.as_bytes());
    bytes.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o6777);
    header.set_size(content.len() as u64);
    header.set_device_major(8).unwrap();
    header.set_device_minor(1).unwrap();
    header.set_cksum();
    to.append(&header, content).unwrap();
}

#[tokio::test]
async fn hostile_archives_are_refused_and_leave_nothing() {
    let Some(place) = Place::new().await else { return };
    let outside = place.path("outside");
    fs::create_dir(&outside).unwrap();
    let absolute = format!("{}/x", outside.display());
    let file = EntryType::Regular;
    let cases: Vec<(&str, Vec<Raw<'_>>)> = vec![
        ("an absolute path", vec![(&absolute, file, "", b"x")]),
        ("upwards", vec![("workspace/../../../outside/x", file, "", b"x")]),
        ("elsewhere", vec![("0/x", file, "", b"x")]),
        (
            "through a link",
            vec![
                ("workspace/l", EntryType::Symlink, outside.to_str().unwrap(), b""),
                ("workspace/l/x", file, "", b"x"),
            ],
        ),
        (
            "onto a link",
            vec![("workspace/l", EntryType::Symlink, &absolute, b""), ("workspace/l", file, "", b"x")],
        ),
        ("a hard link", vec![("workspace/l", EntryType::Link, "/etc/passwd", b"")]),
        ("a device", vec![("workspace/d", EntryType::Block, "", b"")]),
        ("another device", vec![("workspace/d", EntryType::Char, "", b"")]),
        ("a pipe", vec![("workspace/p", EntryType::Fifo, "", b"")]),
        ("a sparse file", vec![("workspace/s", EntryType::GNUSparse, "", b"")]),
        ("a name twice", vec![("workspace/f", file, "", b"x"), ("workspace/f", file, "", b"y")]),
        ("nowhere", vec![("workspace/none/f", file, "", b"x")]),
        (
            "an attribute",
            vec![
                ("x", EntryType::XHeader, "", b"37 SCHILY.xattr.security.capability=x\n"),
                ("workspace/f", file, "", b"x"),
            ],
        ),
        ("a long name", vec![("x", EntryType::GNULongName, "", &[b'n'; 100_000])]),
    ];
    for (number, (what, entries)) in cases.into_iter().enumerate() {
        let archive = archive(&place, "archives", |to| {
            for (path, kind, link, content) in entries {
                add(to, path, kind, link, content);
            }
        });
        let layer = place.path(&format!("imported{number}"));
        let refused = LayerStack::at(&layer).import(&archive, ArchiveBounds::default());
        assert!(matches!(refused, Err(LayerError::Archive(_))), "{what}: {refused:?}");
        assert!(!exists(&layer), "{what} left something");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{what} got out");
    }
}

#[tokio::test]
async fn bounds_hold_for_what_is_unpacked() {
    let Some(place) = Place::new().await else { return };
    let bounds = ArchiveBounds { bytes: 4 << 20, compressed: 1 << 20, entries: 50, depth: 10, ratio: 100 };
    let zeros = vec![0; 3 << 20];
    let bomb = archive(&place, "archives", |to| add(to, "workspace/zeros", EntryType::Regular, "", &zeros));
    let large = archive(&place, "archives", |to| {
        add(to, "workspace/one", EntryType::Regular, "", &zeros);
        add(to, "workspace/two", EntryType::Regular, "", &zeros);
    });
    let many = archive(&place, "archives", |to| {
        for number in 0..60 {
            add(to, &format!("workspace/{number}"), EntryType::Regular, "", b"");
        }
    });
    let deep = archive(&place, "archives", |to| {
        for depth in 1..=12 {
            add(to, &format!("workspace{}", "/d".repeat(depth)), EntryType::Directory, "", b"");
        }
    });
    for (name, archive) in [("bomb", &bomb), ("large", &large), ("many", &many), ("deep", &deep)] {
        let layer = place.path(name);
        let refused = LayerStack::at(&layer).import(archive, bounds);
        assert!(matches!(refused, Err(LayerError::Archive(_))), "{name}: {refused:?}");
        assert!(!exists(&layer), "{name}");
    }
    let small = ArchiveBounds { compressed: 10, ..bounds };
    let refused = LayerStack::at(&place.path("small")).import(&bomb, small);
    assert!(matches!(refused, Err(LayerError::Archive(_))), "{refused:?}");
    LayerStack::at(&place.path("fine")).import(&bomb, ArchiveBounds { ratio: 10_000, ..bounds }).unwrap();

    // One byte changed, one byte short, and another name.
    let mut bytes = fs::read(&bomb).unwrap();
    bytes[20] ^= 1;
    for (name, bytes) in [("changed", &bytes[..]), ("short", &bytes[..bytes.len() - 1])] {
        let folder = place.path(name);
        fs::create_dir(&folder).unwrap();
        let path = folder.join(bomb.file_name().unwrap());
        fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        assert_refused(&place, &path);
    }
    let renamed = place.path("archives").join("my-snapshot.tar.gz");
    fs::copy(&bomb, &renamed).unwrap();
    assert_refused(&place, &renamed);
}

fn assert_refused(place: &Place, archive: &Path) {
    let refused = LayerStack::at(&place.path("refused")).import(archive, ArchiveBounds::default());
    assert!(matches!(refused, Err(LayerError::Archive(_))), "{refused:?}");
    assert!(!exists(&place.path("refused")));
}

#[tokio::test]
async fn an_import_gives_no_privileges() {
    let Some(place) = Place::new().await else { return };
    let archive = archive(&place, "archives", |to| {
        add(to, "workspace/program", EntryType::Regular, "", b"#!/bin/sh\nid -un\n");
    });
    LayerStack::at(&place.path("layer")).import(&archive, ArchiveBounds::default()).unwrap();
    let file = place.path("layer/0/workspace/upper/program");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o777);
    assert_eq!(in_layer(&place, "layer", "./program; stat -c %U program").await, "agent\nagent\n");
}
