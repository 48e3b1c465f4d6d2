//! One task about two repositories, as it is typed.

use serde_json::json;

use crate::{
    commands::{TASK, TEST, finish, greeter, shell},
    harness::World,
};

#[test]
fn a_task_about_two_repositories_gets_a_pull_request_in_each() {
    let Some(world) = World::with_sandboxes() else { return };
    let greeter = greeter(&world);
    let library = world.repository("library", &[("words.sh", "word=Hello\n"), ("test.sh", TEST)]);
    let twice = format!("{}#main", library.address());
    let model = world.recording(&json!([
        shell("ls -d greeter library && sed -i 's/1\"/1!\"/' greeter/greet.sh && echo 'mark=!' >> library/words.sh"),
        finish("done"),
    ]));
    let run = [
        "run",
        "--repo",
        greeter.address(),
        "--also",
        &twice,
        "--model",
        &model,
        "--test",
        "sh test.sh",
        TASK,
    ];
    let shown = world.ok(&run).stdout;
    assert!(shown.contains("[library] pull request #1") && shown.contains("#1 of "), "{shown}");
    let said = world.ok(&["pr"]).stdout;
    assert_eq!(said.matches("#1 open").count(), 2, "{said}");
    assert_eq!(said.matches("### Together with").count(), 2, "{said}");
    let patch = world.ok(&["diff"]).stdout;
    assert!(patch.contains("# greeter\n") && patch.contains("# library\n"), "{patch}");
    world.ok(&["replay"]);
    for repository in [&greeter, &library] {
        repository.git(&["switch", "--quiet", "--detach"]);
    }
    assert_eq!(world.ok(&["merge"]).stdout.matches("merged into main").count(), 2);
    assert!(greeter.git(&["show", "main:greet.sh"]).contains("$1!"));
    assert!(library.git(&["show", "main:words.sh"]).contains("mark=!"));

    let again = ["run", "--repo", greeter.address(), "--also", greeter.address(), "--model", &model, TASK];
    let refused = world.run(&again);
    assert!(refused.status != 0 && refused.stderr.contains("named twice"), "{}", refused.stderr);
}
