//! What owners may still spend, as a worker knows it between two questions to the ledger.
//!
//! Before each model call it is asked whether a budget is used up. The answer counts for a moment, less what the worker itself has spent since: so
//! a store is asked rarely, and a budget is passed by what other workers spend in that moment at the most.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cofferdam_domain::{Answer, Cost, Owner, SessionId};
use cofferdam_store::{DayBudget, Ledger, Purse, Spending, StoreError};

use crate::{log::now, patience::patiently};

/// How long an answer counts.
const MOMENT: Duration = Duration::from_secs(3);
/// Owners that are remembered: those of long ago are forgotten.
const MOST: usize = 10_000;

/// All owners' purses.
pub(crate) struct Purses {
    ledger: Option<Arc<dyn Ledger>>,
    known: Mutex<HashMap<Owner, Known>>,
}

/// An answer of the ledger's.
#[derive(Debug, Clone)]
struct Known {
    asked: Instant,
    exceeded: Option<String>,
    /// What is left of the budgets; `None` where there is no limit.
    cost: Option<u64>,
    tokens: Option<u64>,
}

impl Purses {
    /// Without a ledger nothing is ever used up.
    pub(crate) fn new(ledger: Option<Arc<dyn Ledger>>) -> Arc<Self> {
        Arc::new(Self { ledger, known: Mutex::default() })
    }

    /// The budget that is used up, in words; `None` while none is.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) async fn exceeded(&self, owner: Owner) -> Result<Option<String>, StoreError> {
        let Some(ledger) = &self.ledger else { return Ok(None) };
        if let Some(known) = self.known(|known| known.get(&owner).cloned())
            && known.asked.elapsed() < MOMENT
        {
            return Ok(None);
        }
        let fresh = patiently(|| ask(&**ledger, owner)).await?;
        if let Some(exceeded) = fresh.exceeded {
            // Whoever asks again may do so because it was raised.
            self.known(|known| known.remove(&owner));
            return Ok(Some(exceeded));
        }
        self.known(|known| {
            if known.len() >= MOST {
                known.retain(|_, known| known.asked.elapsed() < MOMENT);
            }
            known.insert(owner, fresh);
        });
        Ok(None)
    }

    /// Keeps one of the day's pull requests for this session; why there is none left, in words, where that is so. Asked anew each time: it is
    /// asked rarely.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub(crate) async fn reserve_delivery(
        &self,
        owner: Owner,
        session: SessionId,
    ) -> Result<Option<String>, StoreError> {
        let Some(ledger) = &self.ledger else { return Ok(None) };
        patiently(|| ledger.reserve_delivery(owner, session, now())).await
    }

    /// A model was paid.
    pub(crate) fn spend(&self, owner: Owner, answer: &Answer, cost: Cost) {
        self.known(|all| {
            let Some(known) = all.get_mut(&owner) else { return };
            let less = |left: Option<u64>, spent: u64| left.map(|left| left.saturating_sub(spent));
            known.cost = less(known.cost, cost.0);
            known.tokens = less(known.tokens, answer.usage.total());
            if known.cost == Some(0) || known.tokens == Some(0) {
                // The ledger has counted it too, and says which budget that was.
                all.remove(&owner);
            }
        });
    }

    fn known<T>(&self, act: impl FnOnce(&mut HashMap<Owner, Known>) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn ask(ledger: &dyn Ledger, owner: Owner) -> Result<Known, StoreError> {
    let (asked, at) = (Instant::now(), now());
    let exceeded = ledger.exceeded(owner, at).await?;
    let mut known = Known { asked, exceeded, cost: None, tokens: None };
    for purse in [Purse::Org, Purse::Project(owner.project), Purse::User(owner.user)] {
        let budget = ledger.budget(owner.org, purse).await?;
        if budget == DayBudget::default() {
            continue;
        }
        let Spending { cost, tokens, .. } = ledger.spent(owner.org, purse, at).await?;
        known.cost = least(known.cost, budget.cost.map(|most| most.saturating_sub(cost)));
        known.tokens = least(known.tokens, budget.tokens.map(|most| most.saturating_sub(tokens)));
    }
    Ok(known)
}

/// The lower of two limits.
fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}
