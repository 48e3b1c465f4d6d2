//! Large repositories: only some directories in the workspace, copies without the contents that nobody needs, and contents that Git LFS keeps.

use std::fs;

use cofferdam_domain::{Digest, Event, EventBody, EvidenceRun, evidence::Exit};
use cofferdam_testkit::Gitea;
use serde_json::json;

use crate::{
    commands::{GREET, TEST, finish, look, mend, shell},
    harness::{Repository, World},
};

/// A repository of several parts. Its tests say which of them are there.
fn several(world: &World) -> Repository {
    world.repository(
        "several",
        &[
            ("test.sh", "echo TAP version 13; echo 1..1; echo ok 1 - $(ls -d services/* docs 2>/dev/null) $(cat docs/guide 2>/dev/null)\n"),
            ("services/web/page", "one\n"),
            ("services/api/call", "two\n"),
            ("docs/guide", "three\n"),
            ("docs/deep/er", "four\n"),
        ],
    )
}

fn notes(events: &[Event]) -> (Vec<String>, Vec<String>) {
    let found = events.iter().find_map(|event| match &event.body {
        EventBody::RepositoryReady(repository) => Some((repository.notes.clone(), repository.cones.clone())),
        _ => None,
    });
    found.unwrap()
}

/// What its tests saw.
fn seen(run: EvidenceRun) -> String {
    assert_eq!(run.exit, Exit::Code(0));
    run.tests.unwrap().passed.join("; ")
}

#[test]
fn a_workspace_with_some_directories_changes_nothing_else() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = several(&world);
    let run = |steps: &serde_json::Value, more: &[&str]| {
        let model = world.recording(steps);
        let arguments = ["run", "--repo", repository.address(), "--model", &model, "--test", "sh test.sh"];
        world.run(&[&arguments[..], more, &["Write it"]].concat())
    };
    let change = || {
        let branch = world.pull_request().branch;
        repository.git(&["diff", "--name-status", "main", &branch]).trim_end().to_owned()
    };

    let steps = json!([
        shell("test ! -e docs && test ! -e services/api && echo more >> services/web/page"),
        finish("done")
    ]);
    let output = run(&steps, &["--sparse", "services/web"]);
    assert_eq!(output.status, 0, "{output}");
    assert_eq!(change(), "M\tservices/web/page");
    let (said, cones) = notes(&world.events(None));
    assert_eq!(cones, ["services/web"]);
    assert!(said[0].contains("services/web") && said[0].contains("git sparse-checkout add"), "{said:?}");
    assert_eq!(world.evidence(None).map(seen), ["services/web", "services/web"]);

    // What the task turns out to need can be brought in; the tests have it too. What is configured counts where the task says nothing.
    world.add_to_configuration(&format!(
        "[[repositories.sparse]]\nrepository = {:?}\ndirectories = [\"services/web\"]\n",
        repository.address()
    ));
    let bring = "git sparse-checkout add docs && echo more > docs/guide && rm docs/deep/er && echo more >> services/web/page";
    let output = run(&json!([shell(bring), finish("done")]), &[]);
    assert_eq!(output.status, 0, "{output}");
    assert_eq!(change(), "M\tdocs/guide\nM\tservices/web/page");
    assert_eq!(world.evidence(None).map(seen), ["docs services/web three", "docs services/web more"]);

    let output = run(&json!([finish("done")]), &["--sparse", "nowhere"]);
    assert!(
        output.status == 1 && output.stdout.contains("no such directory at this base: nowhere"),
        "{output}"
    );
    let output = run(&json!([finish("done")]), &["--sparse", "../up"]);
    assert!(output.status == 1 && output.stderr.contains("no path of a directory"), "{output}");
    world.assert_nothing_is_left();
}

#[test]
fn what_git_lfs_keeps_is_there_and_goes_along() {
    let Some(world) = World::with_sandboxes() else { return };
    let pointer = |content: &str| {
        let name = Digest::of(content.as_bytes());
        format!("version https://git-lfs.github.com/spec/v1\noid {name}\nsize {}\n", content.len())
    };
    let test = "echo TAP version 13; echo 1..1; echo ok 1 - $(cat a.bin) $(cat new.bin 2>/dev/null) $(head -c 7 gone.bin)\n";
    let repository = world.repository(
        "assets",
        &[
            (".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n"),
            ("a.bin", &pointer("old\n")),
            ("gone.bin", &pointer("nobody has it")),
            ("test.sh", test),
        ],
    );
    let kept = |content: &str| {
        let name = Digest::of(content.as_bytes()).hex();
        repository.path.join(".git/lfs/objects").join(&name[..2]).join(&name[2..4]).join(name)
    };
    fs::create_dir_all(kept("old\n").parent().unwrap()).unwrap();
    fs::write(kept("old\n"), "old\n").unwrap();
    let change = "test -z \"$(git status --porcelain)\" && echo changed > a.bin && echo added > new.bin && \
                  git add new.bin && git -c user.name=A -c user.email=a@b commit -qm New && rm new.bin && echo fresh > new.bin";
    let model = world.recording(&json!([shell(change), finish("done")]));
    let arguments =
        ["run", "--repo", repository.address(), "--model", &model, "--test", "sh test.sh", "Draw it"];
    let output = world.run(&arguments);
    assert_eq!(output.status, 0, "{output}");
    let (said, _) = notes(&world.events(None));
    assert!(said[0].contains("1 file is kept by Git LFS, with real contents"), "{said:?}");
    assert!(said[1].contains("1 file is kept by Git LFS and only pointers here"), "{said:?}");
    assert_eq!(world.evidence(None).map(seen), ["old version", "changed fresh version"]);
    let branch = world.pull_request().branch;
    let stands = |path: &str| repository.git(&["show", &format!("{branch}:{path}")]);
    assert_eq!((stands("a.bin"), stands("new.bin")), (pointer("changed\n"), pointer("fresh\n")));
    for content in ["changed\n", "fresh\n"] {
        assert_eq!(fs::read_to_string(kept(content)).unwrap(), content);
    }
    // What a commit had that a later one took back is not published.
    assert!(!kept("added\n").exists());
    world.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_without_contents_serves_a_session_from_the_real_gitea() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(gitea) = Gitea::start().await else { return };
    let (ann, agent) = (gitea.account("ann").await, gitea.account("agent").await);
    let (_, path) = gitea.repository(&ann, "greeter", true).await;
    let tracked = "*.bin filter=lfs diff=lfs merge=lfs -text\n";
    for file in [("old", "gone\n"), ("greet.sh", GREET), ("test.sh", TEST), (".gitattributes", tracked)] {
        gitea.commit(&path, "main", file).await;
    }
    gitea.permit(&path, &agent, "admin").await;
    let token = world.file("forge.token", &agent.token);
    let secret = world.file("forge.hook", "nobody posts anything, so nobody needs it");
    world.add_to_configuration(&format!(
        "[repositories]\nwhole_up_to = 0\n[[forge]]\nname = \"work\"\nkind = \"gitea\"\nurl = {:?}\ntoken = {{ file = {token:?} }}\nhook_secret = {{ file = {secret:?} }}\nplain_http = true\n",
        gitea.url(),
    ));
    let model = world.recording(&json!([look(), mend(), shell("echo a mark > mark.bin"), finish("done")]));
    let url = format!("{}/{path}.git", gitea.url());
    let output =
        world.run(&["run", "--repo", &url, "--model", &model, "--test", "sh test.sh", "End it with a mark"]);
    assert_eq!(output.status, 0, "{output}");
    let [base, head] = world.evidence(None);
    assert_eq!((base.exit, head.exit), (Exit::Code(1), Exit::Code(0)));
    let mirrors = fs::read_dir(world.data().join("mirrors")).unwrap();
    assert!(mirrors.flatten().any(|holder| holder.path().join("partial.git").exists()));
    let pulls = gitea.must(&ann.token, "GET", &format!("/repos/{path}/pulls"), None).await;
    assert_eq!(pulls.as_array().unwrap().len(), 1, "{pulls}");
    assert_eq!(pulls[0]["head"]["sha"], world.pull_request().head_commit);
    // What Git LFS is to keep went there before the branch.
    let kept = format!("/repos/{path}/media/mark.bin?ref={}", world.pull_request().head_commit);
    assert_eq!(gitea.must(&ann.token, "GET", &kept, None).await, "a mark\n");
    world.assert_nothing_is_left();
}
