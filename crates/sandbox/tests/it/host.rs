//! What is told of the host.

use cofferdam_sandbox::{HostReport, State};

use crate::support::Place;

#[tokio::test]
async fn what_is_told_of_the_host_agrees_with_what_can_be_done() {
    let report = HostReport::probe().await;
    let works = Place::new().await.is_some();
    assert_eq!(report.level.is_some(), works, "{report:#?}");
    assert_eq!(report.state() != State::Missing, works, "{report:#?}");
    for finding in &report.findings {
        assert!(!finding.found.is_empty() && !finding.meaning.is_empty(), "{finding:?}");
        assert_eq!(finding.remedy.is_some(), finding.state != State::Ok, "{finding:?}");
        println!("{:<20} {:?} {}", finding.what, finding.state, finding.found);
    }
    let names: Vec<_> = report.findings.iter().map(|finding| finding.what).collect();
    for name in ["kernel", "user", "namespaces", "Landlock", "control groups", "sandbox"] {
        assert!(names.contains(&name), "{names:?}");
    }
}
