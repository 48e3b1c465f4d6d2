//! Apps of forges that were made from the pages.

use cofferdam_domain::{Digest, Rank, SignInId, Timestamp};
use cofferdam_store::{AppAttempt, KeptApp, Proof, StoreError};
use futures_util::StreamExt as _;

use crate::{
    contract::Subject,
    events::{owner, soon},
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const LATER: Timestamp = Timestamp(NOW.0 + 1000);

fn app(name: &str, org: u128) -> KeptApp {
    KeptApp {
        name: name.to_owned(),
        org: owner(org, 1).org,
        web: "https://github.com".to_owned(),
        number: u64::MAX,
        page: "https://github.com/apps/cofferdam".to_owned(),
        hears: true,
        settings: String::new(),
        sealed: vec![0, 255, 1],
        at: NOW,
        by: "ann".to_owned(),
    }
}

pub(crate) async fn an_app_has_a_name_that_is_nobody_elses(subject: &impl Subject) {
    let store = subject.open().await;
    assert_eq!(store.apps().await.unwrap(), []);
    store.keep_app(app("github", 1)).await.unwrap();
    for org in [1, 2] {
        let taken = store.keep_app(KeptApp { number: 2, ..app("github", org) }).await;
        assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
    }
    store.keep_app(KeptApp { hears: false, ..app("another", 2) }).await.unwrap();
    // It is there for whoever opens the store again.
    let again = subject.open().await;
    let all = [KeptApp { hears: false, ..app("another", 2) }, app("github", 1)];
    assert_eq!(again.apps().await.unwrap(), all);
    // How it is worked with is its organisation's to say.
    assert!(!store.set_app(owner(2, 1).org, "github", "{}".to_owned()).await.unwrap());
    assert!(store.set_app(owner(1, 1).org, "github", r#"{"poll":"1m"}"#.to_owned()).await.unwrap());
    assert_eq!(
        again.apps().await.unwrap()[1],
        KeptApp { settings: r#"{"poll":"1m"}"#.into(), ..app("github", 1) }
    );
    assert!(!store.remove_app(owner(2, 1).org, "github").await.unwrap());
    assert!(store.remove_app(owner(1, 1).org, "github").await.unwrap());
    assert!(!store.remove_app(owner(1, 1).org, "github").await.unwrap());
    assert_eq!(again.apps().await.unwrap(), all[..1]);
    // What was meant for the one that is gone is not for another's.
    let taken = store.keep_app(app("github", 2)).await;
    assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
    let begun = store.begin_app(begun("late", SignInId::generate(), 2), NOW).await;
    assert!(matches!(begun, Err(StoreError::Taken { .. })), "{begun:?}");
    store.keep_app(app("github", 1)).await.unwrap();
}

fn begun(proof: &str, sign_in: SignInId, org: u128) -> AppAttempt {
    AppAttempt {
        proof: Proof(Digest::of(proof.as_bytes())),
        org: owner(org, 1).org,
        sign_in,
        name: "github".to_owned(),
        web: "https://github.com".to_owned(),
        hears: false,
        expires: LATER,
    }
}

pub(crate) async fn what_is_begun_is_ended_once_and_in_its_browser(subject: &impl Subject) {
    let store = subject.open().await;
    let (org, other) = (owner(1, 1).org, owner(2, 1).org);
    let attempt = |proof: &str, sign_in| begun(proof, sign_in, 1);
    let [here, there] = [(); 2].map(|()| SignInId::generate());
    for proof in ["a", "b", "c"] {
        store.begin_app(attempt(proof, here), NOW).await.unwrap();
    }
    let take = async |org, sign_in, proof: &str, at| {
        let proof = Proof(Digest::of(proof.as_bytes()));
        store.take_app_attempt(org, sign_in, proof, at).await.unwrap()
    };
    for (org, sign_in, proof) in [(org, there, "a"), (other, here, "a"), (org, here, "x")] {
        assert_eq!(take(org, sign_in, proof, NOW).await, None);
    }
    // Of two at the same time one has it.
    let both = tokio::join!(take(org, here, "a", NOW), take(org, here, "a", NOW));
    assert_eq!([both.0, both.1].into_iter().flatten().collect::<Vec<_>>(), [attempt("a", here)]);
    assert_eq!(take(org, here, "b", LATER).await, None, "too old");
    assert_eq!(take(org, here, "b", NOW).await, None, "and gone");
    store.begin_app(attempt("d", here), LATER).await.unwrap();
    assert_eq!(take(org, here, "c", NOW).await, None, "what is too old is forgotten");
}

pub(crate) async fn apps_are_heard_of_from_elsewhere(subject: &impl Subject) {
    let (store, elsewhere) = (subject.open().await, subject.open().await);
    let mut changes = store.apps_changed().unwrap();
    soon(changes.next()).await.unwrap();
    for is_there in [true, false] {
        if is_there {
            elsewhere.keep_app(app("github", 1)).await.unwrap();
        } else {
            elsewhere.remove_app(owner(1, 1).org, "github").await.unwrap();
        }
        if is_there {
            elsewhere.set_app(owner(1, 1).org, "github", "{}".to_owned()).await.unwrap();
            let heard = async || store.apps().await.unwrap().iter().any(|app| app.settings == "{}");
            soon(async {
                while !heard().await {
                    changes.next().await.unwrap();
                }
            })
            .await;
        }
        soon(async {
            while (store.apps().await.unwrap().len() == 1) != is_there {
                changes.next().await.unwrap();
            }
        })
        .await;
    }
}

pub(crate) async fn only_admins_make_apps_and_for_their_own_organisation(subject: &impl Subject) {
    use cofferdam_domain::{Access, Actor, Owner, ProjectId, TokenId};
    use cofferdam_store::{Tenant, TenantError};
    let store = subject.open().await;
    let sign_in = SignInId::generate();
    let tenant = |rank, access, project| {
        let Owner { org, user, .. } = owner(1, 1);
        Tenant::new(store.clone(), Actor { org, user, name: "ann".to_owned(), rank, project, access })
    };
    let browser = Access::Browser(sign_in);
    for refused in [
        tenant(Rank::Member, browser, None),
        tenant(Rank::Viewer, browser, None),
        tenant(Rank::Admin, Access::Token(TokenId::generate()), Some(ProjectId::generate())),
    ] {
        let forbidden = |error| matches!(error, Some(TenantError::Forbidden { .. }));
        assert!(forbidden(refused.makes_apps().err()));
        assert!(forbidden(refused.keep_app(app("github", 1)).await.err()));
        assert!(forbidden(refused.remove_app("github").await.err()));
        assert!(forbidden(refused.set_app("github", "{}".to_owned()).await.err()));
    }
    let admin = tenant(Rank::Admin, browser, None);
    assert_eq!(admin.makes_apps().unwrap(), Some(sign_in));
    let by_token = tenant(Rank::Admin, Access::Token(TokenId::generate()), None);
    assert_eq!(by_token.makes_apps().unwrap(), None);
    admin.keep_app(app("github", 2)).await.unwrap();
    assert_eq!(store.apps().await.unwrap(), [app("github", 1)]);
    assert!(admin.set_app("github", String::new()).await.unwrap());
    assert!(admin.remove_app("github").await.unwrap());
}
