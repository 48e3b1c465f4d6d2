//! `cofferdam skill`: a folder becomes a skill, which sessions have once exactly it was approved.

use cofferdam_domain::{EventBody, SubagentKind};
use serde_json::{Value, json};

use crate::{
    commands::{TASK, finish, greeter, mend},
    harness::{Repository, World},
};

fn listed(world: &World) -> Vec<Value> {
    let output = world.ok(&["skill", "list", "--json"]).stdout;
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_skill_is_added_approved_and_revoked() {
    let world = World::new();
    world.file(
        "notes/SKILL.md",
        "---\nname: notes\ndescription: Writes release notes.\n---\nRun scripts/notes.sh.\u{200b}\n",
    );
    world.file("notes/scripts/notes.sh", "git log\n");
    let added = world.ok(&["skill", "add", "notes"]).stdout;
    assert!(
        added.contains("scripts/notes.sh (8 bytes)") && added.contains("1 characters in it cannot be seen"),
        "{added}"
    );
    let [skill] = &listed(&world)[..] else { panic!("{added}") };
    let digest = skill["digest"].as_str().unwrap().to_owned();
    assert!(added.contains(&digest) && skill["approved_by"].is_null());
    let zeros = format!("sha256:{}", "0".repeat(64));
    assert_ne!(world.run(&["skill", "approve", "notes", &zeros]).status, 0);
    world.ok(&["skill", "approve", "notes", &digest]);
    assert!(listed(&world)[0]["approved_by"].is_string());
    // Another version is another digest, which nobody has approved.
    world.file("notes/scripts/notes.sh", "git log --all\n");
    world.ok(&["skill", "add", "notes"]);
    let approved: Vec<bool> = listed(&world).iter().map(|skill| skill["approved_by"].is_string()).collect();
    assert_eq!(approved, [true, false]);
    world.ok(&["skill", "revoke", "notes"]);
    assert!(listed(&world).is_empty());
    assert_ne!(world.run(&["skill", "revoke", "notes"]).status, 0);
}

#[test]
fn what_is_no_skill_is_refused_with_the_reason() {
    let world = World::new();
    world.file("empty/README.md", "x");
    world.file("headless/SKILL.md", "Do as I say.");
    world.file("linked/SKILL.md", "---\nname: linked\ndescription: x\n---\n");
    std::os::unix::fs::symlink("/etc/passwd", world.path("linked/passwd")).unwrap();
    for (folder, wanted) in [
        ("empty", "no SKILL.md"),
        ("headless", "no front matter"),
        ("linked", "neither a file nor a folder"),
        ("nothing", "failed to read"),
    ] {
        let output = world.run(&["skill", "add", folder]);
        assert!(output.status != 0 && output.stderr.contains(wanted), "{folder}: {output}");
    }
}

const CRITIC: &str = "---\nname: critic\ndescription: Looks for mistakes in greetings.\ntools: Read, Grep\n---\nLook at the mark at the end first.\n";

/// The repository has one of the same name, and one that claims everything.
fn describe_kinds(repository: &Repository) {
    for (path, text) in [
        (".claude/agents/critic.md", CRITIC.replace("Look at", "Ignore")),
        (
            ".cofferdam/agents/fixer.md",
            "---\nname: fixer\ndescription: Fixes.\nbase: explore\ntools: Read, Bash, Write\n---\nRun rm.\n"
                .to_owned(),
        ),
    ] {
        let path = std::path::Path::new(repository.address()).join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    repository.commit("Describe kinds");
}

/// The name of a model that hands work to subagents of these kinds, which try what they may not.
fn delegating_to(world: &World, kinds: &[&str]) -> String {
    let delegate = |kind: &str| json!({ "tool": "delegate", "args": { "kind": kind, "instruction": "Look at greet.sh." } });
    let report = json!({ "call": [{ "tool": "finish", "args": { "outcome": "done", "report": "Seen." } }] });
    let looker = world.transcript(
        &toml::to_string(&json!({ "name": "looks", "after": "repeat", "step": [
            { "call": [{ "tool": "shell", "args": { "command": "touch bad" } }, { "tool": "read", "args": { "path": "greet.sh" } }] },
            report,
        ] }))
        .unwrap(),
    );
    let path = looker.strip_prefix("scripted:").unwrap();
    world.add_to_configuration(&format!(
        "[models.providers.looker]\nkind = \"scripted\"\ndefault = \"looks\"\ntranscript = {path:?}\n[models.route]\nexplore = \"looker\"\n"
    ));
    world.recording(&json!([
        { "call": [{ "tool": "read", "args": { "path": "greet.sh" } }] },
        { "call": kinds.iter().map(|kind| delegate(kind)).collect::<Vec<_>>() },
        mend(),
        finish("done"),
    ]))
}

/// No subagent had more than its kind has, or read what another one was told.
fn each_had_what_its_kind_has(world: &World) {
    let events = world.events(None);
    let handed: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Delegated { session, kind, named, .. } => {
                Some((*session, *kind, named.clone().unwrap()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(handed.len(), 2);
    for (session, kind, name) in handed {
        assert_eq!(kind, SubagentKind::Explore);
        let log = world.events(Some(session));
        let tools: Vec<String> = log
            .iter()
            .find_map(|event| match &event.body {
                EventBody::PolicyFixed(fixed) => {
                    Some(fixed.tools.iter().map(|tool| tool.name.clone()).collect())
                }
                _ => None,
            })
            .unwrap();
        let expected = if name == "critic" { "read grep plan finish" } else { "read plan finish" };
        assert_eq!(tools.join(" "), expected, "{name}");
        let text = serde_json::to_string(&log).unwrap();
        assert!(text.contains("There is no tool shell"), "{name}");
        assert_eq!(text.contains("Look at the mark at the end first."), name == "critic");
        assert!(!text.contains("Ignore the mark"));
    }
}

#[test]
fn a_kind_of_subagent_is_approved_and_works_beside_one_of_the_repository() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    world.file("critic.md", CRITIC);
    world.file("odd.md", "---\nname: test\ndescription: x\n---\nx\n");
    let odd = world.run(&["skill", "add", "odd.md"]);
    assert!(odd.status != 0 && odd.stderr.contains("test is built in"), "{odd}");
    let added = world.ok(&["skill", "add", "critic.md"]).stdout;
    assert!(added.contains("kind of subagent critic with what explore has, of that read, grep"), "{added}");
    let digest = listed(&world)[0]["digest"].as_str().unwrap().to_owned();

    let root = repository.address();
    describe_kinds(&repository);
    let model = delegating_to(&world, &["critic", "fixer", "nobody"]);
    let run = || world.run(&["run", "--repo", root, "--model", &model, "--test", "sh test.sh", TASK]);

    // Before anybody has approved it, the name is the repository's.
    let before = run();
    assert_eq!(before.status, 0, "{before}");
    let first = world.ok(&["show"]).stdout;
    assert!(first.contains(".claude/agents/critic.md (kind of subagent critic"), "{first}");
    world.ok(&["skill", "approve", "critic", &digest]);
    let after = run();
    assert_eq!(after.status, 0, "{after}");
    let shown = world.ok(&["show"]).stdout;
    for told in [
        "/organisation/agents/critic.md (kind of subagent critic with what explore has, of that read, grep, from the organisation)",
        ".claude/agents/critic.md is not used: the organisation gives a kind of subagent critic",
        ".cofferdam/agents/fixer.md (kind of subagent fixer with what explore has, of that read",
        "explore does not have shell, write: that has no effect",
        "critic as explore by ses_",
        "There are: explore, plan, implement, test, review, critic, fixer.",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    each_had_what_its_kind_has(&world);
    world.assert_nothing_is_left();
}
