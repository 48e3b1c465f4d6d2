//! Sessions as they are listed.

use cofferdam_domain::{CallId, EventBody, Seq, SessionId, SessionState, Timestamp, WaitingFor};
use cofferdam_store::{SessionFilter, Writer};

use crate::{
    contract::Subject,
    events::{
        accepted, answered, claimed, ended, finished, message, now, owner, pushed, queued, queued_with,
        session,
    },
};

pub(crate) async fn sessions_are_listed_newest_first_by_state_and_page(subject: &impl Subject) {
    let store = subject.open().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(session(&*store).await);
    }
    made.reverse();
    store.append(made[1], Writer::Anybody, Timestamp(2), vec![ended()]).await.unwrap();
    store.append(made[3], Writer::Anybody, Timestamp(2), vec![ended()]).await.unwrap();
    let list = async |state, before, limit| -> Vec<SessionId> {
        let rows =
            store.sessions(SessionFilter { state, before, limit, ..SessionFilter::default() }).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(list(None, None, 0).await, made);
    assert_eq!(list(None, None, 2).await, made[..2]);
    assert_eq!(list(None, Some(made[1]), 2).await, made[2..4]);
    assert_eq!(list(Some(SessionState::Ended), None, 0).await, [made[1], made[3]]);
    assert_eq!(list(Some(SessionState::Ended), Some(made[1]), 0).await, [made[3]]);
    assert_eq!(list(Some(SessionState::Working), None, 0).await, []);
}

pub(crate) async fn the_row_follows_the_events(subject: &impl Subject) {
    let store = subject.open().await;
    let session = SessionId::generate();
    store.create(session, Timestamp(10), accepted("\nFix the parser\nnow"), Vec::new()).await.unwrap();
    let row = async || store.sessions(SessionFilter::default()).await.unwrap().remove(0);
    let first = row().await;
    assert_eq!((first.id, first.state, first.last), (session, SessionState::Queued, Seq(1)));
    assert_eq!((first.title.as_str(), first.repository.as_str()), ("Fix the parser", "/srv/repository"));
    assert_eq!((first.created, first.updated, first.outcome), (Timestamp(10), Timestamp(10), None));
    for (body, state) in [
        (claimed(1), SessionState::Working),
        (message("x"), SessionState::Working),
        (finished(), SessionState::Delivering),
        (ended(), SessionState::Ended),
    ] {
        store.append(session, Writer::Anybody, Timestamp(20), vec![body]).await.unwrap();
        assert_eq!(row().await.state, state);
    }
    let last = row().await;
    assert_eq!((last.outcome.as_deref(), last.last), (Some("held"), Seq(5)));
    assert_eq!((last.created, last.updated, last.claimed), (Timestamp(10), Timestamp(20), false));
}

pub(crate) async fn sessions_are_found_by_whose_they_are_and_by_text(subject: &impl Subject) {
    let store = subject.open().await;
    let (ann, ben) = (owner(1, 1), owner(1, 2));
    let (a, b) = (queued(&*store, ann, 0).await, queued(&*store, ben, 0).await);
    let c = queued_with(&*store, owner(2, 3), 0, "100% _sure_!", "/srv/Other").await;
    let list = async |filter: SessionFilter| -> Vec<SessionId> {
        store.sessions(filter).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    let all = SessionFilter::default;
    assert_eq!(list(SessionFilter { org: Some(ann.org), ..all() }).await, [b, a]);
    assert_eq!(list(SessionFilter { user: Some(ben.user), ..all() }).await, [b]);
    assert_eq!(list(SessionFilter { project: Some(ann.project), org: Some(ann.org), ..all() }).await, [b, a]);
    for (text, found) in
        [("0% _SURE", vec![c]), ("_", vec![c]), ("%", vec![c]), ("other", vec![c]), ("parser", vec![b, a])]
    {
        assert_eq!(list(SessionFilter { text: Some(text.into()), ..all() }).await, found, "{text}");
    }
    store.append(b, Writer::Anybody, now(), vec![pushed("c0ffee")]).await.unwrap();
    assert_eq!(list(SessionFilter { pushed: Some("c0ffee".into()), ..all() }).await, [b]);
    store.append(b, Writer::Anybody, now(), vec![pushed("f00d")]).await.unwrap();
    assert_eq!(list(SessionFilter { pushed: Some("c0ffee".into()), ..all() }).await, []);
    store.set_archived(a, true).await.unwrap();
    assert_eq!(list(SessionFilter { archived: Some(true), ..all() }).await, [a]);
    assert_eq!(list(SessionFilter { archived: Some(false), ..all() }).await, [c, b]);
    assert_eq!(store.session(Some(owner(2, 3).org), a).await.unwrap(), None);
    assert!(store.session(Some(ann.org), a).await.unwrap().unwrap().archived);
}

pub(crate) async fn what_a_session_waits_for_shows_in_its_row(subject: &impl Subject) {
    let store = subject.open().await;
    let session = queued(&*store, owner(1, 1), 0).await;
    let by = || "ann".to_owned();
    let call = CallId { step: 1, index: 0 };
    for (body, state, waiting) in [
        (claimed(0), SessionState::Working, None),
        (answered(1, 70, 9), SessionState::Working, None),
        (
            EventBody::QuestionAsked { call, question: "?".into() },
            SessionState::Waiting,
            Some(WaitingFor::Answer),
        ),
        (EventBody::PauseAsked { by: by() }, SessionState::Waiting, Some(WaitingFor::Pause)),
        (EventBody::ContinueAsked { by: by() }, SessionState::Working, None),
        (EventBody::BudgetExceeded { what: "all".into() }, SessionState::Waiting, Some(WaitingFor::Budget)),
        (ended(), SessionState::Ended, None),
        (message("more"), SessionState::Queued, None),
    ] {
        store.append(session, Writer::Anybody, Timestamp(20), vec![body]).await.unwrap();
        let row = store.session(None, session).await.unwrap().unwrap();
        assert_eq!((row.state, row.waiting), (state, waiting));
    }
    let row = store.session(None, session).await.unwrap().unwrap();
    assert_eq!((row.cost, row.tokens, row.steps, row.outcome), (70, 9, 1, None));
    assert_eq!(store.verify(session).await.unwrap().events, 9);
}
