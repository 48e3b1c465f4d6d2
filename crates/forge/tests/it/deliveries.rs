//! Every example payload that GitHub publishes is read, and what matters of it is found.

use std::{collections::BTreeMap, fs, process::Command};

use cofferdam_forge::hook::{Delivery, ForgeKind, IssueChange, Thread, What};
use serde::Deserialize;

/// The published examples (npm, MIT): 58 events of github.com.
const EXAMPLES: &str = "@octokit/webhooks-examples@7.6.1";

#[derive(Deserialize)]
struct Event {
    name: String,
    examples: Vec<serde_json::Value>,
}

fn examples() -> Result<Vec<Event>, String> {
    let folder = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(&folder).output();
        match output {
            Ok(output) if output.status.success() => Ok(String::from_utf8(output.stdout).unwrap()),
            Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("{program}: {error}")),
        }
    };
    let archive = run("npm", &["pack", "--silent", EXAMPLES])?;
    run("tar", &["-xzf", archive.trim()])?;
    let text = fs::read(folder.path().join("package/api.github.com/index.json")).unwrap();
    Ok(serde_json::from_slice(&text).unwrap())
}

#[test]
fn every_published_example_is_read() {
    let events = match examples() {
        Ok(events) => events,
        Err(why) => {
            eprintln!("SKIPPED: {EXAMPLES} cannot be fetched with npm: {why}");
            return;
        }
    };
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &events {
        let delivery = Delivery::kept(ForgeKind::GitHub, "1".into(), event.name.clone());
        for example in &event.examples {
            let action = example["action"].as_str().unwrap_or_default();
            let occasion = delivery.read(example.to_string().as_bytes());
            let occasion = occasion.unwrap_or_else(|error| panic!("{} {action}: {error}", event.name));
            if let Some(id) = example["repository"]["id"].as_u64() {
                assert_eq!(occasion.repository.as_ref().unwrap().id, id);
            }
            if let Some(login) = example["sender"]["login"].as_str() {
                assert_eq!(occasion.actor.login, login);
            }
            *found.entry(kind(&event.name, action, &occasion.what)).or_default() += 1;
        }
    }
    assert_eq!(events.len(), 58);
    let expected = [
        ("assigned", 3),
        ("branch", 2),
        ("check", 7),
        ("comment on a line", 5),
        ("comment on an issue", 9),
        ("installation", 10),
        ("issue", 24),
        ("labelled", 2),
        ("other", 225),
        ("pull request", 29),
        ("repository", 9),
        ("review", 4),
    ];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}

fn kind(event: &str, action: &str, what: &What) -> &'static str {
    match what {
        What::Issue(issue, change) => {
            assert!(event == "issues" && issue.number > 0 && !issue.author.login.is_empty());
            match change {
                IssueChange::Labelled(labels) => {
                    assert!(action == "labeled" && labels.len() == 1 && issue.labels.contains(&labels[0]));
                    "labelled"
                }
                IssueChange::Assigned(to) => {
                    assert!(action == "assigned" && to.len() == 1);
                    "assigned"
                }
                IssueChange::Opened
                | IssueChange::Edited
                | IssueChange::Closed
                | IssueChange::Reopened
                | IssueChange::Gone
                | IssueChange::Other => "issue",
            }
        }
        What::Comment(Thread::Issue(_), ..) => "comment on an issue",
        What::Comment(Thread::Pull { line: None, .. }, ..) => "comment on a pull request",
        What::Comment(Thread::Pull { line: Some(line), .. }, ..) => {
            assert!(!line.path.is_empty() && !line.commit.is_empty());
            "comment on a line"
        }
        What::Review(..) => "review",
        What::Pull(pull, _) => {
            assert!(!pull.branch.is_empty() && !pull.commit.is_empty());
            "pull request"
        }
        What::Check(_) => "check",
        What::Branch { .. } => "branch",
        What::Repository(_) => "repository",
        What::Installation => "installation",
        What::Other => "other",
    }
}
