//! Installation tokens of GitHub Apps, made for one repository with the permissions that are configured and no others
//! (docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cofferdam_domain::Secret;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ring::{rand::SystemRandom, signature};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde::Deserialize;

use super::{
    CredentialProblem, GithubAppSource, RepositoryName,
    command::good_until,
    source::{Good, Source},
};
use crate::fetch::{Answer, Ask};

/// The most bytes that are read of an answer.
const MAX_ANSWER: usize = 1 << 20;
/// A token is made anew this long before its end.
const BEFORE_END: Duration = Duration::from_secs(60);

/// What comes back, as far as it matters.
#[derive(Deserialize)]
struct Made {
    token: String,
    expires_at: String,
    #[serde(default)]
    repositories: Vec<Repository>,
    #[serde(default)]
    permissions: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

/// Makes a token for the one repository.
pub(super) async fn mint(
    source: &Source,
    app: &GithubAppSource,
    key: &str,
    api: &str,
) -> Result<(Secret, Good), CredentialProblem> {
    let repository = app.repository.as_ref().or(source.repository.as_ref()).ok_or_else(|| {
        CredentialProblem::misconfigured(
            &source.name,
            "the session's repository is not at GitHub: name one with `repository`",
        )
    })?;
    let assertion = assertion(&app.app_id, key, jiff::Timestamp::now().as_second()).map_err(|reason| {
        CredentialProblem::misconfigured(
            &source.name,
            format!("{}: {reason}", app.private_key_file.display()),
        )
    })?;
    let body = serde_json::json!({ "repositories": [repository.name()], "permissions": app.permissions });
    let ask = Ask {
        method: Method::POST,
        url: format!("{}/app/installations/{}/access_tokens", api.trim_end_matches('/'), app.installation_id),
        headers: headers(source, &assertion)?,
        body: Some(body.to_string()),
        limit: MAX_ANSWER,
    };
    let answer = source
        .fetch
        .send(ask)
        .await
        .map_err(|error| problem(source, format!("could not be asked: {error}")))?;
    let made = made(source, repository, &answer)?;
    check(source, app, repository, &made)?;
    let end = made
        .expires_at
        .parse()
        .map_err(|_| problem(source, "gave a token without a time at which it ends".to_owned()))?;
    let good = good_until(end, BEFORE_END).ok_or_else(|| CredentialProblem::Expired {
        name: source.name.clone(),
        remedy: "GitHub gave a token that is over already: set this machine's clock".to_owned(),
    })?;
    Ok((source.secret(&made.token)?, good))
}

fn headers(source: &Source, assertion: &str) -> Result<HeaderMap, CredentialProblem> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {assertion}"))
        .map_err(|_| source.value_problem("no header can carry the app's assertion"))?;
    bearer.set_sensitive(true);
    Ok(HeaderMap::from_iter([
        (header::AUTHORIZATION, bearer),
        (header::ACCEPT, HeaderValue::from_static("application/vnd.github+json")),
        (header::HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28")),
    ]))
}

fn made(source: &Source, repository: &RepositoryName, answer: &Answer) -> Result<Made, CredentialProblem> {
    match answer.status {
        StatusCode::CREATED => serde_json::from_slice(&answer.body).map_err(|_| {
            problem(source, "gave an answer that is no token; is `api` the address of its API?".to_owned())
        }),
        StatusCode::UNAUTHORIZED => Err(problem(
            source,
            "does not know the app: check app_id and private_key_file, and this machine's clock".to_owned(),
        )),
        StatusCode::NOT_FOUND => Err(problem(
            source,
            "does not know the installation: check installation_id, or install the app again".to_owned(),
        )),
        StatusCode::UNPROCESSABLE_ENTITY => {
            let name = repository.as_str();
            Err(problem(
                source,
                format!("does not give these permissions on {name}: install the app there, or ask for fewer"),
            ))
        }
        other => Err(problem(source, format!("answered {other}"))),
    }
}

/// A token that can do more than was asked for is not used.
fn check(
    source: &Source,
    app: &GithubAppSource,
    repository: &RepositoryName,
    made: &Made,
) -> Result<(), CredentialProblem> {
    let only =
        made.repositories.iter().all(|given| given.full_name.eq_ignore_ascii_case(repository.as_str()));
    if !only || made.repositories.is_empty() {
        return Err(problem(
            source,
            format!("gave a token that is not for {} alone, which is not used", repository.as_str()),
        ));
    }
    // Reading metadata comes with every permission.
    let more = made.permissions.iter().find(|(name, level)| {
        app.permissions.get(*name) != Some(*level) && !(*name == "metadata" && *level == "read")
    });
    match more {
        Some((name, level)) => {
            Err(problem(source, format!("gave a token that may also {level} {name}, which is not used")))
        }
        None => Ok(()),
    }
}

fn problem(source: &Source, reason: String) -> CredentialProblem {
    CredentialProblem::Service { name: source.name.clone(), service: "GitHub", reason }
}

/// A JSON Web Token signed with RS256 (RFC 7519, RFC 7515) that says which app asks. Good for nine minutes, and from a
/// minute ago, for clocks that differ.
fn assertion(app_id: &str, key: &str, now: i64) -> Result<String, &'static str> {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "no private key in PEM form")?;
    let pair = match &key {
        PrivateKeyDer::Pkcs1(der) => signature::RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(_) | _ => return Err("the key of a GitHub App is an RSA key"),
    };
    let pair = pair.map_err(|_| "not an RSA key of 2048 bits or more")?;
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let head = part(serde_json::json!({ "alg": "RS256", "typ": "JWT" }));
    let claims = part(serde_json::json!({ "iat": now - 60, "exp": now + 540, "iss": app_id }));
    let text = format!("{head}.{claims}");
    let mut signed = vec![0; pair.public().modulus_len()];
    pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signed)
        .map_err(|_| "signing failed")?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signed)))
}
