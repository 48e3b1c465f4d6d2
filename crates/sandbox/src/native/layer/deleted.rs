//! How many files of what lies below a layer its sandbox has deleted.
//!
//! Told by what the layer says about what is below it: whiteouts, opaque directories, and other things in the place of directories. So
//! the cost is that of looking at what the sandbox has written, and at what is gone. A file that turned up elsewhere under the same name counts
//! as moved.
//!
//! The upper tree is not trusted: every step is relative to an open directory and follows no link, and entries are bounded.

use std::{
    collections::HashMap,
    ffi::{CStr, CString, OsStr},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, statat},
    io::Errno,
};

use super::{
    error::LayerError,
    merge::{below, is_opaque, names, open, system},
};

/// Where git keeps its own at the root of a repository: no files of it.
const GIT: &CStr = c".git";

/// How many of the files below `base` cannot be seen any more through `upper`, a directory that is mounted over it, and were not moved. Blocks.
///
/// # Errors
/// [`LayerError::TooLarge`] when more than `most` entries would have to be looked at; the system's answer.
pub fn deleted(upper: &Path, base: &Path, most: usize) -> Result<u64, LayerError> {
    let mut count = Count {
        upper: open(upper).map_err(system("open a part of a layer"))?,
        base: open(base).map_err(system("open a base"))?,
        gone: HashMap::new(),
        left: most,
    };
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        count.directory(&path, &mut waiting)?;
    }
    // What came is taken off what went, name by name.
    Ok(count.gone.values().map(|gone| u64::try_from(*gone).unwrap_or_default()).sum())
}

/// The number of files below `base`. Blocks.
///
/// # Errors
/// As [`deleted`].
pub fn files(base: &Path, most: usize) -> Result<u64, LayerError> {
    let base = open(base).map_err(system("open a base"))?;
    let (mut left, mut found) = (most, 0);
    each_file(&base, Path::new(""), &mut left, &mut |_, _| found += 1)?;
    Ok(found)
}

struct Count {
    upper: OwnedFd,
    base: OwnedFd,
    /// By name: how many more have gone than come.
    gone: HashMap<CString, i64>,
    /// Entries that may still be looked at.
    left: usize,
}

impl Count {
    fn directory(&mut self, path: &Path, waiting: &mut Vec<PathBuf>) -> Result<(), LayerError> {
        let directory = match below(&self.upper, path) {
            Ok(directory) => directory,
            // It has gone, or become something else, since it was seen.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(system("open a directory of a layer")(errno)),
        };
        if is_opaque(&directory) {
            self.hidden(path, Some(&directory))?;
        }
        let base = below(&self.base, path).ok();
        for name in names(&directory).map_err(system("read a directory of a layer"))? {
            self.left = self.left.checked_sub(1).ok_or(LayerError::TooLarge)?;
            let Ok(status) = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if path.as_os_str().is_empty() && name.as_c_str() == GIT {
                continue;
            }
            let kind = FileType::from_raw_mode(status.st_mode);
            let inside = path.join(OsStr::from_bytes(name.to_bytes()));
            if kind == FileType::Directory {
                waiting.push(inside);
                continue;
            }
            let was = base.as_ref().and_then(|base| statat(base, &name, AtFlags::SYMLINK_NOFOLLOW).ok());
            let was = was.map(|status| FileType::from_raw_mode(status.st_mode));
            let whiteout = kind == FileType::CharacterDevice && status.st_rdev == 0;
            match was {
                Some(FileType::Directory) => self.hidden(&inside, None)?,
                Some(_) if whiteout => *self.gone.entry(name).or_default() += 1,
                None if !whiteout => *self.gone.entry(name).or_default() -= 1,
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// All files below a directory of the base are gone, but for those that are in its place now.
    fn hidden(&mut self, path: &Path, now: Option<&OwnedFd>) -> Result<(), LayerError> {
        let Self { base, gone, left, .. } = self;
        each_file(base, path, left, &mut |file, name| {
            let rest = file.strip_prefix(path).unwrap_or(file);
            let there = now.is_some_and(|now| {
                let status = below(now, rest.parent().unwrap_or(Path::new("")))
                    .and_then(|above| statat(&above, name, AtFlags::SYMLINK_NOFOLLOW));
                status
                    .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) != FileType::CharacterDevice)
            });
            if !there {
                *gone.entry(name.to_owned()).or_default() += 1;
            }
        })
    }
}

/// Goes through all that is no directory below a directory of the base.
fn each_file(
    base: &OwnedFd,
    path: &Path,
    left: &mut usize,
    act: &mut dyn FnMut(&Path, &CStr),
) -> Result<(), LayerError> {
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let directory = match below(base, &path) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(errno) => return Err(system("open a directory of a base")(errno)),
        };
        for name in names(&directory).map_err(system("read a directory of a base"))? {
            *left = left.checked_sub(1).ok_or(LayerError::TooLarge)?;
            if path.as_os_str().is_empty() && name.as_c_str() == GIT {
                continue;
            }
            let Ok(status) = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let inside = path.join(OsStr::from_bytes(name.to_bytes()));
            if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
                waiting.push(inside);
            } else {
                act(&inside, &name);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, Mode, XattrFlags, mknodat, setxattr};

    use super::{super::merge::OPAQUE, *};

    const MOST: usize = 1_000;

    fn scene() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let (upper, base) = (place.path().join("upper"), place.path().join("base"));
        for directory in ["src/deep", "docs", ".git/objects"] {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        fs::create_dir(&upper).unwrap();
        for file in ["a", "src/b", "src/c", "src/deep/d", "docs/e", "docs/f", ".git/objects/g"] {
            fs::write(base.join(file), file).unwrap();
        }
        (place, upper, base)
    }

    /// False, and said so, where this user may not make one.
    fn whiteout(path: &Path) -> bool {
        match mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => true,
            Err(errno) => {
                eprintln!("SKIPPED: whiteouts cannot be made here: {errno}");
                false
            }
        }
    }

    #[test]
    fn what_is_gone_is_counted_file_by_file() {
        let (_place, upper, base) = scene();
        assert_eq!(files(&base, MOST).unwrap(), 6, "what git keeps for itself is no file of the repository");
        assert_eq!(deleted(&upper, &base, MOST).unwrap(), 0);
        fs::write(upper.join("a"), "another").unwrap();
        fs::write(upper.join("new"), "new").unwrap();
        assert_eq!(deleted(&upper, &base, MOST).unwrap(), 0, "what was changed is there");
        // Something else in the place of a directory.
        fs::write(upper.join("docs"), "no directory").unwrap();
        assert_eq!(deleted(&upper, &base, MOST).unwrap(), 2);
        if !whiteout(&upper.join("src")) {
            return;
        }
        assert_eq!(deleted(&upper, &base, MOST).unwrap(), 5);
        fs::create_dir(upper.join("lib")).unwrap();
        fs::write(upper.join("lib/b"), "b").unwrap();
        assert_eq!(deleted(&upper, &base, MOST).unwrap(), 4, "what turns up elsewhere was moved");
        assert!(whiteout(&upper.join("nothing")), "where nothing was, nothing is gone");
        assert_eq!(deleted(&upper, &base, MOST).unwrap(), 4);
    }

    #[test]
    fn an_opaque_directory_hides_all_but_its_own() {
        let (_place, upper, base) = scene();
        fs::create_dir_all(upper.join("src/deep")).unwrap();
        fs::write(upper.join("src/b"), "b").unwrap();
        if let Err(errno) = setxattr(upper.join("src"), OPAQUE, b"y", XattrFlags::empty()) {
            eprintln!("SKIPPED: no extended attributes here: {errno}");
            return;
        }
        assert_eq!(deleted(&upper, &base, MOST).unwrap(), 2);
    }

    #[test]
    fn what_is_too_much_is_not_looked_at() {
        let (_place, upper, base) = scene();
        for number in 0..10 {
            fs::write(upper.join(number.to_string()), "").unwrap();
        }
        assert!(matches!(deleted(&upper, &base, 9), Err(LayerError::TooLarge)));
        assert!(matches!(files(&base, 3), Err(LayerError::TooLarge)));
    }
}
