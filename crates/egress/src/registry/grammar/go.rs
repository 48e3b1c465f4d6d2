//! Go's module proxy protocol (go.dev/ref/mod#goproxy-protocol) and checksum databases
//! (go.dev/ref/mod#checksum-database).

use super::made_of;
use crate::registry::{Reading, RegistryKind};

/// Lists and files of modules, and checksum databases by way of the proxy.
pub(in crate::registry) fn proxy(below: &str) -> Option<Reading> {
    let kind = RegistryKind::Go;
    if let Some(rest) = below.strip_prefix("sumdb/") {
        let (host, rest) = rest.split_once('/')?;
        let known = is_element(host) && host.contains('.');
        return if rest == "supported" && known {
            Some(Reading::Other { kind })
        } else {
            sums(rest).filter(|_| known)
        };
    }
    let (module, what) = match below.strip_suffix("/@latest") {
        Some(module) => (module, "@latest"),
        None => below.rsplit_once("/@v/")?,
    };
    let name = module_path(module)?;
    if matches!(what, "@latest" | "list") {
        return Some(Reading::Index { kind, name: Some(name) });
    }
    let (version, ending) = what.rsplit_once('.')?;
    let version = unescaped(version)?;
    match ending {
        "zip" | "mod" if is_canonical(&version) => {
            Some(Reading::Artefact { kind, name, version, whole: ending == "zip" })
        }
        "info" if is_canonical(&version) => Some(Reading::Artefact { kind, name, version, whole: false }),
        // What a branch, tag or commit is as a version.
        "info" if is_revision(&version) => Some(Reading::Index { kind, name: Some(name) }),
        _ => None,
    }
}

/// A checksum database: the tree's head, what it says of a module, and its tiles.
pub(in crate::registry) fn sums(below: &str) -> Option<Reading> {
    let kind = RegistryKind::Go;
    if below == "latest" {
        return Some(Reading::Other { kind });
    }
    if let Some(of) = below.strip_prefix("lookup/") {
        let (module, version) = of.rsplit_once('@')?;
        let (name, version) = (module_path(module)?, unescaped(version)?);
        return is_canonical(&version).then_some(Reading::Artefact { kind, name, version, whole: false });
    }
    is_tile(below.strip_prefix("tile/")?).then_some(Reading::Other { kind })
}

/// `height/level/number`, the number in groups of three digits, all but the last after an `x`; `data` may be the level,
/// and `.p/width` the end.
fn is_tile(tile: &str) -> bool {
    let mut parts = tile.split('/');
    let number = |part: &str, longest| {
        !part.is_empty() && part.len() <= longest && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let height = parts.next().is_some_and(|height| number(height, 2));
    let level = parts.next().is_some_and(|level| level == "data" || number(level, 2));
    let mut groups: Vec<&str> = parts.collect();
    if let [.., last, width] = groups.as_slice()
        && let Some(bare) = last.strip_suffix(".p")
    {
        if !number(width, 3) {
            return false;
        }
        let count = groups.len();
        groups.truncate(count - 1);
        groups[count - 2] = bare;
    }
    let group = |group: &str| group.len() == 3 && number(group, 3);
    let Some((last, before)) = groups.split_last() else { return false };
    let before_fits = before.iter().all(|part| part.strip_prefix('x').is_some_and(group));
    height && level && groups.len() <= 6 && group(last) && before_fits
}

/// The module's path with capitals as capitals: `!` and a small letter stand for one in paths.
fn module_path(escaped: &str) -> Option<String> {
    let path = unescaped(escaped)?;
    let mut elements = path.split('/');
    let host = elements.next()?;
    let dialable = host.contains('.') && !host.bytes().any(|byte| byte.is_ascii_uppercase());
    let known = dialable && is_element(host) && elements.all(is_element) && path.len() <= super::LONGEST;
    known.then_some(path)
}

/// One element of a module's path (Go Modules Reference, "Lexical elements").
fn is_element(element: &str) -> bool {
    made_of(element, |byte| byte.is_ascii_alphanumeric() || b"-._~+".contains(&byte))
        && !element.starts_with('.')
        && !element.ends_with('.')
}

/// With capitals as paths have them.
pub(in crate::registry) fn escaped(plain: &str) -> String {
    plain.chars().fold(String::with_capacity(plain.len()), |mut escaped, character| {
        if character.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(character.to_ascii_lowercase());
        escaped
    })
}

fn unescaped(escaped: &str) -> Option<String> {
    let mut plain = String::with_capacity(escaped.len());
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        match character {
            '!' => plain.push(characters.next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase()),
            capital if capital.is_ascii_uppercase() => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Whether it is a canonical version: `v` and SemVer, with `+incompatible` perhaps. Toolchains are versions as well:
/// `v0.0.1-go1.24.0.linux-amd64`.
fn is_canonical(version: &str) -> bool {
    version.strip_prefix('v').is_some_and(super::is_semantic)
}

fn is_revision(version: &str) -> bool {
    version.len() <= 64 && is_element(version)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn modules() {
        for (path, name, version) in [
            ("example.com/mod/@v/list", "example.com/mod", None),
            ("example.com/mod/@latest", "example.com/mod", None),
            ("example.com/mod/@v/main.info", "example.com/mod", None),
            ("example.com/!big/mod/v2/@v/v2.0.1.zip", "example.com/Big/mod/v2", Some("v2.0.1")),
            (
                "example.com/m/@v/v0.0.0-20240101000000-abcdefabcdef.mod",
                "example.com/m",
                Some("v0.0.0-20240101000000-abcdefabcdef"),
            ),
            ("example.com/m/@v/v2.0.0+incompatible.info", "example.com/m", Some("v2.0.0+incompatible")),
            ("sumdb/sums.example.com/lookup/example.com/m@v1.0.0", "example.com/m", Some("v1.0.0")),
        ] {
            let reading = proxy(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((reading.name(), reading.version()), (Some(name), version), "{path}");
        }
        for path in [
            "example.com/Mod/@v/list",
            "example/mod/@v/list",
            "example.com/mod/@v/main.zip",
            "example.com/mod/@v/v1.0.0.exe",
            "example.com//@v/list",
            "example.com/!!x/@v/list",
            "example.com/mod",
            "sumdb/x/supported/more",
            "sumdb/nodots/latest",
            "",
        ] {
            assert_eq!(proxy(path), None, "{path}");
        }
    }

    #[test]
    fn checksum_databases() {
        for path in ["latest", "tile/8/0/x001/234", "tile/8/data/000", "tile/8/1/x123/x456/789.p/17"] {
            assert_eq!(sums(path), Some(Reading::Other { kind: RegistryKind::Go }), "{path}");
        }
        assert!(proxy("sumdb/sums.example.com/tile/8/0/001.p/2").is_some());
        for path in
            ["tile/8/0", "tile/8/0/12", "tile/8/0/123/456", "tile/secret/0/123", "supported", "tile/8/0/.p/1"]
        {
            assert_eq!(sums(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn names_begin_with_a_host(path in "[a-zA-Z.!/]{0,30}(/@v/list|/@latest|/@v/v1\\.0\\.0\\.zip)?") {
            if let Some(name) = proxy(&path).as_ref().and_then(Reading::name) {
                prop_assert!(name.split('/').next().is_some_and(|host| host.contains('.')), "{name}");
            }
        }
    }
}
