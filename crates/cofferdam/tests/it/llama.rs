//! A whole session with a real small model behind a real llama.cpp server. Opt-in: `scripts/local-model test` sets it up.

use std::time::Duration;

use cofferdam_domain::{EventBody, Outcome};

use crate::harness::{World, skip};

/// A small machine reads a prompt at some thirty tokens a second.
const PATIENCE: Duration = Duration::from_secs(25 * 60);

/// The model is small and may write anything. Whatever it writes, the session comes to its end, for a reason that is the model's.
#[test]
fn a_session_with_a_real_small_model_ends_without_a_fault_of_ours() {
    let Ok(server) = std::env::var("COFFERDAM_LLAMA_URL") else {
        skip("COFFERDAM_LLAMA_URL is not set: `scripts/local-model test` runs this with a real model");
        return;
    };
    let Some(world) = World::with_sandboxes() else { return };
    world.add_to_configuration(&format!("\n[models.providers.llamacpp]\nbase_url = \"{server}/v1\"\n"));
    let repository = world.repository(
        "calculator",
        &[
            ("calc.py", "def subtract(a, b):\n    return a + b\n"),
            (
                "test_calc.py",
                "import unittest\nfrom calc import subtract\n\n\nclass Test(unittest.TestCase):\n    \
                 def test_subtract(self):\n        self.assertEqual(subtract(5, 3), 2)\n",
            ),
        ],
    );
    let task = "subtract(5, 3) in calc.py returns 8 instead of 2. Fix the one-line bug in calc.py.";
    let path = repository.path.to_string_lossy().into_owned();
    let output = world
        .cofferdam(&["run", "--repo", &path, "--model", "llamacpp", "--max-steps", "4", task])
        .patience(PATIENCE)
        .run();
    // Success, failure, nothing to do, or a limit: but never wrong usage, an interruption or a signal.
    assert!([0, 1, 3, 4].contains(&output.status), "{output}");
    let events = world.events(None);
    let answers = events.iter().filter(|event| matches!(event.body, EventBody::ModelAnswered { .. })).count();
    assert!(answers > 0, "the model never answered: {output}");
    let ended = events.iter().find_map(|event| match &event.body {
        EventBody::SessionEnded { outcome } => Some(outcome.clone()),
        _ => None,
    });
    assert!(ended.is_some_and(|outcome| outcome != Outcome::Cancelled), "{output}");
    world.ok(&["replay"]);
}
