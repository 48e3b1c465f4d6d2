//! What is told, as JSON.
//!
//! ```json
//! {
//!   "type": "session.question",
//!   "timestamp": "2026-11-22T09:36:07Z",
//!   "data": {
//!     "id": "let_…", "session": "ses_…", "event": 41, "link": "https://cofferdam.example.com/sessions/ses_…",
//!     "organisation": { "id": "org_…", "name": "local" }, "project": { "id": "prj_…", "name": "default" },
//!     "pull_request": 7,
//!     "untrusted": { "title": "Fix the parser", "text": "Which of the two formats?" }
//!   }
//! }
//! ```
//!
//! What stands under `untrusted` was written by whoever asked for the work, by a model, or by programs in a sandbox; whoever shows it shows it
//! as plain text.

use cofferdam_domain::{LetterId, NoticeKind, Seq, SessionId, hidden::visible};
use cofferdam_store::Letter;
use serde_json::{Map, Value, json};

/// What people call the organisation and the project of a letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The organisation's.
    pub organisation: Option<String>,
    /// The project's.
    pub project: Option<String>,
}

/// A letter, ready to be sent: the same bytes at each try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which letter it is.
    pub id: LetterId,
    /// Of what kind.
    pub kind: NoticeKind,
    /// The session; none where it is about no session.
    pub session: Option<SessionId>,
    /// The session's event that says so.
    pub seq: Seq,
    /// Where the session's page is.
    pub page: Option<String>,
    /// JSON, see the module's documentation.
    pub body: String,
}

impl Message {
    /// What a letter says. `origin` is where the pages are (`https://cofferdam.example.com`).
    #[must_use]
    pub fn new(letter: &Letter, names: &Names, origin: Option<&str>) -> Self {
        let Letter { id, kind, owner, session, seq, at, title, text, pull_request } = letter;
        let mut data = Map::new();
        let mut put = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
        let page = session
            .zip(origin)
            .map(|(session, origin)| format!("{}/sessions/{session}", origin.trim_end_matches('/')));
        put("id", id.to_string().into());
        if let Some(session) = session {
            put("session", session.to_string().into());
            put("event", seq.0.into());
        }
        if let Some(page) = &page {
            put("link", page.as_str().into());
        }
        put("organisation", json!({ "id": owner.org.to_string(), "name": names.organisation }));
        put("project", json!({ "id": owner.project.to_string(), "name": names.project }));
        if let Some(number) = pull_request {
            put("pull_request", (*number).into());
        }
        let shown = |text: &str| visible(text.as_bytes());
        put("untrusted", json!({ "title": shown(title), "text": text.as_deref().map(shown) }));
        let subject = if *kind == NoticeKind::Test { "cofferdam" } else { "session" };
        let body =
            json!({ "type": format!("{subject}.{}", kind.name()), "timestamp": at.utc(), "data": data });
        Self { id: *id, kind: *kind, session: *session, seq: *seq, page, body: body.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{Owner, Seq, SessionId, Timestamp};

    use super::*;

    #[test]
    fn what_others_wrote_stands_apart_and_can_be_seen() {
        let letter = Letter {
            id: LetterId::from_u128(1),
            kind: NoticeKind::Question,
            owner: Owner::LOCAL,
            session: Some(SessionId::from_u128(2)),
            seq: Seq(41),
            at: Timestamp(0),
            title: "Fix \u{202e}it".into(),
            text: Some("\u{1b}[31m\"Which\"?\n".into()),
            pull_request: None,
        };
        let names = Names { organisation: Some("local".into()), project: None };
        let message = Message::new(&letter, &names, Some("https://c.example/"));
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body["type"], "session.question");
        assert_eq!(body["timestamp"], "1970-01-01T00:00:00Z");
        let data = &body["data"];
        assert_eq!(data["link"], format!("https://c.example/sessions/{}", SessionId::from_u128(2)));
        assert_eq!((&data["event"], &data["organisation"]["name"]), (&json!(41), &json!("local")));
        assert_eq!(data["untrusted"]["title"], "Fix \\u{202e}it");
        assert_eq!(data["untrusted"]["text"], "\\u{1b}[31m\"Which\"?\\u{a}");
        assert_eq!(
            Message::new(&letter, &names, Some("https://c.example/")),
            message,
            "the same bytes again"
        );
        let test = Letter { kind: NoticeKind::Test, session: None, ..letter };
        let body: Value = serde_json::from_str(&Message::new(&test, &names, None).body).unwrap();
        assert_eq!((&body["type"], body["data"].get("session")), (&json!("cofferdam.test"), None));
    }
}
