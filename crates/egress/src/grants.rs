//! The rules in force: a policy's, and what a person has granted to the session for a while.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cofferdam_domain::{Timestamp, egress::EgressRule};
use tokio::sync::watch;

use crate::{clock::now, problem::PolicyProblem, rules::Rules};

/// The rules of a session as they change.
pub(crate) struct Grants {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

struct State {
    /// The policy with what is granted now.
    rules: Rules,
    granted: Vec<(EgressRule, Option<Timestamp>)>,
}

impl Grants {
    pub(crate) fn new(rules: Rules) -> Self {
        let state = Mutex::new(State { rules, granted: Vec::new() });
        Self { state, changed: watch::Sender::new(()) }
    }

    /// The rules at this moment.
    pub(crate) fn rules(&self) -> Rules {
        let mut state = self.lock();
        if state.next_end().is_some_and(|end| end <= now()) {
            let now = now();
            state.granted.retain(|(_, until)| until.is_none_or(|until| until > now));
            // All of it has been in force before.
            if let Ok(rules) = state.with(&state.granted) {
                state.rules = rules;
            }
        }
        state.rules.clone()
    }

    /// Permits this too, until then or to the end of the session.
    pub(crate) fn grant(&self, rule: EgressRule, until: Option<Timestamp>) -> Result<(), PolicyProblem> {
        let mut state = self.lock();
        let mut granted = state.granted.clone();
        granted.push((rule, until));
        state.rules = state.with(&granted)?;
        state.granted = granted;
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    /// Holds back for this reason what can change something outside, until a person grants it; or does so no more.
    pub(crate) fn hold_back(&self, why: Option<&str>) {
        let mut state = self.lock();
        if state.rules.why_held() == why {
            return;
        }
        state.rules = state.rules.held_back(why);
        drop(state);
        self.changed.send_replace(());
    }

    /// Returns when the rules may have changed since this was called.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + use<> {
        let mut changed = self.changed.subscribe();
        let end = self.lock().next_end();
        async move {
            let ended = async {
                match end {
                    Some(end) => tokio::time::sleep(Duration::from_millis(end.millis_since(now()) + 1)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Where the door is gone, so are its rules.
                _ = changed.changed() => {}
                () = ended => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_end(&self) -> Option<Timestamp> {
        self.granted.iter().filter_map(|(_, until)| *until).min()
    }

    fn with(&self, granted: &[(EgressRule, Option<Timestamp>)]) -> Result<Rules, PolicyProblem> {
        self.rules.with_grants(&granted.iter().map(|(rule, _)| rule.clone()).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cofferdam_domain::egress::{EgressPolicy, HostName, HostPattern};

    use super::*;

    #[tokio::test]
    async fn grants_hold_until_they_end() {
        let rules = Rules::new(&EgressPolicy::default(), Vec::new(), BTreeSet::new()).unwrap();
        let grants = Grants::new(rules);
        let host: HostName = "a.example".parse().unwrap();
        let other: HostName = "b.example".parse().unwrap();
        assert!(!grants.rules().knows(&host));
        let rule = |host: &HostName| EgressRule::new(host.as_str(), HostPattern::Exactly(host.clone()));
        let soon = Timestamp(now().0 + 200);
        grants.grant(rule(&host), Some(soon)).unwrap();
        grants.grant(rule(&other), None).unwrap();
        assert!(grants.rules().knows(&host) && grants.rules().knows(&other));
        while now() <= soon {
            grants.changed().await;
        }
        assert!(!grants.rules().knows(&host) && grants.rules().knows(&other));
    }
}
