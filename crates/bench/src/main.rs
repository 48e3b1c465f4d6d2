//! How long things take, beside the floor that the kernel sets and beside other programs, measured in one run.
//!
//! What this crate is for: `docs/performance.md`. Each benchmark prints medians, minima, 95th percentiles and ratios; what is compared is
//! measured in turns, so that ratios hold whatever else the machine does.
//!
//! What it never does: stand in for a test. It asserts only what a figure would be meaningless without.
//!
//! Where to start reading: `session/mod.rs` (the loop), `sandbox/mod.rs` and `service/mod.rs`.

#![forbid(unsafe_code)]

mod figures;
mod model_server;
mod options;
mod peers;
mod process;
mod sandbox;
mod service;
mod session;
mod size;

use std::process::ExitCode;

use anyhow::{Result, bail};
use figures::say;

const USE: &str = "use: cofferdam-bench BENCHMARK [--option value]…

  sandbox   cold start, commands and files, beside a floor in C, bubblewrap and crun   --rounds 100  --warm 500
            the warm pool; snapshots; idle sandboxes; neighbours of an attacker        --files 1000,10000,100000  --idle 200
            --only cold|warm|pool|layers|idle|neighbours
  loop      the loop's own time, processor time and memory per step                    --runs 5  --steps 10,50,200  --wire anthropic
            --program FILE (default: built by cargo)  --dir DIRECTORY (default: the system's temporary directory)
  peers     the loop beside other agents', each with the same steps, asked by the   --runs 3  --steps 10,50,200
            same recorded model                                                        --only cofferdam,codex,opencode,mini-swe-agent,openhands
                                                                                       --program FILE  --python FILE  --dir DIRECTORY
  service   the whole service: tasks and deliveries accepted beside the database,      --rounds 400  --waiting 1000,100000  --sessions 24
            the queue when many wait, sessions a minute, the time to the first         --running 1,4,16,64  --watchers 1000
            model call, memory, watchers, long pages                                   --program FILE  --dir DIRECTORY
            --only accept|deliveries|acknowledge|queue|work|begin|memory|live|page
  size      the program's size and its parts                                           --program FILE

The event log's append rate: cargo bench -p cofferdam-store --bench append";

fn main() -> ExitCode {
    match start(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("cofferdam-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let Some(benchmark) = arguments.next() else {
        say(USE);
        return Ok(());
    };
    match benchmark.as_str() {
        "sandbox" => sandbox::measure(arguments),
        "loop" => session::measure(arguments),
        session::SERVE => session::serve(arguments),
        sandbox::ROUNDS => sandbox::rounds(arguments),
        service::SERVE => service::serve(),
        "peers" => peers::measure(arguments),
        peers::SERVE => peers::serve(arguments),
        "service" => service::measure(arguments),
        "size" => size::measure(arguments),
        "help" | "--help" | "-h" => {
            say(USE);
            Ok(())
        }
        other => bail!("there is no benchmark {other:?}\n\n{USE}"),
    }
}

/// Tells a person what went wrong or is missing, apart from the figures.
#[expect(clippy::print_stderr, reason = "this is what standard error is for")]
fn complain(line: &str) {
    eprintln!("{line}");
}
