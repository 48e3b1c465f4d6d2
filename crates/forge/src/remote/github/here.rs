//! A repository as it is asked about: under the name that it has now, with a token that is for it.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};

use super::{Auth, GitHub, Purpose};
use crate::{
    hook::{Account, Issue, Pull, Repository, shapes},
    remote::{
        At, Right, TalkError,
        wire::{Ask, there},
    },
};

/// How long a repository's name is taken to be the same.
const NAME_LASTS: Duration = Duration::from_secs(60);
/// Repositories whose names are remembered.
const MOST_PLACES: usize = 10_000;

/// What a repository is called.
#[derive(Debug, Clone)]
pub(super) struct Place {
    path: String,
    private: bool,
    looked: Instant,
}

/// A repository, and what it is asked about for.
#[derive(Debug)]
pub(super) struct Here<'g> {
    pub(super) github: &'g GitHub,
    pub(super) at: At,
    private: bool,
    purpose: Purpose,
}

#[derive(Deserialize)]
struct Permission {
    permission: String,
    #[serde(default)]
    role_name: String,
    user: Option<shapes::User>,
}

impl Permission {
    /// Roles that an organisation has made for itself come down to one of those that everybody knows.
    fn right(&self) -> Right {
        let known = |name: &str| match name {
            "admin" => Some(Right::Admin),
            "maintain" | "write" | "push" => Some(Right::Write),
            "triage" => Some(Right::Triage),
            "read" | "pull" => Some(Right::Read),
            "none" => Some(Right::None),
            _ => None,
        };
        known(&self.role_name).or_else(|| known(&self.permission)).unwrap_or(Right::None)
    }
}

impl GitHub {
    /// The repository, for this purpose.
    pub(super) async fn here(&self, at: &At, purpose: Purpose) -> Result<Here<'_>, TalkError> {
        let known = {
            let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.get(&at.id).filter(|place| place.looked.elapsed() < NAME_LASTS).cloned()
        };
        let place = match known {
            Some(place) => place,
            None => self.find(at).await?,
        };
        let at = At { id: at.id, path: place.path };
        Ok(Here { github: self, at, private: place.private, purpose })
    }

    /// Where a repository is by now. Another one may have got its name.
    async fn find(&self, at: &At) -> Result<Place, TalkError> {
        let before = Here { github: self, at: at.clone(), private: true, purpose: Purpose::Talk };
        let named = there(before.read::<shapes::Repository>(before.get("repository", &[])).await)?;
        let found = match named.filter(|found| found.id == at.id) {
            Some(found) => found,
            None => {
                let what = format!("repository {} (number {})", at.path, at.id);
                before.read(self.get(what, &["repositories", &at.id.to_string()])).await?
            }
        };
        let found = Repository::from(found);
        if found.id != at.id || found.path.split('/').count() != 2 {
            return Err(self.wire.malformed("repository", "it is another one than was asked for"));
        }
        let place = Place { path: found.path, private: found.private, looked: Instant::now() };
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MOST_PLACES {
            places.clear();
        }
        places.insert(at.id, place.clone());
        Ok(place)
    }

    /// A repository by its name.
    pub(super) async fn look_up(&self, path: &str) -> Result<Repository, TalkError> {
        let what = format!("repository {path}");
        let missing = || TalkError::Missing { forge: self.wire.forge().to_owned(), what: what.clone() };
        let (owner, name) = path.split_once('/').ok_or_else(missing)?;
        let ask = self.get(&what, &["repos", owner, name]);
        let known = self.named.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied();
        let found: shapes::Repository = match (&self.auth, known) {
            (Auth::Token(token), _) => ask.bearer(token).read().await?,
            (Auth::App(_), Some(id)) => {
                let at = At { id, path: path.to_owned() };
                Here { github: self, at, private: true, purpose: Purpose::Talk }.read(ask).await?
            }
            (Auth::App(app), None) => ask.bearer(&self.naming_token(app, path).await?).read().await?,
        };
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= MOST_PLACES {
            named.clear();
        }
        named.insert(path.to_owned(), found.id);
        Ok(found.into())
    }
}

impl<'g> Here<'g> {
    /// Asks for something of the repository. `rest` is below `repos/{owner}/{name}`.
    pub(super) fn get(&self, what: impl Into<String>, rest: &[&str]) -> Ask<'g> {
        self.ask(Method::GET, what, rest)
    }

    /// What was moved to another repository is not here any more.
    pub(super) fn ask(&self, method: Method, what: impl Into<String>, rest: &[&str]) -> Ask<'g> {
        let (owner, name) = self.at.path.split_once('/').unwrap_or((&self.at.path, ""));
        let path: Vec<&str> = ["repos", owner, name].into_iter().chain(rest.iter().copied()).collect();
        self.github.ask(method, what, &path).only_to(&["repositories", &self.at.id.to_string()])
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, ask: Ask<'g>) -> Result<T, TalkError> {
        self.with_token(ask, Ask::read).await
    }

    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        ask: Ask<'g>,
        most: usize,
    ) -> Result<Vec<T>, TalkError> {
        self.with_token(ask, |ask| ask.pages(most)).await
    }

    pub(super) async fn latest<T: DeserializeOwned>(
        &self,
        ask: Ask<'g>,
        most: usize,
    ) -> Result<Vec<T>, TalkError> {
        self.with_token(ask, |ask| ask.latest(most)).await
    }

    pub(super) async fn done(&self, ask: Ask<'g>) -> Result<(), TalkError> {
        self.with_token(ask, Ask::done).await
    }

    pub(super) async fn tail(&self, ask: Ask<'g>, most: usize) -> Result<String, TalkError> {
        self.with_token(ask, |ask| ask.tail(most)).await
    }

    /// Sends it with the token that is held, and once more with a new one where that is not accepted any more.
    async fn with_token<T, F>(&self, ask: Ask<'g>, send: impl Fn(Ask<'g>) -> F) -> Result<T, TalkError>
    where
        F: Future<Output = Result<T, TalkError>>,
    {
        let app = match &self.github.auth {
            Auth::Token(token) => return send(ask.bearer(token)).await,
            Auth::App(app) => app,
        };
        let token = self.github.app_token(app, &self.at, self.purpose).await?;
        match send(ask.clone().bearer(&token)).await {
            Err(TalkError::Forbidden { .. }) if !self.github.wire.accepts(&token) => {
                self.github.throw_away(&self.at, self.purpose, &token).await;
                let token = self.github.app_token(app, &self.at, self.purpose).await?;
                send(ask.bearer(&token)).await
            }
            answered => answered,
        }
    }

    /// What an account may do, by its number: the name may be another's by now.
    pub(super) async fn right_of(&self, account: &Account) -> Result<Right, TalkError> {
        if account.id == 0 {
            return Ok(Right::None);
        }
        let named =
            if account.login.is_empty() { None } else { self.permission(account, &account.login).await? };
        if let Some(right) = named {
            return Ok(right);
        }
        let by_number = self.github.get("account", &["user", &account.id.to_string()]);
        let now = there(self.read::<shapes::User>(by_number).await)?.map(Account::from);
        match now.filter(|now| now.id == account.id && now.login != account.login) {
            Some(now) => Ok(self.permission(account, &now.login).await?.unwrap_or(Right::None)),
            None => Ok(Right::None),
        }
    }

    /// `None` where nobody or somebody else has that name.
    async fn permission(&self, account: &Account, login: &str) -> Result<Option<Right>, TalkError> {
        let what = format!("permission of {login}");
        let ask = self.get(&what, &["collaborators", login, "permission"]);
        let Some(found) = there(self.read::<Permission>(ask).await)? else { return Ok(None) };
        let right = found.right();
        if found.user.map(|user| user.id) != Some(account.id) {
            return Ok(None);
        }
        if right == Right::Read && !self.private {
            // Everybody may read it: who was invited to is somebody else.
            let invited = self.done(self.get(what, &["collaborators", login])).await;
            return Ok(Some(if there(invited)?.is_some() { right } else { Right::None }));
        }
        Ok(Some(right))
    }

    pub(super) async fn issue(&self, number: u64) -> Result<Issue, TalkError> {
        let what = format!("issue {number}");
        let found: shapes::Issue = self.read(self.get(&what, &["issues", &number.to_string()])).await?;
        match found.pull_request {
            Some(_) => Err(TalkError::Missing { forge: self.github.wire.forge().to_owned(), what }),
            None => Ok(found.into()),
        }
    }

    pub(super) async fn pull(&self, number: u64) -> Result<Pull, TalkError> {
        let ask = self.get(format!("pull request {number}"), &["pulls", &number.to_string()]);
        Ok(self.read::<shapes::Pull>(ask).await?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_of_an_organisations_own_come_down_to_a_known_one() {
        let right = |permission: &str, role: &str| {
            Permission { permission: permission.into(), role_name: role.into(), user: None }.right()
        };
        assert_eq!(right("admin", "admin"), Right::Admin);
        assert_eq!(right("write", "maintain"), Right::Write);
        assert_eq!(right("read", "triage"), Right::Triage);
        assert_eq!(right("write", "Deployer"), Right::Write);
        assert_eq!(right("read", ""), Right::Read);
        assert_eq!(right("none", "none"), Right::None);
        assert_eq!(right("owner", "king"), Right::None);
    }
}
