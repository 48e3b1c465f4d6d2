//! The evidence as a statement that can be signed and checked by others.
//!
//! The shape is the in-toto Statement, version 1 (in-toto attestation framework, `spec/v1/statement.md`); the
//! digests of the subject use its names for git objects (`gitCommit`, `gitTree`). Unsigned: an envelope
//! around it is somebody else's work.

use cofferdam_domain::{EvidenceRun, Severity, evidence::Exit};
use serde_json::{Value, json};

use crate::{Facts, judge};

/// What a statement says of itself, by the in-toto specification.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The form of the predicate, which this module defines.
const PREDICATE_TYPE: &str = "urn:cofferdam:evidence:v1";

/// The evidence of a session as an in-toto statement about its head commit and tree.
#[must_use]
pub fn evidence_statement(facts: &Facts) -> Value {
    let summary = judge(facts.base_run.as_ref(), facts.head_run.as_ref());
    let count = |severity| facts.findings.iter().filter(|finding| finding.severity == severity).count();
    json!({
        "_type": STATEMENT_TYPE,
        "subject": [{
            "name": facts.head.branch,
            "digest": { "gitCommit": facts.head.commit, "gitTree": facts.head.tree },
        }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "platform": { "name": "cofferdam", "version": facts.version },
            "session": facts.session.to_string(),
            "task": facts.task.content_hash,
            "log": { "events": facts.log_length.0, "head": facts.log_head },
            "base": { "gitCommit": facts.base.commit, "gitTree": facts.base.tree },
            "model": { "provider": facts.model.provider, "name": facts.model.name, "recording": facts.model.recording },
            "summary": summary,
            "runs": facts.base_run.iter().chain(&facts.head_run).map(run).collect::<Vec<_>>(),
            "findings": {
                "blocking": count(Severity::Blocking),
                "warning": count(Severity::Warning),
                "note": count(Severity::Note),
            },
        },
    })
}

fn run(run: &EvidenceRun) -> Value {
    let exit = match run.exit {
        Exit::Code(status) => json!({ "code": status }),
        Exit::Signal(signal) => json!({ "signal": signal }),
        Exit::TimedOut => json!("timed_out"),
    };
    json!({
        "side": run.side,
        "gitTree": run.tree,
        "command": run.command,
        "exit": exit,
        "output": { "digest": run.output.digest, "size": run.output.size },
        "millis": run.millis,
        "tests": run.tests.as_ref().map(|tests| json!({
            "passed": tests.passed.len(),
            "failed": tests.failed.len(),
            "skipped": tests.skipped.len(),
        })),
    })
}
