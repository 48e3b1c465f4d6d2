//! Policies as administrators write them: what is read is written back as the same, and decides without a panic.

#![no_main]

use std::collections::BTreeSet;

use cofferdam_domain::egress::{EgressPolicy, HostName, HostPattern, Method, RequestPath};
use cofferdam_egress::{Body, Request, Rules, problems};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(policy) = toml::from_str::<EgressPolicy>(text) else { return };
    if let Ok(written) = toml::to_string(&policy) {
        assert_eq!(toml::from_str::<EgressPolicy>(&written).as_ref(), Ok(&policy), "{written}");
    }
    let credentials = BTreeSet::from(["forge".to_owned()]);
    let problems = problems(&policy, &credentials);
    assert!(problems.iter().all(|problem| problem.to_string().len() < 4096));
    let Ok(rules) = Rules::new(&policy, Vec::new(), credentials) else {
        assert!(!problems.is_empty());
        return;
    };
    assert!(problems.is_empty());
    let path: RequestPath = "/a/b%2fc;d".parse().expect("a path");
    for rule in &policy.rules {
        let host: HostName = match &rule.host {
            HostPattern::Exactly(name) => name.clone(),
            HostPattern::Below(name) => match format!("a.{name}").parse() {
                Ok(host) => host,
                Err(_) => continue,
            },
        };
        assert!(rules.knows(&host));
        let request = Request {
            scheme: rule.scheme,
            host: &host,
            port: rule.port(),
            method: rule.methods.first().unwrap_or(&Method::GET),
            path: &path,
            query: None,
            body: Body::None,
            upgrade: false,
        };
        let explanation = rules.explain(&request);
        assert_eq!(explanation.rules.len(), policy.rules.len());
    }
});
