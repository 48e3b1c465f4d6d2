//! The real Gitea and the real git-lfs: what that has pushed is what a workspace has, and what is sent from here is what that gets.

use std::{path::PathBuf, process::Command, sync::Arc};

use cofferdam_domain::Secret;
use cofferdam_forge::{
    Forges, RemoteForge,
    hook::ForgeKind,
    remote::{Site, SiteCredential, open},
};
use cofferdam_testkit::{Gitea, GiteaAccount, git_lfs};

use super::*;
use crate::remote_forge::ORG;

/// The real git-lfs, as a person uses it.
struct Person {
    program: PathBuf,
    folder: PathBuf,
    url: String,
}

impl Person {
    fn git(&self, within: &str, arguments: &[&str]) -> String {
        let path = std::env::join_paths(
            [self.program.clone()]
                .into_iter()
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut git = Command::new("git");
        git.args([
            "-c",
            "filter.lfs.process=git-lfs filter-process",
            "-c",
            "filter.lfs.required=true",
            "-c",
            "filter.lfs.clean=git-lfs clean -- %f",
            "-c",
            "filter.lfs.smudge=git-lfs smudge -- %f",
        ]);
        git.args(arguments).current_dir(self.folder.join(within)).env("PATH", path.unwrap());
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "Ann").env(format!("GIT_{role}_EMAIL"), "ann@example.org");
        }
        let output = git.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

async fn forges(world: &World, server: &Gitea, platform: &GiteaAccount) -> Forges {
    let scopes = ["write:repository", "write:issue", "read:user"];
    let token = server.token_of(&platform.login, &scopes).await;
    let credential = SiteCredential::Token(Secret::new(token));
    let site = Site::new("gitea", ForgeKind::Gitea, &server.url(), None, credential, true).unwrap();
    let talk = open(&site).unwrap();
    let remote = RemoteForge::new(world.git.clone(), ORG, site, talk);
    Forges::new(Arc::new(world.forge()), vec![remote])
}

#[tokio::test]
async fn what_git_lfs_has_pushed_and_what_it_gets() {
    let Some(server) = Gitea::shared().await else { return };
    let Some(program) = tokio::task::spawn_blocking(git_lfs).await.unwrap() else { return };
    let world = world();
    let (owner, platform) = (server.account("owner").await, server.account("platform").await);
    let (_, path) = server.repository(&owner, "assets", true).await;
    server.permit(&path, &platform, "write").await;
    let url = format!("{}/{path}.git", server.url());
    let person = Person {
        program,
        folder: world.path(""),
        url: url.replace("http://", &format!("http://{}:{}@", owner.login, owner.token)),
    };
    person.git("", &["clone", "-q", &person.url, "ann"]);
    let ann = world.path("ann");
    let (picture, sound) = (b"\x89PNG picture\n".repeat(4000), b"RIFF sound".to_vec());
    write(&ann, &[(".gitattributes", TRACKED)]);
    fs::write(ann.join("picture.bin"), &picture).unwrap();
    fs::create_dir(ann.join("deep")).unwrap();
    fs::write(ann.join("deep/sound.bin"), &sound).unwrap();
    person.git("ann", &["add", "."]);
    person.git("ann", &["commit", "-qm", "Assets"]);
    person.git("ann", &["lfs", "push", "--all", "origin"]);
    person.git("ann", &["push", "-q", "origin", "main"]);

    let forges = forges(&world, server, &platform).await;
    let address = RepositoryAddress::parse(&world.git, &url, Path::new("/")).await.unwrap();
    let access = forges.access(ORG, &address).await.unwrap();
    let session = world.session_with(address.clone(), access.clone()).await;
    let contents = world.mirrors().contents(&address, access);
    with_contents(&world, &session, &contents).await;
    let at = |name: &str| session.workspace.join(name);
    assert_eq!(fs::read(at("picture.bin")).unwrap(), picture);
    assert_eq!(fs::read(at("deep/sound.bin")).unwrap(), sound);
    assert_eq!(git(&session.workspace, &["status", "--porcelain"]), "");
    // What everybody may read is another matter: without the credential there is nothing.
    let nobody = world.mirrors().contents(&address, None);
    let brought = nobody.bring(&[pointer(&sound)], None, &LfsShelf::new(world.path("none"))).await.unwrap();
    assert!(brought.here.is_empty() && brought.lacking.len() == 1, "{brought:?}");

    let (other, new) = (b"another picture".repeat(70_000), b"new".to_vec());
    fs::write(at("picture.bin"), &other).unwrap();
    fs::write(at("new.bin"), &new).unwrap();
    let commit = session.publishable().await;
    let (shelf, found) = made(&world, &session, commit.as_str()).await;
    assert_eq!(found, BTreeSet::from([pointer(&other), pointer(&new)]));
    let all: Vec<LfsPointer> = found.into_iter().collect();
    let branch = cofferdam_forge::branch_of(session.id);
    for _ in 0..2 {
        contents.send(&all, &shelf, &branch).await.unwrap();
    }
    assert_eq!(forges.of(ORG, &address).push(&session.push(&commit)).await.unwrap(), branch);
    person.git("", &["clone", "-q", "--branch", &branch, &person.url, "fresh"]);
    let fresh = |name: &str| fs::read(world.path("fresh").join(name)).unwrap();
    assert_eq!((fresh("picture.bin"), fresh("new.bin"), fresh("deep/sound.bin")), (other, new, sound));
    assert_eq!(person.git("fresh", &["lfs", "fsck"]).trim(), "Git LFS fsck OK");
    assert_eq!(person.git("fresh", &["status", "--porcelain"]), "");

    // Somebody who may not write is told so, and the branch is not pushed.
    let reader = server.account("reader").await;
    server.permit(&path, &reader, "read").await;
    let forges = self::forges(&world, server, &reader).await;
    let access = forges.access(ORG, &address).await.unwrap();
    let lost = b"nobody gets this".to_vec();
    assert!(shelf.put(pointer(&lost), &lost).unwrap());
    let error =
        world.mirrors().contents(&address, access).send(&[pointer(&lost)], &shelf, "x").await.unwrap_err();
    assert!(error.needs_a_person() && error.to_string().contains("may write there"), "{error}");
}
