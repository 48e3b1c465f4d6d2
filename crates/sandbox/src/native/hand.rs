//! The hand program, as this program carries it, and how it is started.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// The static program, built by this crate's build script.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cofferdam-hand"));

/// A copy of the program in memory that nobody can change any more, neither on disk nor through `/proc/self/exe`.
pub(super) fn sealed_copy() -> io::Result<File> {
    let memory = memfd_create("cofferdam-hand", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(memory);
    file.write_all(PROGRAM)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

/// Starts the program in a role, with no environment, in a process group of its own, and with `socket` as standard input.
pub(super) fn start(program: &File, role: &str, socket: OwnedFd) -> io::Result<Child> {
    // The child's own view of the descriptor; the path is resolved before the descriptor closes on exec.
    Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg0("cofferdam-hand")
        .arg(role)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}
