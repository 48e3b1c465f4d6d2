//! Sessions begin: from a task, or from a place in another session's log.

use cofferdam_domain::{
    Also, Attempt, EventBody, Owner, PlaybookUse, ProjectId, Seq, SessionId, Source, Task, TraceParent,
    effective,
    effective::{Fork, NoWayBack},
    policy::{Narrowing, rules_out_model},
    task::{Wishes, is_base, is_below},
};
use cofferdam_store::{NewSession as Queued, StoreError, TenantError};
use url::Url;

use super::{conflict, events, meaningless};
use crate::{access::Signed, problem::Problem, server::Repositories};

/// A session that somebody wants.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    /// The id that it gets, for whoever must know it before; any other.
    pub(crate) id: SessionId,
    /// What to do.
    pub(crate) prompt: String,
    /// An absolute path or a URL.
    pub(crate) repository: String,
    /// The ref to start from.
    pub(crate) base: Option<String>,
    /// The repositories that it is about beside that one.
    pub(crate) also: Vec<Also>,
    /// How it is to be worked on.
    pub(crate) wishes: Wishes,
    /// In which project; the organisation's default where it is not said.
    pub(crate) project: Option<ProjectId>,
    /// Higher goes first.
    pub(crate) priority: i16,
    /// Which way it came in.
    pub(crate) source: Source,
    /// The trace of whoever asks.
    pub(crate) trace: Option<TraceParent>,
}

/// Accepts a task and queues it.
pub(crate) async fn create(signed: &Signed, wanted: NewSession) -> Result<SessionId, Problem> {
    begun(signed, wanted, None).await
}

/// The same, where the words are a playbook's.
pub(super) async fn begun(
    signed: &Signed,
    wanted: NewSession,
    playbook: Option<PlaybookUse>,
) -> Result<SessionId, Problem> {
    begun_as(signed, wanted, playbook, None).await
}

/// The same, as one of several attempts.
pub(super) async fn begun_as(
    signed: &Signed,
    wanted: NewSession,
    playbook: Option<PlaybookUse>,
    attempt: Option<Attempt>,
) -> Result<SessionId, Problem> {
    let NewSession { id, prompt, repository, base, also, mut wishes, project, priority, source, trace } =
        wanted;
    // Workers need not know which are on offer.
    let only = permitted_models(signed, wishes.policy.as_deref()).await?;
    let mut offered = signed.shared.choices().models.iter();
    let usual = offered.find(|model| !rules_out_model(only.as_deref(), model));
    wishes.model = wishes.model.or_else(|| usual.cloned());
    let is_local = signed.actor().org == Owner::LOCAL.org;
    check_repository(&signed.shared.choices().repositories, is_local, &repository)?;
    check_base(base.as_deref())?;
    // Whoever may have work begun on one may have it begun on each by itself too, and on no other.
    for one in &also {
        check_repository(&signed.shared.choices().repositories, is_local, &one.repository)?;
        check_base(one.base.as_deref())?;
    }
    check_wishes(signed, &wishes).await?;
    check_model(only.as_deref(), wishes.model.as_deref())?;
    let task = Task::new(prompt, repository, base, signed.name(), source)
        .and_then(|task| task.with(wishes))
        .and_then(|task| task.and_also(also))
        .map_err(|invalid| meaningless(invalid.to_string()))?
        .traced(trace);
    let task = match playbook {
        Some(playbook) => task.by_playbook(playbook),
        None => task,
    };
    let task = match attempt {
        Some(attempt) => task.attempted(attempt),
        None => task,
    };
    let accepted = EventBody::TaskAccepted { task };
    enqueue(signed, Queued { id, project, priority }, accepted, Vec::new()).await
}

/// Makes a session that goes on from the event `at` of another one, with another instruction or model.
pub(crate) async fn fork(
    signed: &Signed,
    session: SessionId,
    new: SessionId,
    at: Seq,
    model: Option<String>,
    instruction: Option<String>,
) -> Result<SessionId, Problem> {
    fork_as(signed, (session, at), new, (model, instruction), None).await
}

/// The same, as one of several attempts.
pub(super) async fn fork_as(
    signed: &Signed,
    (session, at): (SessionId, Seq),
    new: SessionId,
    (model, instruction): (Option<String>, Option<String>),
    attempt: Option<Attempt>,
) -> Result<SessionId, Problem> {
    let instruction = instruction.map(|text| super::text("instruction", text)).transpose()?;
    check_wishes(signed, &Wishes { model: model.clone(), ..Wishes::default() }).await?;
    let row = signed.tenant.session(session).await?;
    let log = events(signed, session).await?;
    let fixed = log
        .iter()
        .rev()
        .find_map(|event| if let EventBody::PolicyFixed(fixed) = &event.body { Some(fixed) } else { None });
    check_model(fixed.and_then(|fixed| fixed.policy.models.as_deref()), model.as_deref())?;
    let bodies = effective::fork(&log, at, Fork { by: signed.name(), model, instruction, attempt })
        .map_err(no_way_back)?;
    let mut bodies = bodies.into_iter();
    let first = bodies.next().ok_or_else(|| conflict(format!("{session} has no events yet")))?;
    let queued = Queued { id: new, project: Some(row.owner.project), priority: 0 };
    enqueue(signed, queued, first, bodies.collect()).await
}

/// Makes the session. One with that id which is theirs was made by the same request, which did not live to say so.
async fn enqueue(
    signed: &Signed,
    queued: Queued,
    first: EventBody,
    rest: Vec<EventBody>,
) -> Result<SessionId, Problem> {
    match signed.tenant.enqueue(queued, signed.now(), first, rest).await {
        Ok(_) => Ok(queued.id),
        Err(TenantError::Store(StoreError::Exists(_))) => {
            signed.tenant.session(queued.id).await?;
            Ok(queued.id)
        }
        Err(error) => Err(error.into()),
    }
}

/// What a place in a log that nothing leads back to means for whoever asked.
pub(super) fn no_way_back(reason: NoWayBack) -> Problem {
    match reason {
        NoWayBack::Unknown(_) => meaningless(reason.to_string()),
        NoWayBack::Published(_) | NoWayBack::LaterTurn(_) | NoWayBack::BeforeFork(_) => {
            conflict(reason.to_string())
        }
    }
}

/// Models that are wished for must be there, and be permitted.
pub(super) async fn check_models(
    signed: &Signed,
    policy: Option<&str>,
    models: &[String],
) -> Result<(), Problem> {
    let only = permitted_models(signed, policy).await?;
    for model in models {
        check_wishes(signed, &Wishes { model: Some(model.clone()), ..Wishes::default() }).await?;
        check_model(only.as_deref(), Some(model))?;
    }
    Ok(())
}

/// The only models that a named policy permits, if it says which.
async fn permitted_models(signed: &Signed, policy: Option<&str>) -> Result<Option<Vec<String>>, Problem> {
    let Some(policy) = policy else { return Ok(None) };
    let policies = signed.tenant.policies().await?;
    let text = policies.into_iter().find_map(|(name, text)| (name == policy).then_some(text));
    // It was checked when it was kept: one that does not parse is of a newer version, and the worker that takes the session knows better.
    let narrowing = text.and_then(|text| serde_json::from_str::<Narrowing>(&text).ok());
    Ok(narrowing.and_then(|narrowing| narrowing.models))
}

/// A session is not begun with a model that its policy rules out.
fn check_model(only: Option<&[String]>, model: Option<&str>) -> Result<(), Problem> {
    match (only, model) {
        (Some(only), Some(model)) if rules_out_model(Some(only), model) => Err(meaningless(format!(
            "its policy does not permit the model {model:?}: name one of {}",
            only.join(", ")
        ))),
        _ => Ok(()),
    }
}

/// What can be wished for must be there.
async fn check_wishes(signed: &Signed, wishes: &Wishes) -> Result<(), Problem> {
    if let Some(model) = &wishes.model
        && !signed.shared.choices().models.contains(model)
    {
        return Err(meaningless("there is no such model: GET /api/v1/choices lists those that there are"));
    }
    if let Some(policy) = &wishes.policy
        && !signed.tenant.policies().await?.iter().any(|(name, _)| name == policy)
    {
        return Err(meaningless("there is no such policy: GET /api/v1/choices lists those that there are"));
    }
    Ok(())
}

fn check_base(base: Option<&str>) -> Result<(), Problem> {
    if base.is_none_or(is_base) {
        Ok(())
    } else {
        Err(meaningless("the base is no name of a branch, tag or commit"))
    }
}

/// An address of a repository that may be worked on: an absolute path, or a URL without a secret in it. It is written as it will be read: dot
/// segments and the like, which would lead out of a permitted place, are refused. What lies on the worker's machine is for the
/// organisation whose machine it is, unless its administrator lists it: there are the mirrors of all others too.
fn check_repository(permitted: &Repositories, is_local: bool, repository: &str) -> Result<(), Problem> {
    let plain = !repository.is_empty()
        && repository.len() <= 1000
        && repository.chars().all(|character| !character.is_control() && character != '\\');
    let fits = plain
        && if repository.starts_with('/') {
            !repository.split('/').any(|part| matches!(part, "." | ".."))
        } else {
            Url::parse(repository).is_ok_and(|url| {
                matches!(url.scheme(), "https" | "http" | "ssh" | "file")
                    && url.password().is_none()
                    && url.as_str().trim_end_matches('/') == repository.trim_end_matches('/')
            })
        };
    if !fits {
        return Err(meaningless(
            "the repository is neither an absolute path on the worker's machine nor an https, http, ssh or file URL without a password",
        ));
    }
    match permitted {
        Repositories::Any if is_local || !is_here(repository) => Ok(()),
        Repositories::Remote if !is_here(repository) => Ok(()),
        Repositories::Below(places) if places.iter().any(|place| is_below(repository, place)) => Ok(()),
        Repositories::Any | Repositories::Remote | Repositories::Below(_) => Err(meaningless(
            "the repository is not in a place that this server may work on: its administrator lists them in [server] repositories",
        )),
    }
}

/// Whether an address is on the worker's machine.
fn is_here(repository: &str) -> bool {
    // Nothing but loopback is reached by plain HTTP.
    ["/", "file:", "http:"].iter().any(|start| repository.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_addresses_in_permitted_places() {
        let any = |text: &str| check_repository(&Repositories::Any, true, text).is_ok();
        for text in ["/srv/a", "https://forge.example/a/b.git", "ssh://git@forge.example/a", "file:///srv/a"]
        {
            assert!(any(text), "{text}");
        }
        for text in [
            "",
            "a",
            "../a",
            "/srv/../etc",
            "-oProxyCommand=x",
            "ext::sh -c x",
            "https://u:p@forge.example/a",
            "/a\nb",
            "javascript:alert(1)",
            "git@forge.example:a/b",
        ] {
            assert!(!any(text), "{text}");
        }
        let some = Repositories::Below(vec!["/srv/git/".to_owned(), "https://forge.example/team".to_owned()]);
        for (text, fits) in [
            ("/srv/git/a", true),
            ("/srv/git", true),
            ("/srv/github", false),
            ("/srv", false),
            ("https://forge.example/team/a", true),
            ("https://forge.example/teams/a", false),
            ("https://forge.example.evil.example/team/a", false),
            ("https://forge.example/team/../other/a", false),
            ("https://forge.example/team/%2e%2e/other/a", false),
            ("https://forge.example/team/.%2E/other/a", false),
        ] {
            assert_eq!(check_repository(&some, false, text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn what_lies_on_the_machine_is_for_those_whose_machine_it_is() {
        for here in ["/srv/a", "file:///srv/a", "http://127.0.0.1:3000/a/b"] {
            assert!(check_repository(&Repositories::Any, true, here).is_ok(), "{here}");
            assert!(check_repository(&Repositories::Any, false, here).is_err(), "{here}");
            assert!(check_repository(&Repositories::Remote, true, here).is_err(), "{here}");
        }
        for local in [true, false] {
            assert!(check_repository(&Repositories::Remote, local, "https://forge.example/a").is_ok());
            assert!(check_repository(&Repositories::Any, local, "ssh://git@forge.example/a").is_ok());
        }
    }
}
