//! Sessions that work for others: they stand with those, and go with them.

use cofferdam_domain::{CallId, EventBody, Parent, SessionId, Source, SubagentKind, Task};
use cofferdam_store::{SessionFilter, StoreError};

use crate::{
    contract::Subject,
    events::{accepted, now},
};

fn working_for(session: SessionId) -> EventBody {
    let task = Task::new("Look.".into(), "/srv/repository".into(), None, "ann".into(), Source::Cli).unwrap();
    let (call, kind) = (CallId { step: 1, index: 0 }, SubagentKind::Explore);
    EventBody::TaskAccepted {
        task: task.delegated(Parent { session, call, kind, depth: 1, schema: None, custom: None }),
    }
}

pub(crate) async fn whoever_works_for_another_stands_and_goes_with_that_one(subject: &impl Subject) {
    let store = subject.open().await;
    let (parent, child, below) = (SessionId::generate(), SessionId::generate(), SessionId::generate());
    store.create(parent, now(), accepted("Do it."), Vec::new()).await.unwrap();
    store.create(child, now(), working_for(parent), Vec::new()).await.unwrap();
    store.create(below, now(), working_for(child), Vec::new()).await.unwrap();
    let listed = |filter| async {
        let rows = store.sessions(filter).await.unwrap();
        rows.into_iter().map(|row| (row.id, row.parent)).collect::<Vec<_>>()
    };
    assert_eq!(listed(SessionFilter::default()).await, [(parent, None)]);
    let of_parent = SessionFilter { parent: Some(parent), ..SessionFilter::default() };
    assert_eq!(listed(of_parent).await, [(child, Some(parent))]);
    let all = SessionFilter { subagents: true, ..SessionFilter::default() };
    assert_eq!(listed(all).await, [(below, Some(child)), (child, Some(parent)), (parent, None)]);

    store.forget(parent).await.unwrap();
    for session in [parent, child, below] {
        assert!(store.was_forgotten(session).await.unwrap(), "{session}");
        assert!(matches!(store.log(session).await, Err(StoreError::UnknownSession(_))));
    }
}
