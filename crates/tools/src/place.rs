//! Where in the sandbox a path points that a model wrote.

use std::fmt;

use cofferdam_sandbox::{HOME, WORKSPACE};

use crate::tool::Failure;

/// Longer paths do not exist on Linux (PATH_MAX, limits.h).
const MAX_PATH: usize = 4096;

/// An absolute path in the sandbox without `.` and `..`. Shown to models relative to the workspace where it
/// is in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place(String);

impl Place {
    /// The workspace itself.
    pub(crate) fn workspace() -> Self {
        Self(WORKSPACE.to_owned())
    }

    /// Understands a path: relative to the workspace, absolute, or in the home directory by `~`.
    pub(crate) fn of(path: &str) -> Result<Self, Failure> {
        if path.is_empty() {
            return Err(Failure::new("The path is empty: give a path relative to the workspace."));
        }
        if path.len() > MAX_PATH || path.contains('\0') {
            return Err(Failure::new("Not a path: it is too long or contains NUL."));
        }
        let whole = match path.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{HOME}{rest}"),
            Some(_) | None if path.starts_with('/') => path.to_owned(),
            Some(_) | None => format!("{WORKSPACE}/{path}"),
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in whole.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                name => parts.push(name),
            }
        }
        Ok(Self(format!("/{}", parts.join("/"))))
    }

    /// The path as the sandbox takes it.
    pub(crate) fn absolute(&self) -> &str {
        &self.0
    }

    /// The path from the workspace, if it is in it.
    pub(crate) fn in_workspace(&self) -> Option<&str> {
        self.0.strip_prefix(WORKSPACE)?.strip_prefix('/')
    }

    /// The directory that it is in; the root is in itself.
    pub(crate) fn parent(&self) -> Self {
        match self.0.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() => Self(parent.to_owned()),
            Some(_) | None => Self("/".to_owned()),
        }
    }

    /// Its last part; empty for the root.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// A place inside it.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0.trim_end_matches('/')))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == WORKSPACE {
            return f.write_str(".");
        }
        f.write_str(self.in_workspace().unwrap_or(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_path() {
        for path in
            ["src/a.rs", "./src//a.rs", "/workspace/src/a.rs", "x/../src/./a.rs", "/workspace/src/a.rs/"]
        {
            let place = Place::of(path).unwrap();
            assert_eq!((place.absolute(), place.to_string().as_str()), ("/workspace/src/a.rs", "src/a.rs"));
        }
        assert_eq!(Place::of("../etc/passwd").unwrap().to_string(), "/etc/passwd");
        assert_eq!(Place::of("/../..").unwrap().absolute(), "/");
        assert_eq!(Place::of("~/.x").unwrap().absolute(), "/home/agent/.x");
        assert_eq!(Place::of("~x").unwrap().absolute(), "/workspace/~x");
        assert_eq!(Place::of(".").unwrap(), Place::workspace());
        assert_eq!(Place::of("/workspace-2/a").unwrap().in_workspace(), None);
        assert!(Place::of("").is_err() && Place::of("a\0b").is_err());
    }

    #[test]
    fn neighbours() {
        let place = Place::of("src/a.rs").unwrap();
        assert_eq!((place.parent().to_string().as_str(), place.name()), ("src", "a.rs"));
        assert_eq!(place.parent().child("b.rs").to_string(), "src/b.rs");
        assert_eq!(Place::of("/").unwrap().parent().child("etc").absolute(), "/etc");
    }
}
