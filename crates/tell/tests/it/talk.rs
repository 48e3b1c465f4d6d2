//! A forge that writes down what it is told, and fails when it is to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use cofferdam_domain::{Subject, Timestamp};
use cofferdam_forge::{
    hook::{Account, Comment, Issue, Pull, Repository},
    remote::{
        At, CommitStatus, GitCredential, LineComment, Mark, News, PullWanted, Reacted, Reaction, Remarked,
        ReviewWanted, Right, Talk, TalkError,
    },
};

/// Says whether a call fails.
type Fails = Box<dyn Fn(&str) -> Option<TalkError> + Send + Sync>;

/// The double.
#[derive(Default)]
pub(crate) struct Forge {
    calls: Mutex<Vec<String>>,
    /// What was said last under a mark.
    pub(crate) texts: Mutex<BTreeMap<String, String>>,
    /// What stands there, by its place and mark.
    places: Mutex<BTreeMap<String, String>>,
    pub(crate) fails: Mutex<Option<Fails>>,
}

impl Forge {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What was asked since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// The text under a mark.
    pub(crate) fn text(&self, what: &str) -> String {
        self.texts.lock().unwrap()[what].clone()
    }

    pub(crate) fn fail(&self, fails: impl Fn(&str) -> Option<TalkError> + Send + Sync + 'static) {
        *self.fails.lock().unwrap() = Some(Box::new(fails));
    }

    fn asked(&self, at: &At, call: String) -> Result<(), TalkError> {
        assert_eq!((at.id, at.path.as_str()), (crate::chronicle::REPOSITORY, crate::chronicle::PATH));
        let fails = self.fails.lock().unwrap();
        if let Some(error) = fails.as_ref().and_then(|fails| fails(&call)) {
            self.calls.lock().unwrap().push(format!("{call}: {error}"));
            return Err(error);
        }
        self.calls.lock().unwrap().push(call);
        Ok(())
    }

    fn put(&self, at: &At, call: &str, mark: &Mark, body: &str) -> Result<(), TalkError> {
        let place = format!("{call} {}", mark.what);
        let known = self.places.lock().unwrap().get(&place).cloned();
        let how = match known.as_deref() {
            None => "anew",
            Some(known) if known == body => "the same",
            Some(_) => "changed",
        };
        self.asked(at, format!("{call} {} {how}", mark.what))?;
        self.places.lock().unwrap().insert(place, body.to_owned());
        self.texts.lock().unwrap().insert(mark.what.clone(), body.to_owned());
        Ok(())
    }
}

/// Nothing of this is asked for in order to tell.
fn never<T>() -> Result<T, TalkError> {
    panic!("whoever tells does not ask for this")
}

#[async_trait]
impl Talk for Forge {
    async fn me(&self) -> Result<Account, TalkError> {
        never()
    }

    async fn repositories(&self, _: usize) -> Result<Vec<Repository>, TalkError> {
        panic!("nobody looks around here")
    }

    async fn news(&self, _: &At, _: Timestamp, _: &[u64]) -> Result<News, TalkError> {
        panic!("nobody asks for news here")
    }

    async fn repository(&self, _: &str) -> Result<Repository, TalkError> {
        never()
    }

    async fn right_of(&self, _: &At, _: &Account) -> Result<Right, TalkError> {
        never()
    }

    async fn issue(&self, _: &At, _: u64) -> Result<Issue, TalkError> {
        never()
    }

    async fn pull(&self, _: &At, _: u64) -> Result<Pull, TalkError> {
        never()
    }

    async fn comments(
        &self,
        _: &At,
        _: Subject,
        _: Option<Timestamp>,
        _: usize,
    ) -> Result<Vec<Comment>, TalkError> {
        never()
    }

    async fn remarks(&self, _: &At, _: u64, _: u64) -> Result<Vec<LineComment>, TalkError> {
        never()
    }

    async fn say(&self, at: &At, subject: Subject, mark: &Mark, body: &str) -> Result<u64, TalkError> {
        self.put(at, &format!("say below {subject}"), mark, body).map(|()| 1)
    }

    async fn answer(
        &self,
        at: &At,
        pull: u64,
        place: &Remarked,
        mark: &Mark,
        body: &str,
    ) -> Result<(), TalkError> {
        self.put(at, &format!("answer {} in {} of {pull}", place.comment, place.discussion), mark, body)
    }

    async fn resolve(&self, at: &At, pull: u64, place: &Remarked) -> Result<bool, TalkError> {
        self.asked(at, format!("resolve {} of {pull}", place.discussion)).map(|()| true)
    }

    async fn review(&self, at: &At, pull: u64, mark: &Mark, wanted: &ReviewWanted) -> Result<(), TalkError> {
        let lines: Vec<String> = wanted
            .lines
            .iter()
            .map(|line| format!("{}:{} ({:?})", line.path, line.line, line.before))
            .collect();
        let known = self.texts.lock().unwrap().contains_key(&mark.what);
        let how = if known { "again" } else { "anew" };
        self.asked(at, format!("review {pull} {} {how} {lines:?}", mark.what))?;
        let mut text = wanted.body.clone();
        wanted
            .lines
            .iter()
            .for_each(|line| text.push_str(&format!("\n@@ {}:{}\n{}", line.path, line.line, line.text)));
        self.texts.lock().unwrap().entry(mark.what.clone()).or_insert(text);
        Ok(())
    }

    async fn react(&self, at: &At, to: Reacted, reaction: Reaction) -> Result<(), TalkError> {
        self.asked(at, format!("react {reaction:?} to {to:?}"))
    }

    async fn status(&self, at: &At, commit: &str, status: &CommitStatus) -> Result<(), TalkError> {
        let CommitStatus { name, state, text, link, annotations } = status;
        assert!(
            link.as_ref().is_some_and(|link| link.as_str().starts_with("https://c.example/sessions/ses_"))
        );
        let places: Vec<String> = annotations
            .iter()
            .map(|found| format!("{}:{} {} {}", found.path, found.line, found.failure, found.text))
            .collect();
        self.asked(at, format!("status {name} of {} {state:?}: {text} {places:?}", &commit[..4]))
    }

    async fn check_log(&self, _: &At, _: &str, _: &str, _: usize) -> Result<Option<String>, TalkError> {
        never()
    }

    async fn find_pull(&self, _: &At, _: &str) -> Result<Option<Pull>, TalkError> {
        never()
    }

    async fn open_pull(&self, _: &At, _: &PullWanted) -> Result<Pull, TalkError> {
        never()
    }

    async fn close_pull(&self, _: &At, _: u64) -> Result<Pull, TalkError> {
        never()
    }

    async fn merge_pull(&self, _: &At, _: u64, _: &str) -> Result<Pull, TalkError> {
        never()
    }

    async fn git_credential(&self, _: &At) -> Result<GitCredential, TalkError> {
        never()
    }
}
