//! What is said in Slack: to a stand-in, which Slack's own client is held against.

use std::{sync::Arc, time::Duration};

use cofferdam_domain::{
    About, Conversation, EventBody, Label, NoticeKind, Origin, Outcome, Owner, Secret, SessionId, Source,
    Spoken, Task,
};
use cofferdam_store::{Everything, Placement, Ticket, Writer};
use cofferdam_tell::{Failed, Message, Names, Route, SlackChannel};
use cofferdam_testkit::{Slack, SlackFault, SlackMessage};
use serde_json::json;

use crate::{
    chronicle::{self, again, asks, begins, ended},
    scene::{now, open},
};

const COMMIT: &str = "1111111111111111111111111111111111111111";

/// A session that was asked for in Slack.
struct Told {
    _folder: tempfile::TempDir,
    store: Arc<dyn Everything>,
    session: SessionId,
    slack: Slack,
    ann: String,
    thread: String,
    route: Route,
}

fn route(slack: &Slack, store: &Arc<dyn Everything>) -> Route {
    let asked = cofferdam_tell::Slack::new("chat", slack.url(), Secret::new(Slack::BOT_TOKEN), true).unwrap();
    SlackChannel::route(&asked, store.clone())
}

impl Told {
    async fn new() -> Self {
        Self::of("chat").await
    }

    async fn of(chat: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let slack = Slack::start().await;
        let ann = slack.person("ann", &json!({}));
        let said = slack.says(&ann, Slack::CHANNEL, None, "<@U0APPUSER> Fix the rounding");
        let thread = said["event"]["ts"].as_str().unwrap().to_owned();
        let session = SessionId::generate();
        let spoken = Spoken {
            conversation: Conversation {
                chat: chat.into(),
                place: Slack::CHANNEL.into(),
                thread: thread.clone(),
            },
            message: thread.clone(),
            account: ann.clone(),
            delivery: "Ev1".into(),
            concealed: Vec::new(),
        };
        let task =
            Task::new("Fix the rounding".into(), "/r".into(), None, "ann".into(), Source::Chat).unwrap();
        let first = EventBody::TaskAccepted { task: task.asked(Origin::Chat(Box::new(spoken))) };
        let ticket = Ticket { owner: Owner::LOCAL, placement: Placement::Queued { priority: 0 } };
        store.enqueue(ticket, session, now(), first, Vec::new()).await.unwrap();
        let route = route(&slack, &store);
        Self { _folder: folder, store, session, slack, ann, thread, route }
    }

    async fn happens(&self, events: Vec<EventBody>) {
        self.store.append(self.session, Writer::Anybody, now(), events).await.unwrap();
    }

    async fn messages(&self) -> Vec<Message> {
        let letters = self.store.letters(Owner::LOCAL.org, None, 100).await.unwrap();
        let message = |posted: &cofferdam_store::Posted| {
            Message::new(&posted.letter, &Names::default(), Some("https://c.example"))
        };
        letters.iter().rev().map(message).collect()
    }

    /// Tells the last letter of a kind.
    async fn tell(&self, kind: NoticeKind) -> Result<Vec<SlackMessage>, Failed> {
        let messages = self.messages().await;
        let message =
            messages.iter().rfind(|message| message.kind == kind).unwrap_or_else(|| panic!("no {kind:?}"));
        self.route.channel.tell(message).await.map(|()| self.said())
    }

    fn said(&self) -> Vec<SlackMessage> {
        self.slack.said(Slack::CHANNEL)
    }
}

#[tokio::test]
async fn whoever_asks_sees_it_heard_worked_on_and_done() {
    let told = Told::new().await;
    let [standing] = told.tell(NoticeKind::Accepted).await.unwrap().try_into().unwrap();
    assert_eq!(told.slack.reactions(Slack::CHANNEL, &told.thread), ["eyes"]);
    let page = format!("https://c.example/sessions/{}", told.session);
    assert_eq!(standing.thread.as_deref(), Some(&*told.thread));
    assert_eq!(standing.text, format!("*At work.* Follow it on <{page}|its page>."));
    let button = &standing.blocks.as_array().unwrap().last().unwrap()["elements"][0];
    assert_eq!((&button["type"], &button["url"]), (&json!("button"), &json!(page)));

    told.happens(chronicle::delivers(told.session, 13, COMMIT)).await;
    let said = told.tell(NoticeKind::PullRequest).await.unwrap();
    let [standing, notice] = &said[..] else { panic!("{said:?}") };
    assert!(standing.text.starts_with("*Ready to review:* pull request #13"), "{standing:?}");
    assert!(standing.shown().contains("findings, none blocking") && standing.changed == 1, "{standing:?}");
    assert_eq!((&notice.text, notice.changed), (&standing.text, 0));

    // Somebody says something in the thread: it is seen, and the session is at work again.
    let reply = told.slack.says(&told.ann, Slack::CHANNEL, Some(&told.thread), "and test it");
    let reply = reply["event"]["ts"].as_str().unwrap().to_owned();
    let conversation =
        Conversation { chat: "chat".into(), place: Slack::CHANNEL.into(), thread: told.thread.clone() };
    let about = About::Said { conversation, message: reply.clone() };
    let (from, text) = ("ann".into(), "and test it".into());
    told.happens(vec![EventBody::MessageReceived {
        from,
        text,
        label: Label::REQUESTER,
        about: Some(Box::new(about)),
    }])
    .await;
    let said = told.tell(NoticeKind::Heard).await.unwrap();
    assert_eq!(told.slack.reactions(Slack::CHANNEL, &reply), ["eyes"]);
    assert!(said[0].text.starts_with("*At work.*") && said.len() == 2, "{said:?}");
    // What is settled when it is told is told by nobody.
    let before = told.said().len();
    told.tell(NoticeKind::PullRequest).await.unwrap();
    assert_eq!(told.said().len(), before);
    told.happens([again(), vec![]].concat()).await;
    for asked in told.slack.asked().iter().filter(|asked| asked.method == "chat.postMessage") {
        for never in ["unfurl_links", "unfurl_media", "link_names", "reply_broadcast"] {
            assert_eq!(asked.arguments[never], "false");
        }
    }
}

#[tokio::test]
async fn what_is_told_again_by_whomever_stands_there_once() {
    let told = Told::new().await;
    told.happens(chronicle::delivers(told.session, 13, COMMIT)).await;
    for _ in 0..2 {
        // Another process each time, which remembers nothing.
        let route = route(&told.slack, &told.store);
        for _ in 0..2 {
            for message in told.messages().await {
                route.channel.tell(&message).await.unwrap();
            }
        }
    }
    assert_eq!(told.said().len(), 2, "{:?}", told.said());
    // Somebody says the same under the same mark: it is not ours.
    let other = SlackChannel::route(
        &cofferdam_tell::Slack::new("other", told.slack.url(), Secret::new(Slack::BOT_TOKEN), true).unwrap(),
        told.store.clone(),
    );
    for message in told.messages().await {
        other.channel.tell(&message).await.unwrap();
    }
    assert_eq!(told.said().len(), 2, "a session of another workspace");
}

#[tokio::test]
async fn in_the_longest_thread_what_was_said_is_found() {
    let told = Told::new().await;
    let speaks = |count: usize| {
        for number in 0..count {
            drop(told.slack.says(&told.ann, Slack::CHANNEL, Some(&told.thread), &format!("and {number}")));
        }
    };
    // More than are read of a thread for their own sake.
    speaks(2_500);
    let [standing] = told.tell(NoticeKind::Accepted).await.unwrap().try_into().unwrap();
    // Another process, which knows nothing of it.
    let other = Told { route: route(&told.slack, &told.store), ..told };
    let [again] = other.tell(NoticeKind::Accepted).await.unwrap().try_into().unwrap();
    assert_eq!((&again.ts, again.changed), (&standing.ts, 1));
    // In one that has no end nothing is said twice.
    for number in 0..20_000 {
        drop(other.slack.says(
            &other.ann,
            Slack::CHANNEL,
            Some(&other.thread),
            &format!("on and on {number}"),
        ));
    }
    other.slack.delete(Slack::CHANNEL, &again.ts);
    let third = Told { route: route(&other.slack, &other.store), ..other };
    let refused = third.tell(NoticeKind::Accepted).await.unwrap_err();
    assert!(matches!(&refused, Failed::ForNow { reason, .. } if reason.contains("too long")), "{refused:?}");
    assert!(third.said().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_lost_doubles_nothing() {
    let told = Told::new().await;
    // The last one is said, and nobody hears that it was.
    for (fault, said) in
        [(SlackFault::Status(500, None), 0), (SlackFault::Nonsense, 0), (SlackFault::Lost, 1)]
    {
        told.slack.fail("chat.postMessage", fault);
        let failed = told.tell(NoticeKind::Accepted).await;
        assert!(matches!(failed, Err(Failed::ForNow { .. })), "{failed:?}");
        assert_eq!(told.said().len(), said);
    }
    assert_eq!(told.tell(NoticeKind::Accepted).await.unwrap().len(), 1);
    // It is deleted: it is said anew, and once.
    let ts = told.said()[0].ts.clone();
    told.slack.delete(Slack::CHANNEL, &ts);
    told.happens(chronicle::delivers(told.session, 13, COMMIT)).await;
    for _ in 0..2 {
        assert_eq!(told.tell(NoticeKind::PullRequest).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_slack_that_refuses_is_asked_again_or_not_as_it_wants() {
    let told = Told::new().await;
    told.slack.fail("reactions.add", SlackFault::Status(429, Some(60)));
    let Err(Failed::ForNow { rest: Some(rest), .. }) = told.tell(NoticeKind::Accepted).await else {
        panic!()
    };
    assert!(rest > Duration::from_secs(50) && rest <= Duration::from_secs(60), "{rest:?}");
    let asked = told.slack.asked().len();
    assert!(told.tell(NoticeKind::Accepted).await.is_err());
    assert_eq!(told.slack.asked().len(), asked, "it is left alone");

    let told = Told::new().await;
    told.slack.revoke(true);
    let Err(Failed::ForNow { reason, .. }) = told.tell(NoticeKind::Accepted).await else { panic!() };
    assert!(reason.contains("put the new token") && !reason.contains("xoxb"), "{reason}");
    told.slack.revoke(false);
    // What can never be said does not keep the rest back.
    told.slack.fail("reactions.add", SlackFault::Error("message_not_found"));
    let Err(Failed::ForGood { reason }) = told.tell(NoticeKind::Accepted).await else { panic!() };
    assert!(reason.contains("/invite"), "{reason}");
    assert_eq!(told.said().len(), 1);
}

#[tokio::test]
async fn what_the_agent_says_is_bounded_and_does_nothing() {
    let told = Told::new().await;
    let hostile = "<!channel> <@U1> see <https://evil.example|here> &lt;!here&gt; \u{202e}";
    told.happens([begins(), asks(&format!("{hostile}{}", "x".repeat(10_000)))].concat()).await;
    let said = told.tell(NoticeKind::Question).await.unwrap();
    let [standing, notice] = &said[..] else { panic!("{said:?}") };
    assert!(standing.text.starts_with("*Waits for an answer.*"), "{standing:?}");
    for message in [standing, notice] {
        assert!(message.shown().len() < 6_000);
        for block in message.blocks.as_array().unwrap() {
            if block["type"] == "rich_text" {
                assert!(
                    block["elements"][1]["elements"][0]["text"].as_str().unwrap().starts_with("<!channel>")
                );
            } else {
                assert!(!block.to_string().contains("evil"), "{block}");
            }
        }
    }
    // The end, for whatever reason.
    told.happens(vec![EventBody::QuestionAnswered {
        call: cofferdam_domain::CallId { step: 1, index: 0 },
        text: "this one".into(),
        by: "ann".into(),
    }])
    .await;
    told.happens(ended(Outcome::Failed { reason: format!("no such model {hostile}") })).await;
    let said = told.tell(NoticeKind::Failed).await.unwrap();
    assert!(said.len() == 3 && said[2].text.starts_with("*Failed.*"), "{said:?}");
    assert!(!said[2].text.contains("evil") && said[2].shown().contains("no such model"));
}

#[tokio::test]
async fn of_other_sessions_nothing_is_said() {
    let told = Told::of("another").await;
    assert_eq!(told.tell(NoticeKind::Accepted).await.unwrap(), []);
    assert_eq!(told.slack.asked(), []);
    let message = told.messages().await.pop().unwrap();
    told.store.forget(told.session).await.unwrap();
    told.route.channel.tell(&message).await.unwrap();
    assert_eq!(told.slack.asked(), []);
}
