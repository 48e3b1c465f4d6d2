//! Plain contradictions between what the agent says and what the platform saw.
//!
//! Only claims that can be checked without judgement: which files change, whether the tests pass, whether
//! tests are gone. A claim that is hedged or denied is left alone; a missed contradiction costs nothing,
//! since the facts stand above the prose.

use std::sync::LazyLock;

use cofferdam_domain::{Severity, amount::counted};

use super::{Facts, inline::code};
use crate::{EvidenceSummary, Headline, pattern::TextPattern, view::bounded};

/// Bytes of prose that are searched for claims.
const MAX_SEARCHED: usize = 64 * 1024;

static ONLY_DOCUMENTATION: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"(?i)\b(?:docs?|documentation|comments?|readme)[- ]only\b|\bonly (?:touch|chang|updat|edit|modif)\w* (?:the )?(?:docs?|documentation|comments?|readme)\b|\bno (?:code|functional) changes?\b",
    )
});

static TESTS_PASS: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"(?i)\ball (?:the )?(?:\w+ )?(?:tests?|checks) (?:now |still )?(?:pass|succeed|are green)|\b(?:the )?(?:whole |full |entire )?test suite (?:now |still )?(?:pass|succeed|is green)|\btests? (?:are|is) (?:now |all )?(?:green|passing)\b",
    )
});

static NO_TESTS_GONE: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"(?i)\b(?:no|without any) (?:existing )?tests? (?:were|was|are|have been|being)? ?(?:removed|deleted|skipped|disabled|weakened|changed)\b",
    )
});

static DENIED: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"(?i)(?:\bnot|n't|\bnever|\bno longer|\bif|\bonce|\buntil|\bunless|\bwhether|\bshould|\bmust|\bbefore)\s+(?:\w+\s+)?$",
    )
});

/// Contradictions, each as a sentence in Markdown.
pub(super) fn contradictions(facts: &Facts, evidence: &EvidenceSummary) -> Vec<String> {
    let prose = bounded(format!("{}\n{}", facts.finish.title, facts.finish.summary), MAX_SEARCHED);
    let mut found = Vec::new();
    if claims(&ONLY_DOCUMENTATION, &prose) {
        let mut others = facts.paths.iter().filter(|path| !is_documentation(path));
        if let Some(first) = others.next() {
            let more = others.count();
            let rest = if more > 0 {
                format!(" and {} besides", counted(more as u64, "file"))
            } else {
                String::new()
            };
            found.push(format!("It says that no code changes, but {}{rest} changed.", code(first)));
        }
    }
    let red = matches!(
        evidence.headline,
        Headline::StillRed | Headline::Broken | Headline::RedOnHead | Headline::TestsVanished
    );
    if red && claims(&TESTS_PASS, &prose) {
        found.push("It says that the tests pass, but the platform's own run did not.".to_owned());
    }
    let gone = facts
        .findings
        .iter()
        .any(|finding| finding.rule == "removed-tests" && finding.severity >= Severity::Warning);
    if gone && claims(&NO_TESTS_GONE, &prose) {
        found.push("It says that no test was removed or weakened, but see the findings.".to_owned());
    }
    found
}

/// Whether the prose claims this and does not deny or hedge it in the words before.
fn claims(claim: &TextPattern, prose: &str) -> bool {
    claim.find_iter(prose).any(|place| {
        let from = prose.floor_char_boundary(place.start.saturating_sub(24));
        !DENIED.is_match(&prose[from..place.start])
    })
}

fn is_documentation(path: &str) -> bool {
    let lower = path.to_lowercase();
    let name = lower.rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    matches!(extension, "md" | "markdown" | "rst" | "txt" | "adoc" | "png" | "svg" | "jpg" | "gif")
        || matches!(name, "readme" | "license" | "changelog" | "authors" | "contributing")
        || lower.starts_with("docs/")
        || lower.starts_with("doc/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_seen_and_denials_left_alone() {
        for text in ["docs only", "This change only touches the documentation.", "No code changes."] {
            assert!(claims(&ONLY_DOCUMENTATION, text), "{text}");
        }
        for text in
            ["All tests pass", "all 12 tests pass now", "The full test suite passes.", "Tests are green"]
        {
            assert!(claims(&TESTS_PASS, text), "{text}");
        }
        for text in [
            "not all tests pass",
            "I don't know whether all tests pass",
            "Once all tests pass, merge",
            "two tests fail",
        ] {
            assert!(!claims(&TESTS_PASS, text), "{text}");
        }
        assert!(claims(&NO_TESTS_GONE, "No tests were removed."));
    }

    #[test]
    fn documentation_by_name() {
        assert!(is_documentation("README") && is_documentation("docs/conf.py") && is_documentation("a/b.MD"));
        assert!(!is_documentation("src/docs.rs") && !is_documentation("requirements.txt.py"));
    }
}
