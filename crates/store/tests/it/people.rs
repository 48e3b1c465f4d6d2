//! Organisations, their people, what proves who they are, and what they spend.

use cofferdam_domain::{
    Access, AuditId, Digest, EventBody, Owner, PullRequest, PullRequestState, Rank, Seq, SessionId,
    Timestamp, UserId,
};
use cofferdam_store::{
    AuditEntry, DayBudget, Everything, KeptPlaybook, KeptSkill, MOST_PLAYBOOKS, NewToken, Placement,
    PlaybookVersion, Proof, Purse, PutPlaybook, Repeat, Spending, StoreError, Ticket, Writer,
};
use futures_util::future::join_all;

use crate::{
    contract::Subject,
    events::{accepted, answered, ended, queued},
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const LATER: Timestamp = Timestamp(NOW.0 + 1000);
const TOMORROW: Timestamp = Timestamp(NOW.0 + 24 * 60 * 60 * 1000);

fn proof(text: &str) -> Proof {
    Proof(Digest::of(text.as_bytes()))
}

/// An organisation with one admin.
async fn org(store: &dyn Everything, name: &str) -> (cofferdam_domain::OrgId, UserId) {
    let org = store.create_org(name, NOW).await.unwrap().id;
    let admin = store.create_user(&format!("admin of {name}"), None, NOW).await.unwrap();
    store.set_rank(org, admin, Some(Rank::Admin), NOW).await.unwrap();
    (org, admin)
}

pub(crate) async fn names_are_unique_and_lists_are_their_own(subject: &impl Subject) {
    let store = subject.open().await;
    let local = &store.orgs().await.unwrap()[0];
    assert_eq!((local.name.as_str(), local.id), ("local", Owner::LOCAL.org));
    let locals = store.members(local.id).await.unwrap();
    assert_eq!((locals[0].user, locals[0].rank), (Owner::LOCAL.user, Rank::Admin));
    assert_eq!(store.projects(local.id).await.unwrap()[0].id, Owner::LOCAL.project);

    let (ours, _) = org(&*store, "ours").await;
    let (theirs, _) = org(&*store, "theirs").await;
    let taken = |error: Option<StoreError>| matches!(error, Some(StoreError::Taken { .. }));
    assert!(taken(store.create_org("ours", NOW).await.err()));
    store.create_project(ours, "web", NOW).await.unwrap();
    assert!(taken(store.create_project(ours, "web", NOW).await.err()));
    store.create_project(theirs, "web", NOW).await.unwrap();
    let names = async |org| -> Vec<String> {
        store.projects(org).await.unwrap().into_iter().map(|project| project.name).collect()
    };
    assert_eq!(names(ours).await, ["default", "web"]);
    let ann = store.create_user("Ann\0", Some(("https://id", "1")), NOW).await.unwrap();
    assert!(taken(store.create_user("Ann", Some(("https://id", "1")), NOW).await.err()));
    assert_eq!(store.user_by_subject("https://id", "1").await.unwrap(), Some(ann));
    assert_eq!(store.user_by_subject("https://other", "1").await.unwrap(), None);
    store.set_rank(ours, ann, Some(Rank::Viewer), NOW).await.unwrap();
    store.set_rank(ours, ann, Some(Rank::Member), LATER).await.unwrap();
    let members = store.members(ours).await.unwrap();
    assert_eq!((members[0].name.as_str(), members[0].rank, members[0].since), ("Ann", Rank::Member, NOW));
    assert_eq!(store.members(theirs).await.unwrap().len(), 1);
    let memberships = store.memberships(ann).await.unwrap();
    assert_eq!((memberships.len(), memberships[0].0.id, memberships[0].1), (1, ours, Rank::Member));
    let nobody = store.set_rank(ours, UserId::generate(), Some(Rank::Viewer), NOW).await;
    assert!(matches!(nobody, Err(StoreError::Missing { .. })), "{nobody:?}");
}

pub(crate) async fn a_token_stands_for_its_user_as_long_as_both_are_good(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, admin) = org(&*store, "ours").await;
    let ann = store.create_user("Ann", None, NOW).await.unwrap();
    let token = |rank, text: &str| NewToken {
        name: "ci".into(),
        user: ann,
        rank,
        project: None,
        expires: TOMORROW,
        proof: proof(text),
    };
    let refused = store.create_token(ours, token(Rank::Member, "x"), NOW).await;
    assert!(matches!(refused, Err(StoreError::NotMember)), "{refused:?}");
    store.set_rank(ours, ann, Some(Rank::Member), NOW).await.unwrap();
    let id = store.create_token(ours, token(Rank::Admin, "a"), NOW).await.unwrap();
    let actor = async |text: &str, at| store.actor_by_token(proof(text), at).await.unwrap();
    let found = actor("a", LATER).await.unwrap();
    assert_eq!(
        (found.user, found.rank, found.access),
        (ann, Rank::Member, Access::Token(id)),
        "the lesser rank"
    );
    assert_eq!(store.tokens(ours, Some(ann)).await.unwrap()[0].used, Some(LATER));
    actor("a", Timestamp(LATER.0 + 59_000)).await.unwrap();
    assert_eq!(store.tokens(ours, None).await.unwrap()[0].used, Some(LATER), "to the minute");
    assert_eq!(store.tokens(ours, Some(admin)).await.unwrap(), []);
    assert_eq!(actor("a", TOMORROW).await, None);
    assert_eq!(actor("b", LATER).await, None);
    store.set_rank(ours, ann, Some(Rank::Viewer), NOW).await.unwrap();
    assert_eq!(actor("a", LATER).await.unwrap().rank, Rank::Viewer);
    let (theirs, _) = org(&*store, "theirs").await;
    assert!(!store.revoke_token(theirs, id).await.unwrap());
    store.set_rank(ours, ann, None, NOW).await.unwrap();
    assert_eq!(actor("a", LATER).await, None);
    store.set_rank(ours, ann, Some(Rank::Member), NOW).await.unwrap();
    assert_eq!(actor("a", LATER).await, None, "who comes back has none of their old tokens");
    let id = store.create_token(ours, token(Rank::Viewer, "c"), NOW).await.unwrap();
    assert!(store.revoke_token(ours, id).await.unwrap() && !store.revoke_token(ours, id).await.unwrap());
    assert_eq!(actor("c", LATER).await, None);
}

pub(crate) async fn the_last_admin_stays(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, admin) = org(&*store, "ours").await;
    for rank in [None, Some(Rank::Member)] {
        let refused = store.set_rank(ours, admin, rank, NOW).await;
        assert!(matches!(refused, Err(StoreError::LastAdmin)), "{refused:?}");
    }
    let ann = store.create_user("Ann", None, NOW).await.unwrap();
    store.set_rank(ours, ann, Some(Rank::Admin), NOW).await.unwrap();
    // Both at once: one of them stays.
    let (one, other) =
        tokio::join!(store.set_rank(ours, admin, None, NOW), store.set_rank(ours, ann, None, NOW));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(store.members(ours).await.unwrap().len(), 1);
}

pub(crate) async fn a_link_is_used_once(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, admin) = org(&*store, "ours").await;
    for link in ["a", "b"] {
        store.invite(ours, admin, proof(link), LATER).await.unwrap();
    }
    let (one, other) =
        tokio::join!(store.accept_invitation(proof("a"), NOW), store.accept_invitation(proof("a"), NOW));
    let mut uses = [one.unwrap(), other.unwrap()];
    uses.sort_unstable();
    assert_eq!(uses, [None, Some((ours, admin))]);
    assert_eq!(store.accept_invitation(proof("b"), LATER).await.unwrap(), None, "too late");
    let stranger = store.create_user("Eve", None, NOW).await.unwrap();
    let refused = store.invite(ours, stranger, proof("c"), LATER).await;
    assert!(matches!(refused, Err(StoreError::NotMember)), "{refused:?}");
}

pub(crate) async fn a_browser_is_signed_in_until_it_is_not(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, admin) = org(&*store, "ours").await;
    let id = store.sign_in(ours, admin, proof("a"), NOW, TOMORROW).await.unwrap();
    let actor = store.actor_by_sign_in(proof("a"), LATER).await.unwrap().unwrap();
    assert_eq!((actor.org, actor.user, actor.rank), (ours, admin, Rank::Admin));
    assert_eq!(actor.access, Access::Browser(id));
    assert_eq!(store.actor_by_sign_in(proof("a"), TOMORROW).await.unwrap(), None);
    assert_eq!(store.actor_by_token(proof("a"), LATER).await.unwrap(), None, "a cookie is no token");
    let (theirs, _) = org(&*store, "theirs").await;
    store.sign_out(theirs, id).await.unwrap();
    assert!(store.actor_by_sign_in(proof("a"), LATER).await.unwrap().is_some());
    store.sign_out(ours, id).await.unwrap();
    assert_eq!(store.actor_by_sign_in(proof("a"), LATER).await.unwrap(), None);
}

pub(crate) async fn a_request_is_carried_out_once(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, theirs) = (org(&*store, "ours").await.0, org(&*store, "theirs").await.0);
    let request = Digest::of(b"request");
    let begin = async |org, request, at| store.begin_once(org, "key", request, at).await.unwrap();
    let tries = join_all((0..5).map(|_| begin(ours, request, NOW))).await;
    assert_eq!(tries.iter().filter(|repeat| **repeat == Repeat::First(NOW)).count(), 1);
    assert_eq!(tries.iter().filter(|repeat| **repeat == Repeat::UnderWay).count(), 4);
    assert_eq!(begin(theirs, request, LATER).await, Repeat::First(LATER));
    assert_eq!(begin(ours, Digest::of(b"other"), LATER).await, Repeat::Different);
    let minutes = |minutes: u64| Timestamp(NOW.0 + minutes * 60_000 + 1);
    assert_eq!(begin(ours, request, minutes(2)).await, Repeat::First(NOW), "whoever had it is gone");
    let soon = Timestamp(minutes(2).0 + 10_000);
    assert_eq!(begin(ours, request, soon).await, Repeat::UnderWay);
    store.end_once(ours, "key", 201, b"made").await.unwrap();
    assert_eq!(begin(ours, request, minutes(9)).await, Repeat::Same(201, b"made".to_vec()));
    store.abandon_once(ours, "key").await.unwrap();
    assert_eq!(begin(ours, request, minutes(9)).await, Repeat::Same(201, b"made".to_vec()), "it is done");
    store.abandon_once(theirs, "key").await.unwrap();
    assert_eq!(begin(theirs, Digest::of(b"other"), LATER).await, Repeat::First(LATER));
    assert_eq!(begin(ours, request, TOMORROW).await, Repeat::First(TOMORROW), "not kept for ever");
}

pub(crate) async fn secrets_and_policies_are_kept_by_name(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, theirs) = (org(&*store, "ours").await.0, org(&*store, "theirs").await.0);
    let first = store.put_secret(ours, "token", b"one", NOW).await.unwrap();
    let second = store.put_secret(ours, "token", b"two", LATER).await.unwrap();
    assert_ne!(first, second);
    let secrets = store.secrets(ours).await.unwrap();
    assert_eq!((secrets.len(), secrets[0].bytes.as_slice(), secrets[0].at), (1, &b"two"[..], LATER));
    assert_eq!(store.secrets(theirs).await.unwrap(), []);
    assert!(!store.remove_secret(theirs, "token").await.unwrap());
    assert!(store.remove_secret(ours, "token").await.unwrap());
    for (number, wrapped) in [(2, &b"x"[..]), (1, b"y"), (2, b"z")] {
        store.put_data_key(ours, number, wrapped).await.unwrap();
    }
    assert_eq!(store.data_keys(ours).await.unwrap(), [(1, b"y".to_vec()), (2, b"z".to_vec())]);
    assert_eq!(store.data_keys(theirs).await.unwrap(), []);
    store.put_policy(ours, "strict", Some("{}"), NOW).await.unwrap();
    store.put_policy(ours, "strict", Some("{\"a\":1}"), NOW).await.unwrap();
    assert_eq!(store.policies(ours).await.unwrap(), [("strict".to_owned(), "{\"a\":1}".to_owned())]);
    assert_eq!(store.policies(theirs).await.unwrap(), []);
    store.put_policy(ours, "strict", None, NOW).await.unwrap();
    assert_eq!(store.policies(ours).await.unwrap(), []);
}

pub(crate) async fn skills_are_given_once_somebody_has_approved_exactly_them(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, theirs) = (org(&*store, "ours").await.0, org(&*store, "theirs").await.0);
    let version = |text: &str, at| KeptSkill {
        name: "pdf".into(),
        digest: Digest::of(text.as_bytes()),
        files: text.into(),
        by: "ann".into(),
        at,
        approved: None,
    };
    let (first, second) = (version("one", NOW), version("two", LATER));
    assert!(store.put_skill(ours, first.clone()).await.unwrap());
    assert!(store.put_skill(ours, second.clone()).await.unwrap());
    assert!(store.approve_skill(ours, "pdf", first.digest, "bob", LATER).await.unwrap());
    // The same again changes nothing, what was approved included.
    assert!(!store.put_skill(ours, KeptSkill { files: "other".into(), ..first.clone() }).await.unwrap());
    let approved = KeptSkill { approved: Some(("bob".into(), LATER)), ..first.clone() };
    assert_eq!(store.skills(ours).await.unwrap(), [approved, second.clone()]);
    for (org, name, digest) in
        [(theirs, "pdf", second.digest), (ours, "pdfs", second.digest), (ours, "pdf", Digest::ZERO)]
    {
        assert!(!store.approve_skill(org, name, digest, "eve", LATER).await.unwrap());
    }
    assert!(store.approve_skill(ours, "pdf", second.digest, "bob", LATER).await.unwrap());
    let versions = store.skills(ours).await.unwrap();
    assert_eq!(versions.iter().map(|version| version.approved.is_some()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(store.skills(theirs).await.unwrap(), []);
    assert!(!store.revoke_skill(theirs, "pdf").await.unwrap());
    assert!(store.revoke_skill(ours, "pdf").await.unwrap());
    assert_eq!(store.skills(ours).await.unwrap(), []);
}

pub(crate) async fn the_latest_version_of_a_playbook_is_begun(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, theirs) = (org(&*store, "ours").await.0, org(&*store, "theirs").await.0);
    let of = |name: &str, text: &str, version| KeptPlaybook {
        name: name.into(),
        digest: Digest::of(text.as_bytes()),
        version,
        description: format!("about {name}"),
        text: text.into(),
        by: "ann".into(),
        at: NOW,
    };
    let (first, second, other) = (of("bump", "one", 1), of("bump", "two", 2), of("audit", "one", 1));
    // The number is the store's own.
    let put = async |playbook: KeptPlaybook| store.put_playbook(ours, playbook).await.unwrap();
    assert_eq!(put(KeptPlaybook { version: 9, ..first.clone() }).await, PutPlaybook::Added);
    assert_eq!(put(first.clone()).await, PutPlaybook::Known, "it is the latest already");
    assert_eq!(put(second.clone()).await, PutPlaybook::Added);
    assert_eq!(put(other.clone()).await, PutPlaybook::Added);
    let listed = |kept: &KeptPlaybook| {
        let KeptPlaybook { name, digest, version, description, text: _, by, at } = kept.clone();
        PlaybookVersion { name, digest, version, description, by, at }
    };
    let all = [&other, &second, &first].map(listed);
    assert_eq!(store.playbooks(ours).await.unwrap(), all);
    let found = async |org, name: &str, digest| store.playbook(org, name, digest).await.unwrap();
    assert_eq!(found(ours, "bump", None).await, Some(second.clone()));
    assert_eq!(found(ours, "bump", Some(first.digest)).await, Some(first.clone()));
    assert_eq!(found(ours, "audit", Some(second.digest)).await, None);
    // An earlier one comes back.
    let again = KeptPlaybook { by: "bob".into(), at: LATER, ..first.clone() };
    assert_eq!(put(again.clone()).await, PutPlaybook::Added);
    assert_eq!(found(ours, "bump", None).await, Some(KeptPlaybook { version: 3, ..again }));
    // Nothing of it is anybody else's.
    assert_eq!(store.playbooks(theirs).await.unwrap(), []);
    assert_eq!(found(theirs, "bump", None).await, None);
    assert!(!store.remove_playbook(theirs, "bump").await.unwrap());
    assert!(store.remove_playbook(ours, "bump").await.unwrap());
    assert!(!store.remove_playbook(ours, "bump").await.unwrap());
    assert_eq!(store.playbooks(ours).await.unwrap(), [listed(&other)]);
    // There is an end to both: the oldest versions go, and more than so many names are refused.
    let versions = (1..=25).map(|number| of("bump", &format!("text {number}"), number));
    let added = join_all(versions.map(&put)).await;
    assert!(added.iter().all(|put| *put == PutPlaybook::Added), "{added:?}");
    let kept = store.playbooks(ours).await.unwrap();
    let numbers: Vec<u64> =
        kept.iter().filter(|version| version.name == "bump").map(|version| version.version).collect();
    assert_eq!(numbers, (6..=25).rev().collect::<Vec<_>>(), "each has a number of its own");
    for number in 2..MOST_PLAYBOOKS {
        assert_eq!(put(of(&format!("p{number}"), "one", 1)).await, PutPlaybook::Added);
    }
    assert_eq!(put(of("one-more", "one", 1)).await, PutPlaybook::Full);
    assert_eq!(put(of("audit", "three", 1)).await, PutPlaybook::Added, "a version of one that is there");
}

fn entry(action: &str) -> AuditEntry {
    AuditEntry {
        id: AuditId::generate(),
        at: NOW,
        by: "ann".into(),
        action: action.into(),
        subject: "x".into(),
        detail: "{}".into(),
    }
}

pub(crate) async fn the_audit_chain_is_checked(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, theirs) = (org(&*store, "ours").await.0, org(&*store, "theirs").await.0);
    let other = subject.open().await;
    let at_once = (0..10).map(|number| {
        let store = if number % 2 == 0 { &store } else { &other };
        store.audit(ours, entry("token.created"))
    });
    for done in join_all(at_once).await {
        done.unwrap();
    }
    store.audit(theirs, entry("other")).await.unwrap();
    let mut listed = Vec::new();
    while let page = store.audited(ours, listed.last().map(|entry: &AuditEntry| entry.id), 4).await.unwrap()
        && !page.is_empty()
    {
        listed.extend(page);
    }
    assert_eq!(listed.len(), 10);
    assert!(listed.is_sorted_by(|later, earlier| later.id > earlier.id));
    assert_eq!(store.verify_audit(ours).await.unwrap().events, 10);
    assert_eq!(store.verify_audit(theirs).await.unwrap().events, 1);
    assert_eq!(store.audited(theirs, None, 9).await.unwrap()[0].action, "other");
}

/// A pull request of a session's.
fn opened(session: SessionId, number: u64) -> EventBody {
    EventBody::PullRequestOpened(Box::new(PullRequest {
        number,
        session,
        repository: "/r".into(),
        branch: "b".into(),
        base_branch: "main".into(),
        base_commit: "0".into(),
        head_commit: "1".into(),
        title: "t".into(),
        body: "b".into(),
        draft: false,
        state: PullRequestState::Open,
        opened: NOW,
    }))
}

pub(crate) async fn spending_is_counted_for_each_purse_and_day(subject: &impl Subject) {
    let store = subject.open().await;
    let (ann, ben) = (crate::events::owner(1, 1), crate::events::owner(1, 2));
    let (hers, his) = (queued(&*store, ann, 0).await, queued(&*store, ben, 0).await);
    let day_one = Timestamp(1000);
    let append = async |session, at, bodies| {
        store.append(session, Writer::Anybody, at, bodies).await.unwrap();
    };
    append(hers, day_one, vec![answered(1, 100, 7), answered(2, 50, 3)]).await;
    append(his, day_one, vec![answered(1, 1, 1)]).await;
    append(hers, NOW, vec![answered(3, 5, 5), opened(hers, 4), opened(hers, 4)]).await;
    let spent = async |purse, at| store.spent(ann.org, purse, at).await.unwrap();
    let expect = |cost, tokens, sessions, pull_requests| Spending {
        cost,
        tokens,
        sandbox_ms: 0,
        sessions,
        pull_requests,
    };
    assert_eq!(spent(Purse::Org, day_one).await, expect(151, 11, 2, 0));
    assert_eq!(spent(Purse::Project(ann.project), day_one).await, expect(151, 11, 2, 0));
    assert_eq!(spent(Purse::User(ann.user), day_one).await, expect(150, 10, 1, 0));
    assert_eq!(spent(Purse::User(ben.user), day_one).await, expect(1, 1, 1, 0));
    assert_eq!(
        spent(Purse::Org, NOW).await,
        expect(5, 5, 0, 1),
        "a pull request that is brought up to date is one"
    );
    assert_eq!(spent(Purse::Org, TOMORROW).await, Spending::default());
    let row = store.session(None, hers).await.unwrap().unwrap();
    assert_eq!((row.cost, row.tokens, row.steps), (155, 15, 3));
    assert_eq!(row.pull_request, Some((4, PullRequestState::Open)));
    append(hers, NOW, vec![EventBody::PullRequestClosed { state: PullRequestState::Closed }]).await;
    let row = store.session(None, hers).await.unwrap().unwrap();
    assert_eq!(row.pull_request, Some((4, PullRequestState::Closed)));
    store.verify(hers).await.unwrap();
}

pub(crate) async fn budgets_say_when_they_are_used_up(subject: &impl Subject) {
    let store = subject.open().await;
    let ann = crate::events::owner(1, 1);
    let session = queued(&*store, ann, 0).await;
    let exceeded = async |at| store.exceeded(ann, at).await.unwrap();
    store.append(session, Writer::Anybody, NOW, vec![answered(1, 2_000_000, 7)]).await.unwrap();
    assert_eq!(exceeded(NOW).await, None);
    for (purse, whose) in [
        (Purse::User(ann.user), "user"),
        (Purse::Project(ann.project), "project"),
        (Purse::Org, "organisation"),
    ] {
        let budget = DayBudget { cost: Some(2_000_000), ..DayBudget::default() };
        store.set_budget(ann.org, purse, budget).await.unwrap();
        assert_eq!(store.budget(ann.org, purse).await.unwrap(), budget);
        let said = exceeded(NOW).await.unwrap();
        assert!(said.contains(whose) && said.contains("$2.0000 of $2.0000"), "{said}");
        assert_eq!(exceeded(TOMORROW).await, None);
        store.set_budget(ann.org, purse, DayBudget::default()).await.unwrap();
    }
    assert_eq!(exceeded(NOW).await, None);
}

pub(crate) async fn a_fork_spends_nothing_again(subject: &impl Subject) {
    let store = subject.open().await;
    let ann = crate::events::owner(1, 1);
    let (first, fork) = (queued(&*store, ann, 0).await, SessionId::generate());
    let copied = vec![answered(1, 9, 9), opened(first, 4)];
    store.append(first, Writer::Anybody, NOW, copied.clone()).await.unwrap();
    let forked =
        EventBody::Forked { from: first, at: Seq(3), by: "ann".into(), model: None, instruction: None };
    let ticket = Ticket { owner: ann, placement: Placement::Queued { priority: 0 } };
    let rest = copied.into_iter().chain([forked]).collect();
    store.enqueue(ticket, fork, NOW, accepted("Fix it"), rest).await.unwrap();
    let spent = store.spent(ann.org, Purse::Org, NOW).await.unwrap();
    assert_eq!((spent.cost, spent.pull_requests, spent.sessions), (9, 1, 1));
    let row = store.session(None, fork).await.unwrap().unwrap();
    assert_eq!((row.cost, row.steps, row.pull_request), (0, 1, None));
    store.verify(fork).await.unwrap();
}

pub(crate) async fn sandbox_time_counts_while_it_is_used(subject: &impl Subject) {
    let store = subject.open().await;
    let ann = crate::events::owner(1, 1);
    queued(&*store, ann, 0).await;
    let presence = crate::queue::enter(&*store).await;
    let taken = store.next(&presence, crate::queue::shares(9)).await.unwrap().unwrap();
    let at = crate::events::now();
    let budget = DayBudget { sandbox_ms: Some(40), ..DayBudget::default() };
    store.set_budget(ann.org, Purse::User(ann.user), budget).await.unwrap();
    crate::events::soon(async {
        while store.exceeded(ann, at).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let used = async |purse| store.spent(ann.org, purse, at).await.unwrap().sandbox_ms;
    assert!(used(Purse::Org).await >= 40 && used(Purse::Project(ann.project)).await >= 40);
    assert_eq!(used(Purse::User(cofferdam_domain::UserId::from_u128(2))).await, 0, "it is not hers");
    let other = crate::events::owner(2, 1);
    assert_eq!(store.spent(other.org, Purse::Org, at).await.unwrap().sandbox_ms, 0);
    assert_eq!(store.spent(ann.org, Purse::Org, Timestamp(1000)).await.unwrap().sandbox_ms, 0, "another day");
    store.release(taken, cofferdam_store::Release::Done { seen: Seq(u64::MAX) }).await.unwrap();
    let after = used(Purse::Org).await;
    assert!(after >= 40, "what was used stays used");
    assert_eq!(used(Purse::Org).await, after, "and grows no more");
}

pub(crate) async fn no_more_pull_requests_are_kept_than_a_budget_has(subject: &impl Subject) {
    const SESSIONS: usize = 12;
    let (store, other) = (subject.open().await, subject.open().await);
    let (ann, ben) = (crate::events::owner(1, 1), crate::events::owner(1, 2));
    let budget = DayBudget { pull_requests: Some(3), ..DayBudget::default() };
    store.set_budget(ann.org, Purse::User(ann.user), budget).await.unwrap();
    let mut hers = Vec::new();
    for _ in 0..SESSIONS {
        hers.push(queued(&*store, ann, 0).await);
    }
    let ask = async |session| store.reserve_delivery(ann, session, NOW).await.unwrap();
    // All at once, through two servers' stores.
    let asking = hers.iter().enumerate().map(|(place, session)| {
        let store = if place % 2 == 0 { &store } else { &other };
        async move { store.reserve_delivery(ann, *session, NOW).await.unwrap().is_none() }
    });
    let kept: Vec<bool> = join_all(asking).await;
    let (with, without): (Vec<_>, Vec<_>) = hers.iter().zip(&kept).partition(|(_, kept)| **kept);
    assert_eq!(with.len(), 3, "{kept:?}");
    let [first, second, third] = with.iter().map(|(session, _)| **session).collect::<Vec<_>>()[..] else {
        panic!("three");
    };
    let late = *without[0].0;
    let said = ask(late).await.unwrap();
    assert!(said.contains("opened 0 of 3 pull requests, and 3 are about to be"), "{said}");
    assert!(ask(first).await.is_none(), "asked again, it is the same one");
    let his = queued(&*store, ben, 0).await;
    assert!(store.reserve_delivery(ben, his, NOW).await.unwrap().is_none(), "another's budget");
    // One that opened its own counts as that, and one that ended without is free.
    store.append(second, Writer::Anybody, NOW, vec![opened(second, 1)]).await.unwrap();
    let said = ask(late).await.unwrap();
    assert!(said.contains("opened 1 of 3 pull requests, and 2 are about to be"), "{said}");
    store.append(third, Writer::Anybody, NOW, vec![ended()]).await.unwrap();
    assert!(ask(late).await.is_none());
    store.forget(first).await.unwrap();
    assert!(ask(*without[1].0).await.is_none());
    assert!(ask(*without[2].0).await.is_some());
    let next = store.reserve_delivery(ann, *without[2].0, TOMORROW).await.unwrap();
    assert!(next.is_none(), "{next:?}");
}
