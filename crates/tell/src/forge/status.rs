//! What the gate and the platform's own tests say of the commit that is to be reviewed, as a forge shows it beside the commit.

use cofferdam_domain::{Finding, Part, Severity};
use cofferdam_forge::remote::{Annotation, CommitStatus, StatusState};
use cofferdam_gate::Headline;
use url::Url;

use crate::{
    report::found,
    story::{Published, Story},
};

/// The name under which it is said.
const NAME: &str = "cofferdam/gate";
/// Annotations of one commit: what GitHub takes in one request.
const MOST_ANNOTATIONS: usize = 50;
/// Characters of an annotation.
const LONGEST_ANNOTATION: usize = 500;
/// Characters of the text.
const LONGEST_TEXT: usize = 140;

/// How it stands with the commit, if there is one to be reviewed.
pub(super) fn status<'s>(story: &'s Story, page: Option<&str>) -> Option<(&'s str, CommitStatus)> {
    let published = story.published.as_ref()?;
    let open = story.agent.pull_request().is_some() && story.agent.pull_request_closed().is_none();
    open.then(|| of(published, story, page))
}

/// The same of the commit in another one of the session's repositories.
pub(super) fn beside<'s>(
    story: &'s Story,
    part: Part,
    page: Option<&str>,
) -> Option<(&'s str, CommitStatus)> {
    Some(of(story.published_beside(part)?, story, page))
}

fn of<'s>(published: &'s Published, story: &Story, page: Option<&str>) -> (&'s str, CommitStatus) {
    let Published { commit, seen } = published;
    let (state, text) = if story.outcome().is_none() {
        (StatusState::Pending, "At work on the next change".to_owned())
    } else {
        let headline = seen.evidence().headline;
        let blocking = seen.findings.iter().any(|finding| finding.severity == Severity::Blocking);
        let state = if blocking || is_red(headline) { StatusState::Failure } else { StatusState::Success };
        (state, format!("{}. {}", found(&seen.findings), headline.sentence()))
    };
    let annotations = seen.findings.iter().filter_map(annotation).take(MOST_ANNOTATIONS).collect();
    let text = text.chars().take(LONGEST_TEXT).collect();
    let link = page.and_then(|page| Url::parse(page).ok());
    (commit, CommitStatus { name: NAME.to_owned(), state, text, link, annotations })
}

/// Whether the tests say that something is wrong with the change, or that nobody knows.
const fn is_red(headline: Headline) -> bool {
    match headline {
        Headline::Broken
        | Headline::RedOnHead
        | Headline::StillRed
        | Headline::TestsVanished
        | Headline::TimedOut
        | Headline::CouldNotRun => true,
        Headline::RedToGreen | Headline::GreenStaysGreen | Headline::GreenOnHead | Headline::NotRun => false,
    }
}

fn annotation(finding: &Finding) -> Option<Annotation> {
    let line = finding.line.filter(|_| !finding.path.is_empty())?;
    Some(Annotation {
        path: finding.path.clone(),
        line: line.into(),
        text: finding.why.chars().take(LONGEST_ANNOTATION).collect(),
        failure: finding.severity == Severity::Blocking,
    })
}
