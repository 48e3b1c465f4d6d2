//! Why a request would pass or not, rule by rule.

use std::sync::Arc;

use cofferdam_domain::egress::EgressRule;

use crate::{
    decide::{Connection, Decision, Miss, Request},
    reason,
    rules::Rules,
};

/// Why a request would pass or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What would become of it.
    pub verdict: Verdict,
    /// Every rule, in the order in which they are asked.
    pub rules: Vec<Judged>,
    /// The narrowest rule that would permit it, where it is refused and a rule can say so.
    pub would_permit: Option<EgressRule>,
}

/// What would become of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is decided by itself.
    Request(Decision),
    /// The connection is passed through, and nobody sees the request.
    PassThrough {
        /// By this rule.
        rule: Arc<EgressRule>,
    },
}

/// What a rule says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The rule's place, from 1.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// What does not fit; nothing if it permits the request.
    pub miss: Option<Miss>,
    /// The same for people.
    pub why: String,
}

impl Rules {
    /// Why a request would pass or not. Names are not resolved: that the host is where it may be shows only when it is
    /// dialled.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let registry = self.reads_at_registry(request).map(|_| Miss::Registry);
        let rules =
            self.all().enumerate().map(|(index, rule)| judge(index + 1, rule, request, registry)).collect();
        let verdict = match self.connection(request.host, request.port) {
            Connection::PassThrough { rule } => Verdict::PassThrough { rule },
            Connection::Inspect | Connection::Refuse(..) => Verdict::Request(self.request(request)),
        };
        let refused = matches!(&verdict, Verdict::Request(Decision::Refuse(_)));
        let would_permit =
            (refused && request.query_is_sound()).then(|| self.would_permit(request)).flatten();
        Explanation { verdict, rules, would_permit }
    }
}

/// `anyway` is why no rule permits it, whatever the rule says itself.
fn judge(number: usize, rule: &EgressRule, request: &Request<'_>, anyway: Option<Miss>) -> Judged {
    let miss = request.fits(rule).err().or(anyway);
    let why = miss.map_or_else(|| "it permits this".to_owned(), |miss| reason::missed(rule, request, miss));
    Judged { number, name: rule.name.clone(), miss, why }
}
