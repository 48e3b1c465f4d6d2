//! The program killed, frozen, cut off and filled up while it works: everything that can happen to it once, in an order that is another every time.
//! `cargo run -p xtask -- faults` is the same for as long as one likes.
//!
//! A program of its own, and one after the other: what is left on the machine is told from everything that this process has begun.

#![expect(
    clippy::print_stderr,
    reason = "what was done to the program is told, so that it can be done again"
)]

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cofferdam_faults::{Options, Report, alone, service};

/// Whose turn it is.
static TURN: Mutex<()> = Mutex::new(());

/// Everything once.
fn options() -> Options {
    let seed = std::process::id().into();
    Options { program: env!("CARGO_BIN_EXE_cofferdam").into(), seed, time: Duration::ZERO }
}

fn tell(report: Option<Report>) {
    let Some(report) = report else { return };
    eprintln!("{report}");
    assert!(report.sessions > 0 && report.faults() > 0, "{report}");
}

#[test]
fn a_service_of_many_processes_outlives_whatever_happens_to_them() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tell(service(&options()).unwrap_or_else(|error| panic!("{error:#}")));
}

#[test]
fn a_service_that_is_one_process_outlives_whatever_happens_to_it() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tell(alone(&options()).unwrap_or_else(|error| panic!("{error:#}")));
}
