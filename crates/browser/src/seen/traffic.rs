//! What pages write on their console, and what they ask of servers.

use serde_json::{Map, Value};

use super::{MOST_UNDER_WAY, Tab, cut, part, text};

/// Lines of a console, and requests, that are kept: the latest.
const MOST_KEPT: usize = 200;
/// Characters of a line.
const LINE: usize = 1_000;
/// Characters of an address.
const ADDRESS: usize = 500;

/// A line of a page's console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// `log`, `warning`, `error` and the like.
    pub(crate) level: String,
    pub(crate) text: String,
}

/// Something that a page asked of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) url: String,
    /// `Document`, `Script`, `Fetch` and the like.
    pub(crate) kind: String,
    pub(crate) status: Option<u64>,
    /// Why there is no answer.
    pub(crate) failed: Option<String>,
}

impl Tab {
    pub(super) fn traffic(&mut self, method: &str, params: &Map<String, Value>) {
        match method {
            "Runtime.consoleAPICalled" => {
                let words: Vec<String> = params
                    .get("args")
                    .and_then(Value::as_array)
                    .map(|values| values.iter().take(20).map(written).collect())
                    .unwrap_or_default();
                self.print(text(params, "type"), &words.join(" "));
            }
            "Runtime.exceptionThrown" => {
                let details = part(params, "exceptionDetails");
                let thrown = text(part(details, "exception"), "description");
                let words = if thrown.is_empty() { text(details, "text") } else { thrown };
                self.print("error", &format!("uncaught: {words}"));
            }
            "Log.entryAdded" => {
                let entry = part(params, "entry");
                let place = text(entry, "url");
                let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
                self.print(text(entry, "level"), &format!("{}{place}", text(entry, "text")));
            }
            "Network.requestWillBeSent" => self.asked(params),
            "Network.responseReceived" => {
                let status = part(params, "response").get("status").and_then(Value::as_u64);
                let id = text(params, "requestId").to_owned();
                if let Some(request) = self.request(&id) {
                    request.status = status;
                }
                if id == self.loader {
                    self.status = status;
                }
            }
            "Network.loadingFinished" => {
                self.under_way.remove(text(params, "requestId"));
            }
            "Network.loadingFailed" => {
                let id = text(params, "requestId");
                self.under_way.remove(id);
                let reason = text(params, "blockedReason");
                let reason = if reason.is_empty() { text(params, "errorText") } else { reason };
                let reason = cut(reason, 100);
                if let Some(request) = self.request(id) {
                    request.failed = Some(reason);
                }
            }
            _other => {}
        }
    }

    fn asked(&mut self, params: &Map<String, Value>) {
        let (id, request) = (cut(text(params, "requestId"), 100), part(params, "request"));
        let url = text(request, "url");
        if url.starts_with("data:") {
            return;
        }
        let kind = text(params, "type");
        // What stays open is not waited for.
        if !matches!(kind, "WebSocket" | "EventSource" | "Ping") && self.under_way.len() < MOST_UNDER_WAY {
            self.under_way.insert(id.clone());
        }
        if self.requests.len() >= MOST_KEPT {
            self.requests.pop_front();
        }
        self.requests.push_back(Request {
            id,
            method: cut(text(request, "method"), 20),
            url: cut(url, ADDRESS),
            kind: cut(kind, 20),
            status: None,
            failed: None,
        });
    }

    fn request(&mut self, id: &str) -> Option<&mut Request> {
        self.requests.iter_mut().rev().find(|request| request.id == id)
    }

    fn print(&mut self, level: &str, words: &str) {
        if self.console.len() >= MOST_KEPT {
            self.console.pop_front();
        }
        self.console.push_back(Line { level: cut(level, 20), text: cut(words, LINE) });
    }
}

/// A value that was printed.
fn written(value: &Value) -> String {
    let Some(object) = value.as_object() else { return String::new() };
    match object.get("value") {
        Some(Value::String(text)) => cut(text, LINE),
        Some(value) => cut(&value.to_string(), LINE),
        None => cut(text(object, "description"), LINE),
    }
}
