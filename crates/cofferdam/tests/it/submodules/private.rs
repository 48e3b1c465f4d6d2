//! A submodule that fewer people may read than the repository that names it is not even fetched.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_only_some_may_read_is_not_brought_to_a_repository_that_all_read() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(gitea) = Gitea::start().await else { return };
    let (ann, agent) = (gitea.account("ann").await, gitea.account("agent").await);
    let (_, app) = gitea.repository(&ann, "app", false).await;
    let (_, open) = gitea.repository(&ann, "open", false).await;
    let (_, diary) = gitea.repository(&ann, "diary", true).await;
    for path in [&app, &open, &diary] {
        gitea.permit(path, &agent, "admin").await;
    }
    gitea.commit(&open, "main", ("page", "for everybody\n")).await;
    gitea.commit(&diary, "main", ("page", "what ann thinks\n")).await;
    let commit = async |path: &str| {
        let main = gitea.must(&ann.token, "GET", &format!("/repos/{path}/branches/main"), None).await;
        main["commit"]["id"].as_str().unwrap().to_owned()
    };
    let token = world.file("forge.token", &agent.token);
    world.add_to_configuration(&format!(
        "[[forge]]\nname = \"work\"\nkind = \"gitea\"\nurl = {:?}\ntoken = {{ file = {token:?} }}\npoll = \"1h\"\nplain_http = true\n",
        gitea.url(),
    ));
    let url = |path: &str| format!("../{}.git", path.rsplit('/').next().unwrap());
    let text = section("open", &url(&open)) + &section("diary", &url(&diary));
    let local = world.repository("app", &[("test.sh", "echo fine\n"), (".gitmodules", &text)]);
    link(&local, &[("open", &commit(&open).await), ("diary", &commit(&diary).await)]);
    let host = gitea.url().strip_prefix("http://").unwrap().to_owned();
    let push = format!("http://{}:{}@{host}/{app}.git", ann.login, ann.token);
    local.git(&["push", "--quiet", "--force", &push, "HEAD:main"]);

    let address = format!("{}/{app}.git", gitea.url());
    let output = run(&world, &address, &json!([shell("cat open/page; ls diary"), finish("done")]));
    assert_eq!(output.status, 3, "{output}");
    let found = ready(&world);
    let places: Vec<&str> = found.submodules.iter().map(|submodule| &*submodule.path).collect();
    assert_eq!(places, ["open"], "{:?}", found.notes);
    let said = found.notes.join("\n");
    assert!(said.contains("`diary` is left out: it is private"), "{said}");
    // There is no copy of it to get out of.
    let mirrors = fs::read_dir(world.data().join("mirrors")).unwrap().flatten();
    assert_eq!(mirrors.filter(|holder| holder.path().is_dir()).count(), 2);
    assert!(!world.ok(&["show", "--json"]).stdout.contains("what ann thinks"));
    world.assert_nothing_is_left();
}
