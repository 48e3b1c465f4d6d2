//! Archives of snapshots, which may come from anywhere: what is in one stays below the new layer's directory, and what is
//! refused leaves nothing. The input is the tar file in an archive.

#![no_main]

use std::{cell::LazyCell, fs, io::Write as _, os::unix::fs::MetadataExt as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use sha2::Digest as _;

#[expect(dead_code, reason = "what the crate uses and this does not")]
#[path = "../../crates/sandbox/src/error.rs"]
mod error;
#[expect(dead_code, unused_imports, reason = "what the crate uses and this does not")]
#[path = "../../crates/sandbox/src/native/layer/mod.rs"]
mod layer;

/// As the crate has them.
const WORKSPACE: &str = "/workspace";
const HOME: &str = "/home/agent";

use error::SandboxError;
use layer::{ArchiveBounds, LayerStack, remove_layer};

const BOUNDS: ArchiveBounds =
    ArchiveBounds { bytes: 64 << 10, compressed: 64 << 10, entries: 100, depth: 8, ratio: 1000 };

thread_local! {
    /// In memory where there is a place for that.
    static FOLDER: LazyCell<tempfile::TempDir> = const { LazyCell::new(|| {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        tempfile::tempdir_in(place).expect("a directory")
    }) };
}

fuzz_target!(|tar: &[u8]| {
    FOLDER.with(|folder| import(folder.path(), tar));
});

fn import(folder: &Path, tar: &[u8]) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(tar).expect("memory");
    let bytes = encoder.finish().expect("memory");
    let digest: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let archive = folder.join(format!("{digest}.layer.tar.gz"));
    fs::write(&archive, bytes).expect("a file");
    let layer = folder.join("layer");
    let stack = LayerStack::at(&layer);
    let imported = stack.import(&archive, BOUNDS);
    fs::remove_file(&archive).expect("the archive is still there");
    match imported {
        Ok(snapshot) => {
            assert_eq!(stack.snapshots().expect("a layer"), [snapshot]);
            harmless(&layer);
            remove_layer(&layer).expect("a layer can be removed");
        }
        Err(_) => assert!(!layer.exists(), "what is refused leaves nothing"),
    }
    assert_eq!(fs::read_dir(folder).expect("a directory").count(), 0, "nothing is beside the layer");
}

/// Nothing in it gives anybody a right.
fn harmless(directory: &Path) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("its metadata");
        assert_eq!(metadata.mode() & 0o7000, 0, "{:?}", entry.path());
        if metadata.is_dir() {
            harmless(&entry.path());
        }
    }
}
