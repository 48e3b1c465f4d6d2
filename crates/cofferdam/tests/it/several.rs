//! One task about two repositories, as it is typed.

use cofferdam_domain::EventBody;
use cofferdam_testkit::Gitea;
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

/// A hijacked model takes what is in one repository into the change of another one, which more people may read.
#[tokio::test(flavor = "multi_thread")]
async fn what_not_the_same_people_may_read_is_not_worked_on_together() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(gitea) = Gitea::start().await else { return };
    let (ann, agent) = (gitea.account("ann").await, gitea.account("agent").await);
    let (_, open) = gitea.repository(&ann, "open", false).await;
    let (_, diary) = gitea.repository(&ann, "diary", true).await;
    gitea.commit(&open, "main", ("test.sh", TEST)).await;
    gitea.commit(&open, "main", ("greet.sh", "echo Hello\n")).await;
    gitea.commit(&diary, "main", ("page", "what ann thinks\n")).await;
    for path in [&open, &diary] {
        gitea.permit(path, &agent, "admin").await;
    }
    let token = world.file("forge.token", &agent.token);
    let secret = world.file("forge.hook", "nobody posts anything, so nobody needs it");
    world.add_to_configuration(&format!(
        "[[forge]]\nname = \"work\"\nkind = \"gitea\"\nurl = {:?}\ntoken = {{ file = {token:?} }}\nhook_secret = {{ file = {secret:?} }}\nplain_http = true\n",
        gitea.url(),
    ));
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let url = |path: &str| format!("{}/{path}.git", gitea.url());
    let take = format!("cp {}/page {}/taken", name(&diary), name(&open));
    let run = |first: &str, beside: &str| {
        let model = world.recording(&json!([shell(&take), finish("done")]));
        let (first, beside) = (url(first), url(beside));
        world.run(&["run", "--repo", &first, "--also", &beside, "--model", &model, "--test", "true", TASK])
    };
    let pulls = async || {
        let asked = format!("/repos/{open}/pulls?state=all");
        gitea.must(&ann.token, "GET", &asked, None).await.as_array().unwrap().clone()
    };
    for (first, beside) in [(&open, &diary), (&diary, &open)] {
        let output = run(first, beside);
        assert_ne!(output.status, 0, "{output}");
        let why = world.events(None).into_iter().find_map(|event| match event.body {
            EventBody::StageFailed { reason, .. } => Some(reason),
            _ => None,
        });
        let why = why.unwrap();
        assert!(why.contains(&format!("{} whoever reaches", url(&open))), "{why}");
        assert!(
            why.contains(&format!("{} only those", url(&diary))) && why.contains("beside_public"),
            "{why}"
        );
        assert!(!world.ok(&["show", "--json"]).stdout.contains("what ann thinks"));
    }
    assert!(pulls().await.is_empty(), "nothing has left");

    // The operator says by name that it may be.
    world.add_to_configuration(&format!("[repositories]\nbeside_public = [{:?}]\n", url(&diary)));
    let output = run(&open, &diary);
    assert_eq!(output.status, 0, "{output}");
    assert_eq!(pulls().await.len(), 1);
    world.assert_nothing_is_left();
}
