//! Sessions: begin, list, see, delete.

use axum::{Json, http::StatusCode, response::Response};
use cofferdam_domain::{
    Also, ProjectId, Seq, SessionId, Source, UserId, attempt::Choose, ids::SessionKind, task::Wishes,
};
use cofferdam_store::SessionFilter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    body::{Asked, Body, Named, NoQuery},
    once::{Answer, Key, once},
    paging,
    traced::Traced,
    view::{ChooseView, Made, SessionView, StateView},
};
use crate::{
    access::Signed,
    actions::{self, Attempts, NewSession},
    cursor,
    problem::Problem,
};

/// The most sessions of one page.
const MAX_PAGE: u32 = 200;

super::resources! {
    (list_sessions, create_session),
    (get_session, delete_session),
    (fork_session),
}

/// A task.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTask {
    /// What to do, in words
    #[schema(min_length = 1, max_length = 524_288)]
    prompt: String,
    /// The repository: an absolute path on the workers' machines, or a URL
    #[schema(min_length = 1, max_length = 1000, example = "https://forge.example.com/team/project.git")]
    repository: String,
    /// Branch, tag or commit to start from; the repository's default branch where it is not said
    #[schema(max_length = 250)]
    base: Option<String>,
    /// Other repositories that the task is about: each gets a branch and a pull request of its own, and they are linked
    #[serde(default)]
    #[schema(max_items = 5, example = json!([]))]
    also: Vec<AlsoRepository>,
    /// The model, one of those that `/choices` lists
    #[schema(max_length = 200)]
    model: Option<String>,
    /// A named policy, one of those that `/choices` lists
    #[schema(max_length = 200)]
    policy: Option<String>,
    /// Whether the agent may change nothing before somebody has approved its plan
    #[serde(default)]
    plan_first: bool,
    /// Directories to have in the workspace, of a repository that is not wanted whole; the others stay as they are
    #[serde(default)]
    #[schema(max_items = 50, example = json!([]))]
    sparse: Vec<String>,
    /// The project; the organisation's default where it is not said
    #[schema(value_type = Option<String>)]
    project: Option<ProjectId>,
    /// Higher goes first; 0 is usual
    #[serde(default)]
    #[schema(minimum = -100, maximum = 100)]
    priority: i16,
    /// How many attempts at the task are made, each a session of its own with the whole budget; one of them is delivered
    #[schema(minimum = 1, maximum = 8)]
    attempts: Option<u16>,
    /// The models of the attempts, in turn, of those that `/choices` lists
    #[serde(default)]
    #[schema(max_items = 8, example = json!([]))]
    attempt_models: Vec<String>,
    /// Who chooses among several attempts: `ask` for a person, which is usual, or `best` for the one that is ranked first
    #[schema(value_type = Option<ChooseView>)]
    choose: Option<Choose>,
}

/// Another repository of a task.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AlsoRepository {
    /// An absolute path on the workers' machines, or a URL
    #[schema(min_length = 1, max_length = 1000, example = "https://forge.example.com/team/library.git")]
    repository: String,
    /// Branch, tag or commit to start from; the repository's default branch where it is not said
    #[schema(max_length = 250)]
    base: Option<String>,
}

/// Accept a task
///
/// The session is queued, and nothing that was accepted is lost. The answer comes before the work begins.
#[utoipa::path(
    post,
    path = "/sessions",
    tag = "Sessions",
    request_body = NewTask,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same answer again", min_length = 1, max_length = 128, pattern = "^[!-~]+$"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context: the session's own trace links to it. What is none is passed over")
    ),
    responses((status = 201, description = "The session that was made", body = Made))
)]
async fn create_session(
    signed: Signed,
    key: Key,
    Traced(trace): Traced,
    _: NoQuery,
    body: Body<NewTask>,
) -> Result<Response, Problem> {
    let Body { value, request } = body;
    once(signed, key, request, move |signed, id| async move {
        let NewTask {
            prompt,
            repository,
            base,
            also,
            model,
            policy,
            plan_first,
            sparse,
            project,
            priority,
            attempts,
            attempt_models,
            choose,
        } = value;
        let several = Attempts::wanted(attempts, attempt_models, choose)?;
        let wanted = NewSession {
            id,
            prompt,
            repository,
            base,
            also: also
                .into_iter()
                .map(|AlsoRepository { repository, base }| Also { repository, base })
                .collect(),
            wishes: Wishes { model, policy, plan_first, sparse },
            project,
            priority: priority.clamp(-100, 100),
            source: Source::Api,
            trace,
        };
        match several {
            Some(attempts) => Answer::created(&Made::several(
                id,
                actions::create_several(&signed, wanted, &attempts).await?,
            )),
            None => Answer::created(&Made::one(actions::create(&signed, wanted).await?)),
        }
    })
    .await
}

/// Where another session should go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFork {
    /// The last event that is taken over
    #[schema(minimum = 1)]
    at: u64,
    /// Another model to go on with
    #[schema(max_length = 200)]
    model: Option<String>,
    /// What the agent is told to do instead
    #[schema(min_length = 1, max_length = 65_536)]
    instruction: Option<String>,
    /// How many sessions go on from there, of which one is delivered
    #[schema(minimum = 1, maximum = 8)]
    attempts: Option<u16>,
    /// The models of the attempts, in turn, of those that `/choices` lists
    #[serde(default)]
    #[schema(max_items = 8, example = json!([]))]
    attempt_models: Vec<String>,
    /// Who chooses among several attempts: `ask` for a person, which is usual, or `best` for the one that is ranked first
    #[schema(value_type = Option<ChooseView>)]
    choose: Option<Choose>,
}

/// Fork a session
///
/// The new session begins with a copy of the log up to an event and the files as they were then.
#[utoipa::path(
    post,
    path = "/sessions/{id}/fork",
    tag = "Steering",
    request_body = NewFork,
    params(
        ("id" = String, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same answer again", min_length = 1, max_length = 128, pattern = "^[!-~]+$")
    ),
    responses((status = 201, description = "The session that was made", body = Made))
)]
async fn fork_session(
    signed: Signed,
    Named(session): Named<SessionId>,
    key: Key,
    _: NoQuery,
    body: Body<NewFork>,
) -> Result<Response, Problem> {
    let Body { value, request } = body;
    once(signed, key, request, move |signed, id| async move {
        let NewFork { at, model, instruction, attempts, attempt_models, choose } = value;
        if let Some(attempts) = Attempts::wanted(attempts, attempt_models, choose)? {
            let origin = actions::Origin { session, at: Seq(at), model, instruction };
            let made = actions::fork_several(&signed, origin, id, &attempts).await?;
            return Answer::created(&Made::several(id, made));
        }
        let made = actions::fork(&signed, session, id, Seq(at), model, instruction).await?;
        Answer::created(&Made::one(made))
    })
    .await
}

/// Which sessions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only those in this state
    state: Option<StateView>,
    /// Only those of this project
    #[param(value_type = Option<String>)]
    project: Option<ProjectId>,
    /// Only those that this user asked for
    #[param(value_type = Option<String>)]
    user: Option<UserId>,
    /// Only those that were put away, or only those that were not
    archived: Option<bool>,
    /// Whether also those that work for others are listed
    #[serde(default)]
    #[param(required = false)]
    subagents: bool,
    /// Only those with this text anywhere in their title or repository, in whatever case. A page may have few where many have the text and few pass the rest: the next goes on
    #[param(max_length = 200)]
    text: Option<String>,
    /// Where the page begins, as the page before said
    #[param(max_length = 100)]
    cursor: Option<String>,
    /// At most this many; 50 where it is not said
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A page of sessions.
#[derive(Debug, Serialize, ToSchema)]
struct SessionPage {
    /// The newest first
    sessions: Vec<SessionView>,
    /// Where the next page begins; nothing at the end
    next: Option<String>,
}

/// List sessions
#[utoipa::path(
    get,
    path = "/sessions",
    tag = "Sessions",
    params(Wanted),
    responses((status = 200, description = "The newest first", body = SessionPage))
)]
async fn list_sessions(signed: Signed, Asked(wanted): Asked<Wanted>) -> Result<Json<SessionPage>, Problem> {
    let Wanted { state, project, user, archived, subagents, text, cursor, limit } = wanted;
    let limit = paging::limit(limit, 50, MAX_PAGE, "sessions")?;
    if text.as_ref().is_some_and(|text| text.len() > 200) {
        return Err(Problem::new(
            crate::problem::Kind::Malformed,
            "the text to look for has at most 200 bytes",
        ));
    }
    let before = cursor.as_deref().map(cursor::read::<SessionKind>).transpose()?;
    let filter = SessionFilter {
        state: state.map(Into::into),
        project,
        user,
        archived,
        subagents,
        text,
        before,
        limit,
        ..SessionFilter::default()
    };
    let (rows, next) = signed.tenant.page(filter).await?;
    let next = next.map(cursor::after);
    Ok(Json(SessionPage { sessions: rows.into_iter().map(Into::into).collect(), next }))
}

/// See a session
#[utoipa::path(
    get,
    path = "/sessions/{id}",
    tag = "Sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "The session", body = SessionView))
)]
async fn get_session(signed: Signed, Named(session): Named<SessionId>) -> Result<Json<SessionView>, Problem> {
    Ok(Json(signed.tenant.session(session).await?.into()))
}

/// Delete a session
///
/// Its events, and the contents that only it refers to, are gone for good. A worker that has it stops. What it has pushed stays on the forge.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    tag = "Sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 204, description = "It is gone"))
)]
async fn delete_session(signed: Signed, Named(session): Named<SessionId>) -> Result<StatusCode, Problem> {
    actions::delete(&signed, session).await?;
    Ok(StatusCode::NO_CONTENT)
}
