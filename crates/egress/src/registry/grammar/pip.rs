//! The simple repository API (PEP 503, 691) and the files that it lists: wheels (PEP 427), source distributions
//! (PEP 625), their metadata (PEP 658) and provenance (PEP 740).

use super::{is_hash, is_plain, made_of};
use crate::registry::{Reading, RegistryKind};

/// The list of a project's files, by its normalised name. The list of all projects is not for sandboxes: no client
/// needs it.
pub(in crate::registry) fn index(below: &str) -> Option<Reading> {
    let name = below.strip_suffix('/').unwrap_or(below);
    is_normal(name).then(|| Reading::Index { kind: RegistryKind::Pip, name: Some(name.to_owned()) })
}

/// Whether a name is as PEP 503 normalises it.
fn is_normal(name: &str) -> bool {
    made_of(name, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// A file, below any few folders.
pub(in crate::registry) fn file(below: &str) -> Option<Reading> {
    let (folders, file) = below.rsplit_once('/').unwrap_or(("", below));
    let folders: Vec<&str> = folders.split('/').filter(|folder| !folder.is_empty()).collect();
    let known = folders.len() <= 8 && folders.iter().all(|folder| is_folder(folder));
    let accompanying = [".metadata", ".asc", ".provenance"].iter().find_map(|end| file.strip_suffix(end));
    let (name, version) = distribution(accompanying.unwrap_or(file)).filter(|_| known)?;
    Some(Reading::Artefact { kind: RegistryKind::Pip, name, version, whole: accompanying.is_none() })
}

/// A folder is a hash or a piece of one, or a short plain name, in front of which some servers have a plus.
fn is_folder(folder: &str) -> bool {
    is_plain(folder.strip_prefix('+').unwrap_or(folder)) && (folder.len() <= 64 || is_hash(folder))
}

/// The normalised name and the version that a file's name tells.
pub(in crate::registry) fn distribution(file: &str) -> Option<(String, String)> {
    // `!` is an epoch's (PEP 440); `%2B` is how some indexes write the plus of a local version.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+!-".contains(&byte);
    let decoded = file.replace("%2B", "+").replace("%2b", "+");
    if !made_of(&decoded, plain) {
        return None;
    }
    let (name, version) = if let Some(stem) = decoded.strip_suffix(".whl") {
        let parts: Vec<&str> = stem.split('-').collect();
        match parts.as_slice() {
            [name, version, _, _, _] | [name, version, _, _, _, _] => (*name, *version),
            _ => return None,
        }
    } else {
        let stem = [".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz"]
            .iter()
            .find_map(|end| decoded.strip_suffix(end))?;
        // Old source distributions have hyphens in their names; a version begins with a digit.
        stem.match_indices('-')
            .rfind(|(at, _)| stem[at + 1..].starts_with(|first: char| first.is_ascii_digit()))
            .map(|(at, _)| (&stem[..at], &stem[at + 1..]))?
    };
    let version_like = version.starts_with(|first: char| first.is_ascii_digit());
    let name_like =
        name.starts_with(|first: char| first.is_ascii_alphanumeric()) && !name.contains(['+', '!']);
    (version_like && name_like && !version.contains('-')).then(|| (normal(name), version.to_owned()))
}

/// The name as PEP 503 normalises it.
pub(in crate::registry) fn normal(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.push_str(&part.to_ascii_lowercase());
    }
    normal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn artefact(path: &str) -> Option<(String, String, bool)> {
        match file(path)? {
            Reading::Artefact { name, version, whole, .. } => Some((name, version, whole)),
            Reading::Index { .. } | Reading::Other { .. } => None,
        }
    }

    #[test]
    fn lists_are_asked_for_by_normalised_names() {
        for path in ["requests/", "requests", "zope-interface/"] {
            assert!(index(path).is_some(), "{path}");
        }
        for path in ["", "/", "Requests/", "a_b/", "a--b/", "-a", "a/b/", "requests/json", "%41"] {
            assert_eq!(index(path), None, "{path}");
        }
    }

    #[test]
    fn files_tell_name_and_version() {
        let hash = "ab/cd/".to_owned() + &"e".repeat(60);
        for (path, name, version, whole) in [
            (format!("packages/{hash}/requests-2.32.3-py3-none-any.whl"), "requests", "2.32.3", true),
            (
                format!("packages/{hash}/requests-2.32.3-py3-none-any.whl.metadata"),
                "requests",
                "2.32.3",
                false,
            ),
            ("a/zope.interface-7.2-1-cp39-cp39-win32.whl".to_owned(), "zope-interface", "7.2", true),
            ("x/python-dateutil-2.9.0.post0.tar.gz".to_owned(), "python-dateutil", "2.9.0.post0", true),
            ("torch-2.4.0%2Bcpu-cp312-cp312-linux_x86_64.whl".to_owned(), "torch", "2.4.0+cpu", true),
        ] {
            assert_eq!(artefact(&path), Some((name.to_owned(), version.to_owned(), whole)), "{path}");
        }
        for path in [
            "requests-2.32.3-py3-none-any.exe",
            "a%2fb/requests-2.32.3-py3-none-any.whl",
            "requests.whl",
            "legacy/",
            "_/requests-1.tar.gz",
            "a/b/c/d/e/f/g/h/i/requests-1.0.tar.gz",
        ] {
            assert_eq!(artefact(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn names_that_come_out_are_normal(path in "[a-zA-Z0-9._/%+-]{0,50}(-[0-9.]{1,5}(\\.tar\\.gz|-py3-none-any\\.whl))?") {
            if let Some((name, ..)) = artefact(&path) {
                prop_assert!(is_normal(&name), "{name}");
            }
        }
    }
}
