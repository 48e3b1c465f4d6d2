//! What people, hosts and providers get wrong: each ends with a status and one message that says what to do, leaves nothing behind and
//! loses nothing.

/// Repositories.
mod repositories;
/// Hosts, providers, disks, stores.
mod surroundings;
/// What is typed and configured.
mod typed;

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Command, Stdio},
};

use cofferdam_domain::{Event, EventBody, event::Stage, message::Family};
use cofferdam_model::Transcript;
use cofferdam_store::SqliteStore;
use cofferdam_testkit::{FakeProvider, Fault};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    commands::{call, finish, shell},
    harness::{Invocation, Output, Repository, World, skip},
};

/// Longer than a task may be.
const FIVE_MEGABYTES: usize = 5 << 20;

/// A repository in which anything can be done.
fn notes(world: &World) -> Repository {
    world.repository("notes", &[("notes.txt", "one\n")])
}

/// The arguments of a run, and more of them.
fn run<'a>(repository: &'a str, model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--repo", repository, "--model", model], more].concat()
}

/// The model that finds nothing to do.
fn idle(world: &World) -> String {
    world.recording(&json!([finish("nothing_to_do")]))
}

/// Sees to it that the program refused with one message that has all these words, and began nothing.
fn refused(world: &World, invocation: Invocation, words: &[&str]) {
    let output = invocation.run();
    says(&output, 1, words);
    assert_eq!(output.stdout, "", "{output}");
    assert_eq!(sessions(world), 0, "{output}");
}

/// Sees to it that the program ended so, with one message that has all these words.
fn says(output: &Output, status: i32, words: &[&str]) {
    assert_eq!(output.status, status, "{output}");
    assert!(output.stderr.starts_with("cofferdam: ") && output.stderr.ends_with('\n'), "{output}");
    assert_eq!(output.stderr.matches("cofferdam: ").count(), 1, "{output}");
    for word in words {
        assert!(output.stderr.contains(word), "{word:?} is not said: {output}");
    }
}

fn sessions(world: &World) -> usize {
    world.ok(&["sessions", "--json"]).stdout.lines().count()
}

/// Runs git, which must succeed.
fn git(arguments: &[&str]) {
    let done = Command::new("git").args(arguments).stderr(Stdio::null()).status().unwrap();
    assert!(done.success(), "git {arguments:?}");
}
