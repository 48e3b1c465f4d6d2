//! Events of one page: documents that come and go, dialogs, crashes.

use serde_json::{Map, Value, json};

use super::{Follows, MOST_DIALOGS, Order, Seen, Tab, cut, part, text};
use crate::{Id, quoted};

impl Seen {
    pub(super) fn of_a_page(&mut self, session: &Id, method: &str, params: &Map<String, Value>) -> Follows {
        if method == "Inspector.targetCrashed" {
            return self.crashed(|tab| tab.session.as_ref() == Some(session));
        }
        if method == "Page.javascriptDialogOpening" {
            return self.dialog(session, params);
        }
        if method == "Page.fileChooserOpened" {
            self.say(
                "The page asks for a file: give it with action upload and the file input as target."
                    .to_owned(),
            );
            return Follows::default();
        }
        let Some(tab) = self.tabs.iter_mut().find(|tab| tab.session.as_ref() == Some(session)) else {
            return Follows::default();
        };
        match method {
            "Page.frameNavigated" => tab.navigated(part(params, "frame")),
            "Page.navigatedWithinDocument" if Id::at(params, "frameId").as_ref() == Some(&tab.target) => {
                tab.url = cut(text(params, "url"), 2_000);
            }
            "Page.frameStartedLoading" if Id::at(params, "frameId").as_ref() == Some(&tab.target) => {
                tab.loading = true
            }
            "Page.frameStoppedLoading" if Id::at(params, "frameId").as_ref() == Some(&tab.target) => {
                tab.loading = false
            }
            _ => tab.traffic(method, params),
        }
        Follows::default()
    }

    /// Dialogs are answered at once: nothing else can be done with a page that has one open.
    fn dialog(&mut self, session: &Id, params: &Map<String, Value>) -> Follows {
        let kind = text(params, "type").to_owned();
        let asks = matches!(kind.as_str(), "confirm" | "prompt");
        let accept = !asks || self.answer.accept;
        let mut given = json!({ "accept": accept });
        if let Some(words) = self.answer.text.as_ref().filter(|_| kind == "prompt") {
            given["promptText"] = words.clone().into();
        }
        let mut orders = vec![Order::to(Some(session), "Page.handleJavaScriptDialog", given)];
        let Some(tab) = self.tabs.iter_mut().find(|tab| tab.session.as_ref() == Some(session)) else {
            return Follows { orders, lost: None };
        };
        tab.dialogs += 1;
        let (number, dialogs, target) = (tab.number, tab.dialogs, tab.target.clone());
        if dialogs > MOST_DIALOGS {
            if dialogs == MOST_DIALOGS + 1 {
                tab.closing = true;
                self.say(format!("Tab {number} opened more than {MOST_DIALOGS} dialogs and was closed."));
            }
            orders.push(Order::to(None, "Target.closeTarget", json!({ "targetId": target })));
            return Follows { orders, lost: None };
        }
        if kind != "beforeunload" {
            let what = if matches!(kind.as_str(), "alert" | "confirm" | "prompt") {
                kind.as_str()
            } else {
                "dialog"
            };
            let done = if accept { "accepted" } else { "dismissed" };
            let other =
                if asks && !accept { " (to accept it, do the same again with dialogs accept)" } else { "" };
            let words = quoted(text(params, "message"), 300);
            self.say(format!("The page opened a dialog ({what}) that says {words}; it was {done}{other}."));
        }
        Follows { orders, lost: None }
    }
}

impl Tab {
    fn navigated(&mut self, frame: &Map<String, Value>) {
        if frame.contains_key("parentId") {
            return;
        }
        let before = std::mem::replace(&mut self.loader, cut(text(frame, "loaderId"), 100));
        if before == self.loader {
            return;
        }
        self.url = cut(text(frame, "url"), 2_000);
        self.documents += 1;
        self.dialogs = 0;
        self.crashed = false;
        self.under_way.clear();
        // What its server said of this document came before.
        let main = |request: &&super::Request| request.id == self.loader;
        self.status = self.requests.iter().rev().find(main).and_then(|request| request.status);
    }
}
