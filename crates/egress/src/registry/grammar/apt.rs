//! Debian repositories (wiki.debian.org/DebianRepository/Format): `dists` with the lists, `pool` or any folders with the
//! packages.

use super::{is_hash, is_plain};
use crate::registry::{Reading, RegistryKind};

/// Endings of files of source packages.
const SOURCES: [&str; 8] =
    [".dsc", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".diff.gz", ".asc", ".tar.lzma"];

/// Names of lists, without the endings of compression.
const LISTS: [&str; 6] = ["InRelease", "Release", "Release.gpg", "Packages", "Sources", "Index"];

/// Percent-encodings that stand in paths of packages.
const ENCODED: [(&str, &str); 6] =
    [("%2b", "+"), ("%2B", "+"), ("%7e", "~"), ("%7E", "~"), ("%3a", ":"), ("%3A", ":")];

pub(in crate::registry) fn read(below: &str) -> Option<Reading> {
    let kind = RegistryKind::Apt;
    let decoded = decoded(below);
    let segments: Vec<&str> = decoded.split('/').collect();
    let (file, folders) = segments.split_last()?;
    if folders.len() > 12 || !folders.iter().all(|folder| is_plain(folder)) {
        return None;
    }
    if let Some(stem) = file.strip_suffix(".deb").or_else(|| file.strip_suffix(".udeb")) {
        let (name, version) = package(stem)?;
        return Some(Reading::Artefact { kind, name, version, whole: true });
    }
    if is_list(file, folders) {
        return Some(Reading::Index { kind, name: None });
    }
    let stem = SOURCES.iter().find_map(|end| file.strip_suffix(end))?;
    let (name, version) = stem.split_once('_')?;
    (is_package(name) && is_version(version)).then(|| Reading::Artefact {
        kind,
        name: name.to_owned(),
        version: version.to_owned(),
        whole: true,
    })
}

/// A path as lists write it: apt writes pluses, tildes and colons encoded (`Acquire::URIEncode` in apt.conf(5)).
pub(in crate::registry) fn decoded(path: &str) -> String {
    ENCODED.iter().fold(path.to_owned(), |path, (from, to)| path.replace(from, to))
}

/// A list, under its own name, with an ending of compression, by its hash, or as a difference to an older one.
fn is_list(file: &str, folders: &[&str]) -> bool {
    if let [.., "by-hash", "MD5Sum" | "SHA1" | "SHA256" | "SHA512"] = folders {
        return is_hash(file);
    }
    let bare = [".gz", ".xz", ".bz2", ".lz4", ".zst", ".lzma"].iter().find_map(|end| file.strip_suffix(end));
    let bare = bare.unwrap_or(file);
    let within = folders.first() == Some(&"dists");
    let prefixed = ["Translation-", "Contents-", "Components-", "Commands-", "icons-"];
    let differs = folders.last().is_some_and(|folder| folder.ends_with(".diff"));
    LISTS.contains(&bare)
        || (within
            && prefixed.iter().any(|start| bare.starts_with(start))
            && is_plain(bare)
            && bare.len() <= 64)
        || (within && differs && is_difference(bare))
}

/// `T-2025-06-24-2013.00-F-2025-05-25-1411.35`: from when to when.
fn is_difference(bare: &str) -> bool {
    bare.len() <= 48 && bare.bytes().all(|byte| byte.is_ascii_digit() || b"TF-.".contains(&byte))
}

/// Name and version of a package's file: `name_version_architecture`.
fn package(stem: &str) -> Option<(String, String)> {
    let mut parts = stem.split('_');
    let (name, version, architecture) = (parts.next()?, parts.next()?, parts.next()?);
    let known = parts.next().is_none() && is_package(name) && is_version(version) && is_plain(architecture);
    known.then(|| (name.to_owned(), version.to_owned()))
}

/// Debian Policy, 5.6.1; some third parties use capitals.
fn is_package(name: &str) -> bool {
    is_plain(name) && !name.contains(['_', '~'])
}

/// Debian Policy, 5.6.12.
fn is_version(version: &str) -> bool {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    epoch.len() <= 4
        && epoch.bytes().all(|byte| byte.is_ascii_digit())
        && is_plain(rest)
        && !rest.contains('_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists() {
        for path in [
            "dists/stable/InRelease",
            "dists/stable/main/binary-amd64/Packages.xz",
            "dists/stable-updates/main/i18n/Translation-en.bz2",
            "dists/stable/main/dep11/Components-amd64.yml.gz",
            "dists/stable/main/binary-amd64/Packages.diff/Index",
            "dists/stable/main/binary-amd64/Packages.diff/T-2025-06-24-2013.00-F-2025-05-25-1411.35.gz",
            "./Packages.gz".trim_start_matches("./"),
        ] {
            assert_eq!(read(path), Some(Reading::Index { kind: RegistryKind::Apt, name: None }), "{path}");
        }
        let by_hash = format!("dists/stable/main/binary-amd64/by-hash/SHA256/{}", "0".repeat(64));
        assert!(read(&by_hash).is_some());
        assert_eq!(read(&by_hash[..by_hash.len() - 1]), None);
    }

    #[test]
    fn packages() {
        for (path, name, version) in [
            ("pool/main/c/curl/curl_7.88.1-10+deb12u5_amd64.deb", "curl", "7.88.1-10+deb12u5"),
            ("pool/main/g/g++-12/g++-12_12.2.0-14_amd64.deb", "g++-12", "12.2.0-14"),
            ("pool/main/x/x/x_1%3a2.0~rc1-1_all.deb", "x", "1:2.0~rc1-1"),
            ("pool/main/h/hostname/hostname_3.23%2bnmu1%7ebpo_amd64.deb", "hostname", "3.23+nmu1~bpo"),
            ("pool/main/c/curl/curl_7.88.1.orig.tar.gz", "curl", "7.88.1.orig"),
            ("pool/main/c/curl/curl_7.88.1-10.dsc", "curl", "7.88.1-10"),
        ] {
            let reading = read(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((reading.name(), reading.version()), (Some(name), Some(version)), "{path}");
        }
        for path in [
            "pool/main/c/curl/curl.deb",
            "pool/main/c/curl/curl_1_2_3.deb",
            "pool/main/c/curl/notes.txt",
            "pool/%2e/x_1_all.deb",
            "dists/stable/Release?x",
            "upload/x.changes",
            "",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn names_that_come_out_are_names(path in "(pool/)?[a-z0-9/_.%+:-]{0,40}(\\.deb|\\.dsc)?") {
            if let Some(name) = read(&path).as_ref().and_then(Reading::name) {
                prop_assert!(is_package(name), "{name}");
            }
        }
    }
}
