//! What paths of registries may be, one grammar for each kind. A path that is not in its registry's grammar is not
//! mended or guessed at: it is no path of that registry.
//!
//! The grammars take the part of a path below the registry's base, without the slash. Names and versions that they
//! give back are as the registry writes them, with encodings undone only where there is one way to undo them.

mod apt;
mod cargo;
mod go;
mod maven;
mod npm;
mod pip;

pub(super) use apt::{decoded as apt_decoded, read as apt};
pub use cargo::CrateTemplate;
pub(super) use cargo::{file as crate_file, index as cargo_index};
pub(super) use go::{escaped as go_escaped, proxy as go_proxy, sums as go_sums};
pub(super) use maven::read as maven;
pub(super) use npm::read as npm;
pub(super) use pip::{file as pip_file, index as pip_index};

/// The longest name or version that any registry has here, in bytes.
const LONGEST: usize = 214;

/// Whether all of it is made of these bytes, and there is some.
fn made_of(text: &str, permitted: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(permitted)
}

/// Whether it is a plain file name: it begins with a letter or digit, and has nothing that means anything to a URL.
fn is_plain(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && made_of(text, |byte| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte))
}

/// Whether it is a version by SemVer 2.0.0, in characters and outline.
fn is_semantic(version: &str) -> bool {
    let (core, rest) = match version.find(['-', '+']) {
        Some(at) => version.split_at(at),
        None => (version, ""),
    };
    let number =
        |part: &str| !part.is_empty() && part.len() <= 20 && part.bytes().all(|byte| byte.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(number)
        && version.len() <= 128
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
        && rest.len() != 1
}

/// Whether it is a hash in hexadecimal: of MD5 to SHA-512.
fn is_hash(text: &str) -> bool {
    matches!(text.len(), 32 | 40 | 64 | 96 | 128)
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
