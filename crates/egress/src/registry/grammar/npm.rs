//! npm's registry protocol, as far as installing reads: packuments, version manifests, tarballs, signing keys.

use super::{is_semantic, made_of};
use crate::registry::{Reading, RegistryKind};

pub(in crate::registry) fn read(below: &str) -> Option<Reading> {
    let kind = RegistryKind::Npm;
    if let Some(own) = below.strip_prefix("-/") {
        return own_path(own);
    }
    // A scope is followed by a slash, encoded or not: these two are the same to every registry.
    let encoded = below.starts_with('@').then(|| below.replacen("%2f", "/", 1).replacen("%2F", "/", 1));
    let below = encoded.as_deref().unwrap_or(below);
    let at = if below.starts_with('@') { below.find('/').map(|slash| slash + 1)? } else { 0 };
    let end = below[at..].find('/').map_or(below.len(), |slash| at + slash);
    let (name, rest) = below.split_at(end);
    if !is_name(name) {
        return None;
    }
    let name = name.to_owned();
    match rest.strip_prefix('/') {
        None => Some(Reading::Index { kind, name: Some(name) }),
        Some(rest) => match rest.strip_prefix("-/") {
            Some(file) => {
                let version = tarball(&name, file)?.to_owned();
                Some(Reading::Artefact { kind, name, version, whole: true })
            }
            // A version's manifest; tags are few words.
            None if is_semantic(rest) => {
                Some(Reading::Artefact { kind, name, version: rest.to_owned(), whole: false })
            }
            None => (rest == "latest").then_some(Reading::Index { kind, name: Some(name) }),
        },
    }
}

/// What is read below `/-/`: dist-tags, the registry's keys, attestations.
fn own_path(own: &str) -> Option<Reading> {
    let kind = RegistryKind::Npm;
    if own == "npm/v1/keys" {
        return Some(Reading::Other { kind });
    }
    if let Some(rest) = own.strip_prefix("package/") {
        let name = rest.strip_suffix("/dist-tags")?.replacen("%2f", "/", 1).replacen("%2F", "/", 1);
        return is_name(&name).then_some(Reading::Index { kind, name: Some(name) });
    }
    let of = own.strip_prefix("npm/v1/attestations/")?.replacen("%2f", "/", 1).replacen("%2F", "/", 1);
    let (name, version) = of.rsplit_once('@')?;
    (is_name(name) && is_semantic(version)).then(|| Reading::Artefact {
        kind,
        name: name.to_owned(),
        version: version.to_owned(),
        whole: false,
    })
}

/// The version in the name of a package's tarball, which some registries write with the scope.
pub(in crate::registry) fn tarball<'a>(name: &str, file: &'a str) -> Option<&'a str> {
    let (scope, bare) = name.rsplit_once('/').map_or((None, name), |(scope, bare)| (Some(scope), bare));
    let within = scope.and_then(|scope| file.strip_prefix(scope)?.strip_prefix('/'));
    let file = within.unwrap_or(file);
    let version = file.strip_suffix(".tgz")?.strip_prefix(bare)?.strip_prefix('-')?;
    is_semantic(version).then_some(version)
}

/// `name`, or `@scope/name`. Capitals are in names from before they were forbidden.
fn is_name(name: &str) -> bool {
    let bare = |part: &str| {
        made_of(part, |byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
            && !part.starts_with(['.', '_', '-'])
    };
    name.len() <= super::LONGEST
        && match name.strip_prefix('@') {
            Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| bare(scope) && bare(name)),
            None => bare(name),
        }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(path: &str) -> Option<(Option<String>, Option<String>)> {
        read(path).map(|reading| (reading.name().map(str::to_owned), reading.version().map(str::to_owned)))
    }

    fn some(name: &str, version: Option<&str>) -> Option<(Option<String>, Option<String>)> {
        Some((Some(name.to_owned()), version.map(str::to_owned)))
    }

    #[test]
    fn what_installing_reads() {
        assert_eq!(said("lodash"), some("lodash", None));
        assert_eq!(said("@types%2fnode"), some("@types/node", None));
        assert_eq!(said("@types/node"), some("@types/node", None));
        assert_eq!(said("lodash/-/lodash-4.17.21.tgz"), some("lodash", Some("4.17.21")));
        assert_eq!(said("@types/node/-/node-22.0.0-beta.1.tgz"), some("@types/node", Some("22.0.0-beta.1")));
        assert_eq!(said("@types/node/-/@types/node-22.0.0.tgz"), some("@types/node", Some("22.0.0")));
        assert_eq!(said("@types%2Fnode/-/node-22.0.0.tgz"), some("@types/node", Some("22.0.0")));
        assert_eq!(said("lodash/4.17.21"), some("lodash", Some("4.17.21")));
        assert_eq!(said("-/package/@types%2fnode/dist-tags"), some("@types/node", None));
        assert_eq!(said("-/npm/v1/keys"), Some((None, None)));
        assert_eq!(said("-/npm/v1/attestations/@types%2fnode@1.0.0"), some("@types/node", Some("1.0.0")));
    }

    #[test]
    fn what_it_does_not() {
        for path in [
            "",
            "-/v1/search",
            "-/npm/v1/security/audits",
            "-/npm/v1/security/advisories/bulk",
            "-/user/org.couchdb.user:x",
            "-/whoami",
            "-/all",
            "lodash/-/other-4.17.21.tgz",
            "lodash/-/lodash-latest.tgz",
            "lodash/-//lodash-4.17.21.tgz",
            "@types/node/-/@other/node-22.0.0.tgz",
            "lodash/-rev/1",
            "@types",
            "@types%2fnode%2fx",
            "a%2fb",
            "lodash/-/../x",
        ] {
            assert_eq!(said(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn names_that_come_out_are_names(path in "@?[a-z%2fF/@._-]{0,30}(/-/[a-z]{1,4}-1\\.0\\.0\\.tgz)?") {
            if let Some(name) = read(&path).as_ref().and_then(Reading::name) {
                prop_assert!(is_name(name), "{name}");
            }
        }
    }
}
