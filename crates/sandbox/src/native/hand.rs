//! The hand program, as this program carries it, and how it is started.

use std::{
    fs::{self, File},
    io::{self, Seek as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{fs::FileExt as _, process::CommandExt as _},
    },
    process::{Child, Command, Stdio},
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create, sendfile};

/// The static program, built by this crate's build script.
pub(super) const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cofferdam-hand"));

/// Bytes that are compared at each end of a copy.
const LOOK: usize = 1024;

/// A copy of the program in memory that nobody can change any more, neither on disk nor through `/proc/self/exe`.
pub(super) fn sealed_copy() -> io::Result<File> {
    let memory = memfd_create("cofferdam-hand", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(memory);
    if copy_in_kernel(&file).is_err() {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(PROGRAM)?;
    }
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

/// Copies the program from this executable's own file without touching its pages here: they are megabytes that would stay resident for as
/// long as the worker lives. The file of a running program cannot be written to (ETXTBSY of open(2)).
fn copy_in_kernel(to: &File) -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let start = PROGRAM.as_ptr() as usize as u64;
    let mut offset = file_offset(&maps, start, PROGRAM.len() as u64).ok_or(io::ErrorKind::NotFound)?;
    let executable = File::open("/proc/self/exe")?;
    let mut left = PROGRAM.len();
    while left > 0 {
        match sendfile(to, &executable, Some(&mut offset), left)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            copied => left = left.saturating_sub(copied),
        }
    }
    // A look at both ends, which a wrong place in the file would not survive.
    let (head, tail) = (PROGRAM.get(..LOOK), PROGRAM.len().checked_sub(LOOK));
    let (Some(head), Some(tail)) = (head, tail) else { return Err(io::ErrorKind::InvalidData.into()) };
    let same = |wanted: &[u8], at: usize| -> io::Result<bool> {
        let mut seen = [0; LOOK];
        to.read_exact_at(&mut seen, at as u64)?;
        Ok(wanted == seen)
    };
    if same(head, 0)? && same(&PROGRAM[tail..], tail)? {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Where in its file the memory from `start` on is mapped from, by the text of `/proc/self/maps` (proc_pid_maps(5)); `None` if the `length`
/// bytes are not in one mapping.
fn file_offset(maps: &str, start: u64, length: u64) -> Option<u64> {
    maps.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let (from, to) = fields.next()?.split_once('-')?;
        let offset = u64::from_str_radix(fields.nth(1)?, 16).ok()?;
        let from = u64::from_str_radix(from, 16).ok()?;
        let to = u64::from_str_radix(to, 16).ok()?;
        let inside = from <= start && start.checked_add(length)? <= to;
        inside.then(|| offset + (start - from))
    })
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_copy_is_the_program() {
        let mut seen = Vec::new();
        let mut copy = sealed_copy().unwrap();
        copy.rewind().unwrap();
        copy.read_to_end(&mut seen).unwrap();
        assert!(seen == PROGRAM);
        assert!(copy.write_all(b"x").is_err(), "nobody can change it");
    }

    #[test]
    fn the_kernel_copies_it_where_the_program_is_mapped_from_its_file() {
        let memory = File::from(memfd_create("test", MemfdFlags::CLOEXEC).unwrap());
        copy_in_kernel(&memory).unwrap();
        let mut seen = vec![0; PROGRAM.len()];
        memory.read_exact_at(&mut seen, 0).unwrap();
        assert!(seen == PROGRAM);
    }

    #[test]
    fn places_in_a_file() {
        let maps = "1000-3000 r--p 00000000 fe:00 12 /x\n3000-9000 r-xp 00002000 fe:00 12 /x y\n";
        assert_eq!(file_offset(maps, 0x3010, 0x100), Some(0x2010));
        assert_eq!(file_offset(maps, 0x2f00, 0x200), None, "across two mappings");
        assert_eq!(file_offset(maps, 0x9000, 1), None);
        assert_eq!(file_offset("nonsense\n", 0, 1), None);
    }
}
