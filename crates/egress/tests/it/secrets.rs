//! Secrets from servers that speak the APIs of Vault and of GitHub.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use cofferdam_egress::{CredentialHost, CredentialProblem, Credentials, Roots};
use http::{Response, header::HeaderMap};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::host::{Authority, Got, Host};

const SECRET: &str = "s3cret-7Hq9zXw2LmN4/+&kd";

fn credentials(texts: &[String], variables: &[(&str, &str)], authority: &Authority) -> Credentials {
    let roots = Roots { host: false, extra: authority.pem().into_bytes() };
    let variables: BTreeMap<String, OsString> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    let host = CredentialHost { variables, tls: roots.tls().unwrap() };
    Credentials::new(texts.iter().map(|text| toml::from_str(text).unwrap()).collect(), host).unwrap()
}

fn answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(Bytes::from(body.to_string()))).unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// As Vault answers (developer.hashicorp.com/vault/api-docs).
fn vault(got: &Got) -> Response<Full<Bytes>> {
    let path = got.line.split(' ').nth(1).unwrap();
    if path == "/v1/auth/approle/login" {
        let said: Value = serde_json::from_slice(&got.body).unwrap();
        return if said == json!({ "role_id": "role", "secret_id": "the-secret-id" }) {
            answer(200, &json!({ "auth": { "client_token": "token-of-role", "lease_duration": 60 } }))
        } else {
            answer(400, &json!({ "errors": ["invalid role or secret ID"] }))
        };
    }
    if !matches!(header(&got.headers, "x-vault-token"), "worker-token" | "token-of-role") {
        return answer(403, &json!({ "errors": ["permission denied"] }));
    }
    match path {
        "/v1/secret/data/ci/forge" => {
            answer(200, &json!({ "data": { "data": { "token": SECRET }, "metadata": { "version": 3 } } }))
        }
        "/v1/kv/ci/forge" => {
            answer(200, &json!({ "data": { "token": SECRET }, "lease_duration": 2_764_800 }))
        }
        _ => answer(404, &json!({ "errors": [] })),
    }
}

#[tokio::test]
async fn vault_gives_secrets() {
    let authority = Authority::new();
    let server = Host::answering(Some(authority.vouch("localhost", &["http/1.1"])), vault).await;
    let folder = tempfile::tempdir().unwrap();
    let secret_id = folder.path().join("secret-id");
    std::fs::write(&secret_id, "the-secret-id\n").unwrap();
    let port = server.address.port();
    let configured = |source: &str, login: &str| {
        format!(
            "name = 'v'\nhost = 'a.example'\nsource = {{ vault = {{ address = 'https://localhost:{port}', field = 'token', {source}, login = {{ {login} }} }} }}"
        )
    };
    let approle = format!("approle = {{ role_id = 'role', secret_id_file = '{}' }}", secret_id.display());
    for (source, login, expected) in [
        ("path = 'ci/forge'", "token_env = 'VAULT_TOKEN'", None),
        (
            "path = 'ci/forge', mount = 'kv', version = 1, namespace = 'team'",
            "token_env = 'VAULT_TOKEN'",
            None,
        ),
        ("path = 'ci/forge'", approle.as_str(), None),
        ("path = 'ci/forge'", "token_env = 'OLD_TOKEN'", Some("renew the token")),
        ("path = 'ci/other'", "token_env = 'VAULT_TOKEN'", Some("nothing at this mount and path")),
        ("path = 'ci/forge', mount = 'kv'", "token_env = 'VAULT_TOKEN'", Some("another version")),
        ("path = 'ci/forge'", "token_env = 'NOT_SET'", Some("NOT_SET is not set")),
    ] {
        let variables = [("VAULT_TOKEN", "worker-token"), ("OLD_TOKEN", "a-token-that-is-over")];
        let credentials = credentials(&[configured(source, login)], &variables, &authority);
        let problems = credentials.problems().await;
        let said = problems.first().map(ToString::to_string);
        match expected {
            None => assert_eq!(said, None, "{source} {login}"),
            Some(expected) => assert!(said.unwrap().contains(expected), "{source} {login}: {problems:?}"),
        }
        assert!(!format!("{problems:?}").contains("a-token-that-is-over"));
    }
    assert!(server.got().iter().any(|got| header(&got.headers, "x-vault-namespace") == "team"));
    drop(server);
    let gone = credentials(
        &[configured("path = 'ci/forge'", "token_env = 'VAULT_TOKEN'")],
        &[("VAULT_TOKEN", "worker-token")],
        &authority,
    );
    assert!(gone.problems().await[0].to_string().contains("could not be asked"));
}

/// A private key as GitHub gives out; nothing where there is no openssl.
fn private_key() -> Option<Vec<u8>> {
    let made = Command::new("openssl").args(["genrsa", "-traditional", "2048"]).output().ok()?;
    made.status.success().then_some(made.stdout)
}

/// The claims of an assertion whose signature is good.
fn claims(assertion: &str, key: &ring::signature::RsaKeyPair) -> Value {
    let (text, signed) = assertion.rsplit_once('.').unwrap();
    let public = ring::signature::UnparsedPublicKey::new(
        &ring::signature::RSA_PKCS1_2048_8192_SHA256,
        key.public().as_ref(),
    );
    public.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signed).unwrap()).unwrap();
    let (head, claims) = text.split_once('.').unwrap();
    let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
    assert_eq!(head, json!({ "alg": "RS256", "typ": "JWT" }));
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[tokio::test]
async fn github_apps_get_tokens_for_one_repository() {
    let Some(pem) = private_key() else {
        eprintln!("SKIPPED: openssl is not here, so no RSA key can be made");
        return;
    };
    let pair = {
        use rustls::pki_types::{PrivatePkcs1KeyDer, pem::PemObject as _};
        let der = PrivatePkcs1KeyDer::from_pem_slice(&pem).unwrap();
        ring::signature::RsaKeyPair::from_der(der.secret_pkcs1_der()).unwrap()
    };
    let authority = Authority::new();
    let made = Arc::<AtomicUsize>::default();
    let given = Arc::new(Mutex::new(json!([{ "full_name": "acme/tool" }])));
    let server = Host::answering(Some(authority.vouch("localhost", &["http/1.1"])), {
        let (made, given) = (made.clone(), given.clone());
        move |got| {
            let claims = claims(header(&got.headers, "authorization").strip_prefix("Bearer ").unwrap(), &pair);
            if claims["iss"] != "7" {
                return answer(401, &json!({ "message": "A JSON web token could not be decoded" }));
            }
            assert!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 600);
            if got.line != "POST /app/installations/99/access_tokens" {
                return answer(404, &json!({ "message": "Not Found" }));
            }
            let asked: Value = serde_json::from_slice(&got.body).unwrap();
            assert_eq!(asked, json!({ "repositories": ["tool"], "permissions": { "contents": "read" } }));
            let number = made.fetch_add(1, Ordering::SeqCst);
            let permissions = json!({ "contents": "read", "metadata": "read" });
            let given = given.lock().unwrap().clone();
            answer(201, &json!({ "token": format!("ghs_{number:040}"), "expires_at": "2999-01-01T00:00:00Z", "permissions": permissions, "repositories": given }))
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    std::fs::write(&key, pem).unwrap();
    let configured = |app: &str, installation: u32| {
        format!(
            "name = 'g'\nhost = 'a.example'\nsource = {{ github_app = {{ app_id = '{app}', private_key_file = '{}', installation_id = {installation}, api = 'https://localhost:{}', permissions = {{ contents = 'read' }} }} }}",
            key.display(),
            server.address.port()
        )
    };
    let repository = "acme/tool".parse().unwrap();
    let worker = credentials(&[configured("7", 99)], &[], &authority);
    for sessions in 1..3 {
        let session = worker.for_session(Some(&repository));
        for _ in 0..3 {
            assert_eq!(session.problems().await, []);
        }
        assert_eq!(made.load(Ordering::SeqCst), sessions, "one for each session");
    }
    assert!(matches!(worker.for_session(None).problems().await[0], CredentialProblem::Misconfigured { .. }));
    for (app, installation, expected) in
        [("8", 99, "does not know the app"), ("7", 98, "does not know the installation")]
    {
        let other =
            credentials(&[configured(app, installation)], &[], &authority).for_session(Some(&repository));
        let problem = other.problems().await.pop().unwrap().to_string();
        assert!(problem.contains(expected), "{problem}");
    }
    *given.lock().unwrap() = json!([{ "full_name": "acme/tool" }, { "full_name": "acme/other" }]);
    let wider = worker.for_session(Some(&repository)).problems().await.pop().unwrap().to_string();
    assert!(wider.contains("not for acme/tool alone") && !wider.contains("ghs_"), "{wider}");
}
