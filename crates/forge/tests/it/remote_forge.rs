//! Forges that are asked over HTTP, with the real git behind a password.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, sync::Arc};

use cofferdam_domain::{Asked, OrgId, Origin, PullRequestState, Secret, Source, Subject, Task, Thread};
use cofferdam_forge::{
    Access, Forge as _, ForgeError, Forges, Git, Identity, MirrorError, Mirrors, PublishError, Push,
    RemoteForge, RepositoryAddress, SigningError, SigningKey, branch_of,
    hook::ForgeKind,
    remote::{Site, SiteCredential},
};
use cofferdam_testkit::{GitServer, Gitea, Manner};

use crate::{
    desk::Desk,
    fixture::{Session, World, commit, everything, git, id, small_world, write},
};

pub(crate) const ORG: OrgId = OrgId::from_u128(7);
pub(crate) const PASSWORD: &str = "s3cret-of-the-forge";
/// `cofferdam:s3cret-of-the-forge`, as RFC 7617 has it.
const PRESENTED: &str = "Basic Y29mZmVyZGFtOnMzY3JldC1vZi10aGUtZm9yZ2U=";

/// A forge with the world's source as a private repository.
pub(crate) struct Remote {
    pub(crate) world: World,
    pub(crate) server: GitServer,
    pub(crate) desk: Arc<Desk>,
    pub(crate) forges: Forges,
    pub(crate) address: RepositoryAddress,
}

fn serving() -> Manner {
    Manner::Expects(PRESENTED.to_owned())
}

impl Remote {
    async fn make() -> Self {
        Self::with_git(Git::find().unwrap()).await
    }

    async fn with_git(program: Git) -> Self {
        Self::of(World { git: program, ..small_world() }).await
    }

    pub(crate) async fn of(world: World) -> Self {
        let bare = world.path("served/acme/site.git");
        git(world.temp.path(), &["clone", "-q", "--bare", "source", bare.to_str().unwrap()]);
        let server = GitServer::start(&world.path("served"), serving()).await;
        let desk = Arc::new(Desk::new(bare, 12, "acme/site", &[PASSWORD]));
        let token = SiteCredential::Token(Secret::new(PASSWORD));
        let site = Site::new("works", ForgeKind::Gitea, &server.url(), None, token, true).unwrap();
        let remote = RemoteForge::new(world.git.clone(), ORG, site, desk.clone());
        let forges = Forges::new(Arc::new(world.forge()), vec![remote]);
        let url = format!("{}/acme/site.git", server.url());
        let address = RepositoryAddress::parse(&world.git, &url, Path::new("/")).await.unwrap();
        Self { world, server, desk, forges, address }
    }

    pub(crate) async fn access(&self) -> Option<Access> {
        self.forges.access(ORG, &self.address).await.unwrap()
    }

    pub(crate) async fn session(&self) -> Session {
        self.world.session_with(self.address.clone(), self.access().await).await
    }

    pub(crate) async fn push(&self, push: &Push<'_>) -> Result<String, PublishError> {
        match self.forges.of(ORG, &self.address).push(push).await {
            Ok(branch) => Ok(branch),
            Err(ForgeError::Publish(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn served(&self, arguments: &[&str]) -> String {
        git(&self.desk.repository, arguments)
    }
}

#[tokio::test]
async fn a_private_repository_is_read_and_written_and_nothing_keeps_the_credential() {
    // A git that writes down how it was called.
    let folder = tempfile::tempdir().unwrap();
    let (program, calls) = (folder.path().join("git"), folder.path().join("calls"));
    let real = Git::find().unwrap().program().to_owned();
    let script = format!("#!/bin/sh\necho \"$@\" >> {}\nexec {} \"$@\"\n", calls.display(), real.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = folder.path().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());

    let remote = Remote::with_git(Git::find_in(&path).unwrap()).await;
    let session = remote.session().await;
    write(&session.workspace, &[("README", "changed\n")]);
    let head = session.publishable().await;
    let forge = remote.forges.of(ORG, &remote.address);
    assert_eq!(forge.branch(&remote.address, session.id).await.unwrap(), None);
    let branch = remote.push(&session.push(&head)).await.unwrap();
    assert_eq!(remote.push(&session.push(&head)).await.unwrap(), branch_of(session.id));
    assert_eq!(remote.served(&["rev-parse", &branch]), head.as_str());
    assert_eq!(forge.branch(&remote.address, session.id).await.unwrap(), Some(head.clone()));

    let opened = forge.open(&session.pull_request(&head)).await.unwrap();
    let again = forge.open(&session.pull_request(&head)).await.unwrap();
    assert_eq!(opened, again);
    assert_eq!(remote.desk.pulls().len(), 1);
    let known = forge.find(&remote.address, session.id).await.unwrap().unwrap();
    assert_eq!((known.number, known.head_commit.as_str()), (1, head.as_str()));
    assert_eq!(forge.get(&remote.address, 1).await.unwrap().unwrap().session, session.id);
    assert_eq!(forge.get(&remote.address, 2).await.unwrap(), None);
    let merged = forge.merge(&remote.address, &head, &session.authorship()).await.unwrap();
    assert_eq!(merged.state, PullRequestState::Merged { commit: head.to_string() });
    assert_eq!(forge.merge(&remote.address, &head, &session.authorship()).await.unwrap(), merged);
    assert!(matches!(
        forge.close(&remote.address, session.id).await,
        Err(ForgeError::Publish(PublishError::NotOpen { state: "merged", .. }))
    ));

    let calls = fs::read_to_string(calls).unwrap();
    assert!(calls.contains(" push ") && calls.contains(" fetch "), "{calls}");
    assert!(remote.server.heard().iter().all(|presented| presented.as_deref() == Some(PRESENTED)));
    let kept = everything(&remote.world.path("data"));
    let texts = kept.values().map(|(_, content)| String::from_utf8_lossy(content).into_owned());
    for text in texts.chain([calls]) {
        assert!(!text.contains(PASSWORD) && !text.contains(&PRESENTED[6..]), "{text}");
    }
}

#[tokio::test]
async fn a_credential_that_has_expired_is_asked_for_once_more() {
    let remote = Remote::make().await;
    let mirrors = remote.world.mirrors();
    remote.desk.hand_out(&["expired", PASSWORD]);
    mirrors.update_with(&remote.address, remote.access().await).await.unwrap();
    let session = remote.session().await;
    write(&session.workspace, &[("README", "changed\n")]);
    let head = session.publishable().await;

    remote.desk.hand_out(&["revoked"]);
    let before = remote.desk.asked();
    let error = mirrors.update_with(&remote.address, remote.access().await).await.unwrap_err();
    assert_eq!(remote.desk.asked(), before + 2);
    assert!(
        matches!(error, MirrorError::Refused { .. }) && error.to_string().contains("[[forge]]"),
        "{error}"
    );
    let error = remote.push(&session.push(&head)).await.unwrap_err();
    assert!(matches!(error, PublishError::Denied { .. }) && error.needs_a_person(), "{error}");
    assert_eq!(remote.served(&["branch", "--list", "cofferdam/*"]), "");
    remote.desk.hand_out(&["expired", PASSWORD]);
    remote.push(&session.push(&head)).await.unwrap();
}

#[tokio::test]
async fn nothing_is_presented_elsewhere_or_said_in_an_error() {
    let remote = Remote::make().await;
    let mirrors = remote.world.mirrors();
    let other = GitServer::start(&remote.world.path("served"), serving()).await;
    remote.server.behave(Manner::Redirects(other.url()));
    let error = mirrors.update_with(&remote.address, remote.access().await).await.unwrap_err();
    assert!(matches!(error, MirrorError::Fetch { .. }), "{error:?}");
    assert_eq!(other.heard(), [] as [Option<String>; 0], "nobody is followed");

    remote.server.behave(Manner::Repeats);
    let error = mirrors.update_with(&remote.address, remote.access().await).await.unwrap_err();
    let said = format!("{error:?}");
    assert!(said.contains("you said Basic ****") && !said.contains(&PRESENTED[6..]), "{said}");
}

#[tokio::test]
async fn an_organisation_s_mirror_is_its_own() {
    let remote = Remote::make().await;
    let mirrors = remote.world.mirrors();
    let mirror = mirrors.update_with(&remote.address, remote.access().await).await.unwrap();
    mirror.resolve(Some("main")).await.unwrap();
    let other = OrgId::from_u128(8);
    assert!(remote.forges.access(other, &remote.address).await.unwrap().is_none());
    let error = mirrors.update(&remote.address).await.unwrap_err();
    assert!(matches!(error, MirrorError::Denied { .. }), "{error}");
    let holders = fs::read_dir(remote.world.path("data/mirrors")).unwrap();
    let filled = holders.filter(|holder| holder.as_ref().unwrap().path().join("mirror.git").exists());
    assert_eq!(filled.count(), 1);
}

#[tokio::test]
async fn what_others_did_to_the_branch_stays() {
    let remote = Remote::make().await;
    let session = remote.session().await;
    write(&session.workspace, &[("README", "changed\n")]);
    let first = session.publishable().await;
    let branch = remote.push(&session.push(&first)).await.unwrap();
    commit(&session.workspace, &[("more", "1\n")], "More");
    let head = id(&session.receive().await.head);
    let second = session.quarantine.recreate(&first, &head, &session.authorship()).await.unwrap();
    let next = Push { left: Some(&first), ..session.push(&second) };

    // Somebody pushes to it.
    let clone = remote.world.path("clone");
    git(remote.world.temp.path(), &["clone", "-q", "served/acme/site.git", "clone", "-b", &branch]);
    let theirs = commit(&clone, &[("theirs", "x\n")], "Theirs");
    git(&clone, &["push", "-q", "origin", &branch]);
    let error = remote.push(&next).await.unwrap_err();
    assert!(matches!(error, PublishError::BranchMoved { .. }) && error.needs_a_person(), "{error}");
    assert_eq!(remote.served(&["rev-parse", &branch]), theirs);

    // What the session made goes on top of it.
    let mirror = remote.world.mirrors().update_with(&remote.address, remote.access().await).await.unwrap();
    let quarantine = session.quarantine.clone();
    quarantine.take(&mirror, &id(&theirs)).await.unwrap();
    assert!(quarantine.follows(&id(&theirs), &first).await.unwrap());
    let on_top = quarantine.put_on(&id(&theirs), &head, &session.authorship()).await.unwrap().unwrap();
    let pushed = Push { commit: &on_top, left: Some(&first), ..next };
    remote.push(&pushed).await.unwrap();
    assert_eq!(
        remote.served(&["log", "--format=%s", "-3", &branch]),
        "What was not published yet\nTheirs\nChanges that were not committed"
    );
    assert_eq!(remote.served(&["ls-tree", "--name-only", &branch]), "README\nmore\nsrc\ntheirs");

    // Somebody deletes it.
    git(&clone, &["push", "-q", "origin", &format!(":{branch}")]);
    let error = remote.push(&pushed).await.unwrap_err();
    assert!(matches!(error, PublishError::BranchGone { .. }), "{error}");
    assert_eq!(remote.served(&["branch", "--list", "cofferdam/*"]), "");
    remote.push(&Push { left: None, ..pushed }).await.unwrap();
    assert_eq!(remote.served(&["rev-parse", &branch]), on_top.as_str());

    // What does not go together is nobody's to decide here.
    commit(&clone, &[("README", "theirs\n")], "Conflict");
    git(&clone, &["push", "-q", "-f", "origin", &branch]);
    let mirror = remote.world.mirrors().update_with(&remote.address, remote.access().await).await.unwrap();
    let conflict = id(&git(&clone, &["rev-parse", "HEAD"]));
    quarantine.take(&mirror, &conflict).await.unwrap();
    let back = session.quarantine.recreate(&session.base.commit, &head, &session.authorship()).await.unwrap();
    assert_eq!(quarantine.put_on(&conflict, &back, &session.authorship()).await.unwrap(), None);
}

#[tokio::test]
async fn a_forge_that_refuses_a_branch_is_heard() {
    let remote = Remote::make().await;
    let session = remote.session().await;
    write(&session.workspace, &[("README", "changed\n")]);
    let head = session.publishable().await;
    let hook = remote.desk.repository.join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho no branches on Sundays >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let error = remote.push(&session.push(&head)).await.unwrap_err();
    assert!(matches!(error, PublishError::Rejected { .. }) && error.needs_a_person(), "{error}");
    assert!(error.to_string().contains("no branches on Sundays"), "{error}");
}

#[tokio::test]
async fn whoever_asked_is_named_as_the_forge_names_them() {
    let remote = Remote::make().await;
    let asked = |forge: &str, login: &str| {
        let thread = Thread {
            forge: forge.to_owned(),
            repository: 12,
            path: "acme/site".to_owned(),
            subject: Subject::Issue(3),
        };
        let asked =
            Asked { thread, account: 5, delivery: "d".to_owned(), changed: None, concealed: Vec::new() };
        Task::new("Do it.".into(), "/srv/a".into(), None, login.to_owned(), Source::Forge)
            .unwrap()
            .asked(Origin::Forge(Box::new(asked)))
    };
    let person = |org, forge, login| remote.forges.co_author(org, &asked(forge, login));
    let ann = Identity { name: "Ann".to_owned(), email: "ann@noreply.127.0.0.1".to_owned() };
    assert_eq!(person(ORG, "works", "Ann"), Some(ann));
    assert_eq!(person(ORG, "elsewhere", "Ann"), None);
    assert_eq!(person(OrgId::from_u128(8), "works", "Ann"), None);
    assert_eq!(person(ORG, "works", "Ann <x@y>\nSigned-off-by: Eve"), None);
}

/// An SSH key of a kind, or `None` where there is no ssh-keygen.
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn key(directory: &Path, kind: &str, passphrase: &str) -> Option<std::path::PathBuf> {
    let file = directory.join(format!("key-{kind}{}", passphrase.len()));
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", passphrase, "-C", "cofferdam", "-f"]).arg(&file);
    match command.status() {
        Ok(status) => assert!(status.success()),
        Err(error) => {
            eprintln!("SKIPPED: commits are signed with ssh-keygen: {error}");
            return None;
        }
    }
    Some(file)
}

#[tokio::test]
async fn commits_are_signed_by_the_platform_s_key() {
    let world = small_world();
    let Some(file) = key(world.temp.path(), "ed25519", "") else { return };
    let file = file.canonicalize().unwrap();
    let key = SigningKey::open(&world.git, &file).await.unwrap();
    assert!(key.public().starts_with("ssh-ed25519 "));
    let session = world.session().await;
    commit(&session.workspace, &[("one", "1\n")], "One\n\nCo-authored-by: Eve <eve@example.org>");
    let head = id(&session.receive().await.head);
    let co_author =
        Some(Identity { name: "ann".to_owned(), email: "5+ann@users.noreply.example".to_owned() });
    let authorship =
        cofferdam_forge::Authorship { signing: Some(key.clone()), co_author, ..session.authorship() };
    let signed = session.quarantine.recreate(&session.base.commit, &head, &authorship).await.unwrap();
    let again = session.quarantine.recreate(&session.base.commit, &head, &authorship).await.unwrap();
    assert_eq!(signed, again, "the same commit from the same log");
    world.forge().push(&session.push(&signed)).await.unwrap();

    let allowed = world.path("allowed");
    fs::write(&allowed, format!("cofferdam@localhost {}\n", key.public())).unwrap();
    let setting = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
    git(&world.source, &["-c", &setting, "verify-commit", signed.as_str()]);
    let message = git(&world.source, &["log", "-1", "--format=%B", signed.as_str()]);
    let trailers =
        format!("Cofferdam-Session: {}\nCo-authored-by: ann <5+ann@users.noreply.example>", session.id);
    assert_eq!(message, format!("One\n\n{trailers}"));
}

#[tokio::test]
async fn keys_that_cannot_sign_are_refused_with_the_remedy() {
    let world = small_world();
    let folder = world.temp.path().canonicalize().unwrap();
    let Some(locked) = key(&folder, "ed25519", "secret words") else { return };
    let open = async |file: &Path| SigningKey::open(&world.git, file).await.unwrap_err();
    assert!(matches!(open(&locked).await, SigningError::NoKey { .. }));
    let ecdsa = key(&folder, "ecdsa", "").unwrap();
    assert!(matches!(open(&ecdsa).await, SigningError::Kind { .. }));
    fs::set_permissions(&ecdsa, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(open(&ecdsa).await, SigningError::Open(_)));
    assert!(matches!(open(&folder.join("none")).await, SigningError::Unreadable { .. }));
    assert!(matches!(open(Path::new("key")).await, SigningError::Path(_)));
}

#[tokio::test]
async fn a_repository_is_found_under_its_new_name() {
    let remote = Remote::make().await;
    let url = format!("{}/acme/old-name", remote.server.url());
    let old = RepositoryAddress::parse(&remote.world.git, &url, Path::new("/")).await.unwrap();
    let access = remote.forges.access(ORG, &old).await.unwrap().unwrap();
    assert_eq!((access.at().id, access.at().path.as_str()), (12, "acme/site"));
    let mirrors: Mirrors = remote.world.mirrors();
    mirrors.update_with(&old, Some(access)).await.unwrap().resolve(None).await.unwrap();
    remote.desk.replace(13);
    assert_eq!(remote.forges.access(ORG, &old).await.unwrap().unwrap().at().id, 13, "another one");
}

#[tokio::test]
async fn the_real_gitea_keeps_branch_and_pull_request() {
    let Some(server) = Gitea::shared().await else { return };
    let (owner, platform) = (server.account("owner").await, server.account("platform").await);
    let (_, path) = server.repository(&owner, "site", true).await;
    server.commit(&path, "main", ("src/a.txt", "a\n")).await;
    server.permit(&path, &platform, "write").await;
    let token = SiteCredential::Token(Secret::new(&*platform.token));
    let site = Site::new("gitea", ForgeKind::Gitea, &server.url(), None, token, true).unwrap();
    let talk = cofferdam_forge::remote::open(&site).unwrap();
    let world = small_world();
    let remote = RemoteForge::new(world.git.clone(), ORG, site, talk);
    let forges = Forges::new(Arc::new(world.forge()), vec![remote]);
    let url = format!("{}/{path}.git", server.url());
    let address = RepositoryAddress::parse(&world.git, &url, Path::new("/")).await.unwrap();
    let access = async || forges.access(ORG, &address).await.unwrap();
    let forge = forges.of(ORG, &address);

    let session = world.session_with(address.clone(), access().await).await;
    write(&session.workspace, &[("README.md", "changed\n")]);
    let first = session.publishable().await;
    let branch = forge.push(&session.push(&first)).await.unwrap();
    let opened = forge.open(&session.pull_request(&first)).await.unwrap();
    assert_eq!(forge.open(&session.pull_request(&first)).await.unwrap().number, opened.number);
    assert_eq!(forge.branch(&address, session.id).await.unwrap(), Some(first.clone()));

    // Somebody commits there, and the session goes on from that.
    let theirs = id(&server.commit(&path, &branch, ("theirs", "x\n")).await);
    commit(&session.workspace, &[("more", "1\n")], "More");
    let head = id(&session.receive().await.head);
    let second = session.quarantine.recreate(&first, &head, &session.authorship()).await.unwrap();
    let stopped = forge.push(&Push { left: Some(&first), ..session.push(&second) }).await.unwrap_err();
    assert!(matches!(stopped, ForgeError::Publish(PublishError::BranchMoved { .. })), "{stopped}");
    // A mirror without contents has what is needed as well.
    let parted = World { whole_up_to: Some(0), ..small_world() };
    let partial = parted.session_with(address.clone(), access().await).await;
    assert_eq!(fs::read_to_string(partial.workspace.join("src/a.txt")).unwrap(), "a\n");
    let mirror = parted.mirrors().update_with(&address, access().await).await.unwrap();
    assert!(mirror.is_partial());
    session.quarantine.take(&mirror, &theirs).await.unwrap();
    let on_top = session.quarantine.put_on(&theirs, &second, &session.authorship()).await.unwrap().unwrap();
    forge.push(&Push { left: Some(&theirs), ..session.push(&on_top) }).await.unwrap();
    let known = forge.find(&address, session.id).await.unwrap().unwrap();
    assert_eq!((known.number, known.head_commit.as_str()), (opened.number, on_top.as_str()));

    // Whoever may only read it is told so.
    server.permit(&path, &platform, "read").await;
    let other = world.session_with(address.clone(), access().await).await;
    write(&other.workspace, &[("README.md", "changed\n")]);
    let change = other.publishable().await;
    let denied = forge.push(&other.push(&change)).await.unwrap_err();
    let ForgeError::Publish(denied) = denied else { panic!("{denied:?}") };
    assert!(denied.needs_a_person() && denied.to_string().contains("permission denied"), "{denied}");
    server.permit(&path, &platform, "write").await;
    let merged = forge.merge(&address, &on_top, &session.authorship()).await.unwrap();
    assert!(matches!(merged.state, PullRequestState::Merged { .. }), "{merged:?}");
}
