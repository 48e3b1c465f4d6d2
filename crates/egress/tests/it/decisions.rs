//! What the rules decide, on policies as administrators write them.

use std::collections::BTreeSet;

use cofferdam_domain::egress::{Addresses, BodyLimit, EgressPolicy, EgressRule, Method, Refusal};
use cofferdam_egress::{
    Allowed, Body, Connection, Decision, Denied, Miss, Part, Reading, Registry, RegistryKind, Request, Rules,
    Target, Verdict,
};

const POLICY: &str = r#"
access = "ask"

[[rules]]
name = "issues"
host = "api.forge.test"
methods = ["GET", "POST"]
paths = ["/repos/a/b/issues", "/repos/a/b/issues/*"]
query = true
body_limit = 1000
credential = "forge"

[[rules]]
name = "forge, reading"
host = "api.forge.test"
paths = ["/repos/**"]

[[rules]]
name = "mirror"
scheme = "http"
host = "mirror.corp.test"
port = 8080
addresses = "private"

[[rules]]
name = "docs"
host = "*.docs.test"

[[rules]]
name = "chat"
host = "chat.test"
paths = ["/socket"]
web_socket = true

[[rules]]
name = "pinned"
host = "pinned.test"
inspection = "pass_through"

[[rules]]
name = "here"
host = "here.test"
addresses = { at = "127.0.0.1:8443" }
"#;

fn policy() -> EgressPolicy {
    toml::from_str(POLICY).unwrap()
}

fn credentials() -> BTreeSet<String> {
    BTreeSet::from(["forge".to_owned()])
}

fn rules() -> Rules {
    Rules::new(&policy(), Vec::new(), credentials()).unwrap()
}

fn decide(rules: &Rules, method: &str, url: &str, body: Body, upgrade: bool) -> Decision {
    with_request(method, url, body, upgrade, |request| rules.request(request))
}

fn with_request<T>(
    method: &str,
    url: &str,
    body: Body,
    upgrade: bool,
    then: impl FnOnce(&Request<'_>) -> T,
) -> T {
    let target: Target = url.parse().unwrap();
    let method: Method = method.parse().unwrap();
    then(&Request {
        scheme: target.scheme,
        host: &target.host,
        port: target.port(),
        method: &method,
        path: &target.path,
        query: target.query.as_deref(),
        body,
        upgrade,
    })
}

fn allowed(rules: &Rules, method: &str, url: &str) -> Allowed {
    match decide(rules, method, url, Body::None, false) {
        Decision::Allow(allowed) => allowed,
        Decision::Refuse(denied) => panic!("{method} {url}: {denied:?}"),
    }
}

fn denied(rules: &Rules, method: &str, url: &str, body: Body) -> Denied {
    match decide(rules, method, url, body, false) {
        Decision::Allow(allowed) => panic!("{method} {url}: {allowed:?}"),
        Decision::Refuse(denied) => denied,
    }
}

#[test]
fn a_policy_reads_and_writes_well() {
    let policy = policy();
    let text = toml::to_string(&policy).unwrap();
    assert_eq!(toml::from_str::<EgressPolicy>(&text).unwrap(), policy);
    for wanted in [
        "addresses = \"private\"",
        "at = \"127.0.0.1:8443\"",
        "methods = [\"GET\", \"POST\"]",
        "inspection = \"pass_through\"",
        "access = \"ask\"",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(!text.contains("body_limit = 0") && !text.contains("query = false"), "{text}");
}

#[test]
fn a_request_passes_by_the_first_rule_that_permits_it() {
    let rules = rules();
    let issues = allowed(&rules, "GET", "https://api.forge.test/repos/a/b/issues?state=open");
    assert_eq!(
        (&*issues.rule, issues.credential.as_deref(), issues.body_limit),
        ("issues", Some("forge"), 1000)
    );
    let code = allowed(&rules, "GET", "https://api.forge.test/repos/a/b/contents/x");
    assert_eq!((&*code.rule, code.credential, code.body_limit), ("forge, reading", None, 0));
    let mirror = allowed(&rules, "HEAD", "http://mirror.corp.test:8080/x");
    assert_eq!((&*mirror.rule, mirror.addresses), ("mirror", Addresses::Private));
    assert_eq!(&*allowed(&rules, "GET", "https://a.b.docs.test/").rule, "docs");
    let here = allowed(&rules, "GET", "https://here.test/").addresses;
    assert_eq!(here, Addresses::At("127.0.0.1:8443".parse().unwrap()));
    for body in [Body::Exactly(1000), Body::Exactly(0), Body::Unknown] {
        let decision = decide(&rules, "POST", "https://api.forge.test/repos/a/b/issues", body, false);
        assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
    }
}

#[test]
fn a_refusal_names_what_came_nearest() {
    let rules = rules();
    for (method, url, body, code, wanted) in [
        ("GET", "https://evil.test/", Body::None, Refusal::Host, "no rule is about evil.test"),
        ("GET", "https://docs.test/", Body::None, Refusal::Host, "no rule is about docs.test"),
        ("GET", "https://api.forge.test.evil.test/", Body::None, Refusal::Host, "no rule is about"),
        ("GET", "http://api.forge.test/repos/x", Body::None, Refusal::Host, "by https at port 443 only"),
        (
            "GET",
            "https://api.forge.test:8443/repos/x",
            Body::None,
            Refusal::Host,
            "by https at port 443 only",
        ),
        (
            "DELETE",
            "https://api.forge.test/repos/a/b/issues/1",
            Body::None,
            Refusal::Method,
            "permits GET, POST",
        ),
        ("GET", "https://api.forge.test/user", Body::None, Refusal::Path, "/repos/**"),
        ("POST", "https://api.forge.test/repos/a/c/issues", Body::None, Refusal::Path, "/repos/a/b/issues"),
        (
            "POST",
            "https://api.forge.test/repos/a/b/issues/1%2f..x",
            Body::None,
            Refusal::Path,
            "is not permitted",
        ),
        ("GET", "https://api.forge.test/repos/x?q=secret", Body::None, Refusal::Query, "without a query"),
        ("GET", "https://a.docs.test/x?", Body::None, Refusal::Query, "with a query"),
        (
            "POST",
            "https://api.forge.test/repos/a/b/issues",
            Body::Exactly(1001),
            Refusal::Body,
            "at most 1000 bytes",
        ),
        ("GET", "https://a.docs.test/x", Body::Unknown, Refusal::Body, "no body"),
        ("GET", "https://a.docs.test/x", Body::Exactly(1), Refusal::Body, "1 byte"),
    ] {
        let denied = denied(&rules, method, url, body);
        assert_eq!(denied.code, code, "{method} {url}: {denied:?}");
        assert!(denied.reason.contains(wanted), "{method} {url}: {}", denied.reason);
        assert!(!denied.reason.contains("secret"), "what a query says is not repeated: {}", denied.reason);
    }
}

#[test]
fn what_can_change_something_needs_a_person_once_it_is_held_back() {
    const ISSUES: &str = "https://api.forge.test/repos/a/b/issues";
    let writing = rules().with_writing(credentials());
    let held = writing.held_back(Some("of what came together"));
    assert!(matches!(decide(&writing, "POST", ISSUES, Body::Exactly(5), false), Decision::Allow(_)));
    let denied = denied(&held, "POST", ISSUES, Body::Exactly(5));
    assert_eq!(denied.code, Refusal::Mixed);
    for wanted in ["\"issues\"", "a person has to permit it too", "of what came together"] {
        assert!(denied.reason.contains(wanted), "{wanted}: {}", denied.reason);
    }
    // Reading goes on, but with a credential that can do more only where a rule without it is there as well.
    assert_eq!(&*allowed(&held, "GET", "https://a.docs.test/x").rule, "docs");
    assert_eq!(allowed(&held, "GET", ISSUES).credential, None);
    let reading = rules().held_back(Some("x"));
    assert_eq!(
        allowed(&reading, "GET", ISSUES).credential.as_deref(),
        Some("forge"),
        "it is for reading only"
    );
    for (url, upgrade) in [("https://chat.test/socket", true), ("https://pinned.test/", false)] {
        let Decision::Refuse(denied) = decide(&held, "GET", url, Body::None, upgrade) else {
            panic!("{url}")
        };
        assert_eq!((denied.code, denied.ask.is_some()), (Refusal::Mixed, !upgrade), "{url}");
    }
    assert_eq!(held.connection(&"pinned.test".parse().unwrap(), 443), Connection::Inspect);
    // What is granted is permitted together with the rule: with its credential, and for that request alone.
    let mut ask = *denied.ask.unwrap();
    assert_eq!(ask.credential, None);
    ask.body_limit = BodyLimit(5000);
    let granted = held.with_grants(&[ask]).unwrap();
    let allowed = |body| match decide(&granted, "POST", ISSUES, body, false) {
        Decision::Allow(allowed) => allowed,
        Decision::Refuse(denied) => panic!("{denied:?}"),
    };
    let now = allowed(Body::Unknown);
    assert_eq!((now.credential.as_deref(), now.body_limit), (Some("forge"), 1000));
    assert_ne!(&*now.rule, "issues", "the log says that a person did it");
    let other = self::denied(&granted, "POST", "https://api.forge.test/repos/a/b/issues/7", Body::None);
    assert_eq!(other.code, Refusal::Mixed);
    assert!(matches!(
        decide(&granted.held_back(None), "POST", ISSUES, Body::None, false),
        Decision::Allow(_)
    ));
    let closed = EgressPolicy { access: cofferdam_domain::egress::AccessPolicy::Refuse, ..policy() };
    let closed = Rules::new(&closed, Vec::new(), credentials()).unwrap().held_back(Some("x"));
    let denied = self::denied(&closed, "POST", ISSUES, Body::None);
    assert!(denied.ask.is_none() && denied.reason.contains("nobody is asked here"), "{denied:?}");
}

#[test]
fn a_web_socket_is_opened_only_where_it_is_listed() {
    let rules = rules();
    let open = |url: &str| decide(&rules, "GET", url, Body::None, true);
    assert!(matches!(open("https://chat.test/socket"), Decision::Allow(_)));
    let Decision::Refuse(denied) = open("https://a.docs.test/socket") else { panic!("a WebSocket passed") };
    assert_eq!(denied.code, Refusal::Upgrade);
    assert!(denied.ask.unwrap().web_socket);
}

#[test]
fn what_is_asked_for_permits_exactly_what_was_refused() {
    let rules = rules();
    for (method, url, body) in [
        ("GET", "https://evil.test:8443/a/b", Body::None),
        ("DELETE", "https://api.forge.test/repos/a/b/issues/1", Body::None),
        ("GET", "https://api.forge.test/repos/x?q=1", Body::None),
        ("POST", "https://api.forge.test/repos/a/b/issues", Body::Exactly(5000)),
        ("PUT", "http://mirror.corp.test:8080/x", Body::Unknown),
    ] {
        let ask = *denied(&rules, method, url, body).ask.unwrap();
        let granted = rules.with_grants(std::slice::from_ref(&ask)).unwrap();
        let Decision::Allow(allowed) = decide(&granted, method, url, body, false) else {
            panic!("{url}: {ask:?}")
        };
        assert_eq!(&*allowed.rule, ask.name);
        assert_eq!(ask.credential, None);
        for (method, url) in
            [("PATCH", url), (method, "https://evil.test/"), (method, "https://evil.test:8443/a/b/c")]
        {
            assert!(
                matches!(decide(&granted, method, url, body, false), Decision::Refuse(_)),
                "{method} {url}"
            );
        }
    }
    let mirror = denied(&rules, "PUT", "http://mirror.corp.test:8080/x", Body::None).ask.unwrap();
    assert_eq!(mirror.addresses, Addresses::Private, "the host is where the administrator says");
}

#[test]
fn nothing_is_asked_for_where_asking_is_refused_or_says_too_much() {
    let refusing = EgressPolicy { access: Default::default(), ..policy() };
    let refusing = Rules::new(&refusing, Vec::new(), credentials()).unwrap();
    assert_eq!(denied(&refusing, "GET", "https://evil.test/", Body::None).ask, None);
    assert_eq!(
        denied(&rules(), "GET", "https://evil.test/a*b", Body::None).ask,
        None,
        "a star would be a pattern"
    );
}

#[test]
fn a_query_that_could_end_the_head_is_malformed() {
    let rules = rules();
    let (host, path, method) =
        ("api.forge.test".parse().unwrap(), "/repos/a/b/issues".parse().unwrap(), Method::GET);
    for query in ["a b", "a\r\nhost: evil.test", "a#b", "a\0", "é"] {
        let request = Request {
            scheme: Default::default(),
            host: &host,
            port: 443,
            method: &method,
            path: &path,
            query: Some(query),
            body: Body::None,
            upgrade: false,
        };
        let Decision::Refuse(denied) = rules.request(&request) else { panic!("{query:?} passed") };
        assert_eq!((denied.code, denied.ask), (Refusal::Malformed, None));
        assert_eq!(rules.explain(&request).would_permit, None);
    }
}

#[test]
fn grants_replace_one_another_and_are_checked() {
    let rules = rules();
    let grant = |host: &str| EgressRule::new("granted", host.parse().unwrap());
    let with = rules.with_grants(&[grant("one.test")]).unwrap();
    let without = with.with_grants(&[grant("two.test")]).unwrap();
    assert!(with.knows(&"one.test".parse().unwrap()) && !rules.knows(&"one.test".parse().unwrap()));
    assert!(!without.knows(&"one.test".parse().unwrap()) && without.knows(&"two.test".parse().unwrap()));
    let wrong = EgressRule { credential: Some("forg".into()), ..grant("one.test") };
    let problem = rules.with_grants(&[grant("two.test"), wrong]).unwrap_err();
    assert_eq!((problem.number, problem.key), (2, "credential"));
}

#[test]
fn connections_are_looked_into_unless_a_rule_says_otherwise() {
    let rules = rules();
    let to = |host: &str, port| rules.connection(&host.parse().unwrap(), port);
    assert_eq!(to("api.forge.test", 443), Connection::Inspect);
    assert!(matches!(to("pinned.test", 443), Connection::PassThrough { rule } if rule.name == "pinned"));
    assert!(
        matches!(to("pinned.test", 80), Connection::Refuse(Refusal::Host, reason) if reason.contains("port 443"))
    );
    assert!(matches!(to("evil.test", 443), Connection::Refuse(Refusal::Host, _)));
    let denied = denied(&rules, "GET", "https://pinned.test/", Body::None);
    assert_eq!(denied.code, Refusal::Host, "a rule about connections permits no request");
    assert!(rules.knows(&"x.docs.test".parse().unwrap()) && !rules.knows(&"docs.test".parse().unwrap()));
}

#[test]
fn reading_packages_is_permitted_by_protocol() {
    let registry = Registry {
        kind: RegistryKind::Npm,
        part: Part::Whole,
        scheme: Default::default(),
        host: "packages.test".parse().unwrap(),
        port: 443,
        base: String::new(),
        addresses: Addresses::Private,
        credential: None,
    };
    let mut policy = policy();
    policy.rules.push(EgressRule::new("everything there", "packages.test".parse().unwrap()));
    let closed = Rules::new(&policy, vec![registry.clone()], credentials()).unwrap();
    assert_eq!(allowed(&closed, "GET", "https://packages.test/left-pad").reading, None);

    policy.registries.enabled = true;
    let rules = Rules::new(&policy, vec![registry.clone()], credentials()).unwrap();
    let read = allowed(&rules, "GET", "https://packages.test/left-pad");
    assert_eq!((&*read.rule, read.addresses), ("npm registry", Addresses::Private));
    assert_eq!(
        read.reading.as_ref().and_then(Reading::name),
        Some("left-pad"),
        "although a rule permits it as well"
    );

    let open = EgressRule {
        query: true,
        body_limit: BodyLimit(10),
        methods: ["GET", "HEAD", "POST"].map(|method| method.parse().unwrap()).to_vec(),
        ..EgressRule::new("more there", "packages.test".parse().unwrap())
    };
    *policy.rules.last_mut().unwrap() = open;
    let based = Registry { base: "/npm".to_owned(), ..registry.clone() };
    let rules = Rules::new(&policy, vec![registry.clone()], credentials()).unwrap();
    let granted = rules.with_grants(&[policy.rules.last().unwrap().clone()]).unwrap();
    for rules in [&rules, &granted] {
        for (method, url, body) in [
            ("GET", "https://packages.test/left-pad?x", Body::None),
            ("HEAD", "https://packages.test/left-pad?", Body::None),
            ("GET", "https://packages.test/left-pad/-/left-pad-1.0.0.tgz", Body::Exactly(1)),
            ("GET", "https://packages.test/left-pad/", Body::None),
            ("GET", "https://packages.test/left-pad", Body::Unknown),
        ] {
            let denied = denied(rules, method, url, body);
            assert_eq!(denied.code, Refusal::Registry, "{method} {url}");
            assert!(denied.reason.contains("rules do not apply to GET and HEAD here"), "{}", denied.reason);
            assert_eq!(denied.ask, None, "a grant would change nothing");
        }
        assert_eq!(allowed(rules, "POST", "https://packages.test/left-pad").reading, None);
        let explanation = with_request("GET", "https://packages.test/x?y", Body::None, false, |request| {
            rules.explain(request)
        });
        assert_eq!(explanation.rules.last().unwrap().miss, Some(Miss::Registry));
        assert_eq!(explanation.would_permit, None);
    }
    let rules = Rules::new(&policy, vec![based], credentials()).unwrap();
    for path in ["npm", "npm/left-pad?x", "NPM/left-pad?x"] {
        let denied = denied(&rules, "GET", &format!("https://packages.test/{path}"), Body::None);
        assert_eq!(denied.code, Refusal::Registry, "{path}");
    }
    assert_eq!(allowed(&rules, "GET", "https://packages.test/npmx/left-pad?x").reading, None);

    policy.rules.pop();
    let rules = Rules::new(&policy, vec![registry], credentials()).unwrap();
    assert!(rules.knows(&"packages.test".parse().unwrap()));
    assert_eq!(rules.connection(&"packages.test".parse().unwrap(), 443), Connection::Inspect);
    for (method, url, body) in [
        ("PUT", "https://packages.test/left-pad", Body::Exactly(10)),
        ("POST", "https://packages.test/-/npm/v1/security/audits", Body::Exactly(10)),
        ("GET", "https://packages.test/left-pad?x=y", Body::None),
        ("GET", "https://packages.test/left-pad", Body::Exactly(1)),
    ] {
        let denied = denied(&rules, method, url, body);
        assert_eq!(denied.code, Refusal::Registry, "{method} {url}");
        assert!(denied.reason.contains("npm registry"), "{}", denied.reason);
    }
}

#[test]
fn an_explanation_says_what_each_rule_says() {
    let rules = rules();
    let explain = |method: &str, url: &str| {
        with_request(method, url, Body::None, false, |request| rules.explain(request))
    };
    let explanation = explain("POST", "https://api.forge.test/repos/a/c/issues");
    let misses: Vec<Option<Miss>> = explanation.rules.iter().map(|rule| rule.miss).collect();
    assert_eq!(misses[..3], [Some(Miss::Path), Some(Miss::Method), Some(Miss::Host)]);
    assert_eq!(explanation.rules[1].why, "its methods are GET, HEAD");
    assert!(matches!(explanation.verdict, Verdict::Request(Decision::Refuse(_))));
    assert!(explanation.would_permit.is_some());
    let explanation = explain("GET", "https://api.forge.test/repos/a/b/issues");
    assert_eq!((explanation.rules[0].miss, explanation.would_permit), (None, None));
    assert!(matches!(explanation.verdict, Verdict::Request(Decision::Allow(_))));
    assert!(matches!(explain("GET", "https://pinned.test/").verdict, Verdict::PassThrough { .. }));
}

#[test]
fn a_reason_is_a_sentence_however_many_rules_there_are() {
    let rule = |number| {
        let paths = vec![format!("/{number}/{}", "x".repeat(1000)).parse().unwrap()];
        EgressRule { paths, ..EgressRule::new(format!("rule {number}"), "many.test".parse().unwrap()) }
    };
    let policy = EgressPolicy { rules: (0..500).map(rule).collect(), ..EgressPolicy::default() };
    let rules = Rules::new(&policy, Vec::new(), BTreeSet::new()).unwrap();
    let url = format!("https://many.test/{}", "y".repeat(4000));
    let reason = denied(&rules, "GET", &url, Body::None).reason;
    assert!(reason.len() < 2000 && reason.ends_with("and more"), "{reason}");
}
