//! What a person has to permit as well, once the session has read what anybody may have written and holds what not everybody may see: whatever
//! can change the world outside. Reading registries is never that, by their grammars.

use std::{collections::BTreeSet, sync::Arc};

use cofferdam_domain::egress::EgressRule;

use crate::decide::Request;

/// Which rules are held back, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hold {
    /// Credentials with which something can be changed.
    writing: Arc<BTreeSet<String>>,
    /// Nothing while the rules decide alone.
    why: Option<Arc<str>>,
}

impl Hold {
    /// With these credentials something can be changed.
    pub(crate) fn with_writing(self, writing: BTreeSet<String>) -> Self {
        Self { writing: Arc::new(writing), ..self }
    }

    /// For this reason from now on, or not at all.
    pub(crate) fn because(&self, why: Option<&str>) -> Self {
        Self { writing: Arc::clone(&self.writing), why: why.map(Arc::from) }
    }

    /// Why, if anything is held back.
    pub(crate) fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// Why a request that a rule permits does not pass by that rule alone, if so.
    pub(crate) fn of(&self, rule: &EgressRule, request: &Request<'_>) -> Option<&str> {
        let writes = rule.credential.as_ref().is_some_and(|name| self.writing.contains(name));
        self.why().filter(|_| writes || request.upgrade || !request.method.only_reads())
    }
}
