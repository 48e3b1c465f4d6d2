//! Secrets in `HashiCorp` Vault's key-value engines (developer.hashicorp.com/vault/api-docs/secret/kv), and the token to
//! read them by the `AppRole` method (developer.hashicorp.com/vault/api-docs/auth/approle).

use std::time::Duration;

use cofferdam_domain::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    CredentialProblem, KvVersion, VaultSource,
    source::{Good, Source},
};
use crate::fetch::{Answer, Ask};

/// The most bytes that are read of an answer.
const MAX_ANSWER: usize = 1 << 20;

/// Reads the secret's field.
pub(super) async fn read(
    source: &Source,
    vault: &VaultSource,
    token: &Secret,
) -> Result<(Secret, Good), CredentialProblem> {
    let data = match vault.version {
        KvVersion::One => "",
        KvVersion::Two => "data/",
    };
    let path = format!("/v1/{}/{data}{}", vault.mount, vault.path);
    let mut token = HeaderValue::from_str(token.expose())
        .map_err(|_| source.value_problem("no header can carry the token"))?;
    token.set_sensitive(true);
    let answer = send(source, vault, Method::GET, path, Some(token), None).await?;
    let wrapped = match vault.version {
        KvVersion::One => answer.get("data"),
        KvVersion::Two => answer.pointer("/data/data"),
    };
    let text = wrapped.and_then(|data| data.get(&vault.field)).and_then(Value::as_str).ok_or_else(|| {
        let reason = format!("has no text in the field {:?} of {}/{}", vault.field, vault.mount, vault.path);
        problem(source, reason)
    })?;
    let lease = answer.get("lease_duration").and_then(Value::as_u64).filter(|seconds| *seconds > 0);
    let seconds = lease.unwrap_or(vault.valid_seconds).min(vault.valid_seconds);
    Ok((source.secret(text)?, Good::Until(Instant::now() + Duration::from_secs(seconds))))
}

/// A token by a role's id and secret id.
pub(super) async fn login(
    source: &Source,
    vault: &VaultSource,
    role: &str,
    secret: &Secret,
) -> Result<Secret, CredentialProblem> {
    let body = serde_json::json!({ "role_id": role, "secret_id": secret.expose() });
    let answer =
        send(source, vault, Method::POST, "/v1/auth/approle/login".to_owned(), None, Some(body)).await?;
    let token = answer.pointer("/auth/client_token").and_then(Value::as_str);
    source.secret(token.ok_or_else(|| problem(source, "gave no token for the role".to_owned()))?)
}

async fn send(
    source: &Source,
    vault: &VaultSource,
    method: Method,
    path: String,
    token: Option<HeaderValue>,
    body: Option<Value>,
) -> Result<Value, CredentialProblem> {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-vault-request"), HeaderValue::from_static("true"));
    if let Some(namespace) = &vault.namespace {
        let value = HeaderValue::from_str(namespace).map_err(|_| {
            CredentialProblem::misconfigured(
                &source.name,
                "the namespace has characters that no namespace has",
            )
        })?;
        headers.insert(HeaderName::from_static("x-vault-namespace"), value);
    }
    if let Some(token) = token {
        headers.insert(HeaderName::from_static("x-vault-token"), token);
    }
    let address = vault.address.trim_end_matches('/');
    let ask = Ask {
        method,
        url: format!("{address}{path}"),
        headers,
        body: body.map(|body| body.to_string()),
        limit: MAX_ANSWER,
    };
    let answer = source
        .fetch
        .send(ask)
        .await
        .map_err(|error| problem(source, format!("could not be asked: {error}")))?;
    read_answer(source, &answer)
}

fn read_answer(source: &Source, answer: &Answer) -> Result<Value, CredentialProblem> {
    match answer.status {
        StatusCode::OK => serde_json::from_slice(&answer.body)
            .map_err(|_| problem(source, "gave an answer that is no JSON; is the address that of Vault?".to_owned())),
        StatusCode::FORBIDDEN => Err(CredentialProblem::Expired {
            name: source.name.clone(),
            remedy: "Vault does not accept the worker's token for this path: renew the token, or let its policy read the path"
                .to_owned(),
        }),
        StatusCode::NOT_FOUND => {
            Err(problem(source, "has nothing at this mount and path (or the engine has another version: set `version`)".to_owned()))
        }
        StatusCode::SERVICE_UNAVAILABLE => Err(problem(source, "is sealed or in maintenance: unseal it".to_owned())),
        other => Err(problem(source, format!("answered {other}"))),
    }
}

fn problem(source: &Source, reason: String) -> CredentialProblem {
    CredentialProblem::Service { name: source.name.clone(), service: "Vault", reason }
}
