//! One running browser: its tabs, and going from page to page.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep},
};

use crate::{
    Address, Answer, BrowserError, Id,
    element::{PATIENCE, Refs},
    link::{Link, Size},
    program::DOWNLOADS,
    quoted,
    seen::Tab,
    wire::Unread,
};

/// How long a page may take to come.
const COMING: Duration = Duration::from_secs(30);
/// How long a page may take to come to rest after something was done on it.
const SETTLING: Duration = Duration::from_secs(4);
/// So long nothing must happen for that.
const REST: Duration = Duration::from_millis(150);
/// How long the browser may take to close a tab whose page does not answer.
const CLOSING: Duration = Duration::from_secs(10);
/// How long a call may take altogether, in however many questions. The longest waits of one are a minute.
const CALL: Duration = Duration::from_secs(180);
/// How long it may take to give a page up.
const GIVING_UP: Duration = Duration::from_secs(45);
/// How long its first answer may take: it is started meanwhile.
const STARTING: Duration = Duration::from_secs(60);

/// A browser. Dropping it ends the connection, not the program.
pub struct Browser {
    pub(crate) link: Link,
    /// The target of the tab that is looked at.
    pub(crate) current: Id,
    pub(crate) refs: Refs,
}

/// How a browser stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Where the page is, and what it is called, as a quoted line.
    pub page: String,
    /// The page's address as it is, cut.
    pub url: String,
    /// What happened since this was asked last, in sentences; words of pages in them are quoted.
    pub notes: Vec<String>,
}

impl Browser {
    /// Begins to speak with a browser that was just started.
    ///
    /// # Errors
    /// When it does not answer, or has no page.
    pub async fn connect<R, W>(read: R, write: W) -> Result<Self, BrowserError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let mut browser =
            Self { link: Link::new(read, write), current: Id::default(), refs: Refs::default() };
        browser.begin();
        let pages = json!([{ "type": "page" }]);
        for (method, params, patience) in [
            ("Browser.getVersion", json!({}), STARTING),
            (
                "Browser.setDownloadBehavior",
                json!({ "behavior": "allowAndName", "downloadPath": DOWNLOADS, "eventsEnabled": true }),
                PATIENCE,
            ),
            ("Target.setDiscoverTargets", json!({ "discover": true, "filter": pages }), PATIENCE),
            (
                "Target.setAutoAttach",
                json!({ "autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true, "filter": pages }),
                PATIENCE,
            ),
        ] {
            browser.link.call(None, (method, "begin"), params, patience).await?;
        }
        browser.some_tab().await?;
        browser.link.seen(|seen| seen.take_notes());
        Ok(browser)
    }

    /// A call begins: all that is asked for it has to be answered within a time that begins now, or the page is given up.
    pub fn begin(&self) {
        self.link.begin(CALL);
    }

    /// Whether nothing more can be asked of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.link.over().is_some()
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// When there is no page that could go anywhere. A page that does not come is none: it is told in the answer's words.
    pub async fn go(&mut self, to: &Address, answer: Answer) -> Result<String, BrowserError> {
        self.some_tab().await?;
        self.link.seen(|seen| seen.answer = answer);
        let before = self.tab(|tab| tab.documents)?;
        let asked = Instant::now();
        let gone =
            self.ask_within(("Page.navigate", "go to the address"), json!({ "url": to.as_str() }), COMING);
        let gone = gone.await?;
        let error = gone.get("errorText").and_then(Value::as_str).unwrap_or_default().to_owned();
        if gone.get("isDownload").and_then(Value::as_bool) == Some(true) {
            return Ok("The address is a download: the page stays as it was.".to_owned());
        }
        let other = gone.get("loaderId").is_some_and(Value::is_string);
        if error == "net::ERR_ABORTED" {
            return Ok("The page stays as it was: the server gave no page (net::ERR_ABORTED).".to_owned());
        }
        let left = COMING.saturating_sub(asked.elapsed());
        let here = self
            .wait_for(left, |tab| tab.crashed || (!other || tab.documents > before) && !tab.loading)
            .await;
        self.rest().await;
        if !error.is_empty() {
            return Ok(format!("The page did not come: {}.{}", quoted(&error, 100), hint(&error)));
        }
        if self.tab(|tab| tab.crashed)? {
            return Err(BrowserError::Crashed);
        }
        Ok(match here {
            true => "The page is there.".to_owned(),
            false => format!("The page is not complete yet, after {} s.", COMING.as_secs()),
        })
    }

    /// Sees to it that there is a tab to work in: the current one, the latest one, or a new one.
    pub(crate) async fn some_tab(&mut self) -> Result<(), BrowserError> {
        let current = &self.current;
        let there = self.link.seen(|seen| {
            let usable = |tab: &&Tab| !tab.crashed;
            let same = seen.tabs.iter().find(|tab| tab.target == *current).filter(usable);
            same.or_else(|| seen.tabs.iter().rev().find(usable)).map(|tab| tab.target.clone())
        });
        self.current = match there {
            Some(target) => target,
            None => self.new_tab().await?,
        };
        Ok(())
    }

    /// Opens a tab with an empty page.
    pub(crate) async fn new_tab(&mut self) -> Result<Id, BrowserError> {
        let command = ("Target.createTarget", "open a tab");
        let params = json!({ "url": "about:blank" });
        let made = self.link.call(None, command, params, PATIENCE).await?;
        let target = made.get("targetId").and_then(Id::of).ok_or(BrowserError::Nonsense("a tab"))?;
        let there = |seen: &mut crate::seen::Seen| seen.by_target(&target).is_some();
        if !self.link.until(PATIENCE, there).await {
            return Err(BrowserError::cannot("A tab could not be opened: close one with action close_tab."));
        }
        Ok(target)
    }

    /// Gives up a page that does not answer or has crashed, so that others can be gone to. Whether that could be done: otherwise the browser as a
    /// whole has to be ended.
    pub async fn give_up_page(&mut self) -> bool {
        self.link.begin(GIVING_UP);
        let target = self.current.clone();
        self.link.seen(|seen| seen.closing(&target));
        // Before the last one goes, and the browser with it.
        let Ok(other) = self.new_tab().await else { return false };
        let close = ("Target.closeTarget", "close the tab");
        let closed = self.link.call(None, close, json!({ "targetId": target }), CLOSING).await;
        let gone = closed.is_ok() && self.link.until(CLOSING, |seen| seen.by_target(&target).is_none()).await;
        self.current = other;
        gone
    }

    /// Where the page is, and what happened since this was asked last.
    ///
    /// # Errors
    /// When the browser is gone, or the page cannot be kept from an address that is not shown.
    pub async fn state(&mut self) -> Result<State, BrowserError> {
        match self.look().await? {
            Some(state) => Ok(state),
            None => self.look().await?.ok_or(BrowserError::Astray),
        }
    }

    /// The same; `None` where the page had to be put back.
    async fn look(&mut self) -> Result<Option<State>, BrowserError> {
        self.some_tab().await?;
        let (url, mut title, status, number, loading) =
            self.tab(|tab| (tab.url.clone(), tab.title.clone(), tab.status, tab.number, tab.loading))?;
        // The browser itself answers this, however its page is; what it tells of titles unasked comes late.
        let history = self.ask(("Page.getNavigationHistory", "look at the history"), json!({})).await;
        if let Ok(history) = history {
            let here = history
                .get("currentIndex")
                .and_then(Value::as_u64)
                .and_then(|here| usize::try_from(here).ok());
            let entry = here.and_then(|here| history.get("entries")?.get(here));
            if let Some(now) = entry.and_then(|entry| entry.get("title")?.as_str()) {
                title = now.to_owned();
            }
        }
        if !Address::may_be_shown(&url) {
            self.go(&Address::blank().ok_or(BrowserError::Nonsense("the empty page"))?, Answer::default())
                .await?;
            self.link.seen(|seen| {
                seen.say(format!(
                    "The page had gone to {}, which is not shown: it was put back to an empty page.",
                    quoted(&url, 100)
                ));
            });
            return Ok(None);
        }
        let tabs = self.link.seen(|seen| seen.tabs.len());
        let mut page = format!("Page: {}", quoted(&url, 500));
        if !title.is_empty() {
            page.push_str(&format!(" titled {}", quoted(&title, 150)));
        }
        if let Some(status) = status.filter(|status| *status >= 400) {
            page.push_str(&format!(", HTTP status {status}"));
        }
        if loading {
            page.push_str(", still loading");
        }
        if tabs > 1 {
            page.push_str(&format!(" (tab {number} of {tabs})"));
        }
        Ok(Some(State { page, url, notes: self.link.seen(|seen| seen.take_notes()) }))
    }

    /// Waits until the page has come to rest: it loads nothing and waits for no server, for a moment.
    pub(crate) async fn rest(&self) {
        let end = Instant::now() + SETTLING;
        let busy = |tab: &Tab| !tab.crashed && (tab.loading || !tab.under_way.is_empty());
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.wait_for(left, |tab| !busy(tab)).await {
                return;
            }
            let before = self.tab(|tab| (tab.documents, tab.requests.len()));
            sleep(REST.min(left)).await;
            let after = self.tab(|tab| (tab.documents, tab.requests.len()));
            if before == after && !self.tab(busy).unwrap_or_default() {
                return;
            }
        }
    }

    /// Waits until something holds of the tab, or the tab is gone.
    pub(crate) async fn wait_for(&self, patience: Duration, holds: impl Fn(&Tab) -> bool) -> bool {
        let target = &self.current;
        self.link.until(patience, |seen| seen.by_target(target).is_none_or(|tab| holds(tab))).await
    }

    /// Something of the tab that is looked at.
    pub(crate) fn tab<T>(&self, look: impl FnOnce(&Tab) -> T) -> Result<T, BrowserError> {
        if let Some(why) = self.link.over() {
            return Err(BrowserError::Gone(why));
        }
        self.link.seen(|seen| seen.by_target(&self.current).map(|tab| look(tab))).ok_or(BrowserError::Closed)
    }

    pub(crate) fn session(&self) -> Result<Id, BrowserError> {
        self.tab(|tab| tab.session.clone())?.ok_or(BrowserError::Closed)
    }

    /// Asks the page.
    pub(crate) async fn ask(
        &self,
        command: (&'static str, &'static str),
        params: Value,
    ) -> Result<Value, BrowserError> {
        self.ask_within(command, params, PATIENCE).await
    }

    pub(crate) async fn ask_within(
        &self,
        command: (&'static str, &'static str),
        params: Value,
        patience: Duration,
    ) -> Result<Value, BrowserError> {
        self.link.call(Some(&self.alive()?), command, params, patience).await
    }

    /// Asks the page for something large.
    pub(crate) async fn ask_much(
        &self,
        command: (&'static str, &'static str),
        params: Value,
        patience: Duration,
    ) -> Result<Unread, BrowserError> {
        self.link.text(Some(&self.alive()?), command, params, patience, Size::Large).await
    }

    /// The session of a page that can be asked.
    fn alive(&self) -> Result<Id, BrowserError> {
        if self.tab(|tab| tab.crashed)? {
            return Err(BrowserError::Crashed);
        }
        self.session()
    }
}

/// What to do about the usual reasons why a page does not come.
fn hint(error: &str) -> &'static str {
    match error {
        "net::ERR_CONNECTION_REFUSED" => {
            " Nothing listens there: start the server first (`shell` with background), on the port that you go to."
        }
        "net::ERR_NAME_NOT_RESOLVED" => {
            " The sandbox knows no such host: only what policy lets out can be reached, and servers of your own on localhost."
        }
        "net::ERR_CONNECTION_RESET"
        | "net::ERR_CONNECTION_CLOSED"
        | "net::ERR_EMPTY_RESPONSE"
        | "net::ERR_TUNNEL_CONNECTION_FAILED" => {
            " The connection was ended: by the server, or because policy does not let it out."
        }
        _ => "",
    }
}
