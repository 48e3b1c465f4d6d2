//! Everything that can be done, one function each, whoever asks for it: the API's routes and the pages' forms both end here. Each looks
//! whether it fits how things stand, does it, and says why not.

mod administer;
mod attempts;
mod begin;
mod connect;
mod decide;
mod deliver;
mod memories;
mod playbooks;
mod skills;
mod steer;

pub(crate) use administer::{
    Invited, Invitee, NewTokenWish, create_project, create_token, invite, put_credential, put_policy,
    remove_credential, remove_member, remove_policy, revoke_token, set_budget, set_rank,
};
pub(crate) use attempts::{Attempts, Origin, attempts, choose, create_several, fork_several};
pub(crate) use begin::{NewSession, create, fork};
pub use connect::sealed_as;
pub(crate) use connect::{Connected, connect, connected, disconnect, is_code, is_state, set_forge};
pub(crate) use decide::{Decision, answer, decide_access, decide_plan};
pub(crate) use deliver::{archive, close, delete, merge};
pub(crate) use memories::{amend_memory, approve_memory, note_memory, reject_memory, remove_memory};
pub(crate) use playbooks::{ByPlaybook, add_playbook, begin_playbook, read_playbook, remove_playbook};
pub(crate) use skills::{add_skill, approve_skill, revoke_skill};
pub(crate) use steer::{cancel, freeze, go_on, message, pause, release, roll_back};

use cofferdam_domain::{Event, EventBody, Seq, SessionId, hidden::Hidden};

use crate::{
    access::Signed,
    problem::{Kind, Problem},
    standing::Standing,
};

/// The longest text that a person may write into a session at once, in bytes.
pub(crate) const MAX_TEXT: usize = 64 << 10;
/// The longest name of anything, in characters.
pub(crate) const MAX_NAME: usize = 80;

/// A session's whole log.
pub(crate) async fn events(signed: &Signed, session: SessionId) -> Result<Vec<Event>, Problem> {
    Ok(signed.tenant.log(session).await?)
}

/// How a session stands.
pub(crate) async fn standing(signed: &Signed, session: SessionId) -> Result<Standing, Problem> {
    Ok(Standing::of(&events(signed, session).await?))
}

/// Puts an event into a session's log. Gives its place.
async fn append(signed: &Signed, session: SessionId, body: EventBody) -> Result<Seq, Problem> {
    append_all(signed, session, vec![body]).await
}

/// The same with several, one right after the other. Gives the last one's place.
async fn append_all(signed: &Signed, session: SessionId, bodies: Vec<EventBody>) -> Result<Seq, Problem> {
    let written = signed.tenant.append(session, signed.now(), bodies).await?;
    Ok(written.last().map_or(Seq::START, |event| event.seq))
}

fn conflict(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::Conflict, detail)
}

fn meaningless(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::Meaningless, detail)
}

/// Refuses what a session that is over cannot do any more.
fn still_going(standing: &Standing, session: SessionId) -> Result<(), Problem> {
    match &standing.outcome {
        Some(outcome) => Err(conflict(format!(
            "{session} has ended ({}): write to it to go on from there, or fork it",
            outcome.name().replace('_', " ")
        ))),
        None => Ok(()),
    }
}

/// A text that a person wrote: something, not too much, without NUL.
fn text(what: &str, text: String) -> Result<String, Problem> {
    if text.trim().is_empty() {
        return Err(meaningless(format!("the {what} is empty: write something")));
    }
    if text.len() > MAX_TEXT {
        return Err(meaningless(format!(
            "the {what} is longer than {MAX_TEXT} bytes: put long material into a file of the repository"
        )));
    }
    if text.contains('\0') {
        return Err(meaningless(format!("the {what} contains a NUL character: give it as plain text")));
    }
    Ok(text)
}

/// Whether a text can be a name: one line that shows all there is of it.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.chars().count())
        && name.trim() == name
        && name.chars().all(|character| character != '\n' && Hidden::of(character).is_none())
}

/// A name.
fn name(what: &str, name: String) -> Result<String, Problem> {
    if is_name(&name) {
        Ok(name)
    } else {
        Err(meaningless(format!(
            "the {what} has 1 to {MAX_NAME} characters in one line, none of them invisible, and no space at an end"
        )))
    }
}

/// A name that can stand in a path: lower-case letters, digits, `-`, `_` and `.`.
fn path_name(what: &str, name: String) -> Result<String, Problem> {
    let fits = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if fits {
        Ok(name)
    } else {
        Err(meaningless(format!(
            "the {what} has 1 to {MAX_NAME} lower-case letters, digits, dashes, underscores and dots, and begins with a letter or digit"
        )))
    }
}
