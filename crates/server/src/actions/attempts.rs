//! Several attempts at one task: they begin together, are compared, and one of them is chosen.

use cofferdam_domain::{
    EventBody, Seq, SessionId,
    attempt::{Attempt, Choose, MOST_ATTEMPTS},
};
use cofferdam_gate::attempts::{AttemptFacts, Choice, Group};
use cofferdam_store::{SessionFilter, StoreError, TenantError};

use super::{
    NewSession,
    begin::{begun_as, check_models, fork_as},
    conflict, events, meaningless,
};
use crate::{access::Signed, problem::Problem};

/// How often it is looked anew when the attempts go on while somebody chooses.
const TRIES: u32 = 20;

/// How many attempts are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// How many; one is none of several.
    pub(crate) count: u16,
    /// Their models, in turn; where there are none, that of the task.
    pub(crate) models: Vec<String>,
    /// Who chooses.
    pub(crate) choose: Choose,
}

impl Attempts {
    /// What was asked for, where that makes sense.
    pub(crate) fn wanted(
        count: Option<u16>,
        models: Vec<String>,
        choose: Option<Choose>,
    ) -> Result<Option<Self>, Problem> {
        let most = usize::from(MOST_ATTEMPTS);
        let number = count.unwrap_or(1);
        if !(1..=MOST_ATTEMPTS).contains(&number) || models.len() > most {
            return Err(meaningless(format!("there are 1 to {MOST_ATTEMPTS} attempts at a task")));
        }
        if number == 1 && (!models.is_empty() || choose.is_some()) {
            return Err(meaningless(
                "models and choice of attempts are for several of them: say how many, at least 2",
            ));
        }
        if models.len() > usize::from(number) {
            return Err(meaningless("there are more models than attempts"));
        }
        Ok((number > 1).then(|| Self { count: number, models, choose: choose.unwrap_or_default() }))
    }

    /// Each attempt with its model.
    fn each(&self, group: SessionId) -> impl Iterator<Item = (Attempt, Option<String>)> + use<'_> {
        let models = self.models.iter().cycle().map(Some).chain(std::iter::repeat(None));
        Attempt::all(group, self.count, self.choose)
            .zip(models)
            .map(|(attempt, model)| (attempt, model.cloned()))
    }
}

/// Accepts a task and queues several attempts at it. Those that were made by the same request before are not made again.
pub(crate) async fn create_several(
    signed: &Signed,
    wanted: NewSession,
    attempts: &Attempts,
) -> Result<Vec<SessionId>, Problem> {
    // Before the first one is made: all or none.
    check_models(signed, wanted.wishes.policy.as_deref(), &attempts.models).await?;
    let mut made = Vec::new();
    for (attempt, model) in attempts.each(wanted.id) {
        let mut wanted = NewSession { id: attempt.session(), ..wanted.clone() };
        wanted.wishes.model = model.or(wanted.wishes.model);
        match begun_as(signed, wanted, None, Some(attempt)).await {
            Ok(session) => made.push(session),
            Err(problem) => return Err(take_back(signed, made, problem).await),
        }
    }
    Ok(made)
}

/// A session from which several others go on.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Which.
    pub(crate) session: SessionId,
    /// The last event that is taken over.
    pub(crate) at: Seq,
    /// The model, where an attempt has none of its own.
    pub(crate) model: Option<String>,
    /// What the agents are told to do instead.
    pub(crate) instruction: Option<String>,
}

/// Makes several sessions that go on from an event of another one.
pub(crate) async fn fork_several(
    signed: &Signed,
    origin: Origin,
    new: SessionId,
    attempts: &Attempts,
) -> Result<Vec<SessionId>, Problem> {
    check_models(signed, None, &attempts.models).await?;
    let mut made = Vec::new();
    for (attempt, model) in attempts.each(new) {
        let Origin { session, at, model: usual, instruction } = origin.clone();
        let model = model.or(usual);
        match fork_as(signed, (session, at), attempt.session(), (model, instruction), Some(attempt)).await {
            Ok(session) => made.push(session),
            Err(problem) => return Err(take_back(signed, made, problem).await),
        }
    }
    Ok(made)
}

/// Not all could be made: those that were are not worked on.
async fn take_back(signed: &Signed, made: Vec<SessionId>, problem: Problem) -> Problem {
    for session in made {
        let given_up = EventBody::CancelAsked { by: signed.name() };
        if let Err(error) = signed.tenant.append(session, signed.now(), vec![given_up]).await {
            let error = cofferdam_domain::causes::with_causes(&error);
            tracing::warn!(%session, error, "an attempt goes on although the others could not be made");
        }
    }
    problem
}

/// All attempts of which a session is one.
pub(crate) async fn attempts(signed: &Signed, session: SessionId) -> Result<Group, Problem> {
    let row = signed.tenant.session(session).await?;
    let Some(first) = row.attempt_of else {
        return Err(conflict(format!("{session} is the only attempt at its task")));
    };
    let filter = SessionFilter { attempt_of: Some(first), ..SessionFilter::default() };
    let mut all = Vec::new();
    for row in signed.tenant.sessions(filter).await? {
        match events(signed, row.id).await {
            Ok(events) => all.extend(AttemptFacts::of(&events)),
            // Deleted in this moment; the one that was asked for is answered as ever.
            Err(problem) if row.id == session => return Err(problem),
            Err(_) => {}
        }
    }
    // One that is not made yet is soon: whoever makes them has not answered.
    Ok(Group::new(all, false))
}

/// Chooses an attempt, if its head is still this commit. Gives the place of the event that says so first: in the log of the first attempt that
/// there is, from which workers tell all others.
pub(crate) async fn choose(signed: &Signed, session: SessionId, commit: &str) -> Result<Seq, Problem> {
    let by = signed.name();
    for _ in 0..TRIES {
        let group = attempts(signed, session).await?;
        let word = group
            .choose(Choice { session, commit, by: &by })
            .map_err(|unchoosable| conflict(unchoosable.to_string()))?;
        match signed.tenant.append_after(word.session, word.after, signed.now(), vec![word.body]).await {
            Ok(written) => return Ok(written.last().map_or(Seq::START, |event| event.seq)),
            // Something was said there in this moment, or it was deleted.
            Err(TenantError::Store(StoreError::Behind { .. } | StoreError::UnknownSession(_)))
            | Err(TenantError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(conflict("the attempts go on while you choose: look at them again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_numbers_and_models_go_together() {
        let wanted = |count, models: &[&str], choose| {
            Attempts::wanted(count, models.iter().map(|model| (*model).to_owned()).collect(), choose)
        };
        assert_eq!(wanted(None, &[], None).unwrap(), None);
        assert_eq!(wanted(Some(1), &[], None).unwrap(), None);
        for (count, models, choose) in [
            (Some(0), &[][..], None),
            (Some(9), &[], None),
            (Some(u16::MAX), &[], None),
            (None, &["a"], None),
            (Some(1), &[], Some(Choose::Best)),
            (Some(2), &["a", "b", "c"], None),
        ] {
            assert!(wanted(count, models, choose).is_err(), "{count:?} {models:?}");
        }
        let three = wanted(Some(3), &["a", "b"], Some(Choose::Best)).unwrap().unwrap();
        let each: Vec<_> = three.each(SessionId::from_u128(1)).collect();
        let models: Vec<_> = each.iter().map(|(_, model)| model.as_deref().unwrap()).collect();
        assert_eq!(models, ["a", "b", "a"]);
        assert!(each.iter().all(|(attempt, _)| attempt.of == 3 && attempt.choose == Choose::Best));
        let plain = wanted(Some(2), &[], None).unwrap().unwrap();
        assert!(plain.each(SessionId::from_u128(1)).all(|(_, model)| model.is_none()));
    }
}
