//! Budgets of a day that are used up while a session works.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use cofferdam_domain::{Event, EventBody, OrgId, Owner, SessionId, Timestamp, Wishes};
use cofferdam_store::{DayBudget, Ledger, Purse, Spending, StoreError};

use crate::service::Hall;

/// Says that nothing is left until somebody looks away.
struct Empty(AtomicU32);

#[async_trait]
impl Ledger for Empty {
    async fn set_budget(&self, _: OrgId, _: Purse, _: DayBudget) -> Result<(), StoreError> {
        Ok(())
    }

    async fn budget(&self, _: OrgId, _: Purse) -> Result<DayBudget, StoreError> {
        Ok(DayBudget { tokens: Some(1), ..DayBudget::default() })
    }

    async fn spent(&self, _: OrgId, _: Purse, _: Timestamp) -> Result<Spending, StoreError> {
        Ok(Spending::default())
    }

    async fn exceeded(&self, _: Owner, _: Timestamp) -> Result<Option<String>, StoreError> {
        // The first answer of the model costs the one token that there is.
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        Ok((asked > 0).then(|| "the day's tokens are used up".to_owned()))
    }

    async fn reserve_delivery(
        &self,
        _: Owner,
        _: SessionId,
        _: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_used_up_stops_the_session_until_somebody_continues_it() {
    let hall = Hall::open(None).await;
    let Some(mut parts) = hall.parts().await else { return };
    parts.ledger = Some(Arc::new(Empty(AtomicU32::new(0))));
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    running.hear("Waiting(Budget)").await;
    let asked = |events: &[Event]| {
        events.iter().filter(|event| matches!(event.body, EventBody::ModelAsked { .. })).count()
    };
    let events = hall.events(session).await;
    assert_eq!(asked(&events), 1, "its own spending counts at once");
    hall.append(session, EventBody::ContinueAsked { by: "ann".to_owned() }).await;
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    hall.check(session).await;
    assert!(Path::new(&hall.scene.data()).exists());
}

/// A day on which no pull request may be opened any more.
struct Full;

#[async_trait]
impl Ledger for Full {
    async fn set_budget(&self, _: OrgId, _: Purse, _: DayBudget) -> Result<(), StoreError> {
        Ok(())
    }

    async fn budget(&self, _: OrgId, _: Purse) -> Result<DayBudget, StoreError> {
        Ok(DayBudget::default())
    }

    async fn spent(&self, _: OrgId, _: Purse, _: Timestamp) -> Result<Spending, StoreError> {
        Ok(Spending::default())
    }

    async fn exceeded(&self, _: Owner, _: Timestamp) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn reserve_delivery(
        &self,
        _: Owner,
        _: SessionId,
        _: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        Ok(Some("the organisation has opened 3 of 3 pull requests today".to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_days_pull_requests_are_used_up_a_finished_change_waits() {
    let hall = Hall::open(None).await;
    let Some(mut parts) = hall.parts().await else { return };
    parts.ledger = Some(Arc::new(Full));
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    running.hear("Waiting(Budget)").await;
    let has = |events: &[Event], name: &str| events.iter().any(|event| event.body.name() == name);
    let events = hall.events(session).await;
    assert!(has(&events, "examined") && has(&events, "budget_exceeded") && !has(&events, "pushed"));
    hall.append(session, EventBody::ContinueAsked { by: "ann".to_owned() }).await;
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    hall.check(session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_change_goes_on_when_the_days_pull_requests_are_raised() {
    let hall = Hall::open(None).await;
    let Some(mut parts) = hall.parts().await else { return };
    parts.ledger = Some(hall.store.clone());
    let org = Owner::LOCAL.org;
    let budget = |most| DayBudget { pull_requests: Some(most), ..DayBudget::default() };
    hall.store.set_budget(org, Purse::Org, budget(0)).await.unwrap();
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    running.hear("Waiting(Budget)").await;
    hall.store.set_budget(org, Purse::Org, budget(1)).await.unwrap();
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    let events = hall.events(session).await;
    let continued = events.iter().any(|event| matches!(event.body, EventBody::ContinueAsked { .. }));
    assert!(!continued, "nobody said so but by the budget");
    hall.check(session).await;
}
