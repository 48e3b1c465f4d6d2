//! What the agent has asked to be let out, and what people have decided about it.
//!
//! A wish becomes an `AccessAsked` by the agent's own decision, unless the same is being asked already or was refused: people
//! decide once. A decision counts only for the exact rule that was asked for, and only the first one does.

use std::{sync::Arc, time::Duration};

use cofferdam_domain::{
    CallId, EventBody, Timestamp,
    amount::duration,
    egress::{Access, AccessAsk, AccessPolicy, EgressRule},
};

use crate::{Agent, excerpt::excerpt};

/// A request for access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRequest {
    /// What was asked.
    pub ask: AccessAsk,
    /// What was decided, if anything was.
    pub decided: Option<Access>,
    /// Whether the log has it: else it is the next decision.
    pub(crate) recorded: bool,
    /// Whether it was granted to the session that this one is a fork of, and so holds nothing here.
    elsewhere: bool,
}

/// All requests of a session, in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accesses(Arc<Vec<AccessRequest>>);

impl Accesses {
    /// The agent wants something. Nothing follows if the same is asked already, or was denied.
    fn want(&mut self, ask: AccessAsk) {
        let same =
            |known: &EgressRule| EgressRule { name: ask.rule.name.clone(), ..known.clone() } == ask.rule;
        let known = self.0.iter().any(|request| {
            let open = request.decided.as_ref().is_none_or(|access| !access.granted);
            open && same(&request.ask.rule)
        });
        if !known {
            Arc::make_mut(&mut self.0).push(AccessRequest {
                ask,
                decided: None,
                recorded: false,
                elsewhere: false,
            });
        }
    }

    /// The log has a request. Whether it is a new one.
    fn record(&mut self, ask: &AccessAsk) -> bool {
        let requests = Arc::make_mut(&mut self.0);
        match requests.iter_mut().find(|request| request.ask.call == ask.call) {
            Some(known) if known.recorded => false,
            Some(known) => {
                known.ask = ask.clone();
                known.recorded = true;
                true
            }
            None => {
                let ask = ask.clone();
                requests.push(AccessRequest { ask, decided: None, recorded: true, elsewhere: false });
                true
            }
        }
    }

    /// Somebody has decided. The request, if this is its first decision; an error if it is about none, or about
    /// another rule than was asked for.
    fn decide(&mut self, access: &Access) -> Result<Option<AccessAsk>, ()> {
        let requests = Arc::make_mut(&mut self.0);
        let request = requests.iter_mut().find(|request| request.recorded && request.ask.call == access.call);
        let request = request.filter(|request| request.ask.digest() == access.rule).ok_or(())?;
        if request.decided.is_some() {
            return Ok(None);
        }
        request.decided = Some(access.clone());
        Ok(Some(request.ask.clone()))
    }

    /// All before this happened in another session: what was granted there is not granted here. What is open or was denied stays so.
    pub(crate) fn leave(&mut self) {
        let granted = |request: &AccessRequest| request.decided.as_ref().is_some_and(|access| access.granted);
        for request in Arc::make_mut(&mut self.0).iter_mut().filter(|request| granted(request)) {
            request.elsewhere = true;
        }
    }
}

impl Agent {
    /// What the agent has asked to be let out, in order, with what was decided. In a fork, without what was granted to the session before it.
    pub fn accesses(&self) -> impl Iterator<Item = &AccessRequest> {
        self.accesses.0.iter().filter(|request| request.recorded && !request.elsewhere)
    }

    /// The request for access that is to be written down next.
    pub(crate) fn decide_on_access(&self) -> Option<EventBody> {
        let wanted = self.accesses.0.iter().find(|request| !request.recorded)?;
        Some(EventBody::AccessAsked(Box::new(wanted.ask.clone())))
    }

    /// A call wants access. Where policy has no room for it, nothing follows. Where policy says where the host is, it is meant there.
    pub(crate) fn access_wanted(&mut self, call: CallId, rule: &EgressRule, reason: &str) {
        let Some(fixed) = &self.facts.fixed else { return };
        let policy = &fixed.policy.egress;
        match policy.access {
            AccessPolicy::Refuse => {}
            AccessPolicy::Ask => {
                let mut rule = rule.clone();
                let place = |known: &&EgressRule| {
                    (known.scheme, &known.host, known.port()) == (rule.scheme, &rule.host, rule.port())
                };
                if let Some(known) = policy.rules.iter().find(place) {
                    rule.addresses = known.addresses.clone();
                }
                self.accesses.want(AccessAsk { call, rule, reason: reason.to_owned() });
            }
        }
    }

    pub(crate) fn access_asked(&mut self, ask: &AccessAsk) -> bool {
        self.accesses.record(ask)
    }

    /// The agent is told; and its work does not end over the head of somebody who has just let something out for it.
    pub(crate) fn access_decided(&mut self, access: &Access) -> bool {
        let Ok(request) = self.accesses.decide(access) else { return false };
        if let Some(ask) = request {
            if access.granted {
                self.unread = true;
                self.take_back_finish();
            }
            let said: Arc<str> = in_words(&ask, access, self.clock.now()).into();
            self.recall.hear(&said);
            self.draft.say(said);
        }
        true
    }
}

fn in_words(ask: &AccessAsk, access: &Access, now: Timestamp) -> String {
    let rule = &ask.rule;
    let list = |items: &mut dyn Iterator<Item = String>| excerpt(&items.collect::<Vec<_>>().join(" "), 300);
    let what = format!(
        "{} {}://{} port {}, paths {}",
        list(&mut rule.methods.iter().map(ToString::to_string)),
        rule.scheme.as_str(),
        rule.host,
        rule.port(),
        list(&mut rule.paths.iter().map(ToString::to_string)),
    );
    if !access.granted {
        return format!(
            "A person has denied the access that you asked for ({what}). Do without it; do not ask for it again."
        );
    }
    let until = match access.until {
        Some(until) => format!("for {}", duration(Duration::from_millis(until.millis_since(now)))),
        None => "until the session ends".to_owned(),
    };
    format!("A person has granted the access that you asked for, {until}: {what}. Try again what needs it.")
}
