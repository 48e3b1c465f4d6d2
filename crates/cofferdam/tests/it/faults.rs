//! The program killed, frozen, cut off and filled up while it works: everything that can happen to it once, in an order that is another every time.
//! `cargo run -p xtask -- faults` is the same for as long as one likes.

use std::time::Duration;

use cofferdam_faults::{Options, Report, alone, service};

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
    tell(service(&options()).unwrap_or_else(|error| panic!("{error:#}")));
}

#[test]
fn a_service_that_is_one_process_outlives_whatever_happens_to_it() {
    tell(alone(&options()).unwrap_or_else(|error| panic!("{error:#}")));
}
