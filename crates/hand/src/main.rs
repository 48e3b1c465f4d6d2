//! The one static program on the far side: makes sandboxes (`zygote`), works in them (`init`), and where something
//! else has made them stands between the host and that (`relay`).
//!
//! The role is the first argument, or the name that the program was started under. The zygote takes its
//! control socket as standard input, process 1 of a sandbox as descriptor 3, a relay two streams as standard input and
//! output. They read no configuration and no environment, and print nothing but a wrong start.

#![deny(unsafe_code)]

mod init;
mod privilege;
mod relay;
mod search;
mod sys;
mod zygote;

use std::{env, ffi::OsString, path::Path, process::ExitCode};

use cofferdam_hand::protocol::tunnel::{RELAY_DOOR, RELAY_ROLE};

/// The descriptor of the control socket of process 1.
const CONTROL_SOCKET: i32 = 3;
/// Exit status for a wrong start, as in BSD's `sysexits.h` (`EX_USAGE`).
const WRONG_START: u8 = 64;

fn main() -> ExitCode {
    let mut args = env::args_os();
    let name = args.next().map(|program| file_name(&program));
    let role = args.next().or(name).unwrap_or_default();
    match role.to_str() {
        Some("init") => match sys::process::inherited(CONTROL_SOCKET) {
            Ok(socket) => init::run(socket),
            Err(_) => wrong_start("init needs its control socket as descriptor 3"),
        },
        Some("zygote") => zygote::run(),
        Some(RELAY_ROLE) => relay::run(args.next().is_some_and(|door| door == RELAY_DOOR)),
        Some(_) | None => {
            wrong_start("started by hand; cofferdam starts it with the role init, relay or zygote")
        }
    }
}

fn file_name(program: &OsString) -> OsString {
    Path::new(program).file_name().unwrap_or_default().to_owned()
}

#[expect(clippy::print_stderr, reason = "nothing is set up yet, and a person may have started it")]
fn wrong_start(problem: &str) -> ExitCode {
    eprintln!("cofferdam-hand: {problem}");
    ExitCode::from(WRONG_START)
}
