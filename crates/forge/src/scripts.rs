//! What is run inside a sandbox to make a workspace and to take the change out of it.
//!
//! Both are POSIX shell and need only git and the usual tools. They run among untrusted programs and are no
//! more trusted than those: what they print and write is data, which [`crate::Quarantine`] examines.

use std::collections::BTreeMap;

use crate::{ObjectId, cones::leaving_out};

const CHECKOUT: &str = include_str!("scripts/checkout.sh");
const COLLECT: &str = include_str!("scripts/collect.sh");
const LFS: &str = include_str!("scripts/lfs.sh");
const SUBMODULE: &str = include_str!("scripts/submodule.sh");
const SUBMODULES: &str = include_str!("scripts/submodules.sh");

/// The command that makes `workspace` a whole, private repository with the seed's branch checked out, both
/// being paths inside the sandbox; of its files only those in `cones`, if there are any. The directory may exist if
/// it is empty. No remote is left, nothing is fetched. Files that Git LFS keeps have their contents where those are
/// on the shelf ([`crate::LfsShelf`]) that is at `contents` in the sandbox, and are pointers otherwise.
#[must_use]
pub fn checkout_script(seed: &str, workspace: &str, contents: &str, cones: &[String]) -> Vec<String> {
    let mut command = command(CHECKOUT, &["checkout", seed, workspace, LFS, contents]);
    command.extend_from_slice(cones);
    command
}

/// The command that writes what `workspace` has beyond `base` to the file `bundle`, both being paths inside
/// the sandbox. The bundle is for [`crate::Quarantine::receive`]; what the command prints is for
/// [`Collected::parse`]. The workspace is left as it was. If it has been made with `cones`, what lies outside
/// them is as in the base wherever the workspace does not have it. What Git LFS is to keep is then on the shelf
/// [`new_contents`], or on the workspace's own at `.git/lfs/objects`.
#[must_use]
pub fn collect_script(base: &ObjectId, workspace: &str, bundle: &str, cones: &[String]) -> Vec<String> {
    let mut command = command(COLLECT, &["collect", base.as_str(), workspace, bundle, LFS]);
    command.extend(leaving_out(cones));
    command
}

/// The command that checks the seed of a submodule out at `path` of the repository `within`, if that has the submodule there at this commit;
/// otherwise nothing is done. All are paths inside the sandbox; `contents` is where what Git LFS keeps of it lies, or nothing where that stays
/// pointers.
#[must_use]
pub fn submodule_script(
    (seed, contents): (&str, &str),
    within: &str,
    path: &str,
    commit: &ObjectId,
) -> Vec<String> {
    command(SUBMODULE, &["submodule", within, path, commit.as_str(), seed, contents, LFS, CHECKOUT])
}

/// The command that finds out in which of these submodules of `workspace` the files are not as their commits have them. What it prints is for
/// [`changed_submodules`].
#[must_use]
pub fn submodules_script(workspace: &str, paths: &[&str]) -> Vec<String> {
    let mut command = command(SUBMODULES, &["submodules", workspace, LFS]);
    command.extend(paths.iter().map(|path| (*path).to_owned()));
    command
}

/// Reads the output of [`submodules_script`]'s command: the places of those submodules among its paths, and whether they have only more files
/// than their commits. Untrusted, like all that is printed there: it decides what is told, not what is delivered.
#[must_use]
pub fn changed_submodules(output: &[u8]) -> BTreeMap<usize, bool> {
    let text = String::from_utf8_lossy(output);
    let changed = text.lines().filter_map(|line| {
        let (what, number) = line.strip_prefix("cofferdam: submodule ")?.split_once(' ')?;
        let only_added = match what {
            "changed" => false,
            "added" => true,
            _ => return None,
        };
        Some((number.parse().ok()?, only_added))
    });
    changed.collect()
}

/// Where [`collect_script`]'s command leaves contents that are new, beside its bundle.
#[must_use]
pub fn new_contents(bundle: &str) -> String {
    format!("{bundle}.lfs")
}

fn command(script: &str, arguments: &[&str]) -> Vec<String> {
    ["sh", "-c", script].iter().chain(arguments).map(|word| (*word).to_owned()).collect()
}

/// What [`collect_script`]'s command says it has done. Untrusted: it decides only whether there is a bundle
/// to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collected {
    /// The files are as they were at the base.
    NothingChanged,
    /// There is a bundle of so many bytes.
    Bundle {
        /// Its size.
        size: u64,
    },
}

/// The output does not end as the command's does.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the change could not be taken out of the workspace: {0}")]
pub struct UnknownOutput(
    /// The end of what was printed, made visible.
    pub String,
);

impl Collected {
    /// Reads the output of [`collect_script`]'s command.
    ///
    /// # Errors
    /// [`UnknownOutput`], with the end of the output, if its last line is not the command's own.
    pub fn parse(output: &[u8]) -> Result<Self, UnknownOutput> {
        let text = String::from_utf8_lossy(output);
        let last = text.trim_end().lines().next_back().unwrap_or_default();
        if last == "cofferdam: nothing changed" {
            return Ok(Self::NothingChanged);
        }
        let size = last.strip_prefix("cofferdam: bundle of ").and_then(|rest| rest.strip_suffix(" bytes"));
        if let Some(size) = size.and_then(|digits| digits.parse().ok()) {
            return Ok(Self::Bundle { size });
        }
        let tail: Vec<char> = text.trim_end().chars().rev().take(500).collect();
        let tail: String = tail.into_iter().rev().collect();
        Err(UnknownOutput(cofferdam_domain::hidden::visible(tail.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_that_were_changed() {
        let said = b"noise\ncofferdam: submodule changed 0\ncofferdam: submodule added 2\ncofferdam: submodule gone 3\n\
            cofferdam: submodule changed -1\ncofferdam: submodule added x\n";
        assert_eq!(changed_submodules(said), BTreeMap::from([(0, false), (2, true)]));
    }

    #[test]
    fn outputs() {
        assert_eq!(Collected::parse(b"noise\ncofferdam: nothing changed\n"), Ok(Collected::NothingChanged));
        assert_eq!(Collected::parse(b"cofferdam: bundle of 12 bytes\n"), Ok(Collected::Bundle { size: 12 }));
        for bad in [&b""[..], b"cofferdam: bundle of -1 bytes", b"cofferdam: nothing changed\nsh: oops"] {
            assert!(Collected::parse(bad).is_err());
        }
    }
}
