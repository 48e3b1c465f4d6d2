//! What a request may say beside the credential that the door adds: nothing by which a server could take it for
//! somebody else's.
//!
//! Which fields log in differs from server to server (cookies, `Private-Token`, `X-Api-Key`), so that only those pass
//! that are known to say something else.

use cofferdam_domain::egress::{Method, Refusal};
use http::{HeaderMap, HeaderName, header};

use super::{
    gathered::Gathered,
    json::{self, Names},
};
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
            "the query has the parameter {name}, which logs in, but the session has a credential for this host, and nobody logs in there otherwise: leave it out"
        );
        Err(denied(Refusal::Query, &reason))
    })
}

/// More names of fields by which forms log in.
const FORM_FIELDS: [&str; 4] = ["pass", "passwd", "passphrase", "pwd"];

/// What is said where a form cannot be read.
const UNREAD: &str =
    "could not be looked through for a login, and the session has a credential for this host";

/// Refuses a body that logs in and is a form or JSON, as the most lenient servers see it. Gives what the rest of long JSON is to be looked
/// through with.
pub(super) fn check_body(
    method: &Method,
    headers: &HeaderMap,
    body: &Gathered,
) -> Result<Option<JsonLogins>, Denied> {
    let (fields, parts) = (is_form(method, headers), has_parts(headers));
    let said = is_json(headers);
    let compressed = !headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if (fields || parts) && !body.is_all() {
        return Err(denied(Refusal::Body, &format!("a form of this length {UNREAD}")));
    }
    if compressed && (fields || parts || said) {
        return Err(denied(Refusal::Body, &format!("a form or JSON that is compressed {UNREAD}")));
    }
    if fields {
        check_form(body.beginning())?;
    }
    if parts {
        check_parts(body.beginning())?;
    }
    if said && json::is_wide(body.beginning()) {
        return Err(denied(Refusal::Body, &format!("JSON in another encoding than UTF-8 {UNREAD}")));
    }
    if parts || !(said || json::begins(body.beginning())) {
        return Ok(None);
    }
    JsonLogins::default().check(body.beginning())?;
    Ok((!body.is_all()).then(JsonLogins::default))
}

/// Looks for names by which JSON logs in, while it passes.
#[derive(Debug, Default)]
pub(crate) struct JsonLogins(Names);

impl JsonLogins {
    /// Refuses it at the first of them.
    pub(crate) fn check(&mut self, bytes: &[u8]) -> Result<(), Denied> {
        match self.0.find(bytes, |name| logs_in(&parameter(name))) {
            Some(name) => Err(login(&format!("the JSON has the member {:?}", parameter(&name)))),
            None => Ok(()),
        }
    }
}

/// Whether a body is said to be JSON, by itself (RFC 8259), as the form of something else (RFC 6839), or many.
fn is_json(headers: &HeaderMap) -> bool {
    content_types(headers).any(|kind| kind.to_ascii_lowercase().ends_with(b"json"))
}

/// Whether a body is a form (WHATWG URL, section 5). One that is said to be nothing is, for some servers, when it is posted.
fn is_form(method: &Method, headers: &HeaderMap) -> bool {
    let nothing = content_types(headers).all(<[u8]>::is_empty);
    (nothing && method.as_str() == "POST")
        || content_types(headers).any(|kind| kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded"))
}

/// Whether a body is a form of parts (RFC 7578), or one of its kin, which some servers read in the same way.
fn has_parts(headers: &HeaderMap) -> bool {
    const KIN: &[u8] = b"multipart/";
    content_types(headers)
        .any(|kind| kind.get(..KIN.len()).is_some_and(|family| family.eq_ignore_ascii_case(KIN)))
}

/// What a body is said to be, without parameters, which some servers let begin with a comma.
fn content_types(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::CONTENT_TYPE).iter().map(|value| {
        value.as_bytes().split(|byte| matches!(byte, b';' | b',')).next().unwrap_or_default().trim_ascii()
    })
}

/// Refuses a form that logs in.
fn check_form(form: &[u8]) -> Result<(), Denied> {
    let text = String::from_utf8_lossy(form);
    text.split(['&', ';']).try_for_each(check_field)
}

/// The same for a form of parts, whose fields are named at their heads.
fn check_parts(form: &[u8]) -> Result<(), Denied> {
    // What begins with a space goes on with the line before.
    let text = String::from_utf8_lossy(form).replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
    for (field, value) in text.split(['\n', '\r']).filter_map(|line| line.split_once(':')) {
        match field.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => part_names(value).try_for_each(|name| check_field(&name))?,
            "content-id" => check_field(value.trim())?,
            _ => {}
        }
    }
    Ok(())
}

/// What a part could be called (RFC 7578, section 4.2; RFC 5987).
fn part_names(disposition: &str) -> impl Iterator<Item = String> {
    disposition.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let called = name.trim().trim_end_matches('*').eq_ignore_ascii_case("name");
        let value = value.trim().replace(['"', '\\'], "");
        called.then(|| value.trim_matches('\'').rsplit('\'').next().unwrap_or_default().to_owned())
    })
}

fn check_field(pair: &str) -> Result<(), Denied> {
    let name = parameter(pair);
    if logs_in(&name) { Err(login(&format!("the form has the field {name}"))) } else { Ok(()) }
}

/// Whether what is called so in a body logs in.
fn logs_in(name: &str) -> bool {
    PARAMETERS.contains(&name) && name != "key" || FORM_FIELDS.contains(&name)
}

fn login(what: &str) -> Denied {
    let reason = format!(
        "{what}, which logs in, but the session has a credential for this host, and nobody logs in there otherwise: leave it out"
    );
    denied(Refusal::Body, &reason)
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
    fn forms_that_log_in_are_refused() {
        for form in
            ["user=a&password=b", "pass%77ord=b", "PASSWD=b&x=1", "grant_type=password&client_secret=x"]
        {
            assert!(check_form(form.as_bytes()).is_err(), "{form}");
        }
        for form in ["title=password&body=x", "key=PROJ-1", "", "\u{ff}"] {
            assert!(check_form(form.as_bytes()).is_ok(), "{form}");
        }
        let headers = |kind: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
        };
        let form = |kind: &'static str| is_form(&Method::POST, &headers(kind));
        assert!(form("Application/x-www-form-urlencoded; charset=utf-8"));
        assert!(form("application/x-www-form-urlencoded ,x") && form(""));
        assert!(!form("application/json") && is_form(&Method::POST, &HeaderMap::new()));
        assert!(!is_form(&"PUT".parse().unwrap(), &HeaderMap::new()));
        assert!(has_parts(&headers("Multipart/Form-Data; boundary=x")) && !has_parts(&headers("multipart")));
    }

    #[test]
    fn json_that_logs_in_is_refused() {
        let check = |text: &str| JsonLogins::default().check(text.as_bytes()).is_err();
        for text in [
            r#"{"user":"a","password":"b"}"#,
            r#"{"Private-Token":"x"}"#,
            r#"[{"session":{"access_token":1}}]"#,
            r#"{"p\u0061sswd":1}"#,
        ] {
            assert!(check(text), "{text}");
        }
        for text in [
            r#"{"title":"password","body":"\"token\":1"}"#,
            r#"{"key":"PROJ-1","page_token":1}"#,
            "[1,2]",
            "password",
        ] {
            assert!(!check(text), "{text}");
        }
        let said = |kind: &'static str| {
            is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]))
        };
        assert!(
            said("application/json; charset=utf-8")
                && said("application/vnd.api+JSON")
                && said("application/x-ndjson")
        );
        assert!(!said("text/plain") && !said(""));
    }

    #[test]
    fn parts_that_log_in_are_refused() {
        for head in [
            "Content-Disposition: form-data; name=\"private_token\"",
            "content-disposition:form-data;filename=x;NAME = 'job_token'",
            "Content-Disposition: form-data;\r\n name=\"pass\\word\"",
            "Content-Disposition: form-data; name*=utf-8''access%5Ftoken",
            "Content-ID: token",
        ] {
            assert!(check_parts(format!("--x\r\n{head}\r\n\r\nv\r\n--x--").as_bytes()).is_err(), "{head}");
        }
        let file = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"token\"\r\n\r\n<input name=\"password\">";
        assert!(check_parts(file.as_bytes()).is_ok());
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
