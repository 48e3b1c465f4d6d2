//! GitLab's deliveries (<https://docs.gitlab.com/user/project/integrations/webhook_events/>).

use serde::Deserialize;

use super::{
    Account, AccountKind, Check, CheckEnd, Comment, CommentChange, Issue, IssueChange, LinePlace, Occasion,
    Pull, PullChange, PullState, Repository, Review, ReviewEnd, Thread, What,
    shapes::{Push, moment},
};

/// Labels, assignees and reviewers of one thing that are read.
const MOST_NAMES: usize = 100;
/// `visibility_level` of what everybody may read
/// (<https://docs.gitlab.com/api/projects/#project-visibility-level>: 0 private, 10 internal, 20 public).
const PUBLIC: u64 = 20;

#[derive(Deserialize)]
struct Around {
    object_kind: String,
    user: Option<User>,
    /// Pushes name the user in fields of their own.
    user_id: Option<u64>,
    user_username: Option<String>,
    project: Option<Project>,
}

pub(super) fn read(body: &[u8]) -> Result<Occasion, serde_json::Error> {
    let around: Around = serde_json::from_slice(body)?;
    let what = match around.object_kind.as_str() {
        "issue" | "work_item" => issue(serde_json::from_slice(body)?),
        "note" => note(serde_json::from_slice(body)?),
        "merge_request" => merge_request(serde_json::from_slice(body)?),
        "pipeline" => pipeline(serde_json::from_slice(body)?),
        "build" => job(serde_json::from_slice(body)?),
        "push" => serde_json::from_slice::<Push>(body)?.into(),
        _ => What::Other,
    };
    let pusher = || User { id: around.user_id, username: around.user_username.clone() };
    let actor = around.user.unwrap_or_else(pusher).into();
    Ok(Occasion { repository: around.project.map(Into::into), installation: None, actor, what })
}

#[derive(Deserialize)]
struct User {
    id: Option<u64>,
    username: Option<String>,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        let login = user.username.unwrap_or_default();
        Self { id: user.id.unwrap_or_default(), kind: kind_of(&login), login }
    }
}

/// What an account is by its name. Those of access tokens are named so
/// (<https://docs.gitlab.com/user/project/settings/project_access_tokens/#bot-users-for-projects>).
pub(crate) fn kind_of(login: &str) -> AccountKind {
    let is_token = |prefix: &str| {
        let rest = login.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.split_once("_bot").is_some_and(|(id, _)| is_number(id)))
    };
    if is_token("project_") || is_token("group_") { AccountKind::Bot } else { AccountKind::Person }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

/// An account of which only the number is told.
const fn numbered(id: u64) -> Account {
    Account { id, login: String::new(), kind: AccountKind::Person }
}

fn accounts(users: Vec<User>) -> Vec<Account> {
    users.into_iter().take(MOST_NAMES).map(Into::into).collect()
}

#[derive(Deserialize)]
struct Project {
    id: u64,
    path_with_namespace: String,
    #[serde(default)]
    git_http_url: String,
    default_branch: Option<String>,
    visibility_level: Option<u64>,
}

impl From<Project> for Repository {
    fn from(project: Project) -> Self {
        Self {
            id: project.id,
            path: project.path_with_namespace,
            clone_url: project.git_http_url,
            default_branch: project.default_branch,
            private: project.visibility_level != Some(PUBLIC),
            public: project.visibility_level == Some(PUBLIC),
        }
    }
}

#[derive(Deserialize)]
struct Label {
    title: String,
}

fn titles(labels: &[Label]) -> Vec<String> {
    labels.iter().take(MOST_NAMES).map(|label| label.title.clone()).collect()
}

/// What was before and what is now.
#[derive(Deserialize)]
struct Change<T> {
    #[serde(default = "Vec::new")]
    previous: Vec<T>,
    #[serde(default = "Vec::new")]
    current: Vec<T>,
}

#[derive(Deserialize, Default)]
struct Changes {
    labels: Option<Change<Label>>,
    assignees: Option<Change<User>>,
    reviewers: Option<Change<User>>,
    title: Option<serde::de::IgnoredAny>,
    description: Option<serde::de::IgnoredAny>,
    target_branch: Option<serde::de::IgnoredAny>,
    draft: Option<Flag>,
}

#[derive(Deserialize)]
struct Flag {
    current: Option<bool>,
}

impl Changes {
    fn new_labels(&self) -> Option<Vec<String>> {
        let change = self.labels.as_ref()?;
        let was = |label: &String| change.previous.iter().any(|before| before.title == *label);
        let new: Vec<String> = titles(&change.current).into_iter().filter(|label| !was(label)).collect();
        (!new.is_empty()).then_some(new)
    }

    fn new_users(change: Option<Change<User>>) -> Option<Vec<Account>> {
        let change = change?;
        let before = accounts(change.previous);
        let new = accounts(change.current).into_iter().filter(|user| !before.contains(user));
        let new: Vec<Account> = new.collect();
        (!new.is_empty()).then_some(new)
    }
}

#[derive(Deserialize)]
struct OfIssue {
    object_attributes: IssueFields,
    #[serde(default)]
    labels: Vec<Label>,
    #[serde(default)]
    assignees: Vec<User>,
    #[serde(default)]
    changes: Changes,
}

#[derive(Deserialize)]
struct IssueFields {
    iid: u64,
    #[serde(default)]
    title: String,
    description: Option<String>,
    #[serde(default)]
    author_id: u64,
    updated_at: Option<String>,
    action: Option<String>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    labels: Vec<Label>,
}

impl From<IssueFields> for Issue {
    fn from(fields: IssueFields) -> Self {
        Self {
            number: fields.iid,
            title: fields.title,
            body: fields.description.unwrap_or_default(),
            author: numbered(fields.author_id),
            labels: titles(&fields.labels),
            open: fields.state != "closed",
            updated: moment(fields.updated_at.as_deref()),
        }
    }
}

fn issue(of: OfIssue) -> What {
    let OfIssue { object_attributes: mut fields, labels, assignees, changes } = of;
    if fields.labels.is_empty() {
        fields.labels = labels;
    }
    let action = fields.action.take().unwrap_or_default();
    let new_labels = changes.new_labels();
    let edited = changes.title.is_some() || changes.description.is_some();
    let change = match action.as_str() {
        // An issue that is opened with an assignee asks as well.
        "open" if !assignees.is_empty() => IssueChange::Assigned(accounts(assignees)),
        "open" => IssueChange::Opened,
        "close" => IssueChange::Closed,
        "reopen" => IssueChange::Reopened,
        "update" => match (new_labels, Changes::new_users(changes.assignees)) {
            (Some(labels), _) => IssueChange::Labelled(labels),
            (None, Some(users)) => IssueChange::Assigned(users),
            (None, None) if edited => IssueChange::Edited,
            (None, None) => IssueChange::Other,
        },
        _ => IssueChange::Other,
    };
    What::Issue(fields.into(), change)
}

#[derive(Deserialize)]
struct OfNote {
    object_attributes: Note,
    issue: Option<IssueFields>,
    merge_request: Option<Numbered>,
}

#[derive(Deserialize)]
struct Numbered {
    iid: u64,
}

#[derive(Deserialize)]
struct Note {
    id: u64,
    #[serde(default)]
    note: String,
    #[serde(default)]
    author_id: u64,
    updated_at: Option<String>,
    /// Told since 16.11, in which notes began to be told when they are edited.
    action: Option<String>,
    #[serde(default)]
    system: bool,
    discussion_id: Option<String>,
    position: Option<Position>,
}

#[derive(Deserialize)]
struct Position {
    new_path: Option<String>,
    old_path: Option<String>,
    new_line: Option<u64>,
    #[serde(default)]
    head_sha: String,
}

fn note(of: OfNote) -> What {
    let note = of.object_attributes;
    // The platform's own words: "changed the description", "added 1 commit".
    if note.system {
        return What::Other;
    }
    let change = match note.action.as_deref() {
        None | Some("create") => CommentChange::Written,
        Some("update") => CommentChange::Edited,
        Some(_) => return What::Other,
    };
    let discussion = note.discussion_id.unwrap_or_default();
    let line = |position: Position| {
        let path = position.new_path.or(position.old_path)?;
        Some(LinePlace { path, line: position.new_line, commit: position.head_sha, discussion })
    };
    let thread = match (of.merge_request, of.issue) {
        (Some(request), _) => Thread::Pull { number: request.iid, line: note.position.and_then(line) },
        (None, Some(issue)) => Thread::Issue(issue.into()),
        (None, None) => return What::Other,
    };
    let (author, updated) = (numbered(note.author_id), moment(note.updated_at.as_deref()));
    What::Comment(thread, Comment { id: note.id, body: note.note, author, updated }, change)
}

#[derive(Deserialize)]
struct OfMergeRequest {
    object_attributes: MergeRequest,
    #[serde(default)]
    changes: Changes,
}

#[derive(Deserialize)]
struct MergeRequest {
    iid: u64,
    #[serde(default)]
    title: String,
    description: Option<String>,
    #[serde(default)]
    author_id: u64,
    source_branch: String,
    target_branch: String,
    source_project_id: Option<u64>,
    last_commit: Option<Commit>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    draft: bool,
    action: Option<String>,
    oldrev: Option<String>,
    merge_commit_sha: Option<String>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
}

fn merge_request(of: OfMergeRequest) -> What {
    let OfMergeRequest { object_attributes: mut fields, changes } = of;
    let action = fields.action.take().unwrap_or_default();
    let oldrev = fields.oldrev.take();
    let pull = Pull::from(fields);
    let review = |end| {
        let review = Review { id: 0, body: String::new(), end, commit: Some(pull.commit.clone()) };
        What::Review(pull.clone(), review)
    };
    let ready = changes.draft.as_ref().is_some_and(|draft| draft.current == Some(false));
    let edited = changes.title.is_some() || changes.description.is_some() || changes.target_branch.is_some();
    let change = match action.as_str() {
        "approved" | "approval" => return review(ReviewEnd::Approved),
        "unapproved" | "unapproval" => return review(ReviewEnd::Dismissed),
        "open" => PullChange::Opened,
        "reopen" => PullChange::Reopened,
        "close" | "merge" => PullChange::Closed,
        "update" if oldrev.is_some() => PullChange::Pushed { before: oldrev },
        "update" if ready => PullChange::Ready,
        "update" => match (changes.new_labels(), Changes::new_users(changes.reviewers)) {
            (Some(labels), _) => PullChange::Labelled(labels),
            (None, Some(users)) => PullChange::ReviewWanted(users),
            (None, None) if edited => PullChange::Edited,
            (None, None) => PullChange::Other,
        },
        _ => PullChange::Other,
    };
    What::Pull(pull, change)
}

impl From<MergeRequest> for Pull {
    fn from(fields: MergeRequest) -> Self {
        Self {
            number: fields.iid,
            title: fields.title,
            body: fields.description.unwrap_or_default(),
            author: numbered(fields.author_id),
            branch: fields.source_branch,
            commit: fields.last_commit.map(|commit| commit.id).unwrap_or_default(),
            head_repository: fields.source_project_id,
            base: fields.target_branch,
            draft: fields.draft,
            conflicts: false,
            state: match fields.state.as_str() {
                "merged" => PullState::Merged,
                "closed" => PullState::Closed,
                _ => PullState::Open,
            },
            merged_as: fields.merge_commit_sha,
            updated: moment(fields.updated_at.as_deref()),
        }
    }
}

fn ended(status: &str) -> Option<CheckEnd> {
    match status {
        "success" => Some(CheckEnd::Passed),
        "failed" => Some(CheckEnd::Failed),
        "canceled" | "skipped" => Some(CheckEnd::Neutral),
        _ => None,
    }
}

#[derive(Deserialize)]
struct OfPipeline {
    object_attributes: Pipeline,
}

#[derive(Deserialize)]
struct Pipeline {
    id: u64,
    name: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    sha: String,
    status: String,
}

fn pipeline(of: OfPipeline) -> What {
    let Pipeline { id, name, reference, sha, status } = of.object_attributes;
    let Some(end) = ended(&status) else { return What::Other };
    let name = name.unwrap_or_else(|| "pipeline".to_owned());
    What::Check(Check { name, id, commit: sha, branch: reference, end })
}

#[derive(Deserialize)]
struct Job {
    build_id: u64,
    #[serde(default)]
    build_name: String,
    build_status: String,
    #[serde(default)]
    build_allow_failure: bool,
    sha: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

fn job(job: Job) -> What {
    let end = match ended(&job.build_status) {
        Some(CheckEnd::Failed) if job.build_allow_failure => CheckEnd::Neutral,
        Some(end) => end,
        None => return What::Other,
    };
    What::Check(Check { name: job.build_name, id: job.build_id, commit: job.sha, branch: job.reference, end })
}
