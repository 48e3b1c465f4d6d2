//! Maven repositories (Maven's documentation, "Repository Layout - Maven2"): `group/artifact/version/artifact-version….ending`, lists
//! of versions, and the checksums and signatures of both.

use super::made_of;
use crate::registry::{Reading, RegistryKind};

/// Endings of what accompanies a file.
const ACCOMPANYING: [&str; 5] = [".sha1", ".md5", ".sha256", ".sha512", ".asc"];

pub(in crate::registry) fn read(below: &str) -> Option<Reading> {
    let kind = RegistryKind::Maven;
    let segments: Vec<&str> = below.split('/').collect();
    let (file, folders) = segments.split_last()?;
    if folders.is_empty() || folders.len() > 24 || !folders.iter().all(|folder| is_part(folder)) {
        return None;
    }
    let mut bare = *file;
    // A signature has checksums too.
    for _ in 0..2 {
        bare = ACCOMPANYING.iter().find_map(|end| bare.strip_suffix(end)).unwrap_or(bare);
    }
    let whole = bare == *file;
    if bare == "maven-metadata.xml" {
        return Some(Reading::Index { kind, name: coordinates(folders) });
    }
    let (version, above) = folders.split_last()?;
    let (artifact, group) = above.split_last().filter(|(_, group)| !group.is_empty())?;
    // A snapshot's files have the time of their making in place of the word.
    let stem = version.strip_suffix("SNAPSHOT").unwrap_or(version);
    let after = bare.strip_prefix(artifact)?.strip_prefix('-')?.strip_prefix(stem)?;
    let ending = after.rsplit('.').next().filter(|ending| *ending != after || after.starts_with('.'))?;
    let known =
        made_of(ending, |byte| byte.is_ascii_alphanumeric()) && ending.len() <= 16 && after.len() <= 100;
    let bordered = stem.len() < version.len() || after.starts_with(['.', '-']);
    (known && bordered && made_of(after, is_character)).then(|| Reading::Artefact {
        kind,
        name: format!("{}:{artifact}", group.join(".")),
        version: (*version).to_owned(),
        whole: whole && !is_description(after, ending),
    })
}

/// Whether it is the version's pom or Gradle's module, and nothing that only ends like one. Whatever else is published is an
/// artefact: which endings the programs inside make use of, nobody knows.
fn is_description(after: &str, ending: &str) -> bool {
    // A snapshot's may have the time of its making in front.
    let time = after.strip_suffix(ending).and_then(|time| time.strip_suffix('.')).unwrap_or(after);
    let plain = time == "SNAPSHOT" || time.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte));
    matches!(ending, "pom" | "module") && plain
}

/// `group:artifact`, as far as folders tell.
fn coordinates(folders: &[&str]) -> Option<String> {
    // The lists of a snapshot's files are one folder deeper.
    let folders = match folders {
        [above @ .., last] if last.ends_with("-SNAPSHOT") => above,
        _ => folders,
    };
    match folders {
        [] => None,
        [group] => Some((*group).to_owned()),
        [group @ .., artifact] => Some(format!("{}:{artifact}", group.join("."))),
    }
}

fn is_part(part: &str) -> bool {
    made_of(part, is_character) && part.len() <= 128 && !part.starts_with('.')
}

fn is_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._+-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files() {
        for (path, name, version, whole) in [
            ("org/example/lib/1.2.3/lib-1.2.3.jar", "org.example:lib", "1.2.3", true),
            ("org/example/lib/1.2.3/lib-1.2.3.pom", "org.example:lib", "1.2.3", false),
            ("org/example/lib/1.2.3/lib-1.2.3-sources.jar", "org.example:lib", "1.2.3", true),
            ("org/example/lib/1.2.3/lib-1.2.3.pom.sha1", "org.example:lib", "1.2.3", false),
            ("org/example/lib/1.2.3/lib-1.2.3.jar.asc.md5", "org.example:lib", "1.2.3", false),
            ("org/example/lib/1.2.3/lib-1.2.3.module", "org.example:lib", "1.2.3", false),
            ("org/example/lib/1.2.3/lib-1.2.3.jar.sha512", "org.example:lib", "1.2.3", false),
            ("org/example/lib/1.2.3/lib-1.2.3.ear", "org.example:lib", "1.2.3", true),
            ("org/example/lib/1.2.3/lib-1.2.3.xml", "org.example:lib", "1.2.3", true),
            ("org/example/lib/1.2.3/lib-1.2.3-linux.bin", "org.example:lib", "1.2.3", true),
            ("org/example/lib/1.2.3/lib-1.2.3.jar.pom", "org.example:lib", "1.2.3", true),
            ("org/example/lib/1.2.3/lib-1.2.3.JAR", "org.example:lib", "1.2.3", true),
            ("a/b/1-SNAPSHOT/b-1-20240102.030405-6.pom", "a:b", "1-SNAPSHOT", false),
            ("a/b/1-SNAPSHOT/b-1-SNAPSHOT.pom", "a:b", "1-SNAPSHOT", false),
            ("junit/junit/4.13.2/junit-4.13.2.jar", "junit:junit", "4.13.2", true),
            ("a/b/1-SNAPSHOT/b-1-20240102.030405-6.jar", "a:b", "1-SNAPSHOT", true),
        ] {
            let expected = Reading::Artefact {
                kind: RegistryKind::Maven,
                name: name.to_owned(),
                version: version.to_owned(),
                whole,
            };
            assert_eq!(read(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn lists_and_what_is_nothing() {
        let name = |path| read(path).and_then(|reading| reading.name().map(str::to_owned));
        assert_eq!(name("org/example/lib/maven-metadata.xml.sha1").as_deref(), Some("org.example:lib"));
        assert_eq!(name("org/example/lib/1-SNAPSHOT/maven-metadata.xml").as_deref(), Some("org.example:lib"));
        for path in [
            "org/example/lib/1.2.3/other-1.2.3.jar",
            "org/example/lib/1.2.3/lib-1.2.4.jar",
            "org/example/lib/1.2.3/lib-1.2.34.jar",
            "org/example/lib/1.2.3/",
            "lib/1.2.3/lib-1.2.3.jar",
            "solrsearch/select",
            "maven-metadata.xml",
            "org/ex%61mple/lib/1/lib-1.jar",
            "",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_file_is_in_its_own_folders(group in "[a-z]{1,5}(/[a-z]{1,5}){0,3}", artifact in "[a-z-]{1,8}", version in "[0-9][0-9.]{0,5}") {
            let path = format!("{group}/{artifact}/{version}/{artifact}-{version}.jar");
            let reading = read(&path);
            prop_assert_eq!(reading.as_ref().and_then(Reading::version), Some(version.as_str()));
        }
    }
}
