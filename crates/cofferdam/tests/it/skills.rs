//! `cofferdam skill`: a folder becomes a skill, which sessions have once exactly it was approved.

use serde_json::Value;

use crate::harness::World;

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
        ("empty", "has no SKILL.md"),
        ("headless", "no front matter"),
        ("linked", "neither a file nor a folder"),
        ("nothing", "failed to read"),
    ] {
        let output = world.run(&["skill", "add", folder]);
        assert!(output.status != 0 && output.stderr.contains(wanted), "{folder}: {output}");
    }
}
