//! What the pages know of forges: those of an organisation as they stand, and how an app is made on one.
//!
//! The server speaks to no forge itself. Whoever composes it knows those that are configured and those whose apps are kept, and exchanges codes; who
//! may do what, in which browser something was begun, what is kept and what is written down is decided here ([`crate::actions`]).

use async_trait::async_trait;
use cofferdam_domain::{OrgId, Secret, Timestamp};

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
    /// The app that was made from the pages; `None` for one of the configuration.
    pub app: Option<AppSeen>,
    /// What was posted last that this process did not take, and why.
    pub refused: Option<(Timestamp, String)>,
    /// How much it may still be asked, as it said last.
    pub budgets: Vec<BudgetSeen>,
    /// Why it cannot be worked with.
    pub trouble: Option<String>,
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
