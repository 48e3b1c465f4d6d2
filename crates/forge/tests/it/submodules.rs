//! What a repository says of its submodules, read from the real git, and copies that lie beside it.

use std::{fs, os::unix::fs::symlink};

use cofferdam_forge::{NamedSubmodule, RepositoryAddress};

use crate::fixture::{World, commit, git, git_with_input, init, small_world, write};

/// A section of `.gitmodules`.
fn section(name: &str, path: &str, url: &str) -> String {
    format!("[submodule \"{name}\"]\n\tpath = {path}\n\turl = {url}\n")
}

/// Adds submodules at these paths, which nobody has.
fn link(world: &World, paths: &[&str]) {
    let head = git(&world.source, &["rev-parse", "HEAD"]);
    for path in paths {
        git(&world.source, &["update-index", "--add", "--cacheinfo", &format!("160000,{head},{path}")]);
    }
    git(&world.source, &["add", ".gitmodules"]);
    git(&world.source, &["commit", "-q", "-m", "Link"]);
}

async fn named(world: &World) -> Vec<NamedSubmodule> {
    let mirror = world.update().await.unwrap();
    let base = mirror.resolve(None).await.unwrap();
    mirror.submodules(&base).await.unwrap()
}

#[tokio::test]
async fn a_path_counts_only_where_the_tree_has_a_submodule() {
    let world = small_world();
    let text = [
        section("a", "lib", "https://h/a/lib"),
        "# a comment\n[Submodule \"b \\\"c\\\"\"]\nPATH = third/x y ; said\n\turl = \"https://h/a/x\"\n"
            .to_owned(),
        section("c", "README", "https://h/a/over"),
        section("d", "not/there", "https://h/a/nothing"),
        section("e", "odd", "https://h/a/one"),
        section("f", "odd", "https://h/a/two"),
        "[include]\n\tpath = /etc/passwd\n".to_owned(),
    ]
    .concat();
    write(&world.source, &[(".gitmodules", &text)]);
    link(&world, &["lib", "third/x y", "odd", "untold"]);
    let found = named(&world).await;
    let urls: Vec<_> = found
        .iter()
        .map(|one| (&*one.path, one.named.as_ref().map(|named| &*named.url).map_err(|why| &**why)))
        .collect();
    assert_eq!(
        urls,
        [
            ("lib", Ok("https://h/a/lib")),
            ("odd", Err(".gitmodules names its path more than once")),
            ("third/x y", Ok("https://h/a/x")),
            ("untold", Err(".gitmodules says nothing of it")),
        ]
    );
}

#[tokio::test]
async fn files_that_are_none_leave_all_of_them_out() {
    for (text, why) in [
        (None, "no .gitmodules"),
        (Some("[submodule \"a\"\n".to_owned()), "not as git wants it"),
        (Some(format!("{}# {}\n", section("a", "lib", "../x"), "x".repeat(300_000))), "too large"),
    ] {
        let world = small_world();
        match text {
            Some(text) => write(&world.source, &[(".gitmodules", &text)]),
            None => write(&world.source, &[("other", "")]),
        }
        let head = git(&world.source, &["rev-parse", "HEAD"]);
        git(&world.source, &["update-index", "--add", "--cacheinfo", &format!("160000,{head},lib")]);
        git(&world.source, &["add", "--ignore-removal", "."]);
        git(&world.source, &["commit", "-q", "-m", "Link"]);
        let found = named(&world).await;
        let said = found[0].named.as_ref().unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn of_very_many_only_some_are_looked_at() {
    let world = small_world();
    let head = git(&world.source, &["rev-parse", "HEAD"]);
    let index: String = (0..10_000).map(|number| format!("160000 {head} 0\tm/{number}\n")).collect();
    git_with_input(&world.source, &["update-index", "--add", "--index-info"], index.as_bytes());
    git(&world.source, &["commit", "-q", "-m", "Many"]);
    let mirror = world.update().await.unwrap();
    let base = mirror.resolve(None).await.unwrap();
    assert_eq!((base.submodules, mirror.submodules(&base).await.unwrap().len()), (10_000, 1_000));
}

#[tokio::test]
async fn relative_urls_lead_where_git_says() {
    let world = small_world();
    for (base, url) in [
        ("https://h.example/a/b.git", "../c.git"),
        ("https://h.example/a/b/", "./../c/"),
        ("https://h.example/a/b", "../../x/c"),
        ("https://h.example/a/b", "./c"),
        ("git@h.example:a/b.git", "../c.git"),
        ("git@h.example:b.git", "../c.git"),
        ("ssh://git@h.example:22/a/b", "../c"),
        ("https://h.example/a/b", "../../../evil.example/x/y"),
    ] {
        let clone = world.path("clone");
        fs::remove_dir_all(&clone).ok();
        init(&clone);
        write(&clone, &[(".gitmodules", &section("c", "c", url))]);
        git(&clone, &["remote", "add", "origin", base]);
        git(&clone, &["add", ".gitmodules"]);
        let head = git(&world.source, &["rev-parse", "HEAD"]);
        git(&clone, &["update-index", "--add", "--cacheinfo", &format!("160000,{head},c")]);
        git(&clone, &["submodule", "--quiet", "init"]);
        let expected = git(&clone, &["config", "submodule.c.url"]);
        assert_eq!(cofferdam_forge::joined_url(base, url), expected, "{base} {url}");
    }
}

#[tokio::test]
async fn a_branch_that_is_called_like_a_commit_is_not_it() {
    let world = small_world();
    let (first, second) =
        (git(&world.source, &["rev-parse", "HEAD~1"]), git(&world.source, &["rev-parse", "HEAD"]));
    git(&world.source, &["update-ref", &format!("refs/heads/{first}"), &second]);
    let mirror = world.update().await.unwrap();
    let error = mirror.resolve_commit(&first.parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains(&first), "{error}");
    assert_eq!(mirror.resolve_commit(&second.parse().unwrap()).await.unwrap().commit.as_str(), second);
}

#[tokio::test]
async fn commits_that_no_branch_has_are_brought_by_name() {
    let world = small_world();
    let lost = commit(&world.source, &[("README", "three\n")], "Third");
    git(&world.source, &["reset", "-q", "--hard", "HEAD~1"]);
    let mirror = world.update().await.unwrap();
    mirror.bring_commit(&lost.parse().unwrap()).await.unwrap();
    assert_eq!(mirror.resolve_commit(&lost.parse().unwrap()).await.unwrap().commit.as_str(), lost);
    let error = mirror.bring_commit(&"1".repeat(40).parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("does not have the commit"), "{error}");
}

#[tokio::test]
async fn copies_lie_inside_the_repository_or_are_none() {
    let world = small_world();
    let modules = world.source.join(".git/modules");
    fs::create_dir_all(&modules).unwrap();
    git(&world.source, &["clone", "-q", "--bare", ".", modules.join("lib").to_str().unwrap()]);
    git(&world.source, &["clone", "-q", "--bare", ".", world.path("elsewhere").to_str().unwrap()]);
    symlink(world.path("elsewhere"), modules.join("out")).unwrap();
    fs::create_dir_all(modules.join("empty")).unwrap();
    let RepositoryAddress::Local(local) = world.address().await else { panic!("it is here") };
    let copy = local.copy_of("lib").unwrap();
    assert_eq!(copy, modules.join("lib").to_str().unwrap());
    for bad in
        ["out", "empty", "nothing", "../modules/lib", "../../../elsewhere", "", ".", "lib/../lib", "/etc"]
    {
        assert_eq!(local.copy_of(bad), None, "{bad}");
    }
}
