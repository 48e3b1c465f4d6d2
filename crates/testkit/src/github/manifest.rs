//! Apps that are made from manifests, which the emulator lacks: the page to which a manifest is posted, and the exchange of the code for the
//! app, as the documentation has them. The app that is made is always the one that the emulator knows from the beginning.
//!
//! Source: <https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest>.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use reqwest::Url;
use serde_json::{Value, json};

use super::{
    GitHub,
    front::{Asked, Shared, in_json},
};

/// What a manifest may have.
const KEYS: [&str; 13] = [
    "callback_urls",
    "default_events",
    "default_permissions",
    "description",
    "hook_attributes",
    "name",
    "public",
    "redirect_url",
    "request_oauth_on_install",
    "setup_on_update",
    "setup_url",
    "url",
    "request_oauth",
];

/// The answer, where it is about this.
pub(super) fn answer(shared: &Shared, asked: &Asked) -> Option<Response> {
    let parts: Vec<&str> = asked.path.split('/').skip(1).collect();
    match (asked.method.as_str(), parts.as_slice()) {
        ("POST", ["settings", "apps", "new"] | ["organizations", _, "settings", "apps", "new"]) => {
            Some(match page(shared, asked) {
                Ok(page) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response(),
                Err(why) => (StatusCode::UNPROCESSABLE_ENTITY, why).into_response(),
            })
        }
        ("POST", ["app-manifests", code, "conversions"]) => Some(convert(shared, code)),
        _ => None,
    }
}

/// The page on which a person agrees: GitHub's own, of which only the button matters.
fn page(shared: &Shared, asked: &Asked) -> Result<String, String> {
    let pairs = |query: &str| -> Vec<(String, String)> {
        let url = Url::parse(&format!("http://x/?{query}")).unwrap();
        url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
    };
    let posted = pairs(std::str::from_utf8(&asked.body).unwrap_or_default());
    let [(key, manifest)] = &*posted else { return Err("there is one field, the manifest".to_owned()) };
    let manifest: Value = serde_json::from_str(manifest).map_err(|error| error.to_string())?;
    if key != "manifest" {
        return Err("the field is called manifest".to_owned());
    }
    check(&manifest)?;
    let state = pairs(asked.query.trim_start_matches('?')).into_iter().find(|(key, _)| key == "state");
    let state = state.map(|(_, value)| value).unwrap_or_default();
    let code = shared.manifest_posted(manifest.clone());
    let back = manifest["redirect_url"].as_str().unwrap_or_default();
    Ok(format!(
        "<!DOCTYPE html><title>Create GitHub App</title><form action=\"{back}\"><input type=hidden name=code value=\"{code}\">\
         <input type=hidden name=state value=\"{state}\"><button id=agree autofocus>Create GitHub App</button></form>"
    ))
}

fn check(manifest: &Value) -> Result<(), String> {
    let text = |key: &str| manifest[key].as_str().filter(|text| !text.is_empty()).ok_or(format!("no {key}"));
    let unknown = manifest.as_object().into_iter().flatten().find(|(key, _)| !KEYS.contains(&key.as_str()));
    if let Some((key, _)) = unknown {
        return Err(format!("{key} is not known"));
    }
    if text("name")?.chars().count() > 34 {
        return Err("the name is longer than 34 characters".to_owned());
    }
    let [_, _] = [text("url")?, text("redirect_url")?].map(|url| Url::parse(url).map_err(|_| "no URL"));
    let hook = &manifest["hook_attributes"];
    let place = hook["url"].as_str().and_then(|url| Url::parse(url).ok()).ok_or("the hook has no URL")?;
    if hook["active"] == true && matches!(place.host_str(), Some("localhost" | "127.0.0.1")) {
        return Err("the hook's URL is not reachable over the public internet".to_owned());
    }
    let permissions = manifest["default_permissions"].as_object().ok_or("no permissions")?;
    let level = |value: &Value| matches!(value.as_str(), Some("read" | "write" | "admin"));
    if permissions.is_empty() || !permissions.values().all(level) {
        return Err("a permission is read, write or admin".to_owned());
    }
    Ok(())
}

/// A code is exchanged once.
fn convert(shared: &Shared, code: &str) -> Response {
    let Some((manifest, key)) = shared.manifest_of(code) else {
        return in_json(StatusCode::NOT_FOUND, &json!({ "message": "Not Found" }));
    };
    let owner = json!({
        "login": GitHub::OWNER.0, "id": 1, "node_id": "MDQ6VXNlcjE=", "type": "User", "site_admin": false,
        "avatar_url": shared.address("/avatar"), "gravatar_id": "", "url": shared.address("/users/octocat"),
        "html_url": shared.address("/octocat"), "followers_url": shared.address("/f"),
        "following_url": shared.address("/f"), "gists_url": shared.address("/g"),
        "starred_url": shared.address("/s"), "subscriptions_url": shared.address("/s"),
        "organizations_url": shared.address("/o"), "repos_url": shared.address("/r"),
        "events_url": shared.address("/e"), "received_events_url": shared.address("/e"),
    });
    let app = json!({
        "id": GitHub::APP,
        "slug": GitHub::APP_SLUG,
        "node_id": "MDM6QXBwMQ==",
        "client_id": "Iv1.8a61f9b3a7aba766",
        "owner": owner,
        "name": manifest["name"],
        "description": manifest["description"],
        "external_url": manifest["url"],
        "html_url": shared.address(&format!("/apps/{}", GitHub::APP_SLUG)),
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "permissions": manifest["default_permissions"],
        "events": manifest["default_events"],
        "client_secret": "1726be1638095a19edd134c77bde3aa2ece1e5d8",
        "webhook_secret": GitHub::HOOK_SECRET,
        "pem": key,
    });
    in_json(StatusCode::CREATED, &app)
}
