//! Submodules: their files in the workspace and in the sandboxes of tests, what is not delivered, and what a repository's text cannot reach.

/// What Git LFS keeps of them.
mod contents;
/// Those that fewer people may read than the repository.
mod private;

use std::fs;

use cofferdam_domain::{
    EventBody, Severity, Verdict,
    event::{Repository as Ready, SubmoduleReading},
    evidence::Exit,
};
use cofferdam_testkit::{GitServer, Gitea, Manner};
use serde_json::{Value, json};

use crate::{
    commands::{finish, shell},
    harness::{Output, Repository, World},
};

/// Greets with words that submodules have: the base lacks the mark, and without the submodules there is nothing to be said.
const GREET: &str = ". third/words/words.sh\necho \"$hello, $1$(cat third/words/deep/end)\"\n";
const TEST: &str = "echo TAP version 13; echo 1..1\n\
    if [ \"$(sh greet.sh Ann)\" = 'Hello, Ann!' ]; then echo ok 1 - greets; else echo not ok 1 - greets; exit 1; fi\n";
const MEND: &str = r#"sed -i 's/\$(cat/!$(cat/' greet.sh && sh test.sh"#;

/// A section of `.gitmodules`.
fn section(path: &str, url: &str) -> String {
    format!("[submodule {path:?}]\n\tpath = {path}\n\turl = {url}\n")
}

/// Adds submodules at these commits, without having them.
fn link(repository: &Repository, links: &[(&str, &str)]) -> String {
    for (path, commit) in links {
        repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]);
    }
    repository.git(&["commit", "--quiet", "--no-gpg-sign", "--message=Link"]);
    head(repository)
}

fn head(repository: &Repository) -> String {
    repository.git(&["rev-parse", "HEAD"]).trim().to_owned()
}

/// Has the server serve a repository at this path.
fn serve(world: &World, repository: &Repository, path: &str) -> Repository {
    let bare = world.path(&format!("served/{path}.git"));
    fs::create_dir_all(bare.parent().unwrap()).unwrap();
    repository.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    Repository::at(bare)
}

/// `words`, with the submodule `deep`, and `app` with `words`, as they are made; the app is not served yet.
fn family(world: &World, url: &str) -> (Repository, Repository, Repository) {
    let deep = world.repository("deep", &[("end", "")]);
    let words = world
        .repository("words", &[("words.sh", "hello=Hello\n"), (".gitmodules", &section("deep", "../deep"))]);
    link(&words, &[("deep", &head(&deep))]);
    let app = world.repository(
        "app",
        &[("greet.sh", GREET), ("test.sh", TEST), (".gitmodules", &section("third/words", url))],
    );
    link(&app, &[("third/words", &head(&words))]);
    (deep, words, app)
}

fn run(world: &World, address: &str, steps: &Value) -> Output {
    let model = world.recording(steps);
    world.run(&["run", "--repo", address, "--model", &model, "--test", "sh test.sh", "End it with a mark"])
}

fn ready(world: &World) -> Ready {
    let found = world.events(None).into_iter().find_map(|event| match event.body {
        EventBody::RepositoryReady(repository) => Some(repository),
        _ => None,
    });
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_have_the_files_of_submodules_and_changes_in_them_are_sent_back() {
    let Some(world) = World::with_sandboxes() else { return };
    fs::create_dir_all(world.path("served")).unwrap();
    let server = GitServer::start(&world.path("served"), Manner::Serves).await;
    let (deep, words, app) = family(&world, "../words.git");
    for (repository, path) in [(&deep, "acme/deep"), (&words, "acme/words"), (&app, "acme/app")] {
        serve(&world, repository, path);
    }
    let address = format!("{}/acme/app.git", server.url());
    let steps = json!([
        // They are whole repositories of their own, with nothing of where they came from.
        shell(
            "git status --porcelain; git -C third/words log --oneline; git -C third/words remote; cat third/words/deep/end"
        ),
        shell("echo '!' > third/words/deep/end; sh test.sh; touch third/words/scratch"),
        finish("done"),
        shell(&format!("git -C third/words/deep checkout -q . && {MEND}")),
        finish("done"),
    ]);
    let output = run(&world, &address, &steps);
    assert_eq!(output.status, 0, "{output}");

    let found = ready(&world);
    let places: Vec<&str> = found.submodules.iter().map(|submodule| &*submodule.path).collect();
    assert_eq!(places, ["third/words", "third/words/deep"]);
    assert_eq!(found.submodules[1].url, format!("{}/acme/deep", server.url()));
    assert!(found.submodules.iter().all(|one| one.reading == SubmoduleReading::Together));
    let said = found.notes.join("\n");
    assert!(said.contains("2 submodules are in the workspace") && !said.contains("left out"), "{said}");

    // Nothing but a submodule's files was changed at first: that is said, and goes back.
    let examined: Vec<_> = world
        .events(None)
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::Examined { findings, verdict } => Some((findings, verdict)),
            _ => None,
        })
        .collect();
    assert_eq!(examined.len(), 2);
    let (findings, verdict) = &examined[0];
    assert_eq!(*verdict, Verdict::SendBack);
    let blocking = findings.iter().find(|finding| finding.severity == Severity::Blocking).unwrap();
    assert_eq!((&*blocking.rule, &*blocking.path), ("submodule", "third/words/deep"));
    assert!(blocking.why.contains("not delivered") && blocking.why.contains("--also"), "{}", blocking.why);
    // What was only added is told, and holds nothing up.
    let (findings, verdict) = &examined[1];
    assert_eq!(*verdict, Verdict::Publish);
    assert!(
        findings.iter().any(|finding| finding.rule == "submodule" && finding.severity == Severity::Warning)
    );

    let [base, head] = world.evidence(None);
    assert_eq!((base.exit, head.exit), (Exit::Code(1), Exit::Code(0)));
    assert_eq!(world.ok(&["diff"]).stdout.matches("diff --git").count(), 1);
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_repository_says_of_submodules_reaches_nothing_else() {
    let Some(world) = World::with_sandboxes() else { return };
    fs::create_dir_all(world.path("served")).unwrap();
    let server = GitServer::start(&world.path("served"), Manner::Serves).await;
    let lib = world.repository("lib", &[("one", "1\n")]);
    let secret = world.repository("secret", &[("key", "of somebody else\n")]);
    serve(&world, &lib, "acme/lib");
    serve(&world, &secret, "other/secret");
    let (known, unknown) = (head(&lib), "1".repeat(40));
    let elsewhere = format!("{}/other/secret.git", server.url());
    let file = format!("file://{}", secret.path.display());
    let mut modules: Vec<(&str, &str, &str)> = vec![
        ("fine", "../lib.git", &known),
        ("Fine", "../lib", &known),
        ("gone", "../lib.git", &unknown),
        ("none", "../no-such-repository", &known),
        ("self", "../app.git", &known),
        ("secret", &elsewhere, &known),
        ("file", &file, &known),
        ("path", secret.address(), &known),
        ("far", "../../../../../../etc", &known),
        ("password", "https://ann:hunter2@127.0.0.1/acme/lib", &known),
        ("silent", "", &known),
    ];
    let mut text: String = modules.iter().map(|(path, url, _)| section(path, url)).collect();
    // One at a path that is a file of the repository, one where there is nothing, two that are at odds, one that is not wanted.
    text += &section("test.sh", "../lib.git");
    text += &section("nowhere", "../lib.git");
    text += "[submodule \"one\"]\n\tpath = twice\n\turl = ../lib.git\n[submodule \"two\"]\n\tpath = twice\n\turl = ../lib\n";
    text += &format!("{}\tupdate = none\n", section("unwanted", "../lib.git"));
    modules.extend([("twice", "", &*known), ("unwanted", "", &*known)]);
    let app = world.repository("app", &[("test.sh", "echo fine\n"), (".gitmodules", &text)]);
    let links: Vec<(&str, &str)> = modules.iter().map(|(path, _, commit)| (*path, *commit)).collect();
    link(&app, &links);
    serve(&world, &app, "acme/app");
    let address = format!("{}/acme/app.git", server.url());
    let look = json!([shell("cat fine/one Fine/one test.sh; ls secret file path far; env"), finish("done")]);

    let output = run(&world, &address, &look);
    assert_eq!(output.status, 3, "{output}");
    let found = ready(&world);
    let places: Vec<&str> = found.submodules.iter().map(|submodule| &*submodule.path).collect();
    assert_eq!(places, ["Fine", "fine"], "{:?}", found.notes);
    let said = found.notes.join("\n");
    assert!(said.contains("11 submodules are left out"), "{said}");
    let shown = world.ok(&["show"]).stdout;
    for leaked in ["hunter2", "of somebody else"] {
        assert!(!shown.contains(leaked) && !said.contains(leaked), "{leaked}: {shown}");
    }

    // What the operator permits is read, as anybody; nothing of the same text reaches more by that.
    world.add_to_configuration(&format!(
        "[repositories.submodules]\nfrom = [{:?}]\n",
        format!("{}/other", server.url())
    ));
    link(&app, &[("secret", &head(&secret))]);
    app.git(&["push", "--quiet", world.path("served/acme/app.git").to_str().unwrap(), "main"]);
    let output = run(&world, &address, &look);
    assert_eq!(output.status, 3, "{output}");
    let found = ready(&world);
    let places: Vec<_> = found.submodules.iter().map(|one| (&*one.path, &one.reading)).collect();
    let together = SubmoduleReading::Together;
    let expected = [("Fine", &together), ("fine", &together), ("secret", &SubmoduleReading::Anybody)];
    assert_eq!(places, expected, "{:?}", found.notes);
    world.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_submodules_are_left_out_for_the_most_part() {
    let Some(world) = World::with_sandboxes() else { return };
    fs::create_dir_all(world.path("served")).unwrap();
    let server = GitServer::start(&world.path("served"), Manner::Serves).await;
    let lib = world.repository("lib", &[("one", "1\n")]);
    serve(&world, &lib, "acme/lib");
    let text: String = (0..1000).map(|number| section(&format!("m/{number}"), "../lib.git")).collect();
    let app = world.repository("app", &[("test.sh", "echo fine\n"), (".gitmodules", &text)]);
    let commit = head(&lib);
    let index: String = (0..10_000).map(|number| format!("160000 {commit} 0\tm/{number}\n")).collect();
    let list = world.file("index", &index);
    let script =
        "git update-index --add --index-info < \"$1\" && git commit --quiet --no-gpg-sign --message=Link";
    app.git(&["-c", &format!("alias.many=!f() {{ {script}; }}; f"), "many", list.to_str().unwrap()]);
    serve(&world, &app, "acme/app");
    world.add_to_configuration("[repositories.submodules]\nmost = 3\n");
    let address = format!("{}/acme/app.git", server.url());
    let output = run(&world, &address, &json!([shell("cat m/0/one"), finish("done")]));
    assert_eq!(output.status, 3, "{output}");
    let found = ready(&world);
    assert_eq!(found.submodules.len(), 3);
    let said = found.notes.join("\n");
    assert!(said.contains("9997 submodules are left out") && said.contains("`most`"), "{said}");
    assert!(found.notes.len() < 20, "{said}");
    // One repository is fetched once or looked at, not once for each place that names it.
    world.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_counts_as_well() {
    let Some(world) = World::with_sandboxes() else { return };
    fs::create_dir_all(world.path("served")).unwrap();
    let server = GitServer::start(&world.path("served"), Manner::Serves).await;
    let (lib, big) =
        (world.repository("lib", &[("one", "1\n")]), world.repository("big", &[("x", &"x".repeat(1000))]));
    serve(&world, &lib, "acme/lib");
    serve(&world, &big, "acme/big");
    let (known, large, unknown) = (head(&lib), head(&big), "1".repeat(40));
    world.add_to_configuration("[repositories.submodules]\nmost = 2\nbytes = 500\n");
    let begun = |links: &[(&str, &str, &str)]| {
        let text: String = links.iter().map(|(path, url, _)| section(path, url)).collect();
        let name = format!("app-{}", links.len());
        let app = world.repository(&name, &[("test.sh", "echo fine\n"), (".gitmodules", &text)]);
        link(&app, &links.iter().map(|(path, _, commit)| (*path, *commit)).collect::<Vec<_>>());
        serve(&world, &app, &format!("acme/{name}"));
        let address = format!("{}/acme/{name}.git", server.url());
        let output = run(&world, &address, &json!([shell("ls"), finish("done")]));
        assert_eq!(output.status, 3, "{output}");
        ready(&world)
    };
    // Places that lead to nothing are asked for as often as `most` says, and then nobody asks any more.
    let gone = [("a", "../lib.git", &*unknown), ("b", "../none.git", &*known), ("c", "../lib.git", &*known)];
    let found = begun(&gone);
    let said = found.notes.join("\n");
    assert!(found.submodules.is_empty() && said.contains("`c` is left out: there are more than 2"), "{said}");
    // The same where one has more in it than all may: it is on this machine by then.
    let full = [("a", "../big.git", &*large), ("b", "../lib.git", &*known)];
    let found = begun(&full);
    let said = found.notes.join("\n");
    assert!(found.submodules.is_empty() && said.matches("which is `bytes`").count() == 2, "{said}");
    world.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_read_as_anybody_chooses_none_of_the_neighbours() {
    let Some(world) = World::with_sandboxes() else { return };
    fs::create_dir_all(world.path("served")).unwrap();
    let server = GitServer::start(&world.path("served"), Manner::Serves).await;
    let secret = world.repository("secret", &[("key", "of the neighbour\n")]);
    let more = world.repository("more", &[("two", "2\n")]);
    let url = |path: &str| format!("{}/{path}.git", server.url());
    let text = section("loot", &url("acme/secret")) + &section("more", "../more.git");
    let theirs = world.repository("theirs", &[("one", "1\n"), (".gitmodules", &text)]);
    link(&theirs, &[("loot", &head(&secret)), ("more", &head(&more))]);
    let app = world.repository(
        "app",
        &[("test.sh", "echo fine\n"), (".gitmodules", &section("theirs", &url("public/theirs")))],
    );
    link(&app, &[("theirs", &head(&theirs))]);
    for (repository, path) in
        [(&secret, "acme/secret"), (&more, "public/more"), (&theirs, "public/theirs"), (&app, "acme/app")]
    {
        serve(&world, repository, path);
    }
    world.add_to_configuration(&format!(
        "[repositories.submodules]\nfrom = [{:?}]\n",
        format!("{}/public", server.url())
    ));
    let look = json!([shell("cat theirs/loot/key theirs/more/two"), finish("done")]);
    let output = run(&world, &url("acme/app"), &look);
    assert_eq!(output.status, 3, "{output}");
    let found = ready(&world);
    let places: Vec<_> = found.submodules.iter().map(|one| (&*one.path, &one.reading)).collect();
    let anybody = &SubmoduleReading::Anybody;
    assert_eq!(places, [("theirs", anybody), ("theirs/more", anybody)], "{:?}", found.notes);
    let said = found.notes.join("\n");
    assert!(said.contains("`theirs/loot` is left out") && said.contains("read as anybody"), "{said}");
    assert!(!world.ok(&["show", "--json"]).stdout.contains("of the neighbour"));
    world.assert_nothing_is_left();
}

#[test]
fn a_repository_on_this_machine_has_copies_of_its_own() {
    let Some(world) = World::with_sandboxes() else { return };
    let (_, words, app) = family(&world, "../words");
    let allow = ["-c", "protocol.file.allow=always"];
    app.git(&[&allow[..], &["submodule", "update", "--quiet", "--init", "--recursive"]].concat());
    let output = run(&world, app.address(), &json!([shell(MEND), finish("done")]));
    assert_eq!(output.status, 0, "{output}");
    let found = ready(&world);
    let copies = found.submodules.iter().filter(|one| matches!(one.reading, SubmoduleReading::Copy(_)));
    assert_eq!(copies.count(), 2, "{:?}", found.notes);
    let [base, head] = world.evidence(None);
    assert_eq!((base.exit, head.exit), (Exit::Code(1), Exit::Code(0)));

    // Without copies there is nothing: no path of this machine is asked for that a text names.
    app.git(&["submodule", "--quiet", "deinit", "--force", "--all"]);
    fs::remove_dir_all(app.path.join(".git/modules")).unwrap();
    assert!(words.path.exists());
    let output = run(&world, app.address(), &json!([shell("ls third/words"), finish("done")]));
    let found = ready(&world);
    let said = found.notes.join("\n");
    assert!(found.submodules.is_empty() && said.contains("git submodule update --init"), "{said} {output}");
    world.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_submodule_is_read_with_the_token_of_the_real_gitea() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(gitea) = Gitea::start().await else { return };
    let (ann, agent, eve) =
        (gitea.account("ann").await, gitea.account("agent").await, gitea.account("eve").await);
    let mut paths = Vec::new();
    for (owner, name) in [(&ann, "app"), (&ann, "words"), (&ann, "deep"), (&eve, "diary"), (&ann, "hidden")] {
        let (_, path) = gitea.repository(owner, name, true).await;
        // The agent may read what is another owner's too: that is no right of a session on this repository.
        if name != "hidden" {
            gitea.permit(&path, &agent, "admin").await;
        }
        paths.push((path, owner));
    }
    let name = |number: usize| paths[number].0.rsplit('/').next().unwrap().to_owned();
    let token = world.file("forge.token", &agent.token);
    let secret = world.file("forge.hook", "nobody posts anything, so nobody needs it");
    world.add_to_configuration(&format!(
        "[[forge]]\nname = \"work\"\nkind = \"gitea\"\nurl = {:?}\ntoken = {{ file = {token:?} }}\nhook_secret = {{ file = {secret:?} }}\nplain_http = true\n",
        gitea.url(),
    ));
    let push = |repository: &Repository, number: usize| {
        let (path, owner) = &paths[number];
        let host = gitea.url().strip_prefix("http://").unwrap().to_owned();
        let url = format!("http://{}:{}@{host}/{path}.git", owner.login, owner.token);
        repository.git(&["push", "--quiet", "--force", &url, "HEAD:main"]);
    };
    let deep = world.repository("deep", &[("end", "")]);
    let words = world.repository(
        "words",
        &[("words.sh", "hello=Hello\n"), (".gitmodules", &section("deep", &format!("../{}.git", name(2))))],
    );
    link(&words, &[("deep", &head(&deep))]);
    let diary = world.repository("diary", &[("page", "what eve thinks\n")]);
    let hidden = world.repository("hidden", &[("page", "what ann hides\n")]);
    let text = [
        section("third/words", &format!("../{}.git", name(1))),
        section("diary", &format!("../../{}.git", paths[3].0)),
        section("hidden", &format!("../{}.git", name(4))),
    ]
    .concat();
    let app = world.repository("app", &[("greet.sh", GREET), ("test.sh", TEST), (".gitmodules", &text)]);
    link(&app, &[("third/words", &head(&words)), ("diary", &head(&diary)), ("hidden", &head(&hidden))]);
    for (number, repository) in [&app, &words, &deep, &diary, &hidden].into_iter().enumerate() {
        push(repository, number);
    }
    let url = format!("{}/{}.git", gitea.url(), paths[0].0);
    let look = "cat .git/config third/words/.git/config third/words/deep/.git/config; env; ls diary hidden";
    let output = run(&world, &url, &json!([shell(look), shell(MEND), finish("done")]));
    assert_eq!(output.status, 0, "{output}");
    let [base, head] = world.evidence(None);
    assert_eq!((base.exit, head.exit), (Exit::Code(1), Exit::Code(0)));
    let found = ready(&world);
    let places: Vec<&str> = found.submodules.iter().map(|submodule| &*submodule.path).collect();
    assert_eq!(places, ["third/words", "third/words/deep"], "{:?}", found.notes);
    let said = found.notes.join("\n");
    assert!(said.contains("2 submodules are left out"), "{said}");
    assert!(said.contains("`diary` is left out") && said.contains("not of the same owner"), "{said}");
    assert!(said.contains("`hidden` is left out"), "{said}");
    // The credential is nowhere in what the sandbox saw, and neither is what others keep.
    let shown = world.ok(&["show", "--json"]).stdout;
    for leaked in [&*agent.token, "what eve thinks", "what ann hides"] {
        assert!(!shown.contains(leaked), "{leaked}");
    }
    world.assert_nothing_is_left();
}
