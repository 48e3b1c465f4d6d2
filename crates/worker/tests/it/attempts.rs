//! Several attempts at one task, of which not all were made: whoever made them died in the middle of it.

use cofferdam_domain::{
    EventBody, Outcome, Owner, SessionId, Timestamp, WaitingFor, Wishes,
    attempt::{Attempt, Choose},
};
use cofferdam_store::{Placement, Store as _, Ticket};
use cofferdam_worker::now;

use crate::service::Hall;

/// Longer than making them may take, in milliseconds.
const TOO_LONG: u64 = 10 * 60 * 1000;

/// The second and the third of three attempts, which were made so many milliseconds ago.
async fn unmade(hall: &Hall, choose: Choose, ago: u64) -> Vec<SessionId> {
    let all: Vec<Attempt> = Attempt::all(SessionId::generate(), 3, choose).skip(1).collect();
    let at = Timestamp(now().0 - ago);
    for attempt in &all {
        let task = hall.scene.task(Wishes::default()).await.attempted(*attempt);
        let ticket = Ticket { owner: Owner::LOCAL, placement: Placement::Queued { priority: 0 } };
        let first = EventBody::TaskAccepted { task };
        hall.store.enqueue(ticket, attempt.session(), at, first, Vec::new()).await.unwrap();
    }
    all.iter().map(Attempt::session).collect()
}

async fn is_ready(hall: &Hall, session: SessionId) {
    hall.until(session, |body| matches!(body, EventBody::AttemptReady { .. })).await;
}

/// The rule chooses among those that there are: at once where they were made long ago, and else when the time for making them is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rule_chooses_among_those_that_were_made() {
    for ago in [TOO_LONG, TOO_LONG - 8_000] {
        let hall = Hall::open(None).await;
        let Some(parts) = hall.parts().await else { return };
        let sessions = unmade(&hall, Choose::Best, ago).await;
        let running = hall.start(parts);
        for session in &sessions {
            hall.until(*session, |body| matches!(body, EventBody::SessionEnded { .. })).await;
        }
        running.stop().await;
        let (first, second) = (hall.agent(sessions[0]).await, hall.agent(sessions[1]).await);
        assert_eq!(first.outcome(), Some(&Outcome::Succeeded));
        assert_eq!(second.outcome(), Some(&Outcome::PassedOver { chosen: sessions[0] }));
        for session in sessions {
            hall.check(session).await;
        }
    }
}

/// Before that, whoever made them may be asked once more and make the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_others_may_be_made_nothing_is_chosen() {
    for choose in [Choose::Best, Choose::Ask] {
        let hall = Hall::open(None).await;
        let Some(parts) = hall.parts().await else { return };
        let sessions = unmade(&hall, choose, 0).await;
        let mut running = hall.start(parts);
        for _ in &sessions {
            running.hear("Released").await;
        }
        running.stop().await;
        for session in sessions {
            is_ready(&hall, session).await;
            let row = hall.store.session(None, session).await.unwrap().unwrap();
            assert_eq!((row.waiting, row.outcome), (Some(WaitingFor::Choice), None));
        }
    }
}
