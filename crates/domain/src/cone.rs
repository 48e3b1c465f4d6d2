//! Cones: the directories of a large repository that a session has in its workspace, when that is not to be all of it.

/// Directories that a session may name.
pub const MOST_CONES: usize = 50;
/// The longest path of one, in bytes.
pub const LONGEST_CONE: usize = 250;

/// A path that cannot be a cone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCone {
    /// Not a directory's path as git writes it.
    #[error(
        "{0:?} is no path of a directory below the repository's root: write it as services/web, with letters, digits and ._-+@=,~ in the names"
    )]
    Path(String),
    /// More than a command line should have.
    #[error("{0} directories are too many, at most {MOST_CONES} are taken: name one above them")]
    TooMany(usize),
}

/// Checks directories that somebody has named. They stand in arguments of git, in patterns of its sparse checkout and in pathspecs, so
/// nothing that means something in one of these is taken.
///
/// # Errors
/// For the first that cannot be.
pub fn check(cones: &[String]) -> Result<(), InvalidCone> {
    if cones.len() > MOST_CONES {
        return Err(InvalidCone::TooMany(cones.len()));
    }
    match cones.iter().find(|cone| !is_cone(cone)) {
        Some(cone) => Err(InvalidCone::Path(cone.chars().take(LONGEST_CONE).collect())),
        None => Ok(()),
    }
}

/// Whether a text may be a cone.
#[must_use]
pub fn is_cone(path: &str) -> bool {
    let plain = |letter: char| letter.is_alphanumeric() || "._-+@=,~".contains(letter);
    let name = |name: &str| {
        !name.is_empty()
            && name != "."
            && name != ".."
            && !name.eq_ignore_ascii_case(".git")
            && name.chars().all(plain)
    };
    path.len() <= LONGEST_CONE && !path.starts_with(['-', '~']) && path.split('/').all(name)
}

/// Whether a path belongs to cones as git has it (git-sparse-checkout(1), "Cone mode"): it is below one of them, or a file right in a
/// directory that leads to one, the root among these. Without cones everything does.
#[must_use]
pub fn is_inside(cones: &[String], path: &[u8]) -> bool {
    let directory = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |end| &path[..end]);
    let is_within = |path: &[u8], directory: &[u8]| {
        directory.is_empty()
            || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    cones.is_empty()
        || cones
            .iter()
            .any(|cone| is_within(directory, cone.as_bytes()) || is_within(cone.as_bytes(), directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cones_are_plain_paths() {
        for good in ["a", "services/web", ".github", "a.b/c-d_e+f@1", "größe/x"] {
            assert!(is_cone(good), "{good}");
        }
        for bad in [
            "", "/a", "a/", "a//b", "../a", "a/./b", "-a", "a b", "a*", "a\\b", ":a", "!a", "#", ".git",
            "a\n", "\"a\"",
        ] {
            assert!(!is_cone(bad), "{bad}");
        }
        assert_eq!(check(&vec!["a".to_owned(); 51]), Err(InvalidCone::TooMany(51)));
        assert_eq!(check(&["a".to_owned(), "../b".to_owned()]), Err(InvalidCone::Path("../b".to_owned())));
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn what_belongs_to_cones() {
        let cones = ["services/web".to_owned(), "libs".to_owned()];
        for inside in ["README", "services/Makefile", "services/web/a", "services/web/deep/er/a", "libs/a"] {
            assert!(is_inside(&cones, inside.as_bytes()), "{inside}");
        }
        for outside in ["services/webby/a", "services/api/a", "docs/a", "libs2/a", "services/web2"] {
            let expected = outside == "services/web2";
            assert_eq!(is_inside(&cones, outside.as_bytes()), expected, "{outside}");
        }
        assert!(is_inside(&[], b"anything/at/all"));
    }
}
