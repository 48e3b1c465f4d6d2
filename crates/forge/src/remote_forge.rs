//! A forge that is asked over HTTP: branches by git, pull requests by its API.
//!
//! Nothing is ever forced. Before anything is done it is looked whether it is done already; what somebody
//! else has done meanwhile stays, and is told.

use async_trait::async_trait;
use cofferdam_domain::{
    OrgId, PullRequest, PullRequestState, SessionId, Subject, Timestamp, hidden::visible,
};
use std::{sync::Arc, time::Duration};

use crate::{
    Access, Authorship, Forge, ForgeError, Git, Identity, NewPullRequest, ObjectId, PublishError, Push,
    RepositoryAddress,
    access::is_denial,
    address::is_path,
    branch_of,
    call::Output,
    hook::{ForgeKind, Pull, PullState},
    objects::is_ancestor,
    remote::{At, PullWanted, Site, Talk, TalkError},
};

const LOOK_TIME: Duration = Duration::from_secs(120);
const PUSH_TIME: Duration = Duration::from_secs(30 * 60);
/// Characters of what a forge says that are kept.
const LONGEST_REASON: usize = 600;
/// Characters of an account's name.
const LONGEST_LOGIN: usize = 100;

/// A configured forge, for one organisation.
#[derive(Clone)]
pub struct RemoteForge {
    git: Git,
    org: OrgId,
    site: Site,
    talk: Arc<dyn Talk>,
}

impl RemoteForge {
    /// The forge at `site`, which is asked through `talk`, for sessions of one organisation.
    #[must_use]
    pub fn new(git: Git, org: OrgId, site: Site, talk: Arc<dyn Talk>) -> Self {
        Self { git, org, site, talk }
    }

    /// Whether it is an organisation's forge of this name.
    pub(crate) fn is(&self, org: OrgId, name: &str) -> bool {
        self.org == org && self.site.name() == name
    }

    /// Whether an organisation's sessions on a repository belong here.
    pub(crate) fn owns(&self, org: OrgId, repository: &RepositoryAddress) -> bool {
        self.org == org && self.site.owns(repository).is_some()
    }

    /// Whether two repositories are here and of one owner.
    pub(crate) fn are_kin(&self, one: &RepositoryAddress, other: &RepositoryAddress) -> bool {
        match (self.site.owns(one), self.site.owns(other)) {
            (Some(one), Some(other)) => is_of_one_owner(&one, &other),
            _ => false,
        }
    }

    /// Where people read a pull request of a repository.
    pub(crate) fn page(&self, repository: &RepositoryAddress, number: u64) -> Option<String> {
        let path = self.site.owns(repository)?;
        Some(self.site.page(&path, Subject::Pull(number)).to_string())
    }

    /// How git gets at a repository. The forge is asked where it is now: it may have been renamed or transferred.
    pub(crate) async fn access(&self, repository: &RepositoryAddress) -> Result<Access, TalkError> {
        let forge = self.site.name();
        let missing = || TalkError::Missing { forge: forge.to_owned(), what: repository.to_string() };
        let path = self.site.owns(repository).ok_or_else(missing)?;
        let found = self.talk.repository(&path).await?;
        if !is_path(&found.path) {
            let (what, reason) = (repository.to_string(), "the repository's path".to_owned());
            return Err(TalkError::Malformed { forge: forge.to_owned(), what, reason });
        }
        let url = self.site.clone_url(&found.path).to_string();
        let access =
            Access::new(forge, self.org, self.talk.clone(), At { id: found.id, path: found.path }, url);
        Ok(access.open_to_all(found.public, self.site.is_open()))
    }

    /// An account as commits name it: by the address that the forge itself takes for it.
    ///
    /// GitHub: <https://docs.github.com/en/account-and-profile/reference/email-addresses-reference>, GitLab:
    /// <https://docs.gitlab.com/user/profile/#use-an-automatically-generated-private-commit-email>, Gitea: `NO_REPLY_ADDRESS` in
    /// <https://docs.gitea.com/administration/config-cheat-sheet>.
    pub(crate) fn person(&self, account: u64, login: &str) -> Option<Identity> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let host = self.site.web().host_str()?.trim_matches(['[', ']']);
        if login.is_empty() || login.len() > LONGEST_LOGIN || !login.bytes().all(plain) || host.contains(':')
        {
            return None;
        }
        let email = match self.site.kind() {
            ForgeKind::GitHub => format!("{account}+{login}@users.noreply.{host}"),
            ForgeKind::GitLab => format!("{account}-{login}@users.noreply.{host}"),
            ForgeKind::Gitea => format!("{}@noreply.{host}", login.to_ascii_lowercase()),
        };
        Some(Identity { name: login.to_owned(), email })
    }

    async fn reach(&self, repository: &RepositoryAddress) -> Result<Access, PublishError> {
        Ok(self.access(repository).await?)
    }

    /// What a branch stands on.
    async fn stands(&self, access: &Access, branch: &str) -> Result<Option<ObjectId>, PublishError> {
        let reference = format!("refs/heads/{branch}");
        let call = || -> Result<_, PublishError> {
            let call = self.git.call("ls-remote").arg("--refs").arg(access.url()).arg(&reference);
            Ok(call.time(LOOK_TIME))
        };
        let output = access.run(call).await?;
        if output.code != Some(0) {
            return Err(refusal(access, output));
        }
        // The pattern also matches the same name below another one.
        let found = output.stdout.split(|byte| *byte == b'\n').find_map(|line| {
            let (id, name) = std::str::from_utf8(line).ok()?.split_once('\t')?;
            (name == reference).then(|| id.parse().map_err(|_| output.unexpected(line)))
        });
        Ok(found.transpose()?)
    }

    async fn push_branch(&self, push: &Push<'_>) -> Result<String, PublishError> {
        let branch = branch_of(push.session);
        let access = self.reach(push.repository).await?;
        let current = self.stands(&access, &branch).await?;
        if current.as_ref() == Some(push.commit) {
            return Ok(branch);
        }
        let repository = &push.quarantine.path;
        if current.is_none() && push.left.is_some() {
            return Err(PublishError::BranchGone { branch });
        }
        if let Some(found) = &current
            && !is_ancestor(&self.git, repository, found, push.commit).await?
        {
            let (found, expected) = (found.to_string(), push.commit.to_string());
            return Err(PublishError::BranchMoved { branch, found, expected });
        }
        let refspec = format!("{}:refs/heads/{branch}", push.commit);
        let call = || -> Result<_, PublishError> {
            let call = self.git.at(repository, "push").time(PUSH_TIME);
            // What both sides have is found out, rather than all that the branches of the other side do not show being sent again.
            let call = call.setting("push.negotiate=true");
            let call =
                call.args(["--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no"]);
            Ok(call.arg(access.url()).arg(&refspec))
        };
        let output = access.run(call).await?;
        if output.code == Some(0) { Ok(branch) } else { Err(self.not_taken(&access, push, branch, output)) }
    }

    /// Why a push did not succeed, from what git-push(1) prints with `--porcelain`.
    fn not_taken(&self, access: &Access, push: &Push<'_>, branch: String, output: Output) -> PublishError {
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(line) = printed.lines().find(|line| line.starts_with("!\t")) else {
            return refusal(access, output);
        };
        if line.contains("[rejected]") {
            let (found, expected) = ("another commit".to_owned(), push.commit.to_string());
            return PublishError::BranchMoved { branch, found, expected };
        }
        let reason = line.rsplit('\t').next().unwrap_or_default();
        let said = output.stderr.lines().filter_map(|line| line.strip_prefix("remote:"));
        let said = said.map(|line| line.trim().trim_start_matches("error:").trim());
        let said: Vec<&str> = [reason].into_iter().chain(said.filter(|line| !line.is_empty())).collect();
        let said: String = visible(said.join("; ").as_bytes()).chars().take(LONGEST_REASON).collect();
        PublishError::Rejected { forge: self.site.name().to_owned(), branch, said }
    }

    /// The newest pull request of a branch. One of the same name in another repository is somebody else's.
    async fn found(&self, access: &Access, branch: &str) -> Result<Option<Pull>, TalkError> {
        let found = self.talk.find_pull(access.at(), branch).await?;
        Ok(found.filter(|pull| pull.head_repository.is_none_or(|id| id == access.at().id)))
    }

    /// The pull request in this platform's words.
    fn known(&self, repository: &RepositoryAddress, session: SessionId, pull: Pull) -> PullRequest {
        PullRequest {
            number: pull.number,
            session,
            repository: repository.to_string(),
            branch: pull.branch,
            base_branch: pull.base,
            base_commit: String::new(),
            head_commit: pull.commit,
            title: pull.title,
            body: pull.body,
            draft: pull.draft,
            state: match pull.state {
                PullState::Open => PullRequestState::Open,
                PullState::Closed => PullRequestState::Closed,
                PullState::Merged => PullRequestState::Merged { commit: pull.merged_as.unwrap_or_default() },
            },
            opened: pull.updated.unwrap_or(Timestamp(0)),
        }
    }

    async fn open_pull(&self, new: &NewPullRequest) -> Result<PullRequest, PublishError> {
        let access = self.reach(&new.repository).await?;
        let branch = branch_of(new.session);
        let complete = |known: PullRequest| PullRequest {
            base_commit: new.base_commit.to_string(),
            opened: new.opened,
            ..known
        };
        if let Some(pull) = self.found(&access, &branch).await?
            && pull.state != PullState::Open
        {
            return if pull.commit == new.head_commit.as_str() {
                Ok(complete(self.known(&new.repository, new.session, pull)))
            } else {
                Err(not_open(new.session, pull.state))
            };
        }
        let wanted = PullWanted {
            branch,
            base: new.base_branch.clone(),
            title: new.title.clone(),
            body: new.body.clone(),
            draft: new.draft,
        };
        let pull = self.talk.open_pull(access.at(), &wanted).await?;
        let known = complete(self.known(&new.repository, new.session, pull));
        // The forge may take a moment to see what was pushed.
        Ok(PullRequest { head_commit: new.head_commit.to_string(), ..known })
    }

    async fn merge_pull(
        &self,
        repository: &RepositoryAddress,
        head: &ObjectId,
        session: SessionId,
    ) -> Result<PullRequest, PublishError> {
        let access = self.reach(repository).await?;
        let branch = branch_of(session);
        let pull = self.found(&access, &branch).await?.ok_or(PublishError::NoPullRequest(session))?;
        let pull = match pull.state {
            PullState::Merged => pull,
            PullState::Closed => return Err(not_open(session, pull.state)),
            PullState::Open if pull.commit != head.as_str() => {
                let expected = head.to_string();
                return Err(PublishError::BranchMoved { branch, found: pull.commit, expected });
            }
            PullState::Open => self.talk.merge_pull(access.at(), pull.number, head.as_str()).await?,
        };
        Ok(self.known(repository, session, pull))
    }

    async fn close_pull(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<PullRequest, PublishError> {
        let access = self.reach(repository).await?;
        let pull = self.found(&access, &branch_of(session)).await?;
        let pull = pull.ok_or(PublishError::NoPullRequest(session))?;
        let pull = match pull.state {
            PullState::Merged => return Err(not_open(session, pull.state)),
            PullState::Closed => pull,
            PullState::Open => self.talk.close_pull(access.at(), pull.number).await?,
        };
        Ok(self.known(repository, session, pull))
    }
}

/// Whether two paths `owner/name` have the same owner: that of both, where there are groups in groups.
pub(crate) fn is_of_one_owner(one: &str, other: &str) -> bool {
    let owner = |path: &str| path.split_once('/').map(|(owner, _)| owner.to_ascii_lowercase());
    owner(one).is_some_and(|name| owner(other) == Some(name))
}

fn not_open(session: SessionId, state: PullState) -> PublishError {
    let state = match state {
        PullState::Open => "open",
        PullState::Closed => "closed",
        PullState::Merged => "merged",
    };
    PublishError::NotOpen { session, state }
}

/// Why a command that talks to the forge failed.
fn refusal(access: &Access, output: Output) -> PublishError {
    let denied = is_denial(&output.stderr);
    let source = output.into_error();
    if !denied {
        return source.into();
    }
    let (forge, address) = (access.forge().to_owned(), access.url().to_owned());
    PublishError::Denied { forge, address, source: Box::new(source) }
}

#[async_trait]
impl Forge for RemoteForge {
    async fn find(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<Option<PullRequest>, ForgeError> {
        let access = self.reach(repository).await?;
        let found = self.found(&access, &branch_of(session)).await.map_err(PublishError::from)?;
        Ok(found.map(|pull| self.known(repository, session, pull)))
    }

    async fn get(
        &self,
        repository: &RepositoryAddress,
        number: u64,
    ) -> Result<Option<PullRequest>, ForgeError> {
        let access = self.reach(repository).await?;
        let pull = match self.talk.pull(access.at(), number).await {
            Ok(pull) => pull,
            Err(TalkError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(PublishError::from(error).into()),
        };
        // Whose it is, its branch says.
        let session = pull.branch.strip_prefix("cofferdam/").and_then(|session| session.parse().ok());
        Ok(session.map(|session| self.known(repository, session, pull)))
    }

    async fn branch(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<Option<ObjectId>, ForgeError> {
        let access = self.reach(repository).await?;
        Ok(self.stands(&access, &branch_of(session)).await?)
    }

    async fn push(&self, push: &Push<'_>) -> Result<String, ForgeError> {
        Ok(self.push_branch(push).await?)
    }

    async fn open(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        Ok(self.open_pull(new).await?)
    }

    async fn merge(
        &self,
        repository: &RepositoryAddress,
        head: &ObjectId,
        authorship: &Authorship,
    ) -> Result<PullRequest, ForgeError> {
        Ok(self.merge_pull(repository, head, authorship.session).await?)
    }

    async fn close(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<PullRequest, ForgeError> {
        Ok(self.close_pull(repository, session).await?)
    }
}
