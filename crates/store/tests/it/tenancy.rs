//! What is one organisation's is nobody else's.

use std::sync::Arc;

use cofferdam_domain::{Access, Actor, Digest, OrgId, Rank, Seq, SessionId, TokenId, UserId};
use cofferdam_store::{
    DayBudget, Everything, NewSession, NewToken, Proof, Purse, SessionFilter, Tenant, TenantError,
};

use crate::{
    contract::Subject,
    events::{accepted, message, now, output},
};

/// A person of an organisation, with what they may do.
fn tenant(store: &Arc<dyn Everything>, org: OrgId, user: UserId, rank: Rank) -> Tenant {
    let access = Access::Token(TokenId::from_u128(1));
    Tenant::new(Arc::clone(store), Actor { org, user, name: "ann".into(), rank, project: None, access })
}

/// An organisation with an admin who acts.
async fn org(store: &Arc<dyn Everything>, name: &str) -> Tenant {
    let org = store.create_org(name, now()).await.unwrap().id;
    let user = store.create_user(name, None, now()).await.unwrap();
    store.set_rank(org, user, Some(Rank::Admin), now()).await.unwrap();
    tenant(store, org, user, Rank::Admin)
}

async fn made(tenant: &Tenant) -> SessionId {
    let id = SessionId::generate();
    let new = NewSession { id, project: None, priority: 0 };
    tenant.enqueue(new, now(), accepted("Fix it"), Vec::new()).await.unwrap();
    id
}

fn new_token(user: UserId, rank: Rank) -> NewToken {
    let expires = cofferdam_domain::Timestamp(now().0 + 60_000);
    NewToken { name: "t".into(), user, rank, project: None, expires, proof: Proof(Digest::of(b"t")) }
}

pub(crate) async fn what_is_others_looks_like_what_is_not(subject: &impl Subject) {
    let store = subject.open().await;
    let (ours, theirs) = (org(&store, "ours").await, org(&store, "theirs").await);
    let session = made(&theirs).await;
    let blob = store.put_blob(b"theirs").await.unwrap();
    theirs.append(session, now(), vec![output(blob)]).await.unwrap();
    let project = theirs.create_project("web", now()).await.unwrap().id;
    let token = theirs.create_token(new_token(theirs.actor().user, Rank::Viewer), now()).await.unwrap();
    for (session, project, user, token) in [
        (session, project, theirs.actor().user, token),
        (
            SessionId::generate(),
            cofferdam_domain::ProjectId::generate(),
            UserId::generate(),
            TokenId::generate(),
        ),
    ] {
        let new = NewSession { id: SessionId::generate(), project: Some(project), priority: 0 };
        let outcomes = [
            ours.session(session).await.map(drop),
            ours.read(session, Seq::START, 9).await.map(drop),
            ours.follow(session, Seq::START).await.map(drop),
            ours.blob(session, blob.digest).await.map(drop),
            ours.append(session, now(), vec![message("x")]).await.map(drop),
            ours.set_archived(session, true).await,
            ours.verify(session).await.map(drop),
            ours.forget(session, now()).await,
            ours.enqueue(new, now(), accepted("x"), Vec::new()).await.map(drop),
            ours.invite(user, Proof(Digest::of(b"l")), now()).await,
            ours.set_rank(user, Some(Rank::Admin), now()).await,
            ours.create_token(new_token(user, Rank::Viewer), now()).await.map(drop),
            ours.set_budget(Purse::Project(project), DayBudget::default()).await,
            ours.spent(Purse::User(user), now()).await.map(drop),
        ];
        let before = ours.audited(None, 1000).await.unwrap().len();
        for (place, outcome) in outcomes.iter().enumerate() {
            assert!(matches!(outcome, Err(TenantError::NotFound(_))), "{place}: {outcome:?}");
        }
        assert!(!ours.revoke_token(token).await.unwrap());
        let entries = ours.audited(None, 1000).await.unwrap();
        assert_eq!(entries.len(), before + 1);
        assert!(entries.iter().all(|entry| entry.action == "tenancy.foreign_id"));
        assert_eq!(entries.len() % (outcomes.len() + 1), 0, "each of them was written down");
    }
    assert_eq!(
        ours.sessions(SessionFilter { org: Some(theirs.org()), ..SessionFilter::default() }).await.unwrap(),
        []
    );
    // They themselves notice nothing.
    assert_eq!(theirs.audited(None, 9).await.unwrap(), []);
    assert_eq!(theirs.session(session).await.unwrap().last, Seq(2));
    assert_eq!(theirs.blob(session, blob.digest).await.unwrap(), b"theirs");
    let unrelated = store.put_blob(b"of nobody").await.unwrap();
    let refused = theirs.blob(session, unrelated.digest).await;
    assert!(matches!(refused, Err(TenantError::NotFound(_))), "{refused:?}");
}

pub(crate) async fn ranks_are_needed(subject: &impl Subject) {
    let store = subject.open().await;
    let admin = org(&store, "ours").await;
    let session = made(&admin).await;
    let user = store.create_user("ben", None, now()).await.unwrap();
    admin.set_rank(user, Some(Rank::Viewer), now()).await.unwrap();
    let viewer = tenant(&store, admin.org(), user, Rank::Viewer);
    let member = tenant(&store, admin.org(), user, Rank::Member);
    viewer.session(session).await.unwrap();
    let forbidden = |outcome: Result<(), TenantError>, rank| {
        assert!(matches!(outcome, Err(TenantError::Forbidden { needs }) if needs == rank), "{outcome:?}");
    };
    let new = NewSession { id: SessionId::generate(), project: None, priority: 0 };
    forbidden(viewer.enqueue(new, now(), accepted("x"), Vec::new()).await.map(drop), Rank::Member);
    forbidden(viewer.append(session, now(), vec![message("x")]).await.map(drop), Rank::Member);
    forbidden(viewer.set_archived(session, true).await, Rank::Member);
    forbidden(viewer.create_token(new_token(user, Rank::Member), now()).await.map(drop), Rank::Member);
    member.append(session, now(), vec![message("x")]).await.unwrap();
    forbidden(member.forget(session, now()).await, Rank::Admin);
    forbidden(member.create_project("x", now()).await.map(drop), Rank::Admin);
    forbidden(member.set_rank(user, Some(Rank::Admin), now()).await, Rank::Admin);
    forbidden(
        member.create_token(new_token(admin.actor().user, Rank::Viewer), now()).await.map(drop),
        Rank::Admin,
    );
    forbidden(member.put_secret("s", b"x", now()).await.map(drop), Rank::Admin);
    forbidden(member.put_policy("p", None, now()).await, Rank::Admin);
    forbidden(member.set_budget(Purse::Org, DayBudget::default()).await, Rank::Admin);
    forbidden(member.audited(None, 9).await.map(drop), Rank::Admin);
    admin.put_secret("s", b"x", now()).await.unwrap();
    assert!(admin.secrets().await.unwrap()[0].bytes.is_empty(), "write-only");
    admin.forget(session, now()).await.unwrap();
    assert_eq!(admin.audited(None, 9).await.unwrap()[0].action, "session.forgotten");
}

pub(crate) async fn a_token_for_a_project_sees_nothing_else(subject: &impl Subject) {
    let store = subject.open().await;
    let admin = org(&store, "ours").await;
    let other = made(&admin).await;
    let web = admin.create_project("web", now()).await.unwrap().id;
    let actor = Actor { project: Some(web), ..admin.actor().clone() };
    let limited = Tenant::new(Arc::clone(&store), actor);
    let own = made(&limited).await;
    assert_eq!(limited.session(own).await.unwrap().owner.project, web);
    let refused = limited.session(other).await.map(drop);
    assert!(matches!(refused, Err(TenantError::NotFound(_))), "{refused:?}");
    let listed = limited.sessions(SessionFilter::default()).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [own]);
    assert_eq!(limited.projects().await.unwrap().len(), 1);
    for refused in [
        limited.put_policy("p", None, now()).await,
        limited.create_project("x", now()).await.map(drop),
        limited.create_token(new_token(admin.actor().user, Rank::Viewer), now()).await.map(drop),
        limited.spent(Purse::Org, now()).await.map(drop),
    ] {
        assert!(matches!(refused, Err(TenantError::Forbidden { .. })), "{refused:?}");
    }
}
