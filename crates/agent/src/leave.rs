//! Whether a call of another program's tool may be made: by policy, by what has come together in the session, or by a person's approval of that exact
//! call.

use std::sync::Arc;

use cofferdam_domain::{
    Digest, Label, Mixture,
    foreign::{ForeignTool, Permit},
};

use crate::Agent;

/// What decides about the calls of one step, as the log says when they start.
#[derive(Debug, Clone)]
pub struct Leave {
    approved: Arc<Vec<Digest>>,
    mixture: Option<Mixture>,
    /// Whether somebody answers what the session asks.
    asks: bool,
}

/// What is to be done about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It may be made.
    Given,
    /// A person has to approve it first. Why, where policy alone does not say so.
    Asked(Option<String>),
    /// It is not made: why, for the model.
    Refused(String),
}

impl Leave {
    /// Decides about a call of `tool` whose server, name and exact arguments have this digest.
    #[must_use]
    pub fn ruling(&self, tool: &ForeignTool, digest: Digest) -> Ruling {
        // What only reads is let through as ever: it acts on nothing.
        let minded = self.mixture.as_ref().filter(|_| !tool.read_only).map(Mixture::in_words);
        match (tool.permit, minded) {
            (Permit::Deny, _) => Ruling::Refused(format!("Policy does not allow calls of {}.", tool.called)),
            _ if self.approved.contains(&digest) => Ruling::Given,
            (Permit::Ask, why) => Ruling::Asked(why),
            (Permit::Allow, None) => Ruling::Given,
            (Permit::Allow, Some(why)) if self.asks => Ruling::Asked(Some(why)),
            (Permit::Allow, Some(why)) => Ruling::Refused(format!(
                "Not made: {} changes the world outside, and {why}. A person would have to approve this exact call, and nobody is asked in this \
                 session (an operator changes that with `questions = \"wait\"`, or with `mixed = \"allow\"`). Go on without it, and say in `finish` \
                 what it would have been for.",
                tool.called
            )),
        }
    }
}

impl Agent {
    /// What decides about calls of other programs' tools now.
    #[must_use]
    pub fn leave(&self) -> Leave {
        let mixture = self.mixture().filter(|mixture| !mixture.let_be);
        Leave { approved: self.shared_approvals(), mixture, asks: self.asks_people() }
    }

    /// Why the egress door holds back what can change the world outside until a person permits it, if it does.
    #[must_use]
    pub fn held_back(&self) -> Option<String> {
        let mixture = self.mixture().filter(|mixture| mixture.door && !mixture.let_be)?;
        Some(mixture.in_words())
    }

    /// Words that anybody may have written and what not everybody may see, where both have come into the session and a rule holds for that.
    #[must_use]
    pub fn mixture(&self) -> Option<Mixture> {
        self.holdings.mixture()
    }

    /// Whether it holds what not everybody may see who may read its repository.
    #[must_use]
    pub fn exceeds_repository(&self) -> bool {
        self.holdings.exceeds_repository()
    }

    /// The label of whatever is made from all that the session has read itself.
    #[must_use]
    pub fn label(&self) -> Label {
        self.holdings.label()
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{Since, Timestamp};

    use super::*;

    fn tool(permit: Permit, read_only: bool) -> ForeignTool {
        serde_json::from_value(serde_json::json!({
            "server": "s", "name": "t", "called": "s__t", "description": "", "parameters": {},
            "permit": permit, "read_only": read_only,
        }))
        .unwrap()
    }

    fn leave(mixed: bool, asks: bool, approved: &[Digest]) -> Leave {
        let since = |what: &str| Since { at: Timestamp(1), what: what.into() };
        let mixture = Mixture {
            untrusted: since("a page"),
            private: since("the repository"),
            let_be: false,
            door: true,
        };
        Leave { approved: Arc::new(approved.to_vec()), mixture: mixed.then_some(mixture), asks }
    }

    #[test]
    fn what_acts_outside_needs_a_person_once_both_are_there() {
        let digest = Digest::of(b"call");
        let (acts, reads) = (tool(Permit::Allow, false), tool(Permit::Allow, true));
        assert_eq!(leave(false, true, &[]).ruling(&acts, digest), Ruling::Given);
        assert_eq!(leave(true, true, &[]).ruling(&reads, digest), Ruling::Given);
        let Ruling::Asked(Some(why)) = leave(true, true, &[]).ruling(&acts, digest) else { panic!() };
        assert!(why.contains("a page") && why.contains("the repository"), "{why}");
        let Ruling::Refused(why) = leave(true, false, &[]).ruling(&acts, digest) else { panic!() };
        assert!(why.contains("nobody is asked") && why.contains("mixed"), "{why}");
    }

    #[test]
    fn an_approval_is_for_one_exact_call_and_never_for_what_is_denied() {
        let digest = Digest::of(b"call");
        for permit in [Permit::Allow, Permit::Ask] {
            let ruling =
                |approved: &[Digest]| leave(true, true, approved).ruling(&tool(permit, false), digest);
            assert_eq!(ruling(&[digest]), Ruling::Given);
            assert!(matches!(ruling(&[Digest::of(b"another")]), Ruling::Asked(Some(_))));
        }
        let denied = leave(true, true, &[digest]).ruling(&tool(Permit::Deny, false), digest);
        assert!(matches!(denied, Ruling::Refused(_)));
    }

    #[test]
    fn policy_that_asks_asks_whoever_is_there() {
        let digest = Digest::of(b"call");
        for asks in [true, false] {
            assert_eq!(leave(false, asks, &[]).ruling(&tool(Permit::Ask, true), digest), Ruling::Asked(None));
        }
    }
}
