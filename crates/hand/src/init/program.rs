//! Finds the file of a program as a shell would, and says what is wrong when there is none.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use cofferdam_hand::protocol::message::StartProblem;
use rustix::{fs::Access, io::Errno};

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds `program`: as it is if it has a slash, else in the directories of `path`.
pub(super) fn find(program: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, StartProblem> {
    if program.is_empty() {
        return Err(StartProblem::NotFound);
    }
    if program.as_bytes().contains(&b'/') {
        let file = PathBuf::from(program);
        return check(&file).map(|()| file);
    }
    // A file that may not be run does not end the search, but is worth telling if nothing better comes.
    let mut problem = StartProblem::NotFound;
    for directory in path.unwrap_or_else(|| OsStr::new(DEFAULT_PATH)).as_bytes().split(|byte| *byte == b':') {
        // An empty entry means the working directory, as in POSIX (environment variables, PATH).
        let directory = if directory.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(directory) };
        let file = Path::new(directory).join(program);
        match check(&file) {
            Ok(()) => return Ok(file),
            Err(StartProblem::NotFound) => {}
            Err(other) => problem = other,
        }
    }
    Err(problem)
}

/// Explains why the kernel would not run a file that [`find`] took for a program.
pub(super) fn explain(errno: Errno, file: &Path) -> StartProblem {
    match errno {
        Errno::NOEXEC => StartProblem::NotProgram,
        Errno::NOENT | Errno::NOTDIR if file.exists() => StartProblem::NoInterpreter,
        Errno::NOENT | Errno::NOTDIR => StartProblem::NotFound,
        Errno::ACCESS | Errno::PERM => StartProblem::NotExecutable,
        // gVisor says the second of a single argument that is too long.
        Errno::TOOBIG | Errno::NAMETOOLONG => StartProblem::TooLong,
        other => super::command::failed("exec", other),
    }
}

fn check(file: &Path) -> Result<(), StartProblem> {
    match fs::metadata(file) {
        Err(_) => Err(StartProblem::NotFound),
        Ok(found) if !found.is_file() => Err(StartProblem::NotExecutable),
        // For root, access(2) is content with any of the three bits; so is the kernel.
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Err(StartProblem::NotExecutable),
        Ok(_) => rustix::fs::access(file, Access::EXEC_OK).map_err(|_| StartProblem::NotExecutable),
    }
}

/// A command's environment variable among those of its request.
pub(super) fn variable<'a>(
    env: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>,
    name: &str,
) -> Option<OsString> {
    env.into_iter().filter(|(key, _)| *key == name).last().map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &Path, name: &str, mode: u32) {
        let file = directory.join(name);
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn takes_the_first_that_may_be_run() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        place(one.path(), "tool", 0o644);
        place(two.path(), "tool", 0o755);
        fs::create_dir(one.path().join("dir")).unwrap();
        let path = OsString::from(format!("/nowhere:{}:{}", one.path().display(), two.path().display()));
        assert_eq!(find(OsStr::new("tool"), Some(&path)).unwrap(), two.path().join("tool"));
        assert_eq!(find(OsStr::new("dir"), Some(&path)), Err(StartProblem::NotExecutable));
        assert_eq!(find(OsStr::new("no-such-tool"), Some(&path)), Err(StartProblem::NotFound));
        assert_eq!(find(OsStr::new(""), Some(&path)), Err(StartProblem::NotFound));
        assert_eq!(find(one.path().join("tool").as_os_str(), None), Err(StartProblem::NotExecutable));
    }

    #[test]
    fn has_a_path_of_its_own() {
        assert!(find(OsStr::new("sh"), None).is_ok());
    }
}
