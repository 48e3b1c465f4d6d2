//! The same actions without HTTP: for the command line on the machine that has the store.

use cofferdam_domain::{
    Access, Actor, OrgId, Rank, Secret, Seq, SessionId, SignInId, Timestamp, TokenId, UserId, attempt::Choose,
};

use crate::{
    Act, Server,
    access::Signed,
    actions::{self, Attempts, Invitee, NewTokenWish},
    problem::Problem,
};

/// Why something was not done, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem.detail)
    }
}

/// Does what an admin of an organisation may do.
#[derive(Clone)]
pub struct Desk {
    signed: Signed,
}

/// A link to sign in with, once.
#[derive(Debug)]
pub struct Link {
    /// Whom it is for.
    pub user: UserId,
    /// The whole address.
    pub url: Secret,
    /// Until when it holds.
    pub expires: Timestamp,
}

impl Server {
    /// A desk for somebody on this machine, who acts as this user; `name` is what logs say.
    #[must_use]
    pub fn desk(&self, org: OrgId, user: UserId, name: String) -> Desk {
        let access = Access::Browser(SignInId::from_u128(0));
        let actor = Actor { org, user, name, rank: Rank::Admin, project: None, access };
        Desk { signed: Signed::here(self.shared(), actor) }
    }
}

impl Desk {
    /// Does one thing with a session. Gives the place of the event that says so.
    ///
    /// # Errors
    /// When it does not fit how the session stands.
    pub async fn act(&self, session: SessionId, act: Act) -> Result<Seq, Refusal> {
        Ok(perform(&self.signed, session, act).await?)
    }

    /// Makes a user with a link for them to sign in.
    ///
    /// # Errors
    /// When the name cannot be one, or the store fails.
    pub async fn add_user(&self, name: String, rank: Rank) -> Result<Link, Refusal> {
        self.invite(Invitee::New(name, rank)).await
    }

    /// Makes a link for a member to sign in.
    ///
    /// # Errors
    /// When the user is no member, or the store fails.
    pub async fn link(&self, user: UserId) -> Result<Link, Refusal> {
        self.invite(Invitee::Member(user)).await
    }

    async fn invite(&self, invitee: Invitee) -> Result<Link, Refusal> {
        let invited = actions::invite(&self.signed, invitee).await?;
        let link = invited.link.ok_or_else(|| Refusal("there are no links here".to_owned()))?;
        Ok(Link { user: invited.user, url: link.address, expires: link.expires })
    }

    /// Makes a token of the user's whose desk it is.
    ///
    /// # Errors
    /// When the name cannot be one, or the store fails.
    pub async fn token(&self, name: String, rank: Rank, days: u32) -> Result<(TokenId, Secret), Refusal> {
        let made =
            actions::create_token(&self.signed, NewTokenWish { name, rank, project: None, days }).await?;
        Ok((made.id, made.token))
    }

    /// Makes a session that goes on from the event `at` of another one.
    ///
    /// # Errors
    /// When that is no event to go on from.
    pub async fn fork(
        &self,
        session: SessionId,
        at: Seq,
        model: Option<String>,
        instruction: Option<String>,
    ) -> Result<SessionId, Refusal> {
        Ok(actions::fork(&self.signed, session, SessionId::generate(), at, model, instruction).await?)
    }

    /// Makes several sessions that go on from the event `at` of another one, each with one of these models in turn, of which one is to be chosen.
    ///
    /// # Errors
    /// When that is no event to go on from, or there are too few or too many of them.
    pub async fn fork_several(
        &self,
        from: (SessionId, Seq),
        instruction: Option<String>,
        count: u16,
        models: Vec<String>,
        choose: Choose,
    ) -> Result<Vec<SessionId>, Refusal> {
        let attempts = Attempts::wanted(Some(count), models, Some(choose))?
            .ok_or_else(|| Refusal("there are at least 2 attempts".to_owned()))?;
        let (session, at) = from;
        let origin = actions::Origin { session, at, model: None, instruction };
        Ok(actions::fork_several(&self.signed, origin, SessionId::generate(), &attempts).await?)
    }
}

async fn perform(signed: &Signed, session: SessionId, act: Act) -> Result<Seq, Problem> {
    use actions::Decision;
    match act {
        Act::Message { text } => actions::message(signed, session, text).await,
        Act::Pause => actions::pause(signed, session).await,
        Act::Continue => actions::go_on(signed, session).await,
        Act::Cancel => actions::cancel(signed, session).await,
        Act::Answer { call, text } => actions::answer(signed, session, call, text).await,
        Act::Plan { digest, decision } => actions::decide_plan(signed, session, digest, decision).await,
        Act::RollBack { to, instruction } => actions::roll_back(signed, session, to, instruction).await,
        Act::Access { rule, grant, until } => {
            let decision = if grant { Decision::Grant { until } } else { Decision::Deny };
            actions::decide_access(signed, session, rule, decision).await
        }
        Act::Choose { commit } => actions::choose(signed, session, &commit).await,
        Act::Merge { commit } => actions::merge(signed, session, commit).await,
        Act::Close => actions::close(signed, session).await,
        Act::Freeze => actions::freeze(signed, session).await,
        Act::Release => actions::release(signed, session).await,
    }
}
