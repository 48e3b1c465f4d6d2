//! What pages do of themselves: a fold over the browser's events, which also says what is to be told to the browser at once.
//!
//! Pure. Every list has an end and every string is cut: how much a page does is up to the page.

use std::collections::{HashSet, VecDeque};

use serde_json::{Map, Value, json};

use crate::{Answer, Id, program::WINDOW, quoted};

mod pages;
mod traffic;

pub(crate) use traffic::{Line, Request};

/// Tabs that may be open at once.
pub(crate) const MOST_TABS: usize = 8;
/// Dialogs that a page may open before its tab is closed.
pub(crate) const MOST_DIALOGS: u32 = 20;
/// Files that pages may have saved, and the bytes of each.
pub(crate) const MOST_DOWNLOADS: usize = 20;
/// See [`MOST_DOWNLOADS`].
pub(crate) const MOST_BYTES: f64 = 67_108_864.0;
/// Notes that wait to be told.
const MOST_NOTES: usize = 30;
/// Requests that are counted as under way.
const MOST_UNDER_WAY: usize = 500;

/// Something to be told to the browser, without waiting for what it says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) session: Option<Id>,
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

impl Order {
    fn to(session: Option<&Id>, method: &'static str, params: Value) -> Self {
        Self { session: session.cloned(), method, params }
    }
}

/// What has to happen because of an event.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Follows {
    pub(crate) orders: Vec<Order>,
    /// The session whose questions will not be answered any more, and whether its page crashed.
    pub(crate) lost: Option<(Id, bool)>,
}

/// What is known of the browser's tabs.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) tabs: Vec<Tab>,
    pub(crate) downloads: Vec<Download>,
    /// How dialogs are answered that open now.
    pub(crate) answer: Answer,
    notes: VecDeque<String>,
    unnoted: u32,
    /// How many there have been.
    pub(crate) opened: u32,
}

/// One tab.
#[derive(Debug, Default)]
pub(crate) struct Tab {
    /// What it is called.
    pub(crate) number: u32,
    pub(crate) target: Id,
    /// Where its page is asked, once it can be.
    pub(crate) session: Option<Id>,
    pub(crate) url: String,
    pub(crate) title: String,
    /// Whether a page opened it.
    pub(crate) opened_by_page: bool,
    pub(crate) crashed: bool,
    pub(crate) loading: bool,
    /// How often another document came.
    pub(crate) documents: u64,
    /// Which one is there.
    pub(crate) loader: String,
    /// The status that its server answered with.
    pub(crate) status: Option<u64>,
    pub(crate) under_way: HashSet<String>,
    pub(crate) console: VecDeque<Line>,
    pub(crate) requests: VecDeque<Request>,
    dialogs: u32,
    closing: bool,
}

/// A file that a page gave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Download {
    pub(crate) guid: String,
    /// What the page calls it.
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) bytes: f64,
    /// `inProgress`, `completed` or `canceled`.
    pub(crate) state: String,
}

impl Seen {
    /// Takes an event in.
    pub(crate) fn note(
        &mut self,
        session: Option<&Id>,
        method: &str,
        params: &Map<String, Value>,
    ) -> Follows {
        match session {
            None => self.of_the_browser(method, params),
            Some(session) => self.of_a_page(session, method, params),
        }
    }

    fn of_the_browser(&mut self, method: &str, params: &Map<String, Value>) -> Follows {
        match method {
            "Target.attachedToTarget" => return self.attached(params),
            "Target.targetInfoChanged" => {
                let info = part(params, "targetInfo");
                if let Some(tab) = Id::at(info, "targetId").and_then(|target| self.by_target(&target)) {
                    tab.title = cut(text(info, "title"), 300);
                    tab.url = cut(text(info, "url"), 2_000);
                }
            }
            "Target.detachedFromTarget" => {
                let lost = Id::at(params, "sessionId");
                self.gone(|tab| tab.session == lost);
                return Follows { lost: lost.map(|lost| (lost, false)), ..Follows::default() };
            }
            "Target.targetDestroyed" => {
                let target = Id::at(params, "targetId");
                self.gone(|tab| Some(&tab.target) == target.as_ref());
            }
            "Target.targetCrashed" => {
                let target = Id::at(params, "targetId");
                return self.crashed(|tab| Some(&tab.target) == target.as_ref());
            }
            "Browser.downloadWillBegin" => return self.download(params),
            "Browser.downloadProgress" => return self.progress(params),
            _other => {}
        }
        Follows::default()
    }

    /// A tab is there: it is told what is wanted of it, or closed where there are too many.
    fn attached(&mut self, params: &Map<String, Value>) -> Follows {
        let info = part(params, "targetInfo");
        let ids = (Id::at(info, "targetId"), Id::at(params, "sessionId"));
        let (Some(target), Some(session), "page") = (ids.0, ids.1, text(info, "type")) else {
            return Follows::default();
        };
        if self.tabs.len() >= MOST_TABS {
            self.say_once("A page wanted more than 8 tabs; the others were closed at once.");
            let close = Order::to(None, "Target.closeTarget", json!({ "targetId": target }));
            return Follows { orders: vec![close], lost: None };
        }
        self.opened += 1;
        let opened_by_page = info.contains_key("openerId");
        self.tabs.push(Tab {
            number: self.opened,
            target,
            session: Some(session.clone()),
            url: cut(text(info, "url"), 2_000),
            title: cut(text(info, "title"), 300),
            opened_by_page,
            ..Tab::default()
        });
        if opened_by_page {
            self.say(format!("The page opened tab {} (switch to it with action switch_tab).", self.opened));
        }
        let wanted = [
            ("Page.enable", json!({})),
            ("Inspector.enable", json!({})),
            ("Runtime.enable", json!({})),
            ("Log.enable", json!({})),
            ("Network.enable", json!({})),
            ("Page.setInterceptFileChooserDialog", json!({ "enabled": true })),
            // Also one behind another tab is used like one that is looked at.
            ("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })),
            (
                "Emulation.setDeviceMetricsOverride",
                json!({ "width": WINDOW.0, "height": WINDOW.1, "deviceScaleFactor": 1, "mobile": false }),
            ),
        ];
        let orders = wanted.into_iter().map(|(method, params)| Order::to(Some(&session), method, params));
        Follows { orders: orders.collect(), lost: None }
    }

    fn gone(&mut self, which: impl Fn(&Tab) -> bool) {
        let Some(index) = self.tabs.iter().position(which) else { return };
        let tab = self.tabs.remove(index);
        if !tab.closing {
            self.say(format!("Tab {} was closed by its page.", tab.number));
        }
    }

    fn crashed(&mut self, which: impl Fn(&Tab) -> bool) -> Follows {
        let Some(tab) = self.tabs.iter_mut().find(|tab| which(tab)) else { return Follows::default() };
        tab.crashed = true;
        let lost = tab.session.clone().map(|session| (session, true));
        Follows { orders: Vec::new(), lost }
    }

    fn download(&mut self, params: &Map<String, Value>) -> Follows {
        let guid = text(params, "guid").to_owned();
        let plain = |character: char| character.is_ascii_hexdigit() || character == '-';
        let usable = guid.len() <= 64 && !guid.is_empty() && guid.chars().all(plain);
        if !usable || self.downloads.len() >= MOST_DOWNLOADS {
            self.say_once("A page wanted to save more than 20 files; the others were refused.");
            return Follows { orders: vec![cancel(&cut(&guid, 64))], lost: None };
        }
        self.downloads.push(Download {
            guid,
            name: cut(text(params, "suggestedFilename"), 200),
            url: cut(text(params, "url"), 500),
            bytes: 0.0,
            state: "inProgress".to_owned(),
        });
        Follows::default()
    }

    fn progress(&mut self, params: &Map<String, Value>) -> Follows {
        let guid = text(params, "guid");
        let Some(download) = self.downloads.iter_mut().find(|download| download.guid == guid) else {
            return Follows::default();
        };
        let number = |name: &str| params.get(name).and_then(Value::as_f64).unwrap_or_default();
        download.bytes = number("receivedBytes");
        let (before, now) = (download.state.clone(), cut(text(params, "state"), 20));
        download.state = now;
        let large = download.bytes > MOST_BYTES || number("totalBytes") > MOST_BYTES;
        let (name, state) = (quoted(&download.name, 100), download.state.clone());
        match state.as_str() {
            "inProgress" if large => {
                self.say(format!("The download {name} was refused: it has more than 64 MiB."));
                Follows { orders: vec![cancel(guid)], lost: None }
            }
            "completed" if before != state => {
                self.say(format!(
                    "The download {name} is complete: `browser_read` downloads says where it is."
                ));
                Follows::default()
            }
            _ => Follows::default(),
        }
    }

    /// Something that whoever asks next is to be told. Words of a page's in it are quoted.
    pub(crate) fn say(&mut self, words: String) {
        if self.notes.len() >= MOST_NOTES {
            self.unnoted += 1;
        } else {
            self.notes.push_back(words);
        }
    }

    fn say_once(&mut self, words: &str) {
        if !self.notes.iter().any(|note| note == words) {
            self.say(words.to_owned());
        }
    }

    /// What happened since this was asked last.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        let mut notes: Vec<String> = self.notes.drain(..).collect();
        match std::mem::take(&mut self.unnoted) {
            0 => {}
            more => notes.push(format!("And {more} more things of that kind.")),
        }
        notes
    }

    /// The tab is closed because that was asked.
    pub(crate) fn closing(&mut self, target: &Id) {
        if let Some(tab) = self.by_target(target) {
            tab.closing = true;
        }
    }

    pub(crate) fn by_target(&mut self, target: &Id) -> Option<&mut Tab> {
        self.tabs.iter_mut().find(|tab| tab.target == *target)
    }
}

fn cancel(guid: &str) -> Order {
    Order::to(None, "Browser.cancelDownload", json!({ "guid": guid }))
}

/// A text of an event's; empty if it is not there.
fn text<'a>(params: &'a Map<String, Value>, name: &str) -> &'a str {
    params.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// An object of an event's; empty if it is not there.
fn part<'a>(params: &'a Map<String, Value>, name: &str) -> &'a Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    params.get(name).and_then(Value::as_object).unwrap_or(&NONE)
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests;
