//! A GitHub App that is made from a manifest: what the app is to be is posted by a browser to GitHub's own page, where a person looks at it and
//! agrees; GitHub leads the browser back with a code, and the code is exchanged, once and within an hour, for the app's key and its webhook's
//! secret. So nobody copies a key, and the app has no more permissions than are used here.
//!
//! Sources: <https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest>,
//! <https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest>.

use std::collections::BTreeMap;

use cofferdam_domain::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{MEDIA_TYPE, VERSION, app::App, grant::Purpose};
use crate::{
    hook::ForgeKind,
    remote::{Site, SiteCredential, SiteError, TalkError, wire::Wire},
};

/// What is told to this platform, as far as it reads it. What happens to installations is told without being asked for.
const EVENTS: [&str; 9] = [
    "check_run",
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "repository",
    "status",
];
/// "The name cannot be longer than 34 characters."
const LONGEST_NAME: usize = 34;
/// Characters of an account's name (GitHub: 39).
const LONGEST_LOGIN: usize = 39;
/// Characters of a code, which have 40 today.
const LONGEST_CODE: usize = 200;
/// Bytes of an app's name in addresses, of the address of its page, of what proves its webhooks, and of its key.
const LONGEST_SLUG: usize = 100;
const LONGEST_PAGE: usize = 500;
const LONGEST_PROOF: usize = 500;
const LONGEST_KEY: usize = 16 << 10;

/// An app to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPlan<'a> {
    /// What it is called, which people may change at GitHub: cut to what GitHub takes.
    pub name: &'a str,
    /// The pages of this platform.
    pub origin: &'a str,
    /// Where its webhooks are posted.
    pub hook: &'a str,
    /// Whether GitHub can reach that: it takes no address without encryption.
    pub hears: bool,
    /// Where GitHub leads the browser back to.
    pub back: &'a str,
}

/// An app that was made.
#[derive(Debug, Clone)]
pub struct AppMade {
    /// Its number.
    pub id: u64,
    /// What it is called in addresses.
    pub slug: String,
    /// Its page, below which it is installed on repositories.
    pub page: Url,
    /// Its private key, in PEM.
    pub key: Secret,
    /// What its webhooks are proved with; `None` where it has no webhook.
    pub hook_secret: Option<Secret>,
}

/// Why there is no app.
#[derive(Debug, thiserror::Error)]
pub enum NoApp {
    /// GitHub cannot be where it is said to be.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// There is no client.
    #[error(transparent)]
    Client(#[from] super::OpenError),
    /// What came back with the browser is no code.
    #[error("that is no code of GitHub's: begin again")]
    Code,
    /// The code was used before, or is more than an hour old.
    #[error("GitHub does not know that code any more: it holds once and for an hour. Begin again")]
    Used,
    /// GitHub's answer.
    #[error(transparent)]
    Talk(#[from] TalkError),
}

/// The manifest of an app.
#[must_use]
pub fn app_manifest(plan: &AppPlan<'_>) -> Value {
    let permissions: serde_json::Map<String, Value> =
        permissions().into_iter().map(|(name, level)| (name.to_owned(), level.into())).collect();
    json!({
        "name": plan.name.chars().take(LONGEST_NAME).collect::<String>().trim(),
        "url": plan.origin,
        "description": "Works on what it is asked to in issues and pull requests, and answers there.",
        "hook_attributes": { "url": plan.hook, "active": plan.hears },
        "redirect_url": plan.back,
        "public": false,
        "request_oauth_on_install": false,
        "default_events": EVENTS,
        "default_permissions": permissions,
    })
}

/// All that tokens of the app are ever made for, and what its events need: nobody is told of statuses without being allowed to read them.
fn permissions() -> BTreeMap<&'static str, &'static str> {
    let mut all = BTreeMap::from([("statuses", "read")]);
    for purpose in [Purpose::Talk, Purpose::Change, Purpose::Push, Purpose::Look] {
        for &(name, level) in purpose.permissions() {
            let known = all.entry(name).or_insert(level);
            if level == "write" {
                *known = level;
            }
        }
    }
    all
}

/// The page to which a browser posts the manifest: that of an organisation where one is named, otherwise of the account that is signed in there.
/// `None` where the organisation's name is none, or the address has no pages.
#[must_use]
pub fn app_page(web: &Url, organisation: Option<&str>, state: &str) -> Option<Url> {
    let mut page = web.clone();
    {
        let mut path = page.path_segments_mut().ok()?;
        path.pop_if_empty();
        if let Some(name) = organisation {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if name.is_empty() || name.len() > LONGEST_LOGIN || !name.bytes().all(plain) {
                return None;
            }
            path.extend(["organizations", name]);
        }
        path.extend(["settings", "apps", "new"]);
    }
    page.query_pairs_mut().append_pair("state", state);
    Some(page)
}

#[derive(Deserialize)]
struct Made {
    id: u64,
    slug: String,
    html_url: String,
    pem: String,
    webhook_secret: Option<String>,
}

/// Exchanges a code for the app that was made at `web`. `plain_http` allows http:// on this machine alone.
///
/// # Errors
/// [`NoApp`], each saying what to do.
pub async fn make_app(web: &str, plain_http: bool, code: &str) -> Result<AppMade, NoApp> {
    const WHAT: &str = "the app that was made";
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if code.is_empty() || code.len() > LONGEST_CODE || !code.bytes().all(plain) {
        return Err(NoApp::Code);
    }
    // Nobody is known there yet: the code is all that is presented.
    let nobody = SiteCredential::Token(Secret::new("none"));
    let site = Site::new("github", ForgeKind::GitHub, web, None, nobody, plain_http)?;
    let wire = Wire::new(&site, None)?;
    let ask = wire.ask(Method::POST, WHAT, &["app-manifests", code, "conversions"]);
    let ask = ask.accept(MEDIA_TYPE).header("x-github-api-version", VERSION);
    let made: Made = match ask.read().await {
        Err(TalkError::Missing { .. } | TalkError::Refused { .. }) => return Err(NoApp::Used),
        answered => answered?,
    };
    let wrong = |what: &str| NoApp::Talk(wire.malformed(WHAT, format!("{what} is none")));
    let page = Url::parse(&made.html_url).ok().filter(|page| page.origin() == site.web().origin());
    let page = page.filter(|page| page.as_str().len() <= LONGEST_PAGE && page.query().is_none());
    let page = page.ok_or_else(|| wrong("its page"))?;
    let key = Secret::new(made.pem);
    if key.expose().len() > LONGEST_KEY {
        return Err(wrong("its key"));
    }
    App::new(&made.id.to_string(), &key).map_err(|_| wrong("its key"))?;
    let slug = Some(made.slug)
        .filter(|slug| !slug.is_empty() && slug.len() <= LONGEST_SLUG && slug.bytes().all(plain));
    let slug = slug.ok_or_else(|| wrong("its name"))?;
    let hook_secret = made.webhook_secret.filter(|secret| !secret.is_empty()).map(Secret::new);
    let fits =
        |secret: &str| secret.len() <= LONGEST_PROOF && secret.bytes().all(|byte| byte.is_ascii_graphic());
    if hook_secret.as_ref().is_some_and(|secret| !fits(secret.expose())) {
        return Err(wrong("what proves its webhooks"));
    }
    Ok(AppMade { id: made.id, slug, page, key, hook_secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> AppPlan<'static> {
        AppPlan {
            name: "Cofferdam of a company with a long name",
            origin: "https://c.example",
            hook: "https://c.example/hooks/hub",
            hears: true,
            back: "https://c.example/forges/apps/return",
        }
    }

    #[test]
    fn an_app_asks_for_what_is_used_and_for_nothing_else() {
        let manifest = app_manifest(&plan());
        let wanted = json!({
            "actions": "read", "administration": "read", "checks": "write", "contents": "write", "issues": "write",
            "metadata": "read", "pull_requests": "write", "statuses": "read",
        });
        assert_eq!(manifest["default_permissions"], wanted);
        assert_eq!(manifest["public"], false);
        assert_eq!(manifest["hook_attributes"], json!({ "url": plan().hook, "active": true }));
        assert_eq!(manifest["name"], "Cofferdam of a company with a long");
        let deaf = app_manifest(&AppPlan { hears: false, ..plan() });
        assert_eq!(deaf["hook_attributes"]["active"], false);
    }

    #[test]
    fn the_form_leads_to_githubs_own_page() {
        let page = |web: &str, organisation| {
            app_page(&Url::parse(web).unwrap(), organisation, "cfg_1").map(|page| page.to_string())
        };
        assert_eq!(
            page("https://github.com", None).unwrap(),
            "https://github.com/settings/apps/new?state=cfg_1"
        );
        assert_eq!(
            page("https://hub.example/", Some("acme")).unwrap(),
            "https://hub.example/organizations/acme/settings/apps/new?state=cfg_1"
        );
        for wrong in ["", "a/b", "..", "a b", &"a".repeat(40)] {
            assert_eq!(page("https://github.com", Some(wrong)), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_is_no_code_is_not_sent_anywhere() {
        for wrong in ["", "../..", "a b", &"a".repeat(201)] {
            let error = make_app("https://github.invalid", false, wrong).await.unwrap_err();
            assert!(matches!(error, NoApp::Code), "{wrong}: {error}");
        }
        let error = make_app("http://github.invalid", false, "abc").await.unwrap_err();
        assert!(matches!(error, NoApp::Site(SiteError::Plain { .. })), "{error}");
    }
}
