//! What Git LFS keeps of submodules: there to be read, built and tested with, as the repository's own is, and not delivered.

use std::path::PathBuf;

use cofferdam_domain::Digest;

use super::*;

const TRACKED: &str = "*.bin filter=lfs diff=lfs merge=lfs -text\n";

fn pointer(content: &str) -> String {
    let name = Digest::of(content.as_bytes());
    format!("version https://git-lfs.github.com/spec/v1\noid {name}\nsize {}\n", content.len())
}

/// Puts a content where Git LFS has it of a repository on this machine, whose git directory this is.
fn keep(git: PathBuf, content: &str) {
    let name = Digest::of(content.as_bytes()).hex();
    let place = git.join("lfs/objects").join(&name[..2]).join(&name[2..4]);
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join(name), content).unwrap();
}

/// An app with a submodule, both of which have something in Git LFS, as whoever works on it here has them.
fn gallery(world: &World) -> Repository {
    let art = world.repository(
        "art",
        &[(".gitattributes", TRACKED), ("a.bin", &pointer("old\n")), ("gone.bin", &pointer("nobody has it"))],
    );
    let test = "echo TAP version 13; echo 1..1; echo ok 1 - $(cat own.bin) $(head -c 7 art/a.bin) $(head -c 7 art/gone.bin)\n";
    let app = world.repository(
        "app",
        &[
            (".gitattributes", TRACKED),
            ("own.bin", &pointer("mine\n")),
            ("test.sh", test),
            (".gitmodules", &section("art", "../art")),
        ],
    );
    link(&app, &[("art", &head(&art))]);
    app.git(&["-c", "protocol.file.allow=always", "submodule", "update", "--quiet", "--init"]);
    keep(app.path.join(".git"), "mine\n");
    keep(app.path.join(".git/modules/art"), "old\n");
    app
}

fn tested(world: &World) -> [String; 2] {
    world.evidence(None).map(|run| run.tests.unwrap().passed.join("; "))
}

#[test]
fn tests_have_what_git_lfs_keeps_of_submodules_and_changes_of_it_are_sent_back() {
    let Some(world) = World::with_sandboxes() else { return };
    let app = gallery(&world);
    let steps = json!([
        shell(
            "cat art/a.bin && test -z \"$(git status --porcelain)\" && test -z \"$(git -C art status --porcelain)\" && echo clean"
        ),
        shell("echo newer > art/a.bin; echo more > notes; touch test.sh art/a.bin"),
        finish("done"),
        shell("git -C art checkout -q . && cat art/a.bin && touch art/a.bin art/gone.bin"),
        finish("done"),
    ]);
    let output = run(&world, app.address(), &steps);
    assert_eq!(output.status, 0, "{output}");
    let said = ready(&world).notes.join("\n");
    assert!(said.contains("In the submodule `art`, 1 file is kept by Git LFS, with real contents"), "{said}");
    assert!(said.contains("In the submodule `art`, 1 file is kept by Git LFS and only pointers"), "{said}");
    assert_eq!(tested(&world), ["mine old version", "mine old version"]);
    let examined: Vec<_> = world
        .events(None)
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::Examined { findings, verdict } => Some((findings, verdict)),
            _ => None,
        })
        .collect();
    assert_eq!(
        examined.iter().map(|(_, verdict)| *verdict).collect::<Vec<_>>(),
        [Verdict::SendBack, Verdict::Publish]
    );
    assert!(examined[0].0.iter().any(|finding| finding.rule == "submodule" && finding.path == "art"));
    // What was touched and has the contents of its commit is not changed.
    assert!(examined[1].0.iter().all(|finding| finding.rule != "submodule"), "{examined:?}");
    let patch = world.ok(&["diff"]).stdout;
    assert!(patch.contains("+more") && !patch.contains("art"), "{patch}");
    assert!(world.ok(&["show", "--json"]).stdout.contains("clean"));

    // One limit is for all of it together.
    world.add_to_configuration("[repositories.lfs]\nall = 8\n");
    let output = run(&world, app.address(), &json!([shell("echo yet more > notes"), finish("done")]));
    assert_eq!(output.status, 0, "{output}");
    let said = ready(&world).notes.join("\n");
    assert!(said.contains("submodule `art`, 2 files are kept by Git LFS and only pointers"), "{said}");
    assert!(said.contains("`all`"), "{said}");
    assert_eq!(tested(&world), ["mine version version", "mine version version"]);
    world.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_read_with_the_rights_of_the_repository_from_the_real_gitea() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(gitea) = Gitea::start().await else { return };
    let (ann, agent) = (gitea.account("ann").await, gitea.account("agent").await);
    let (_, art) = gitea.repository(&ann, "art", true).await;
    let (_, app) = gitea.repository(&ann, "app", true).await;
    for path in [&art, &app] {
        gitea.permit(path, &agent, "admin").await;
    }
    for file in
        [(".gitattributes", TRACKED), ("test.sh", "echo TAP version 13; echo 1..1; echo ok 1 - drawn\n")]
    {
        gitea.commit(&art, "main", file).await;
    }
    let token = world.file("forge.token", &agent.token);
    world.add_to_configuration(&format!(
        "[[forge]]\nname = \"work\"\nkind = \"gitea\"\nurl = {:?}\ntoken = {{ file = {token:?} }}\npoll = \"1h\"\nplain_http = true\n",
        gitea.url(),
    ));
    // A session puts it there, and a person merges it.
    let url = |path: &str| format!("{}/{path}.git", gitea.url());
    let output = run(&world, &url(&art), &json!([shell("echo a mark > mark.bin"), finish("done")]));
    assert_eq!(output.status, 0, "{output}");
    world.ok(&["merge"]);
    let main = gitea.must(&ann.token, "GET", &format!("/repos/{art}/branches/main"), None).await;
    let commit = main["commit"]["id"].as_str().unwrap();

    let name = art.rsplit('/').next().unwrap();
    let test = "echo TAP version 13; echo 1..1; echo ok 1 - $(cat art/mark.bin)\n";
    let local = world
        .repository("app", &[("test.sh", test), (".gitmodules", &section("art", &format!("../{name}.git")))]);
    link(&local, &[("art", commit)]);
    let host = gitea.url().strip_prefix("http://").unwrap().to_owned();
    let push = format!("http://{}:{}@{host}/{app}.git", ann.login, ann.token);
    local.git(&["push", "--quiet", "--force", &push, "HEAD:main"]);
    let look = shell("cat art/mark.bin; cat art/.git/config; env; echo more > notes");
    let output = run(&world, &url(&app), &json!([look, finish("done")]));
    assert_eq!(output.status, 0, "{output}");
    assert_eq!(tested(&world), ["a mark", "a mark"]);
    let shown = world.ok(&["show", "--json"]).stdout;
    assert!(shown.contains("a mark") && !shown.contains(&agent.token), "{shown}");
    world.assert_nothing_is_left();
}
