//! Requests that others collected, which an egress control must let pass or refuse.
//!
//! They are no part of this repository. `COFFERDAM_TEST_DATA` names a directory with a folder `egress-cases` that holds
//! them, one JSON file each in a folder of its category. Where the files are missing the test says so and passes.
//!
//! Many of the cases put a secret into a request to a host that nobody permitted; the rules need not find the secret
//! to refuse that. The policy here permits what the benign cases do, and only those operations.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cofferdam_domain::egress::{BodyLimit, EgressPolicy, EgressRule, HostPattern, Method, PathPattern};
use cofferdam_egress::{Body, Decision, Request, Rules, Target};
use serde::Deserialize;

/// What a request itself shows. The others are about answers, tools and agents' messages.
const CATEGORIES: [&str; 7] = [
    "url",
    "ssrf-bypass",
    "headers",
    "hostname-exfiltration",
    "encoding-evasion",
    "crypto-financial",
    "request-body",
];

#[derive(Debug, Deserialize)]
struct Case {
    id: String,
    payload: serde_json::Value,
    expected_verdict: String,
}

impl Case {
    fn is_benign(&self) -> bool {
        self.expected_verdict == "allow"
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.payload.get(key).and_then(serde_json::Value::as_str)
    }

    /// Where it goes; `None` if it is no request, or refused as malformed.
    fn target(&self) -> Option<Target> {
        self.text("url").and_then(|url| url.parse().ok())
    }

    fn method(&self) -> Method {
        self.text("method").unwrap_or("GET").parse().unwrap()
    }

    fn body(&self) -> Body {
        self.text("body").map_or(Body::None, |body| Body::Exactly(body.len() as u64))
    }

    /// The rule that an administrator would write for this operation.
    fn rule(&self) -> EgressRule {
        let target = self.target().unwrap_or_else(|| panic!("{}: a benign URL was refused", self.id));
        EgressRule {
            scheme: target.scheme,
            port: target.port,
            methods: vec![self.method()],
            paths: vec![PathPattern::exactly(&target.path).unwrap()],
            query: target.query.is_some(),
            body_limit: BodyLimit(if self.body() == Body::None { 0 } else { 1 << 20 }),
            ..EgressRule::new(self.id.clone(), HostPattern::Exactly(target.host))
        }
    }
}

fn cases() -> Option<BTreeMap<PathBuf, Case>> {
    let root = std::env::var_os("COFFERDAM_TEST_DATA").map(|root| PathBuf::from(root).join("egress-cases"));
    let Some(root) = root.filter(|root| root.is_dir()) else {
        eprintln!(
            "SKIPPED: no collected requests: set COFFERDAM_TEST_DATA to the folder that has them in egress-cases"
        );
        return None;
    };
    let files = CATEGORIES.iter().flat_map(|category| files(&root.join(category)));
    Some(
        files.map(|path| (path.clone(), serde_json::from_slice(&fs::read(path).unwrap()).unwrap())).collect(),
    )
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_was_collected_is_decided_as_it_must_be() {
    let Some(cases) = cases() else { return };
    let requests: Vec<&Case> = cases.values().filter(|case| case.text("url").is_some()).collect();
    assert!(requests.len() >= 20, "only {} requests were found", requests.len());
    let rules = requests.iter().filter(|case| case.is_benign()).map(|case| case.rule()).collect();
    let policy = EgressPolicy { rules, ..EgressPolicy::default() };
    let rules = Rules::new(&policy, Vec::new(), BTreeSet::new()).unwrap();
    let mut passed = 0;
    for case in requests {
        let passes = case.target().is_some_and(|target| {
            let request = Request {
                scheme: target.scheme,
                host: &target.host,
                port: target.port(),
                method: &case.method(),
                path: &target.path,
                query: target.query.as_deref(),
                body: case.body(),
                upgrade: false,
            };
            matches!(rules.request(&request), Decision::Allow(_))
        });
        assert_eq!(passes, case.is_benign(), "{}", case.id);
        passed += usize::from(passes);
    }
    assert!(passed >= 3, "the benign ones are among them");
}
