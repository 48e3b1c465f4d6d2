//! Playbooks: tasks with gaps, kept by an organisation and begun by its people.

use std::collections::BTreeMap;

use axum::{Json, http::StatusCode, response::Response};
use cofferdam_domain::{Digest, ProjectId, Source, Timestamp};
use cofferdam_instructions::{Accepts, Parameter, Playbook};
use cofferdam_store::{KeptPlaybook, PlaybookVersion};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::{Asked, Body, Named, NoQuery},
    once::{Answer, Key, once},
    traced::Traced,
    view::Made,
};
use crate::{
    access::Signed,
    actions::{self, ByPlaybook},
    problem::Problem,
};

super::resources! {
    (list_playbooks),
    (get_playbook, put_playbook, remove_playbook),
    (begin_playbook),
}

/// One version of a playbook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlaybookVersion)]
struct VersionView {
    /// What it is called by
    name: String,
    /// The digest of its text
    #[schema(value_type = String)]
    digest: Digest,
    /// Its number; of each playbook the highest is begun
    version: u64,
    /// What it is for
    description: String,
    /// Who put it there
    by: String,
    /// When, in milliseconds since 1970
    #[schema(value_type = u64)]
    at: Timestamp,
}

impl From<PlaybookVersion> for VersionView {
    fn from(version: PlaybookVersion) -> Self {
        let PlaybookVersion { name, digest, version, description, by, at } = version;
        Self { name, digest, version, description, by, at }
    }
}

/// All versions of all playbooks.
#[derive(Debug, Serialize, ToSchema)]
struct Playbooks {
    /// By name, the latest version first
    playbooks: Vec<VersionView>,
}

/// What is to be said each time that a playbook is begun.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlaybookParameter)]
struct ParameterView {
    /// What it is called by
    name: String,
    /// What it is
    description: String,
    /// Whether there must be a value
    required: bool,
    /// The value where none is given
    default: Option<String>,
    /// What may be its value, where there is a choice
    one_of: Option<Vec<String>>,
    /// Characters that it has at most
    max_length: Option<usize>,
    /// Whether it may have several lines
    multiline: bool,
    /// A regular expression that it meets as a whole
    pattern: Option<String>,
}

impl From<&Parameter> for ParameterView {
    fn from(parameter: &Parameter) -> Self {
        let Parameter { name, description, required, default, accepts } = parameter.clone();
        let (one_of, max_length, multiline, pattern) = match accepts {
            Accepts::OneOf(choices) => (Some(choices), None, false, None),
            Accepts::Text { max_length, multiline, pattern } => (None, Some(max_length), multiline, pattern),
        };
        Self { name, description, required, default, one_of, max_length, multiline, pattern }
    }
}

/// A playbook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Playbook)]
struct PlaybookView {
    /// What it is called by
    name: String,
    /// The digest of its text
    #[schema(value_type = String)]
    digest: Digest,
    /// Its number
    version: u64,
    /// What it is for
    description: String,
    /// In the order in which they are asked for
    parameters: Vec<ParameterView>,
    /// The model that it names
    model: Option<String>,
    /// The policy that it names
    policy: Option<String>,
    /// Whether the agent may change nothing before somebody has approved its plan
    plan_first: bool,
    /// The ref to start from that it names
    base: Option<String>,
    /// All of it
    text: String,
    /// Who put it there
    by: String,
    /// When, in milliseconds since 1970
    #[schema(value_type = u64)]
    at: Timestamp,
}

impl PlaybookView {
    fn of(kept: KeptPlaybook, playbook: Playbook) -> Self {
        let KeptPlaybook { name, digest, version, description: _, text, by, at } = kept;
        let Playbook { description, parameters, model, policy, plan_first, base, .. } = playbook;
        let parameters = parameters.iter().map(ParameterView::from).collect();
        Self { name, digest, version, description, parameters, model, policy, plan_first, base, text, by, at }
    }
}

/// List playbooks
#[utoipa::path(get, path = "/playbooks", tag = "Rules", responses((status = 200, description = "By name, the latest version first", body = Playbooks)))]
async fn list_playbooks(signed: Signed, _: NoQuery) -> Result<Json<Playbooks>, Problem> {
    let playbooks = signed.tenant.playbooks().await?;
    Ok(Json(Playbooks { playbooks: playbooks.into_iter().map(VersionView::from).collect() }))
}

/// Which version.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The digest of the version; the latest where it is not said
    #[param(value_type = Option<String>, pattern = "^sha256:[0-9a-f]{64}$")]
    digest: Option<Digest>,
}

/// See a playbook
#[utoipa::path(
    get,
    path = "/playbooks/{name}",
    tag = "Rules",
    params(("name" = String, Path, description = "Its name"), Wanted),
    responses((status = 200, description = "The playbook", body = PlaybookView))
)]
async fn get_playbook(
    signed: Signed,
    Named(name): Named<String>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<PlaybookView>, Problem> {
    let kept = signed.tenant.playbook(&name, wanted.digest).await?;
    let playbook = actions::read_playbook(&kept)?;
    Ok(Json(PlaybookView::of(kept, playbook)))
}

/// A playbook's text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaybookText {
    /// All of it: front matter, and the task below
    #[schema(min_length = 1, max_length = 65_536)]
    text: String,
}

/// What was put there.
#[derive(Debug, Serialize, ToSchema)]
struct AddedPlaybook {
    /// The digest of its text
    #[schema(value_type = String)]
    digest: Digest,
    /// Whether that was not the latest version already
    added: bool,
    /// Characters of it that cannot be seen
    hidden: usize,
}

/// Put a version of a playbook there
///
/// It is begun from now on, in the place of any other version.
#[utoipa::path(
    put,
    path = "/playbooks/{name}",
    tag = "Rules",
    request_body = PlaybookText,
    params(("name" = String, Path, description = "Its name, as in its text")),
    responses((status = 200, description = "It is there", body = AddedPlaybook))
)]
async fn put_playbook(
    signed: Signed,
    Named(name): Named<String>,
    _: NoQuery,
    body: Body<PlaybookText>,
) -> Result<Json<AddedPlaybook>, Problem> {
    let (playbook, added) = actions::add_playbook(&signed, Some(&name), body.value.text).await?;
    Ok(Json(AddedPlaybook { digest: playbook.digest, added, hidden: playbook.hidden }))
}

/// Remove a playbook
///
/// All its versions go; sessions that have begun keep their task.
#[utoipa::path(
    delete,
    path = "/playbooks/{name}",
    tag = "Rules",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"))
)]
async fn remove_playbook(
    signed: Signed,
    Named(name): Named<String>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    actions::remove_playbook(&signed, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A task by a playbook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewByPlaybook {
    /// The repository: an absolute path on the workers' machines, or a URL
    #[schema(min_length = 1, max_length = 1000, example = "https://forge.example.com/team/project.git")]
    repository: String,
    /// What goes into its places, by the names of its parameters
    #[serde(default)]
    #[schema(value_type = Object, example = json!({}))]
    values: BTreeMap<String, String>,
    /// The digest of the version that was looked at; the latest where it is not said
    #[schema(value_type = Option<String>, pattern = "^sha256:[0-9a-f]{64}$")]
    digest: Option<Digest>,
    /// Branch, tag or commit to start from, where the playbook does not say it
    #[schema(max_length = 250)]
    base: Option<String>,
    /// The model, one of those that `/choices` lists, where the playbook does not say it
    #[schema(max_length = 200)]
    model: Option<String>,
    /// Whether the agent may change nothing before somebody has approved its plan, also where the playbook does not ask for that
    #[serde(default)]
    plan_first: bool,
    /// The project; the organisation's default where it is not said
    #[schema(value_type = Option<String>)]
    project: Option<ProjectId>,
    /// Higher goes first; 0 is usual
    #[serde(default)]
    #[schema(minimum = -100, maximum = 100)]
    priority: i16,
}

/// Begin a session by a playbook
///
/// Values are put into its places as they are, and read as nothing else. The answer comes before the work begins.
#[utoipa::path(
    post,
    path = "/playbooks/{name}/sessions",
    tag = "Sessions",
    request_body = NewByPlaybook,
    params(("name" = String, Path, description = "Its name"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same answer again", min_length = 1, max_length = 128, pattern = "^[!-~]+$"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context: the session's own trace links to it. What is none is passed over")
    ),
    responses((status = 201, description = "The session that was made", body = Made))
)]
async fn begin_playbook(
    signed: Signed,
    Named(name): Named<String>,
    key: Key,
    Traced(trace): Traced,
    _: NoQuery,
    body: Body<NewByPlaybook>,
) -> Result<Response, Problem> {
    let Body { value, request } = body;
    once(signed, key, request, move |signed, id| async move {
        let NewByPlaybook { repository, values, digest, base, model, plan_first, project, priority } = value;
        let wanted = ByPlaybook {
            id,
            repository,
            base,
            values,
            digest,
            model,
            plan_first,
            project,
            priority: priority.clamp(-100, 100),
            source: Source::Api,
            trace,
        };
        Answer::created(&Made::one(actions::begin_playbook(&signed, &name, wanted).await?))
    })
    .await
}
