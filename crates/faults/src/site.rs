//! What is put to the test: a service of one shape or another.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use fastrand::Rng;

use crate::{client::Client, fault::Fault, world::World};

/// How long, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The built executable.
    pub program: PathBuf,
    /// What all chance comes from.
    pub seed: u64,
    /// Waves begin for so long. In each, everything that can be done is done at least once if it is zero, which gives one wave.
    pub time: Duration,
}

/// A service, as far as the tests need to know it.
pub(crate) trait Site {
    /// Where everything is.
    fn world(&self) -> &World;

    /// Whoever asks.
    fn client(&self) -> &Client;

    /// What can be done to it.
    fn faults(&self) -> &'static [Fault];

    /// The names of its workers' data directories.
    fn data(&self) -> Vec<&'static str>;

    /// The configuration with which a command sees its store.
    fn configuration(&self) -> PathBuf;

    /// Does something to it, and then sees to it that it can go on.
    fn inflict(&mut self, fault: Fault, dice: &mut Rng) -> Result<()>;

    /// Starts what does not run.
    fn start(&mut self) -> Result<()>;

    /// Asks everything to end that has to do with sandboxes, and gives the numbers of all processes of the product that there were.
    fn rest(&mut self) -> Result<Vec<i32>>;
}

#[expect(clippy::print_stderr, reason = "tests, and a command for those who develop, report to the terminal")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
