//! What the model of a measured session plays.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

/// Looks, changes a file and finishes, after so much thought about each step.
pub(crate) fn quick(thought: Duration) -> Result<String> {
    let look = json!([{ "tool": "read", "args": { "path": "notes/0.txt" } }]);
    let edits = json!([{ "old_text": "line 7 of", "new_text": "line 7, which was seen, of" }]);
    let edit = json!([{ "tool": "edit", "args": { "path": "notes/0.txt", "edits": edits } }]);
    let finish = json!([{ "tool": "finish", "args": {
        "outcome": "done", "title": "Mark the note", "summary": "One line of the note is marked as seen.",
    } }]);
    written([look, edit, finish].map(|call| step(call, thought)))
}

/// Looks, and then thinks for longer than anything is measured.
pub(crate) fn busy() -> Result<String> {
    let look = json!([{ "tool": "shell", "args": { "command": "head -n 3 notes/0.txt" } }]);
    written([step(look.clone(), Duration::ZERO), step(look, Duration::from_secs(3600))])
}

fn step(call: Value, thought: Duration) -> Value {
    let millis = u64::try_from(thought.as_millis()).unwrap_or(u64::MAX);
    json!({ "text": "Now the next step.", "call": call, "delay_ms": millis })
}

fn written(steps: impl IntoIterator<Item = Value>) -> Result<String> {
    let steps: Vec<Value> = steps.into_iter().collect();
    Ok(toml::to_string(&json!({ "name": "recorded", "step": steps }))?)
}
