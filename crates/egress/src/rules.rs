//! The rules of a session, ready to decide.
//!
//! Rules are found by the host's name, so that a decision costs the same however many hosts a policy knows. Registries
//! come before rules: what reads a package is always known to be that, also where a rule would permit it as well. At a
//! registry's place no rule permits a GET or HEAD: with a query or a final slash it would be the same package, past what
//! the policy says about packages.
//! What a person has granted comes last.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use cofferdam_domain::egress::{
    AccessPolicy, Addresses, EgressPolicy, EgressRule, HostName, HostPattern, Inspection, Refusal, Scheme,
};

use crate::{
    decide::{Allowed, Body, Connection, Decision, Denied, Miss, Request},
    hold::Hold,
    problem::{PolicyProblem, of_grant, problems},
    reason,
    registry::{Reading, Registry},
};

/// The rules of a session, ready to decide. Cheap to clone; grants make a new one.
#[derive(Debug, Clone)]
pub struct Rules {
    policy: Arc<Index>,
    granted: Arc<Index>,
    registries: Arc<HashMap<HostName, Vec<Place>>>,
    credentials: Arc<BTreeSet<String>>,
    access: AccessPolicy,
    hold: Hold,
}

/// A registry's place, with the name that readings from it have in the log.
#[derive(Debug)]
struct Place {
    registry: Registry,
    rule: Arc<str>,
}

/// Rules in their order, found by host.
#[derive(Debug, Default)]
struct Index {
    rules: Vec<(Arc<EgressRule>, Arc<str>)>,
    exactly: HashMap<HostName, Vec<usize>>,
    below: HashMap<HostName, Vec<usize>>,
}

impl Index {
    fn new(rules: &[EgressRule]) -> Self {
        let mut index = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            let by_host = match &rule.host {
                HostPattern::Exactly(_) => &mut index.exactly,
                HostPattern::Below(_) => &mut index.below,
            };
            by_host.entry(rule.host.name().clone()).or_default().push(place);
            index.rules.push((Arc::new(rule.clone()), rule.name.as_str().into()));
        }
        index
    }

    /// The rules about a host, in their order.
    fn about(&self, host: &HostName) -> impl Iterator<Item = &(Arc<EgressRule>, Arc<str>)> {
        let exactly = self.exactly.get(host).map(Vec::as_slice).unwrap_or_default();
        let mut places = exactly.to_vec();
        if !self.below.is_empty() {
            places.extend(host.parents().filter_map(|name| self.below.get(name)).flatten());
            places.sort_unstable();
        }
        places.into_iter().filter_map(|place| self.rules.get(place))
    }
}

impl Rules {
    /// Makes a policy's rules ready. `registries` are those that were discovered, which are read only if the policy
    /// says so; `credentials` are the names of those that are configured.
    ///
    /// # Errors
    /// With the first thing that is wrong with the policy; [`problems`] gives all.
    pub fn new(
        policy: &EgressPolicy,
        registries: Vec<Registry>,
        credentials: BTreeSet<String>,
    ) -> Result<Self, PolicyProblem> {
        if let Some(problem) = problems(policy, &credentials).into_iter().next() {
            return Err(problem);
        }
        let mut by_host: HashMap<HostName, Vec<Place>> = HashMap::new();
        for registry in registries.into_iter().filter(|_| policy.registries.enabled) {
            let rule = format!("{} registry", registry.kind).into();
            by_host.entry(registry.host.clone()).or_default().push(Place { registry, rule });
        }
        Ok(Self {
            policy: Arc::new(Index::new(&policy.rules)),
            granted: Arc::default(),
            registries: Arc::new(by_host),
            credentials: Arc::new(credentials),
            access: policy.access,
            hold: Hold::default(),
        })
    }

    /// The same rules with these granted beside them, in place of what was granted before.
    ///
    /// # Errors
    /// When a grant could not be in a policy.
    pub fn with_grants(&self, grants: &[EgressRule]) -> Result<Self, PolicyProblem> {
        let mut faults = grants.iter().enumerate();
        match faults.find_map(|(index, rule)| of_grant(index + 1, rule, &self.credentials)) {
            Some(problem) => Err(problem),
            None => Ok(Self { granted: Arc::new(Index::new(grants)), ..self.clone() }),
        }
    }

    /// The same rules, which know with which credentials something can be changed.
    #[must_use]
    pub fn with_writing(self, credentials: BTreeSet<String>) -> Self {
        let hold = self.hold.with_writing(credentials);
        Self { hold, ..self }
    }

    /// The same rules, of which those that let something be changed outside do so only together with what a person has granted, for this reason;
    /// or all by themselves.
    #[must_use]
    pub fn held_back(&self, why: Option<&str>) -> Self {
        Self { hold: self.hold.because(why), ..self.clone() }
    }

    /// Why rules are held back, if they are.
    pub(crate) fn why_held(&self) -> Option<&str> {
        self.hold.why()
    }

    /// Whether a name may be answered: whether anything might be permitted there.
    #[must_use]
    pub fn knows(&self, host: &HostName) -> bool {
        self.registries.contains_key(host) || self.about(host).next().is_some()
    }

    /// What becomes of a connection to a host before anything is read from it.
    #[must_use]
    pub fn connection(&self, host: &HostName, port: u16) -> Connection {
        if self.registries_at(host, port).next().is_some() {
            return Connection::Inspect;
        }
        match self.about(host).find(|(rule, _)| rule.port() == port) {
            // Where that is held back, it is seen what is wanted, request by request.
            Some((rule, _)) if rule.inspection == Inspection::PassThrough && self.hold.why().is_none() => {
                Connection::PassThrough { rule: Arc::clone(rule) }
            }
            Some(_) => Connection::Inspect,
            None => {
                let about = self.about(host).map(|(rule, _)| &**rule).collect::<Vec<_>>();
                Connection::Refuse(Refusal::Host, reason::no_connection(host, port, &about))
            }
        }
    }

    /// What becomes of a request.
    #[must_use]
    pub fn request(&self, request: &Request<'_>) -> Decision {
        if !request.query_is_sound() {
            let reason = format!("the query of {request} has characters that may not stand in one");
            return Decision::Refuse(Denied { code: Refusal::Malformed, reason, ask: None });
        }
        if let Some((place, reading)) = self.reading(request) {
            return Decision::Allow(Allowed {
                rule: Arc::clone(&place.rule),
                addresses: place.registry.addresses.clone(),
                body_limit: 0,
                credential: place.registry.credential.clone(),
                reading: Some(reading),
            });
        }
        if let Some(registry) = self.reads_at_registry(request) {
            let reason = reason::no_rule_reads(request, registry.kind);
            return Decision::Refuse(Denied { code: Refusal::Registry, reason, ask: None });
        }
        let (mut missed, mut held) = (Vec::new(), None);
        for (rule, name) in self.policy.about(request.host) {
            match request.fits(rule) {
                Ok(()) => match self.hold.of(rule, request) {
                    None => return Decision::Allow(allow(rule, name)),
                    Some(why) => held = held.or(Some((&**rule, why))),
                },
                Err(miss) => {
                    let why = self.hold.why().filter(|_| miss == Miss::PassThrough);
                    held = held.or_else(|| Some((&**rule, why?)));
                    missed.push((miss, &**rule));
                }
            }
        }
        for (rule, name) in self.granted.about(request.host) {
            match request.fits(rule) {
                Ok(()) => return Decision::Allow(together(rule, name, held.map(|(rule, _)| rule))),
                Err(miss) => missed.push((miss, &**rule)),
            }
        }
        Decision::Refuse(match held {
            Some((rule, why)) => self.deny_held(request, rule, why),
            None => self.deny(request, &missed),
        })
    }

    /// A rule permits it, and nobody has granted it beside that.
    fn deny_held(&self, request: &Request<'_>, rule: &EgressRule, why: &str) -> Denied {
        let asks = self.access == AccessPolicy::Ask && !request.upgrade;
        let ask = asks.then(|| request.narrowest(rule.addresses.clone())).flatten();
        let reason = reason::held_back(request, rule, ask.is_some(), why);
        Denied { code: Refusal::Mixed, reason, ask: ask.map(Box::new) }
    }

    /// The rules about a host: the policy's, then what was granted.
    fn about(&self, host: &HostName) -> impl Iterator<Item = &(Arc<EgressRule>, Arc<str>)> {
        self.policy.about(host).chain(self.granted.about(host))
    }

    /// All rules, in the order in which they are asked.
    pub(crate) fn all(&self) -> impl Iterator<Item = &EgressRule> {
        self.policy.rules.iter().chain(&self.granted.rules).map(|(rule, _)| &**rule)
    }

    pub(crate) fn registries_at(&self, host: &HostName, port: u16) -> impl Iterator<Item = &Registry> {
        self.places(host).filter(move |place| place.registry.port == port).map(|place| &place.registry)
    }

    fn places(&self, host: &HostName) -> impl Iterator<Item = &Place> {
        self.registries.get(host).into_iter().flatten()
    }

    /// What a request reads from a registry: nothing with a body and no WebSocket.
    fn reading(&self, request: &Request<'_>) -> Option<(&Place, Reading)> {
        if request.upgrade || !matches!(request.body, Body::None | Body::Exactly(0)) {
            return None;
        }
        self.places(request.host)
            .filter(|place| is_at(&place.registry, request.scheme, request.port))
            .find_map(|place| {
                Some((place, place.registry.read(request.method, request.path, request.query)?))
            })
    }

    /// The registry at whose place a request reads, so that no rule is asked. Whatever the scheme, and with the base's
    /// letters of either case: a server may well take both for the same.
    pub(crate) fn reads_at_registry(&self, request: &Request<'_>) -> Option<&Registry> {
        let reads = matches!(request.method.as_str(), "GET" | "HEAD");
        let path = request.path.as_str();
        let below = |registry: &Registry| {
            let base = path.get(..registry.base.len());
            let rest = path.get(registry.base.len()..).unwrap_or_default();
            base.is_some_and(|base| base.eq_ignore_ascii_case(&registry.base))
                && (rest.is_empty() || rest.starts_with('/'))
        };
        self.registries_at(request.host, request.port).find(|registry| reads && below(registry))
    }

    fn deny(&self, request: &Request<'_>, missed: &[(Miss, &EgressRule)]) -> Denied {
        // Of those that are equally near, the first is the one that its author thought of first.
        let nearest = missed.iter().rev().max_by_key(|(miss, _)| *miss);
        let at_registry =
            self.places(request.host).find(|place| is_at(&place.registry, request.scheme, request.port));
        let (code, reason, addresses) = match (nearest, at_registry) {
            (Some((miss, rule)), _) if *miss >= Miss::Method => {
                (miss.code(), reason::refused(request, *miss, missed), rule.addresses.clone())
            }
            (_, Some(Place { registry, .. })) => {
                (Refusal::Registry, reason::not_reading(request, registry.kind), registry.addresses.clone())
            }
            _ => (Refusal::Host, reason::refused(request, Miss::Host, missed), Addresses::Public),
        };
        let ask = (self.access == AccessPolicy::Ask).then(|| request.narrowest(addresses)).flatten();
        Denied { code, reason, ask: ask.map(Box::new) }
    }

    /// The narrowest rule that would permit a request, whether or not it can be asked for.
    pub(crate) fn would_permit(&self, request: &Request<'_>) -> Option<EgressRule> {
        let asking = Self { access: AccessPolicy::Ask, ..self.clone() };
        match asking.request(request) {
            Decision::Refuse(denied) => denied.ask.map(|rule| *rule),
            Decision::Allow(_) => None,
        }
    }
}

fn allow(rule: &EgressRule, name: &Arc<str>) -> Allowed {
    Allowed {
        rule: Arc::clone(name),
        addresses: rule.addresses.clone(),
        body_limit: rule.body_limit.0,
        credential: rule.credential.clone(),
        reading: None,
    }
}

/// What a person has granted. Where a rule of the policy permits it as well, that says where the host is and which credential is added.
fn together(granted: &EgressRule, name: &Arc<str>, held: Option<&EgressRule>) -> Allowed {
    let allowed = allow(granted, name);
    match held.filter(|rule| rule.inspection == Inspection::Full) {
        None => allowed,
        Some(rule) => Allowed {
            body_limit: rule.body_limit.0.min(allowed.body_limit),
            addresses: rule.addresses.clone(),
            credential: rule.credential.clone(),
            ..allowed
        },
    }
}

fn is_at(registry: &Registry, scheme: Scheme, port: u16) -> bool {
    registry.scheme == scheme && registry.port == port
}
