//! MCP servers that were approved.

use cofferdam_domain::{Digest, Timestamp};
use cofferdam_store::ApprovedServer;

use crate::{contract::Subject, events::owner};

fn server(name: &str, tools: &str) -> ApprovedServer {
    ApprovedServer {
        name: name.to_owned(),
        digest: Digest::of(tools.as_bytes()),
        tools: tools.to_owned(),
        at: Timestamp(1_800_000_000_000),
        by: "ann".to_owned(),
    }
}

pub(crate) async fn what_was_approved_is_the_organisations_own_and_the_last_counts(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, theirs) = (owner(1, 1).org, owner(2, 1).org);
    assert_eq!(store.approved_servers(ours).await.unwrap(), []);
    for one in [server("docs", "[1]"), server("docs", "[2]"), server("bugs", "[]")] {
        store.approve_server(ours, one).await.unwrap();
    }
    store.approve_server(theirs, server("docs", "[3]")).await.unwrap();
    let again = subject.open().await;
    assert_eq!(again.approved_servers(ours).await.unwrap(), [server("bugs", "[]"), server("docs", "[2]")]);
    assert!(store.disapprove_server(ours, "docs").await.unwrap());
    assert!(!store.disapprove_server(ours, "docs").await.unwrap());
    assert_eq!(store.approved_servers(ours).await.unwrap(), [server("bugs", "[]")]);
    assert_eq!(store.approved_servers(theirs).await.unwrap(), [server("docs", "[3]")]);
}
