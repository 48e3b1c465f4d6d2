//! What the pages know of forges: those of an organisation as they stand, and how an app is made on one.
//!
//! The server speaks to no forge itself. Whoever composes it knows those that are configured and those whose apps are kept, and exchanges codes; who
//! may do what, in which browser something was begun, what is kept and what is written down is decided here ([`crate::actions`]).

use async_trait::async_trait;
use cofferdam_domain::{OrgId, Secret, Timestamp};

/// The most repositories of one forge that others belong to.
const MOST_TOGETHER: usize = 100;

/// The forges that sessions begin on and work with.
#[async_trait]
pub trait Forges: Send + Sync {
    /// Those of an organisation, by name.
    async fn of(&self, org: OrgId) -> Vec<ForgeSeen>;

    /// The addresses at which apps can be made, the usual one first.
    fn places(&self) -> Vec<String>;

    /// What a browser is to post so that a person can look at an app and agree to it. `state` comes back with the browser.
    ///
    /// # Errors
    /// When such an app cannot be; says what to change.
    async fn plan(&self, org: OrgId, wish: &AppWish, state: &Secret) -> Result<AppForm, String>;

    /// Exchanges the code that a browser came back with, at a forge where that was planned.
    ///
    /// # Errors
    /// When there is no app; says whether the same code may do later, and what to do.
    async fn exchange(&self, web: &str, code: &str) -> Result<NewApp, NoNewApp>;

    /// How the forge of an app is to be worked with, as it is kept.
    ///
    /// # Errors
    /// When that cannot be; says what to change.
    fn settings(&self, wish: &ForgeWish) -> Result<String, String>;

    /// Looks which apps are kept now: what was changed is known in this process when it returns.
    async fn look_again(&self);
}

/// A forge as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForgeSeen {
    /// What it is called here.
    pub name: String,
    /// Its family, in words.
    pub kind: String,
    /// The address that people know.
    pub web: String,
    /// Where its API is.
    pub api: String,
    /// Where it posts what happens; `None` where it is only asked.
    pub hook: Option<String>,
    /// How often it is asked, where that is said.
    pub every: Option<String>,
    /// What tasks that are asked for in a repository are about as well.
    pub together: Vec<BelongTogether>,
    /// The app that was made from the pages; `None` for one of the configuration.
    pub app: Option<AppSeen>,
    /// What was posted last that this process did not take, and why.
    pub refused: Option<(Timestamp, String)>,
    /// How much it may still be asked, as it said last.
    pub budgets: Vec<BudgetSeen>,
    /// Why it cannot be worked with.
    pub trouble: Option<String>,
}

/// How the forge of an app is to be worked with, other than by the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForgeWish {
    /// How often it is asked what has happened.
    pub every: Option<String>,
    /// What tasks that are asked for in a repository are about as well.
    pub together: Vec<BelongTogether>,
}

/// Repositories that belong to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BelongTogether {
    /// The repository in which tasks are asked for, by its path on the forge.
    pub repository: String,
    /// Those that they are about as well, by their paths there, each with `#` and the ref to start from if need be.
    pub also: Vec<String>,
}

impl BelongTogether {
    /// Reads a line for each repository: its path, a colon, and the paths of the others.
    ///
    /// # Errors
    /// The words for the first line that is none.
    pub fn read(text: &str) -> Result<Vec<Self>, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut all = Vec::new();
        for line in lines {
            let also = |others: &str| others.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let read = line.split_once(':').map(|(repository, others)| (repository.trim(), also(others)));
            let Some((repository, also)) = read.filter(|(repository, _)| !repository.is_empty()) else {
                let shown: String = line.chars().take(80).collect();
                return Err(format!(
                    "a line is `owner/name: owner/other owner/third#branch`, and this is none: {shown:?}"
                ));
            };
            all.push(Self { repository: repository.to_owned(), also });
        }
        if all.len() > MOST_TOGETHER {
            return Err(format!("at most {MOST_TOGETHER} repositories have others that belong to them"));
        }
        Ok(all)
    }

    /// The same as it is typed.
    pub(crate) fn written(all: &[Self]) -> String {
        let line = |one: &Self| format!("{}: {}", one.repository, one.also.join(" "));
        all.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// An app that was made from the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSeen {
    /// Its number at the forge.
    pub number: u64,
    /// Its page there.
    pub page: String,
    /// When it was made.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// How much a forge may still be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetSeen {
    /// What is counted together.
    pub name: String,
    /// What is left.
    pub left: u64,
    /// Of how much.
    pub of: Option<u64>,
    /// When it is whole again.
    pub again: Option<Timestamp>,
}

/// An app that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppWish {
    /// What the forge is to be called here.
    pub name: String,
    /// Its address.
    pub web: String,
    /// The organisation there that is to own it; otherwise whoever is signed in there does.
    pub owner: Option<String>,
}

/// What a browser posts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppForm {
    /// The forge's address, written in the one way in which it is compared.
    pub web: String,
    /// Where to, which is a page of that forge.
    pub action: String,
    /// What the app is to be, in the field `manifest`.
    pub manifest: String,
    /// What it may do, each with how much.
    pub permissions: Vec<(String, String)>,
    /// Whether the forge is told to post what happens; otherwise it is asked.
    pub hears: bool,
}

/// An app that was made.
#[derive(Debug)]
pub struct NewApp {
    /// Its number at the forge.
    pub number: u64,
    /// Its page there.
    pub page: String,
    /// Its key and what proves its webhooks, as whoever exchanged the code reads them again.
    pub secrets: Secret,
}

/// There is no app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoNewApp {
    /// Whether the same code may do later.
    pub again: bool,
    /// Why, and what to do. With nothing of a secret.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together_is_a_line_each() {
        let read = |text: &str| BelongTogether::read(text);
        let typed = "acme/app:acme/lib  acme/docs#next\r\n\n  acme/lib : acme/app ";
        let all = read(typed).unwrap();
        assert_eq!(BelongTogether::written(&all), "acme/app: acme/lib acme/docs#next\nacme/lib: acme/app");
        assert_eq!(read(&BelongTogether::written(&all)), Ok(all));
        assert_eq!(read(" \n"), Ok(vec![]));
        assert_eq!(read("acme/app:").unwrap()[0].also, Vec::<String>::new(), "whoever knows paths says so");
        for bad in ["acme/app", ": acme/lib", &"a: b\n".repeat(101)] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("a\u{202e}b").unwrap_err().contains("\\u{202e}"));
    }
}
