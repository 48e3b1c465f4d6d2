//! Edits that agents have made, from recordings of SWE-agent (MIT licence): the same edit gives the same
//! change.
//!
//! The recordings are no part of this repository. `COFFERDAM_TEST_DATA` names a directory with a folder
//! `trajectories` of `.traj` files.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::suite::Bench;

pub(crate) async fn edits_of_recorded_runs(bench: Bench) {
    let named = std::env::var_os("COFFERDAM_TEST_DATA").map(|root| PathBuf::from(root).join("trajectories"));
    let Some(directory) = named.filter(|directory| directory.is_dir()) else {
        eprintln!(
            "SKIPPED: no recorded edits: set COFFERDAM_TEST_DATA to the folder that has them in trajectories"
        );
        return;
    };
    let mut edits = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let recording: Value =
            serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let Some(diff) = recording["info"]["submission"].as_str() else { continue };
        let (before, after, patch) = sides(diff);
        for step in recording["trajectory"].as_array().unwrap() {
            let action = step["action"].as_str().unwrap();
            let applied = step["observation"].as_str().unwrap().starts_with("Text replaced");
            let parts: Vec<&str> = action.split('\'').collect();
            if let (true, ["edit ", old, " ", new, ""]) = (applied, parts.as_slice()) {
                bench.put("fields.py", &before).await;
                bench.ok("read", json!({"path": "fields.py"})).await;
                bench.ok("edit", json!({"path": "fields.py", "old_string": old, "new_string": new})).await;
                assert_eq!(bench.text("fields.py").await, after);
                edits += 1;
            }
        }
        bench.put("fields.py", &before).await;
        bench.ok("apply_patch", json!({"patch": patch})).await;
        assert_eq!(bench.text("fields.py").await, after);
        edits += 1;
    }
    assert!(edits > 0, "no recording has an edit");
}

/// The two sides of a diff of one file, as far as it shows them, and the diff as a patch.
fn sides(diff: &str) -> (String, String, String) {
    let (mut before, mut after) = (String::new(), String::new());
    let mut patch = "*** Begin Patch\n*** Update File: fields.py\n".to_owned();
    for line in diff.lines().skip_while(|line| !line.starts_with("@@")) {
        patch.push_str(line);
        patch.push('\n');
        // A blank line in a diff is a blank line of both sides.
        let (sign, text) = line.split_at_checked(1).unwrap_or((" ", ""));
        if matches!(sign, " " | "-") {
            before.push_str(&format!("{text}\n"));
        }
        if matches!(sign, " " | "+") {
            after.push_str(&format!("{text}\n"));
        }
    }
    (before, after, patch + "*** End Patch")
}
