//! From rules by call number to a filter program: classic BPF, as the kernel takes it (seccomp(2),
//! `linux/bpf_common.h`).

use std::io;

use super::{Check, Rule};
use crate::sys::namespace::Instruction;

/// Load a word of the call's description.
pub(super) const LOAD: u16 = 0x20;
/// Combine the loaded word with the operand, bit by bit.
pub(super) const AND: u16 = 0x54;
/// Skip as many instructions as the operand says.
pub(super) const JUMP: u16 = 0x05;
/// Compare for equality.
pub(super) const IF_EQUAL: u16 = 0x15;
/// Compare for greater or equal, without sign.
pub(super) const IF_NOT_BELOW: u16 = 0x35;
/// End with the operand as verdict.
pub(super) const RETURN: u16 = 0x06;

/// Where things are in the call's description (`struct seccomp_data`).
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Verdicts (`linux/seccomp.h`).
pub(super) const ALLOW: u32 = 0x7fff_0000;
pub(super) const KILL: u32 = 0x8000_0000;
pub(super) const ERRNO: u32 = 0x0005_0000;

/// The architecture whose calls are filtered (`linux/audit.h`); all others are killed.
#[cfg(target_arch = "x86_64")]
pub(super) const NATIVE: u32 = 0xc000_003e;
/// The architecture whose calls are filtered (`linux/audit.h`); all others are killed.
#[cfg(target_arch = "aarch64")]
pub(super) const NATIVE: u32 = 0xc000_00b7;
/// Numbers from here on belong to another way of calling (x32), or to nothing.
pub(super) const FOREIGN: u32 = 0x4000_0000;

/// The kernel takes no longer filter.
const LONGEST: usize = 4096;

/// Flags of `clone` that make namespaces. (The time namespace cannot be asked for in this way.)
const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET)
    .cast_unsigned();
/// The one permitted deviation from a plain process: no address randomisation, which debuggers ask for.
const ADDR_NO_RANDOMIZE: u32 = 0x0004_0000;
/// The flag of `seccomp` that hands calls to another process.
const NEW_LISTENER: u32 = 8;

/// Typing into a terminal, in two ways, and changing what stands between a terminal and its programs.
const TERMINAL_TRICKS: [libc::Ioctl; 3] = [libc::TIOCSTI, libc::TIOCLINUX, libc::TIOCSETD];
/// Where a process's memory is said to be, how user 0 is treated, and standing above the limits of writing
/// back: all for system services.
const PROCESS_TRICKS: [libc::c_int; 3] = [libc::PR_SET_MM, libc::PR_SET_SECUREBITS, PR_SET_IO_FLUSHER];
/// `linux/prctl.h`.
const PR_SET_IO_FLUSHER: libc::c_int = 57;
/// The part of a socket's type that is not flags (`SOCK_TYPE_MASK`).
const SOCKET_TYPE: u32 = 0xf;

/// Numbers from the first one up to the next range's, and their rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: u32,
    pub(super) rule: Rule,
}

/// Makes a filter from ranges that begin at 0 and ascend.
pub(super) fn compile(ranges: &[Range]) -> io::Result<Vec<Instruction>> {
    let mut program = vec![load(ARCHITECTURE), branch(IF_EQUAL, NATIVE, 1, 0), end(KILL), load(NUMBER)];
    program.extend(subtree(ranges)?);
    if program.len() > LONGEST { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(program) }
}

fn subtree(ranges: &[Range]) -> io::Result<Vec<Instruction>> {
    let (low, high) = match ranges {
        [] => return Err(io::ErrorKind::InvalidInput.into()),
        [only] => return Ok(leaf(only.rule)),
        more => more.split_at(more.len() / 2),
    };
    let boundary = high.first().map_or(u32::MAX, |range| range.from);
    let (below, not_below) = (subtree(low)?, subtree(high)?);
    // Conditional jumps reach 255 instructions far, unconditional ones further.
    let mut program = match u8::try_from(below.len()) {
        Ok(distance) => vec![branch(IF_NOT_BELOW, boundary, distance, 0)],
        Err(_) => vec![branch(IF_NOT_BELOW, boundary, 0, 1), jump(below.len())],
    };
    program.extend(below);
    program.extend(not_below);
    Ok(program)
}

fn leaf(rule: Rule) -> Vec<Instruction> {
    match rule {
        Rule::Allow => vec![end(ALLOW)],
        Rule::Refuse(errno) => vec![refuse(errno)],
        Rule::Kill => vec![end(KILL)],
        Rule::Check(Check::Clone) => none_of(0, NEW_NAMESPACES),
        Rule::Check(Check::Seccomp) => none_of(1, NEW_LISTENER),
        Rule::Check(Check::Ioctl) => other_than(1, &TERMINAL_TRICKS.map(low_word)),
        Rule::Check(Check::Prctl) => other_than(0, &PROCESS_TRICKS.map(i32::cast_unsigned)),
        Rule::Check(Check::OwnLimits) => none_of(0, u32::MAX),
        Rule::Check(Check::Personality) => {
            let mut program = vec![load(argument(0))];
            for persona in [0, u32::MAX, ADDR_NO_RANDOMIZE] {
                program.extend([branch(IF_EQUAL, persona, 0, 1), end(ALLOW)]);
            }
            program.push(refuse(EPERM));
            program
        }
        Rule::Check(Check::Socket) => socket(),
    }
}

fn socket() -> Vec<Instruction> {
    let equal = |value: i32, if_true, if_false| branch(IF_EQUAL, value.cast_unsigned(), if_true, if_false);
    vec![
        load(argument(0)),
        equal(libc::AF_UNIX, 0, 1),
        end(ALLOW),
        equal(libc::AF_INET, 7, 0),
        equal(libc::AF_INET6, 6, 0),
        equal(libc::AF_NETLINK, 1, 0),
        refuse(EAFNOSUPPORT),
        load(argument(2)),
        equal(libc::NETLINK_ROUTE, 0, 1),
        end(ALLOW),
        refuse(EAFNOSUPPORT),
        // The internet: the type without its flags, then the protocol.
        load(argument(1)),
        Instruction { code: AND, if_true: 0, if_false: 0, operand: SOCKET_TYPE },
        equal(libc::SOCK_STREAM, 2, 0),
        equal(libc::SOCK_DGRAM, 1, 0),
        refuse(EPROTONOSUPPORT),
        load(argument(2)),
        equal(0, 2, 0),
        equal(libc::IPPROTO_TCP, 1, 0),
        equal(libc::IPPROTO_UDP, 0, 1),
        end(ALLOW),
        refuse(EPROTONOSUPPORT),
    ]
}

/// Allows the call unless an argument is one of `values`. The kernel looks at 32 bits of it, and so do we.
fn other_than(index: u32, values: &[u32]) -> Vec<Instruction> {
    let mut program = vec![load(argument(index))];
    for value in values {
        program.extend([branch(IF_EQUAL, *value, 0, 1), refuse(EPERM)]);
    }
    program.push(end(ALLOW));
    program
}

/// Allows the call unless one of `bits` is set in an argument.
fn none_of(index: u32, bits: u32) -> Vec<Instruction> {
    vec![
        load(argument(index)),
        Instruction { code: AND, if_true: 0, if_false: 0, operand: bits },
        branch(IF_EQUAL, 0, 0, 1),
        end(ALLOW),
        refuse(EPERM),
    ]
}

/// Errors for refused calls.
pub(super) const EPERM: u16 = 1;
const EPROTONOSUPPORT: u16 = 93;
const EAFNOSUPPORT: u16 = 97;

/// Where the lower half of an argument is (both architectures are little-endian). All arguments looked at are
/// 32 bits wide in the kernel.
pub(super) const fn argument(index: u32) -> u32 {
    ARGUMENTS + 8 * index
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is meant")]
const fn low_word(request: libc::Ioctl) -> u32 {
    request as u32
}

const fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, if_true: 0, if_false: 0, operand: offset }
}

const fn branch(code: u16, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code, if_true, if_false, operand }
}

fn jump(distance: usize) -> Instruction {
    let operand = u32::try_from(distance).unwrap_or(u32::MAX);
    Instruction { code: JUMP, if_true: 0, if_false: 0, operand }
}

const fn end(verdict: u32) -> Instruction {
    Instruction { code: RETURN, if_true: 0, if_false: 0, operand: verdict }
}

const fn refuse(errno: u16) -> Instruction {
    end(ERRNO | errno as u32)
}
