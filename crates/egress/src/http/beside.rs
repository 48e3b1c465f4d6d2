//! What a request may say beside the credential that the door adds: nothing by which a server could take it for
//! somebody else's.
//!
//! Which fields log in differs from server to server (cookies, `Private-Token`, `X-Api-Key`), so that only those pass
//! that are known to say something else.

use cofferdam_domain::egress::Refusal;
use http::{HeaderMap, HeaderName};

use crate::{decide::Denied, refuse::denied};

/// Fields that log nobody in: content negotiation, what is sent, conditions, and versions of well-known interfaces.
const FIELDS: [&str; 31] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "anthropic-beta",
    "anthropic-version",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "git-protocol",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "openai-beta",
    "pragma",
    "prefer",
    "te",
    "user-agent",
    "x-github-api-version",
    "x-goog-fieldmask",
    "x-ms-version",
];

/// Query parameters that log in, in the form of [`parameter`].
const PARAMETERS: [&str; 17] = [
    "access_key",
    "access_token",
    "api_key",
    "api_token",
    "apikey",
    "auth",
    "auth_token",
    "authorization",
    "client_secret",
    "deploy_token",
    "job_token",
    "key",
    "oauth_token",
    "password",
    "private_token",
    "token",
    "x_api_key",
];

/// Takes away everything that could log in.
pub(super) fn remove_logins(headers: &mut HeaderMap) {
    let strange: Vec<HeaderName> =
        headers.keys().filter(|name| FIELDS.binary_search(&name.as_str()).is_err()).cloned().collect();
    for name in strange {
        headers.remove(name);
    }
}

/// Refuses a query that logs in: without it the request would be another one, so it is not taken away.
pub(super) fn check_query(query: Option<&str>) -> Result<(), Denied> {
    let names = query.into_iter().flat_map(|query| query.split(['&', ';']));
    let login = names.map(parameter).find(|name| PARAMETERS.contains(&name.as_str()));
    login.map_or(Ok(()), |name| {
        let reason = format!(
            "the query has the parameter {name}, which logs in, but the door adds the credential for this request: leave it out"
        );
        Err(denied(Refusal::Query, &reason))
    })
}

/// A parameter's name as the most lenient servers read it: decoded, in lower case, without an index (`token[]`), and
/// with `_` for what cannot stand in the name of a variable.
fn parameter(pair: &str) -> String {
    let name = pair.split('=').next().unwrap_or_default();
    let mut rest = name.as_bytes();
    let mut decoded = Vec::with_capacity(name.len());
    while let Some((&byte, after)) = rest.split_first() {
        let value = after.get(..2).filter(|_| byte == b'%').and_then(|digits| hex::decode(digits).ok());
        match value {
            Some(value) => {
                decoded.extend(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    let name = String::from_utf8_lossy(&decoded).to_lowercase();
    let name = name.split(['[', '\0']).next().unwrap_or_default();
    let plain = |one: char| if one.is_alphanumeric() { one } else { '_' };
    name.chars().map(plain).collect::<String>().trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_logs_nobody_in_passes() {
        assert!(FIELDS.is_sorted());
        let mut headers = HeaderMap::new();
        for name in ["accept", "cookie", "private-token", "job-token", "x-api-key", "x-anything", "if-match"]
        {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        remove_logins(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["accept", "if-match"]);
    }

    #[test]
    fn queries_that_log_in_are_refused_however_they_are_written() {
        for query in [
            "token=x",
            "a=b&private_token=x",
            "a=b;access_token=x",
            "PRIVATE_TOKEN=x",
            "private%5ftoken=x",
            "private%5Ftoken[]=x",
            "private%5b%5d=1&private-token=x",
            "api.key=x",
            "+api+key=x",
            "auth",
        ] {
            assert!(check_query(Some(query)).is_err(), "{query}");
        }
        for query in
            ["", "a=token", "page_token=x", "keys=1", "per_page=100&q=key", "service=git-upload-pack"]
        {
            assert!(check_query(Some(query)).is_ok(), "{query}");
        }
        assert!(check_query(None).is_ok());
    }
}
