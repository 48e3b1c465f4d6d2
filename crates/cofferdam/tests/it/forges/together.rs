//! Repositories that belong together: asked for once, delivered to each.

use super::*;

/// Waits until the forge shows that this commit has passed the gate.
async fn passed_the_gate(scene: &Scene<'_>, path: &str, head: &str) {
    let (asked, token) = (format!("/repos/{path}/commits/{head}/statuses"), scene.ann.token.clone());
    scene
        .until("status", LONG, async |scene| {
            let statuses = scene.gitea.must(&token, "GET", &asked, None).await;
            let gate =
                |status: &Value| status["context"] == "cofferdam/gate" && status["status"] == "success";
            statuses.as_array()?.iter().any(gate).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_together_is_asked_for_once() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(mut scene) = Scene::new(&world, false).await else { return };
    drop(scene.end());
    let (_, library) = scene.gitea.repository(&scene.ann, "library", false).await;
    for file in
        [("words.sh", "word=Hello\n"), ("check.sh", "echo TAP version 13; echo 1..1; echo ok 1 - checked\n")]
    {
        scene.gitea.commit(&library, "main", file).await;
    }
    // The account may work there, and whoever asks may not.
    let (_, diary) = scene.gitea.repository(&scene.eve, "diary", true).await;
    // Who reads what is made of it may not all read this one.
    let (_, vault) = scene.gitea.repository(&scene.ann, "vault", true).await;
    for path in [&library, &diary, &vault] {
        scene.gitea.permit(path, &scene.agent, "admin").await;
    }
    world.add_to_configuration(&format!(
        "[[forge.together]]\nrepository = {:?}\nalso = [{library:?}, {diary:?}, {vault:?}]\n[[repositories.tests]]\nrepository = {:?}\ncommand = \"sh check.sh\"\n",
        scene.path,
        format!("{}/{library}.git", scene.gitea.url()),
    ));
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let (app, lib) = (name(&scene.path), name(&library));
    let mend = format!(
        r#"sed -i 's/Hello, $1"/Hello, $1!"/' {app}/greet.sh; grep -q mark {lib}/words.sh || echo mark=! >> {lib}/words.sh"#
    );
    scene.steps = vec![shell(&mend), finish(&json!([]))];
    scene.record(&[]);
    scene.start();

    scene.ask(&scene.ann, "Greet louder", TASK).await;
    let ours = |pulls: Value| {
        let login = scene.agent.login.clone();
        pulls.as_array().unwrap().iter().find(|pull| pull["user"]["login"] == *login).cloned()
    };
    let token = &scene.ann.token;
    let mut heads = Vec::new();
    for path in [&scene.path, &library] {
        let asked = format!("/repos/{path}/pulls?state=open");
        let pull = scene
            .until("pull request", LONG, async |scene| {
                ours(scene.gitea.must(token, "GET", &asked, None).await)
            })
            .await;
        heads.push((path.clone(), pull["head"]["sha"].as_str().unwrap().to_owned(), pull));
    }
    let branch = heads[0].2["head"]["ref"].as_str().unwrap();
    assert_eq!(heads[1].2["head"]["ref"], branch);
    let session: SessionId = branch.strip_prefix("cofferdam/").unwrap().parse().unwrap();
    for (path, head, _) in &heads {
        passed_the_gate(&scene, path, head).await;
    }

    let log = scene.log(session);
    let also = log.iter().find_map(|event| match &event.body {
        EventBody::TaskAccepted { task } => Some(task.also.clone()),
        _ => None,
    });
    let also: Vec<String> = also.unwrap().into_iter().map(|also| also.repository).collect();
    assert_eq!(also, [format!("{}/{library}.git", scene.gitea.url())]);
    for (left_out, why) in [(&diary, "may not ask"), (&vault, "`beside_public`")] {
        let told = log.iter().any(|event| match &event.body {
            EventBody::MessageReceived { from, text, .. } => {
                from == "Cofferdam" && text.contains(left_out) && text.contains(why)
            }
            _ => false,
        });
        assert!(told, "nobody is told of {left_out}");
    }
    let commands: Vec<String> = log
        .iter()
        .filter_map(|event| match event.body.in_part() {
            (part, EventBody::EvidenceRun(run)) => Some(format!("{part}: {}", run.command)),
            _ => None,
        })
        .collect();
    assert_eq!(commands.iter().filter(|run| *run == "1: sh test.sh").count(), 2, "{commands:?}");
    assert_eq!(commands.iter().filter(|run| *run == "2: sh check.sh").count(), 2, "{commands:?}");
}
