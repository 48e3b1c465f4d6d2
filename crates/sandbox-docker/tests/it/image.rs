//! An image of what the tests need: programs of this host with the libraries that they are linked with.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAMS: [&str; 36] = [
    "bash", "cat", "chmod", "cp", "cut", "dd", "df", "echo", "env", "false", "grep", "head", "id", "kill",
    "ln", "ls", "mkdir", "mkfifo", "mv", "ps", "rm", "sed", "setsid", "sh", "sleep", "sort", "stat", "stty",
    "tail", "touch", "tr", "true", "unshare", "uname", "wc", "xargs",
];
const DIRECTORIES: [&str; 9] =
    ["dev", "etc", "home/agent", "proc", "run", "sys", "tmp", "var/tmp", "workspace"];

/// The image as an archive of its files.
pub(crate) fn archive() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for directory in DIRECTORIES {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        archive.append_data(&mut header, directory, std::io::empty()).unwrap();
    }
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS {
        let Some(file) = find(program) else { continue };
        add(&mut archive, &file, &Path::new("bin").join(program));
        libraries.extend(linked(&file));
    }
    for library in libraries {
        add(&mut archive, &library, library.strip_prefix("/").unwrap());
    }
    archive.into_inner().unwrap()
}

fn find(program: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|place| Path::new(place).join(program))
        .find(|file| file.exists())
}

fn add(archive: &mut tar::Builder<Vec<u8>>, file: &Path, name: &Path) {
    let content = std::fs::read(file).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, name, content.as_slice()).unwrap();
}

/// The libraries that a program is linked with, and what loads them, as ldd(1) tells.
fn linked(program: &Path) -> Vec<PathBuf> {
    let told = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    text.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}
