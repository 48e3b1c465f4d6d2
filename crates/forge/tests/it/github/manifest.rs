//! An app that is made from a manifest: exchanged once, and used as any other.

use cofferdam_domain::Secret;
use cofferdam_forge::{
    hook::ForgeKind,
    remote::{AppPlan, NoApp, Site, SiteCredential, app_manifest, make_app, open},
};
use cofferdam_testkit::GitHub;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

const PLAN: AppPlan<'_> = AppPlan {
    name: "Cofferdam",
    origin: "https://c.example",
    hook: "https://c.example/hooks/hub",
    hears: true,
    back: "https://c.example/forges/apps/return",
};

#[tokio::test]
async fn a_code_is_an_app_once() {
    let Some(github) = GitHub::start().await else { return };
    let code = github.agree(app_manifest(&PLAN));
    let made = make_app(github.url(), true, &code).await.unwrap();
    assert_eq!((made.id, &*made.slug), (GitHub::APP, GitHub::APP_SLUG));
    assert_eq!(made.page.as_str(), format!("{}/apps/{}", github.url(), GitHub::APP_SLUG));
    assert_eq!(made.hook_secret.as_ref().map(Secret::expose), Some(GitHub::HOOK_SECRET));
    assert!(!format!("{made:?}").contains("PRIVATE KEY"));
    let app = SiteCredential::App { id: made.id.to_string(), key: made.key };
    let site = Site::new("hub", ForgeKind::GitHub, github.url(), None, app, true).unwrap();
    assert_eq!(open(&site).unwrap().me().await.unwrap().login, GitHub::app_login());

    let again = make_app(github.url(), true, &code).await.unwrap_err();
    assert!(matches!(again, NoApp::Used), "{again}");
    // Nobody is known there yet, so nothing is presented but the code.
    let asked = github.exchanges();
    let conversions: Vec<_> = asked.iter().filter(|one| one.path.ends_with("/conversions")).collect();
    assert_eq!(conversions.len(), 2);
    assert!(conversions.iter().all(|one| !one.headers.contains_key("authorization") && one.body.is_empty()));
}

#[tokio::test]
async fn an_answer_that_is_no_app_is_refused() {
    let Some(github) = GitHub::start().await else { return };
    let answer = |change: fn(&mut Value)| {
        let mut app = json!({
            "id": GitHub::APP, "slug": "a", "html_url": format!("{}/apps/a", github.url()), "pem": github.app_keys().0,
        });
        change(&mut app);
        app
    };
    for change in [
        (|app| app["pem"] = json!("none")) as fn(&mut Value),
        |app| app["html_url"] = json!("https://evil.example/apps/a"),
        |app| app["html_url"] = json!("javascript:alert(1)"),
        |app| app["slug"] = json!("a/../b"),
        |app| app["id"] = json!("x"),
        |app| app["slug"] = json!("a".repeat(101)),
        |app| app["html_url"] = json!(format!("{}?a=b", app["html_url"].as_str().unwrap())),
        |app| app["html_url"] = json!(format!("{}{}", app["html_url"].as_str().unwrap(), "a".repeat(500))),
        |app| app["pem"] = json!(format!("{}{}", app["pem"].as_str().unwrap(), "\n".repeat(16 << 10))),
        |app| app["webhook_secret"] = json!("a b"),
        |app| app["webhook_secret"] = json!("a".repeat(501)),
        |app| app["more"] = json!("a".repeat(9 << 20)),
    ] {
        github.inject("POST /app-manifests/", StatusCode::CREATED, HeaderMap::new(), &answer(change));
        let error = make_app(github.url(), true, "abc").await.unwrap_err();
        assert!(matches!(error, NoApp::Talk(_)), "{error}");
    }
    // One without a webhook is one all the same.
    github.inject("POST /app-manifests/", StatusCode::CREATED, HeaderMap::new(), &answer(|_| {}));
    assert!(make_app(github.url(), true, "abc").await.unwrap().hook_secret.is_none());
}
