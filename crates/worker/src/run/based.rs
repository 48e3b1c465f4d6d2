//! A base that somebody has typed is found before the model is asked: what is wrong with it costs nothing then. Where the repository's own default is
//! meant, or a forge has named it, the first request is out meanwhile.

use cofferdam_agent::Agent;
use cofferdam_domain::Origin;
use tokio::sync::watch;

/// Whether the bases that were typed are found.
pub(super) struct Based(watch::Sender<bool>);

impl Based {
    pub(super) fn of(agent: &Agent) -> Self {
        Self(watch::Sender::new(are_found(agent)))
    }

    /// Looks again.
    pub(super) fn look(&self, agent: &Agent) {
        if !*self.0.borrow() {
            self.0.send_replace(are_found(agent));
        }
    }

    /// Waits until they are. Where they are not, the session ends.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + use<> {
        let mut found = self.0.subscribe();
        async move {
            if found.wait_for(|found| *found).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn are_found(agent: &Agent) -> bool {
    let Some(task) = agent.task() else { return true };
    if task.origin.as_ref().is_some_and(|origin| Origin::on_forge(origin).is_some()) {
        return true;
    }
    let is_typed = |part| task.at(part).is_some_and(|(_, base)| base.is_some());
    let is_found = |part| agent.seen_from(part).is_none_or(|there| there.repository().is_some());
    task.parts().all(|part| !is_typed(part) || is_found(part))
}
