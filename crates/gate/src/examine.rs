//! The rules in one table, and what follows from their findings.

use cofferdam_domain::{Change, Finding, Severity, Verdict};

use crate::{
    GatePolicy,
    rules::{
        binary, dependency, gitlink, hidden_unicode, lfs, mode, oversize, path, protected_path,
        removed_tests, secret, symlink, workflow_danger,
    },
    view::{Sink, View},
};

/// A rule looks at the whole change and reports what it sees.
type Rule = fn(&View<'_>, &GatePolicy, &mut Sink);

/// Every rule with its stable name. The file of that name says what it sees, why, and how severe it is.
const RULES: &[(&str, Rule)] = &[
    ("secret", secret::examine),
    ("protected-path", protected_path::examine),
    ("hidden-unicode", hidden_unicode::examine),
    ("binary", binary::examine),
    ("oversize", oversize::examine),
    ("removed-tests", removed_tests::examine),
    ("symlink", symlink::examine),
    ("gitlink", gitlink::examine),
    ("lfs", lfs::examine),
    ("mode", mode::examine),
    ("path", path::examine),
    ("dependency", dependency::examine),
    ("workflow-danger", workflow_danger::examine),
];

/// Those that read what Git LFS is to keep.
const IN_CONTENTS: [&str; 2] = ["secret", "hidden-unicode"];

/// Everything that a reviewer must know about a change, the most severe first, then by path and line.
///
/// Running time is linear in the size of the change, and at most a few dozen findings of each rule are listed
/// one by one.
#[must_use]
pub fn examine(change: &Change, policy: &GatePolicy) -> Vec<Finding> {
    let view = View::new(change);
    let mut findings = Vec::new();
    for (name, rule) in RULES {
        let mut sink = Sink::new(name);
        rule(&view, policy, &mut sink);
        findings.extend(sink.finish());
    }
    if let Some(contents) = lfs::contents(change) {
        let view = View::new(&contents);
        for (name, rule) in RULES.iter().filter(|(name, _)| IN_CONTENTS.contains(name)) {
            let mut sink = Sink::new(name);
            rule(&view, policy, &mut sink);
            findings.extend(sink.finish());
        }
    }
    findings.sort_by(|left, right| {
        let place = |finding: &Finding| (finding.path.clone(), finding.line, finding.rule.clone());
        right.severity.cmp(&left.severity).then_with(|| place(left).cmp(&place(right)))
    });
    // What is about a path is found with and without the content.
    findings.dedup();
    findings
}

/// What becomes of a change with these findings, after `rounds_used` rounds of sending findings back.
#[must_use]
pub fn verdict(findings: &[Finding], rounds_used: u32, policy: &GatePolicy) -> Verdict {
    if findings.iter().all(|finding| finding.severity < Severity::Blocking) {
        Verdict::Publish
    } else if rounds_used < policy.rounds() {
        Verdict::SendBack
    } else {
        Verdict::Hold
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::Policy;

    use super::*;

    #[test]
    fn only_blocking_findings_stop_a_change() {
        let policy = GatePolicy::new(&Policy { gate_rounds: 1, ..Policy::default() }).unwrap();
        let finding = |severity| Finding {
            rule: "mode".into(),
            severity,
            path: "x".into(),
            line: None,
            why: String::new(),
        };
        assert_eq!(verdict(&[], 9, &policy), Verdict::Publish);
        assert_eq!(verdict(&[finding(Severity::Warning)], 0, &policy), Verdict::Publish);
        let blocked = [finding(Severity::Note), finding(Severity::Blocking)];
        assert_eq!(verdict(&blocked, 0, &policy), Verdict::SendBack);
        assert_eq!(verdict(&blocked, 1, &policy), Verdict::Hold);
    }
}
