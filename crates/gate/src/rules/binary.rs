//! `binary`: new content that cannot be read.
//!
//! **What.** Added or changed files that are not text. **Why.** Nobody reviews what nobody can read; a
//! program, an archive or a model in a change is a place to hide anything. **Severity.** Blocking, except
//! pictures, fonts, sounds and documents that are what their name says by their first bytes: a warning. Text
//! in another encoding than UTF-8 is a warning, since the other rules see only part of it.

use cofferdam_domain::{FileMode, Severity};

use crate::{
    GatePolicy,
    view::{FileView, Sink, View},
};

/// Extensions of harmless kinds with the bytes that such files have at an offset.
const MEDIA: &[(&[&str], usize, &[u8])] = &[
    (&["png"], 0, b"\x89PNG\r\n\x1a\n"),
    (&["jpg", "jpeg"], 0, b"\xff\xd8\xff"),
    (&["gif"], 0, b"GIF8"),
    (&["webp"], 8, b"WEBP"),
    (&["avif", "heic", "mp4", "m4a", "mov"], 4, b"ftyp"),
    (&["ico"], 0, b"\0\0\x01\0"),
    (&["bmp"], 0, b"BM"),
    (&["tif", "tiff"], 0, b"II*\0"),
    (&["tif", "tiff"], 0, b"MM\0*"),
    (&["woff"], 0, b"wOFF"),
    (&["woff2"], 0, b"wOF2"),
    (&["ttf"], 0, b"\0\x01\0\0"),
    (&["otf"], 0, b"OTTO"),
    (&["wav"], 8, b"WAVE"),
    (&["ogg", "oga"], 0, b"OggS"),
    (&["flac"], 0, b"fLaC"),
    (&["mp3"], 0, b"ID3"),
    (&["webm", "mkv"], 0, b"\x1a\x45\xdf\xa3"),
    (&["mo"], 0, b"\xde\x12\x04\x95"),
];

/// First bytes of what runs or unpacks, with its name.
const DANGEROUS: &[(&[u8], &str)] = &[
    (b"\x7fELF", "a program or library (ELF)"),
    (b"MZ", "a program or library (PE)"),
    (b"\xcf\xfa\xed\xfe", "a program or library (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a program or class file"),
    (b"\0asm", "a program (WebAssembly)"),
    (b"PK\x03\x04", "an archive (zip)"),
    (b"\x1f\x8b", "compressed data (gzip)"),
    (b"\xfd7zXZ\0", "compressed data (xz)"),
    (b"\x28\xb5\x2f\xfd", "compressed data (zstd)"),
    (b"7z\xbc\xaf", "an archive (7z)"),
    (b"!<arch>\n", "a library archive"),
    (b"SQLite format 3", "a database (SQLite)"),
    (b"%PDF-", "a document (PDF)"),
];

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    for file in &view.files {
        let regular =
            file.new_side().is_some_and(|side| matches!(side.mode, FileMode::Regular | FileMode::Executable));
        if !regular || file.new.is_empty() || file.new == file.old {
            continue;
        }
        if let Some((severity, why)) = judge(file) {
            sink.add(severity, &file.shown, None, why);
        }
    }
}

/// What a content is that runs or unpacks, by its first bytes.
pub(super) fn dangerous(content: &[u8]) -> Option<&'static str> {
    let (_, name) = DANGEROUS.iter().find(|(magic, _)| content.starts_with(magic))?;
    // Two printable letters alone are no evidence of a program.
    (content.contains(&0) || !content.is_ascii()).then_some(*name)
}

fn judge(file: &FileView<'_>) -> Option<(Severity, String)> {
    if let Some(name) = dangerous(file.new) {
        return Some((Severity::Blocking, format!("{name}, which cannot be reviewed")));
    }
    if MEDIA.iter().any(|(extensions, offset, magic)| {
        extensions.contains(&file.extension())
            && file.new.get(*offset..).is_some_and(|rest| rest.starts_with(magic))
    }) {
        return Some((Severity::Warning, "not text; its first bytes are what its name says".to_owned()));
    }
    if file.new.starts_with(b"\xff\xfe") || file.new.starts_with(b"\xfe\xff") {
        return Some((
            Severity::Blocking,
            "text in UTF-16, which the other rules cannot read; use UTF-8".to_owned(),
        ));
    }
    if file.binary {
        return Some((
            Severity::Blocking,
            "not text, and of no kind that is known to be harmless".to_owned(),
        ));
    }
    let text = std::str::from_utf8(file.new).is_ok();
    (!text)
        .then(|| (Severity::Warning, "not in UTF-8; what is shown may differ from what is meant".to_owned()))
}
