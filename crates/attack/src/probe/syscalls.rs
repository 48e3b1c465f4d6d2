//! The smallest programs: system calls in a row, and an exit status that says what the last one came to.
//!
//! An escape is a question to the kernel: may this be called like this? A program that asks nothing else needs no library, no interpreter
//! and no compiler in the sandbox, and the very same bytes can be run outside it to see that the question was asked correctly. So the
//! instructions are written here, by hand, for x86-64; other architectures say that they cannot ask.

/// Where the program is loaded; everything in it, code, data and results, lies in one segment.
const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// What is given to a call.
#[derive(Debug, Clone)]
pub(crate) enum Argument {
    /// A number.
    Number(u64),
    /// The address of these bytes; zeroes at their end make room for what the call writes.
    Bytes(Vec<u8>),
    /// What an earlier call returned, counted from 0.
    Result(usize),
}

impl From<i32> for Argument {
    fn from(number: i32) -> Self {
        Self::Number(i64::from(number).cast_unsigned())
    }
}

impl From<u64> for Argument {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Argument {
    /// As C has texts.
    fn from(text: &str) -> Self {
        Self::Bytes([text.as_bytes(), b"\0"].concat())
    }
}

impl From<Vec<u8>> for Argument {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    /// In the usual way.
    Native(i64, Vec<Argument>),
    /// By the interrupt of 32-bit programs, without arguments.
    Interrupt80(u32),
}

/// The program that makes these calls and exits with 0 if the last one succeeded, else with its error number.
pub(crate) fn program(calls: &[Call]) -> Vec<u8> {
    // The length of the code does not depend on addresses, so it is measured first.
    let length = code(calls, 0, 0).0.len() as u64;
    let results = BASE + HEADERS + length;
    let data = results + 8 * calls.len() as u64;
    let (code, data) = code(calls, results, data);
    let mut file = headers(HEADERS + length + 8 * calls.len() as u64 + data.len() as u64);
    file.extend(code);
    file.extend(vec![0; 8 * calls.len()]);
    file.extend(data);
    file
}

/// An ELF header and one program header (System V ABI, chapters 4 and 5).
fn headers(size: u64) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // An executable for x86-64.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    file.extend((BASE + HEADERS).to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.extend([0; 12]);
    file.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // Loaded whole, to be read, written and executed.
    file.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    for value in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(value.to_le_bytes());
    }
    file
}

/// The instructions and the data that they point at.
fn code(calls: &[Call], results: u64, data_at: u64) -> (Vec<u8>, Vec<u8>) {
    let (mut code, mut data) = (Vec::new(), Vec::new());
    let result_of = |number: usize| results + 8 * number as u64;
    for (number, call) in calls.iter().enumerate() {
        match call {
            Call::Native(which, arguments) => {
                for (place, argument) in arguments.iter().enumerate().take(6) {
                    match argument {
                        Argument::Number(value) => load(&mut code, place, *value),
                        Argument::Bytes(bytes) => {
                            load(&mut code, place, data_at + data.len() as u64);
                            data.extend_from_slice(bytes);
                            data.resize(data.len().next_multiple_of(8), 0);
                        }
                        Argument::Result(of) => load_result(&mut code, place, result_of(*of)),
                    }
                }
                // mov rax, number; syscall
                code.extend([0x48, 0xb8]);
                code.extend(which.to_le_bytes());
                code.extend([0x0f, 0x05]);
            }
            Call::Interrupt80(which) => {
                // mov eax, number; int 0x80; movsxd rax, eax
                code.push(0xb8);
                code.extend(which.to_le_bytes());
                code.extend([0xcd, 0x80, 0x48, 0x63, 0xc0]);
            }
        }
        // mov [result], rax
        code.extend([0x48, 0xa3]);
        code.extend(result_of(number).to_le_bytes());
    }
    // The last result stays in rax: test rax, rax; if not negative, zero, else neg rax; mov rdi, rax; exit_group.
    code.extend([0x48, 0x85, 0xc0, 0x79, 0x05, 0x48, 0xf7, 0xd8, 0xeb, 0x02, 0x31, 0xc0, 0x48, 0x89, 0xc7]);
    code.extend([0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05]);
    (code, data)
}

/// `mov register, value`; the registers of arguments are rdi, rsi, rdx, r10, r8, r9.
fn load(code: &mut Vec<u8>, place: usize, value: u64) {
    code.extend([[0x48, 0xbf], [0x48, 0xbe], [0x48, 0xba], [0x49, 0xba], [0x49, 0xb8], [0x49, 0xb9]][place]);
    code.extend(value.to_le_bytes());
}

/// `mov rax, [address]; mov register, rax`
fn load_result(code: &mut Vec<u8>, place: usize, address: u64) {
    code.extend([0x48, 0xa1]);
    code.extend(address.to_le_bytes());
    let moves = [
        [0x48, 0x89, 0xc7],
        [0x48, 0x89, 0xc6],
        [0x48, 0x89, 0xc2],
        [0x49, 0x89, 0xc2],
        [0x49, 0x89, 0xc0],
        [0x49, 0x89, 0xc1],
    ];
    code.extend(moves[place]);
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

    use super::*;

    #[expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]
    fn status(calls: &[Call]) -> i32 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, program(calls)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Command::new(&path).current_dir(folder.path()).status().unwrap().code().unwrap()
    }

    #[test]
    fn the_status_says_what_the_last_call_came_to() {
        let open = |path: &str, flags: i32| {
            Call::Native(libc::SYS_openat, vec![libc::AT_FDCWD.into(), path.into(), flags.into(), 0.into()])
        };
        assert_eq!(status(&[Call::Native(libc::SYS_getpid, Vec::new())]), 0);
        assert_eq!(status(&[open("/dev/null", libc::O_WRONLY)]), 0);
        assert_eq!(status(&[open("/no/such/file", libc::O_RDONLY)]), libc::ENOENT);
        let write =
            |descriptor: Argument| Call::Native(libc::SYS_write, vec![descriptor, "text".into(), 4.into()]);
        assert_eq!(status(&[open("/dev/full", libc::O_WRONLY), write(Argument::Result(0))]), libc::ENOSPC);
        assert_eq!(status(&[write(77.into())]), libc::EBADF);
        let six = vec![
            0.into(),
            4096.into(),
            libc::PROT_READ.into(),
            libc::MAP_PRIVATE.into(),
            77.into(),
            0.into(),
        ];
        assert_eq!(
            status(&[Call::Native(libc::SYS_mmap, six)]),
            libc::EBADF,
            "the fourth to sixth arguments"
        );
    }
}
