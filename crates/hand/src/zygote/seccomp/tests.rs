//! The filter, run by an interpreter of our own: every call number against the rules, and the arguments that
//! rules look at.

use super::{
    Check, Rule, calls, filter,
    tree::{ALLOW, AND, ERRNO, FOREIGN, IF_EQUAL, IF_NOT_BELOW, JUMP, KILL, LOAD, NATIVE, RETURN, argument},
};
use crate::sys::namespace::Instruction;

/// A system call as the filter sees it: `struct seccomp_data`, in words.
#[derive(Clone, Copy)]
struct Call {
    number: u32,
    architecture: u32,
    arguments: [u64; 6],
}

impl Call {
    fn new(number: libc::c_long, arguments: &[u64]) -> Self {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        Self { number: u32::try_from(number).unwrap(), architecture: NATIVE, arguments: all }
    }

    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.architecture,
            _ => {
                let index =
                    (0..6).find(|index| argument(*index) == offset).expect("a lower half of an argument");
                u32::try_from(self.arguments[index as usize] & 0xffff_ffff).unwrap()
            }
        }
    }
}

/// Runs the program; gives the verdict and the number of instructions.
fn run(program: &[Instruction], call: &Call) -> (u32, usize) {
    let (mut at, mut word, mut steps) = (0, 0, 0);
    loop {
        let instruction = program[at];
        steps += 1;
        at += 1;
        let holds = match instruction.code {
            LOAD => {
                word = call.word(instruction.operand);
                continue;
            }
            AND => {
                word &= instruction.operand;
                continue;
            }
            JUMP => {
                at += instruction.operand as usize;
                continue;
            }
            RETURN => return (instruction.operand, steps),
            IF_EQUAL => word == instruction.operand,
            IF_NOT_BELOW => word >= instruction.operand,
            code => panic!("unknown operation {code:#x}"),
        };
        at += usize::from(if holds { instruction.if_true } else { instruction.if_false });
    }
}

fn verdict(number: libc::c_long, arguments: &[u64]) -> u32 {
    run(&filter().unwrap(), &Call::new(number, arguments)).0
}

const REFUSED: u32 = ERRNO | 1;
const NO_FAMILY: u32 = ERRNO | 97;
const NO_PROTOCOL: u32 = ERRNO | 93;
const NO_CALL: u32 = ERRNO | 38;

#[test]
fn every_number_gets_its_rule_in_few_steps() {
    let program = filter().unwrap();
    for number in (0..2000).chain([FOREIGN - 1, FOREIGN, FOREIGN + 1, u32::MAX]) {
        let call = Call { number, architecture: NATIVE, arguments: [0; 6] };
        let (verdict, steps) = run(&program, &call);
        match calls::rule(number) {
            Rule::Allow => assert_eq!(verdict, ALLOW, "{number}"),
            Rule::Refuse(errno) => assert_eq!(verdict, ERRNO | u32::from(errno), "{number}"),
            Rule::Kill => assert_eq!(verdict, KILL, "{number}"),
            Rule::Check(_) => assert!(verdict == ALLOW || verdict & ERRNO != 0, "{number}"),
        }
        assert!(steps <= 30, "{number}: {steps} steps");
    }
}

#[test]
fn every_jump_lands_in_the_program_and_every_path_ends() {
    let program = filter().unwrap();
    for (at, instruction) in program.iter().enumerate() {
        let next = at + 1;
        match instruction.code {
            RETURN => continue,
            JUMP => assert!(next + (instruction.operand as usize) < program.len()),
            IF_EQUAL | IF_NOT_BELOW => {
                assert!(next + usize::from(instruction.if_true.max(instruction.if_false)) < program.len());
            }
            _ => assert!(next < program.len()),
        }
    }
    assert!(program.len() < 800, "{} instructions", program.len());
}

#[test]
fn other_architectures_are_killed() {
    let program = filter().unwrap();
    for architecture in [0x4000_0003, 0x4000_0028, 0, u32::MAX] {
        let call = Call { number: 0, architecture, arguments: [0; 6] };
        assert_eq!(run(&program, &call).0, KILL);
    }
}

#[test]
fn clone_makes_threads_and_processes_but_no_namespaces() {
    let thread =
        libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
    assert_eq!(verdict(libc::SYS_clone, &[u64::from(thread.cast_unsigned())]), ALLOW);
    assert_eq!(verdict(libc::SYS_clone, &[libc::SIGCHLD.cast_unsigned().into()]), ALLOW);
    for flag in [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ] {
        let flags = u64::from((flag | libc::SIGCHLD).cast_unsigned());
        assert_eq!(verdict(libc::SYS_clone, &[flags]), REFUSED);
        // Bits that the kernel ignores do not hide it.
        assert_eq!(verdict(libc::SYS_clone, &[flags | 1 << 40]), REFUSED);
    }
    assert_eq!(verdict(libc::SYS_clone3, &[]), NO_CALL);
    assert_eq!(verdict(libc::SYS_unshare, &[0]), REFUSED);
    assert_eq!(verdict(libc::SYS_setns, &[]), REFUSED);
}

#[test]
fn sockets_are_local_internet_or_routing_information() {
    for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
        assert_eq!(verdict(libc::SYS_socket, &[family.cast_unsigned().into(), 1, 0]), ALLOW);
    }
    let netlink = u64::from(libc::AF_NETLINK.cast_unsigned());
    assert_eq!(verdict(libc::SYS_socket, &[netlink, 3, 0]), ALLOW);
    for protocol in 1..32 {
        assert_eq!(verdict(libc::SYS_socket, &[netlink, 3, protocol]), NO_FAMILY);
    }
    for family in (3..64).filter(|family| *family != 10 && *family != netlink) {
        assert_eq!(verdict(libc::SYS_socket, &[family, 1, 0]), NO_FAMILY, "family {family}");
        // The kernel takes the family as 32 bits.
        assert_eq!(verdict(libc::SYS_socket, &[family | 1 << 32, 1, 0]), NO_FAMILY);
    }
    let vsock = u64::from(libc::AF_VSOCK.cast_unsigned());
    assert_eq!(verdict(libc::SYS_socketpair, &[vsock, 1, 0]), NO_FAMILY);
}

#[test]
fn nothing_types_into_a_terminal() {
    let ioctl = |request: u64| verdict(libc::SYS_ioctl, &[0, request, 0]);
    assert_eq!(ioctl(0x5412), REFUSED, "TIOCSTI");
    assert_eq!(ioctl(0x541c), REFUSED, "TIOCLINUX");
    assert_eq!(ioctl(0x5412 | 1 << 32), REFUSED, "TIOCSTI with bits that the kernel ignores");
    assert_eq!(ioctl(0x5423), REFUSED, "TIOCSETD");
    assert_eq!(ioctl(0x5413), ALLOW, "TIOCGWINSZ");
    assert_eq!(ioctl(0x5401), ALLOW, "TCGETS");
}

#[test]
fn of_the_internet_there_are_tcp_and_udp() {
    for family in [libc::AF_INET, libc::AF_INET6] {
        let made = |kind: i32, protocol: i32| {
            let arguments = [family, kind, protocol].map(|argument| u64::from(argument.cast_unsigned()));
            verdict(libc::SYS_socket, &arguments)
        };
        for flags in [0, libc::SOCK_CLOEXEC, libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK] {
            assert_eq!(made(libc::SOCK_STREAM | flags, 0), ALLOW);
            assert_eq!(made(libc::SOCK_STREAM | flags, libc::IPPROTO_TCP), ALLOW);
            assert_eq!(made(libc::SOCK_DGRAM | flags, libc::IPPROTO_UDP), ALLOW);
            for kind in [libc::SOCK_RAW, libc::SOCK_SEQPACKET, libc::SOCK_RDM, 6, 10] {
                assert_eq!(made(kind | flags, 0), NO_PROTOCOL, "type {kind}");
            }
        }
        for protocol in
            [libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6, libc::IPPROTO_SCTP, libc::IPPROTO_UDPLITE, 262]
        {
            assert_eq!(made(libc::SOCK_DGRAM, protocol), NO_PROTOCOL, "protocol {protocol}");
            assert_eq!(made(libc::SOCK_STREAM, protocol), NO_PROTOCOL, "protocol {protocol}");
        }
    }
}

#[test]
fn a_process_changes_its_own_limits_only() {
    assert_eq!(verdict(libc::SYS_prlimit64, &[0, 7]), ALLOW);
    assert_eq!(verdict(libc::SYS_prlimit64, &[1, 7]), REFUSED);
    assert_eq!(verdict(libc::SYS_prlimit64, &[0xffff_ffff, 7]), REFUSED);
    assert_eq!(verdict(libc::SYS_prctl, &[libc::PR_SET_NAME.cast_unsigned().into()]), ALLOW);
    for option in [libc::PR_SET_MM, libc::PR_SET_SECUREBITS, 57] {
        assert_eq!(verdict(libc::SYS_prctl, &[option.cast_unsigned().into()]), REFUSED);
        assert_eq!(verdict(libc::SYS_prctl, &[u64::from(option.cast_unsigned()) | 1 << 32]), REFUSED);
    }
}

#[test]
fn memory_protection_stays() {
    for persona in [0, 0xffff_ffff, 0x0004_0000] {
        assert_eq!(verdict(libc::SYS_personality, &[persona]), ALLOW);
    }
    for persona in [0x0040_0000, 0x0010_0000, 8] {
        assert_eq!(verdict(libc::SYS_personality, &[persona]), REFUSED);
    }
    assert_eq!(verdict(libc::SYS_seccomp, &[1, 0, 0]), ALLOW);
    assert_eq!(verdict(libc::SYS_seccomp, &[1, 8, 0]), REFUSED);
}

#[test]
fn the_dangerous_ones_are_not_there() {
    for call in [
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_fsconfig,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_bpf,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_perf_event_open,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_fanotify_init,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_quotactl,
        libc::SYS_acct,
        libc::SYS_syslog,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_adjtimex,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_vhangup,
        libc::SYS_mbind,
        libc::SYS_migrate_pages,
        libc::SYS_move_pages,
    ] {
        assert_eq!(verdict(call, &[]), REFUSED, "call {call}");
    }
    for call in [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register] {
        assert_eq!(verdict(call, &[]), NO_CALL, "call {call}");
    }
}

#[test]
fn checks_are_reached_by_the_calls_they_are_for() {
    let checked = |call: libc::c_long| calls::rule(u32::try_from(call).unwrap());
    assert_eq!(checked(libc::SYS_clone), Rule::Check(Check::Clone));
    assert_eq!(checked(libc::SYS_ioctl), Rule::Check(Check::Ioctl));
    assert_eq!(checked(libc::SYS_socket), Rule::Check(Check::Socket));
}
