//! Long sessions: another model writes down what they were about, and the files at two of their steps are compared.

use cofferdam_domain::{EventBody, event::ModelRole};

use serde_json::json;

use crate::harness::World;

/// A recording of many long reads in a small window, and one of a model that only writes notes.
const WORKS: &str =
    "name = 'works'\ncontext_window = 6000\nmax_output = 1000\nsummary.text = 'Its own notes.'\n";
const NOTES: &str = "name = 'notes'\nsummary.text = 'Notes of another model.'\n[[step]]\ntext = 'It is never asked for a step.'\n";

#[test]
fn another_model_writes_the_notes() {
    let Some(world) = World::with_sandboxes() else { return };
    let long: Vec<String> =
        (0..12).map(|number| format!("value_{number} = 1  # of many\n").repeat(100)).collect();
    let names: Vec<String> = (0..12).map(|number| format!("m{number}.py")).collect();
    let mut files: Vec<(&str, &str)> =
        names.iter().zip(&long).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.push(("greet.sh", "echo hello\n"));
    let repository = world.repository("repository", &files);

    let step = |call: String| format!("[[step]]\ntext = 'Going on.'\n[[step.call]]\n{call}\n");
    let reads = names.iter().map(|name| step(format!("tool = 'read'\nargs = {{ path = '{name}' }}")));
    let works: String = std::iter::once(WORKS.to_owned())
        .chain(reads)
        .chain([
            step("tool = 'write'\nargs = { path = 'greet.sh', content = \"echo hello, you\\n\" }".to_owned()),
            step(
                "tool = 'finish'\nargs = { outcome = 'done', title = 'Greet you', summary = 'It did not.' }"
                    .to_owned(),
            ),
        ])
        .collect();
    let file = |text: &str| world.transcript(text).replacen("scripted:", "", 1);
    let provider = |name: &str, text: &str| {
        let path = file(text);
        format!("[models.providers.{name}]\nkind = 'scripted'\ndefault = '{name}'\ntranscript = '{path}'\n")
    };
    world.add_to_configuration(&format!(
        "{}{}[models.route]\ncompact = 'notes'\n",
        provider("works", &works),
        provider("notes", NOTES)
    ));

    let path = repository.path.display().to_string();
    let output = world.run(&["run", "--repo", &path, "--model", "works", "Greet whoever is there."]);
    assert_eq!(output.status, 0, "{output}");
    let events = world.events(None);
    let (mut summary, mut by, mut compacted) = (false, Vec::new(), 0);
    for event in &events {
        match &event.body {
            EventBody::PolicyFixed(fixed) => {
                assert_eq!(fixed.routes.get(ModelRole::Compact).unwrap().name, "notes");
            }
            EventBody::ModelAsked { compaction, .. } => summary = *compaction,
            EventBody::ModelAnswered { answer, .. } => by.push((summary, answer.model.as_str())),
            EventBody::Compacted { summary, facts, .. } => {
                assert!(summary.starts_with("Notes of another model."), "{summary}");
                assert!(facts.as_ref().unwrap().contains("m0.py"), "{facts:?}");
                compacted += 1;
            }
            _ => {}
        }
    }
    assert!(compacted >= 1);
    assert!(by.iter().all(|(summary, name)| *name == if *summary { "notes" } else { "works" }), "{by:?}");
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

#[test]
fn two_checkpoints_are_compared() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = world.repository("repository", &[("greet.sh", "echo hello\n")]);
    // What the agent leaves in its own `.git` has no say in it.
    let swap = "echo '* filter=swap' > .git/info/attributes; git config filter.swap.clean 'echo swapped'; git config diff.external false";
    let model = world.recording(&json!([
        { "call": [
            { "tool": "shell", "args": { "command": swap } },
            { "tool": "write", "args": { "path": "one.txt", "content": "the first\n" } },
        ] },
        { "call": [
            { "tool": "write", "args": { "path": "two.txt", "content": "the second\n" } },
            { "tool": "shell", "args": { "command": "echo \"echo hello, you\" > greet.sh" } },
        ] },
        { "call": [{ "tool": "finish", "args": { "outcome": "done", "title": "Greet you", "summary": "It did not." } }] },
    ]));
    let path = repository.path.display().to_string();
    let output = world.run(&["run", "--repo", &path, "--model", &model, "Greet whoever is there."]);
    assert_eq!(output.status, 0, "{output}");
    let events = world.events(None);
    let session = events[0].session.to_string();
    let kept: Vec<String> = events
        .iter()
        .filter(|event| matches!(event.body, EventBody::Checkpointed { .. }))
        .map(|event| event.seq.0.to_string())
        .collect();
    let [first, .., last] = &kept[..] else { panic!("{kept:?}") };
    let listed = world.ok(&["checkpoints", &session]).stdout;
    assert!(kept.iter().all(|number| listed.contains(&format!("{number}  2"))), "{listed}");

    let differs = world.ok(&["checkpoints", &session, "--diff", first]).stdout;
    assert_eq!(differs, world.ok(&["checkpoints", &session, "--diff", first, last]).stdout);
    for line in ["+the second", "-echo hello", "+echo hello, you"] {
        assert!(differs.lines().any(|known| known == line), "{line} is missing in {differs}");
    }
    assert!(!differs.contains("one.txt"), "{differs}");
    let back = world.ok(&["checkpoints", &session, "--diff", last, first]).stdout;
    assert!(back.lines().any(|line| line == "-the second"), "{back}");
    let same = world.ok(&["checkpoints", &session, "--diff", last, last]).stdout;
    assert!(same.contains("The files are the same"), "{same}");
    let unknown = world.run(&["checkpoints", &session, "--diff", "1"]);
    assert!(unknown.status == 1 && unknown.stderr.contains("no such checkpoint"), "{unknown}");
    world.assert_nothing_is_left();
}
