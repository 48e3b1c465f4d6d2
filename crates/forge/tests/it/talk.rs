//! What every forge that is asked over HTTP must do: one suite for all of them.
//!
//! A forge comes with a [`World`], through which the people in the tests act: not by what is tested, but by the forge's own API. `conformance!` makes a
//! test of each promise.

/// What it shows of what is there.
mod looking;
/// What has happened.
mod news;
/// Pull requests.
mod pulls;
/// What we say of the pull requests of others.
mod reviewing;
/// What is said there, once.
mod saying;

use async_trait::async_trait;
use cofferdam_domain::{SessionId, Subject};
use cofferdam_forge::{
    hook::Account,
    remote::{At, Mark, Reacted, Right, Talk},
};

pub(crate) use self::{looking::*, news::*, pulls::*, reviewing::*, saying::*};

/// A forge, and what people do there.
#[async_trait]
pub(crate) trait World: Send + Sync {
    /// The forge as this platform's account sees it. That account may change the settings of each repository that is made here.
    fn talk(&self) -> &dyn Talk;

    /// Makes a repository with `main` and on it a file `README.md`.
    async fn repository(&self, private: bool) -> At;

    /// An account that has this right in the repository, and was given it there. `None` where the forge has no such right, or not one more account.
    async fn person(&self, at: &At, right: Right) -> Option<Person>;

    /// Opens an issue.
    async fn issue(&self, at: &At, by: &Person, title: &str, body: &str) -> u64;

    /// Gives an issue a label, which is made if it is not there yet.
    async fn label(&self, at: &At, by: &Person, issue: u64, label: &str);

    /// Writes a comment.
    async fn comment(&self, at: &At, by: &Person, subject: Subject, body: &str) -> u64;

    /// Puts a file into a branch, which is made from `main` if it is not there yet. Gives back the commit.
    async fn commit(&self, at: &At, branch: &str, path: &str, text: &str) -> String;

    /// Opens a pull request of a branch against `main`.
    async fn pull(&self, at: &At, by: &Person, branch: &str, title: &str) -> u64;

    /// Reviews a pull request without approving it, with comments on lines of its head: path, line, text. Gives back the review's number, 0 where
    /// the forge does not number them.
    async fn review(&self, at: &At, by: &Person, pull: u64, body: &str, remarks: &[(&str, u64, &str)])
    -> u64;

    /// What an account has said of a whole pull request by reviewing it, and what that comes to, as the forge calls it; empty where it has no such word.
    async fn reviews(&self, at: &At, pull: u64) -> Vec<(u64, String, String)>;

    /// Makes a draft one that is none, as a person does it.
    async fn mark_ready(&self, at: &At, pull: u64);

    /// All comments on lines of a pull request, oldest first: who wrote it, and what.
    async fn line_comments(&self, at: &At, pull: u64) -> Vec<(u64, String)>;

    /// Who has reacted to something, and how, as the forge calls it.
    async fn reactions(&self, at: &At, to: Reacted) -> Vec<(u64, String)>;

    /// The statuses of a commit: name, state as the forge calls it, text. All that it keeps, also those that do not count any more.
    async fn statuses(&self, at: &At, commit: &str) -> Vec<(String, String, String)>;

    /// Whether the discussion that a comment on a line is part of is marked as resolved. `None` where the forge cannot do that.
    async fn is_resolved(&self, at: &At, pull: u64, comment: u64) -> Option<bool>;

    /// Has a check of a commit fail, with a log. Gives back its name; `None` where that cannot be had here.
    async fn failed_check(&self, at: &At, commit: &str, log: &str) -> Option<String>;

    /// Gives the repository another name, and makes another one under its old name. `false` where that cannot be had here.
    async fn rename(&self, at: &At) -> bool;
}

/// Somebody in the tests.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// The account.
    pub(crate) account: Account,
    /// With what they prove who they are.
    pub(crate) token: String,
}

fn mark(what: &str) -> Mark {
    Mark { session: SessionId::generate(), what: what.to_owned() }
}

/// Somebody with that right, or a word that there is none.
async fn person(world: &impl World, at: &At, right: Right) -> Option<Person> {
    let found = world.person(at, right).await;
    if found.is_none() {
        skipped(&format!("nobody can be given {right:?} there"));
    }
    found
}

#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: a promise of forges: {why}");
}

/// A test for each promise, of the forge that this expression is: `Option<impl World>`, made anew for each.
macro_rules! conformance {
    ($world:expr) => {
        $crate::talk::conformance!($world;
            an_account_knows_itself, a_repository_is_found_by_its_path, a_right_is_what_was_given, an_issue_is_as_it_is,
            comments_come_in_order, what_is_said_twice_stands_once, a_mark_that_others_copied_is_not_ours,
            a_pull_request_of_a_branch_is_one, a_person_decides_what_is_ready, a_pull_request_that_is_not_ours_stays,
            a_closed_pull_request_stays_closed, only_what_was_looked_at_is_merged, remarks_are_answered_one_by_one, a_review_is_one_and_decides_nothing,
            a_reaction_is_given_once, a_status_is_said_once, a_failed_check_has_a_log,
            a_repository_keeps_its_number, what_is_hostile_stays_text, news_are_what_has_happened,
            there_is_no_news_of_what_is_not_there
        );
    };
    ($world:expr; $($promise:ident),*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                if let Some(world) = $world.await {
                    $crate::talk::$promise(&world).await;
                }
            }
        )*
    };
}
pub(crate) use conformance;
