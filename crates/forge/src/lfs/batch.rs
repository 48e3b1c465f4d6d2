//! The batch API (<https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md>): what is asked, and a strict reading of what is answered.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::LfsPointer;

/// The media type of requests and answers.
pub(super) const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
/// Objects in one request, as git-lfs asks for.
pub(super) const AT_ONCE: usize = 100;
/// Headers of one request that a server may wish for, and their bytes.
const MOST_HEADERS: usize = 32;
const LONGEST_HEADER: usize = 8 << 10;

/// What is to be done with contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Download,
    Upload,
}

/// The question.
pub(super) fn question(operation: Operation, reference: Option<&str>, objects: &[LfsPointer]) -> Value {
    let objects: Vec<Value> =
        objects.iter().map(|object| json!({ "oid": object.content.hex(), "size": object.size })).collect();
    let operation = match operation {
        Operation::Download => "download",
        Operation::Upload => "upload",
    };
    let mut question = json!({
        "operation": operation,
        "transfers": ["basic"],
        "objects": objects,
        "hash_algo": "sha256",
    });
    if let Some(name) = reference {
        question["ref"] = json!({ "name": name });
    }
    question
}

/// The answer.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    transfer: Option<String>,
    #[serde(default)]
    hash_algo: Option<String>,
    objects: Vec<AnsweredObject>,
}

#[derive(Debug, Deserialize)]
struct AnsweredObject {
    oid: String,
    #[serde(default)]
    authenticated: Option<bool>,
    #[serde(default)]
    actions: Option<Actions>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Debug, Default, Deserialize)]
struct Actions {
    download: Option<Link>,
    upload: Option<Link>,
    verify: Option<Link>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    message: Option<String>,
}

/// Where something is to be asked, and with what.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Link {
    pub(super) href: String,
    #[serde(default)]
    header: Option<BTreeMap<String, String>>,
    /// Whether the request is authenticated as it is.
    #[serde(skip)]
    pub(super) authenticated: bool,
}

impl Link {
    /// The headers that the server wishes for, without those that are for the connection to say. `None` if they are none.
    pub(super) fn headers(&self) -> Option<http::HeaderMap> {
        const OURS: [&str; 8] = [
            "connection",
            "content-length",
            "expect",
            "host",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ];
        let mut headers = http::HeaderMap::new();
        for (name, value) in self.header.iter().flatten() {
            let name: http::HeaderName = name.parse().ok()?;
            let mut value =
                http::HeaderValue::from_str(value).ok().filter(|value| value.len() <= LONGEST_HEADER)?;
            value.set_sensitive(true);
            if !OURS.contains(&name.as_str()) {
                headers.insert(name, value);
            }
        }
        (headers.len() <= MOST_HEADERS).then_some(headers)
    }
}

/// What the server says about one object.
#[derive(Debug, Clone)]
pub(super) enum Said {
    /// It is to be read there.
    Download(Link),
    /// It is to be written there, and then said to be there.
    Upload(Link, Option<Link>),
    /// The server has it.
    There,
    /// It refuses: with this code, and these words of its own.
    Refused(Option<u16>, String),
}

/// Reads the answer to a question about these objects. What it says of others counts for nothing; what it does not mention is not there.
pub(super) fn read(
    answer: &[u8],
    operation: Operation,
    objects: &[LfsPointer],
) -> Result<BTreeMap<LfsPointer, Said>, String> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    if answer.transfer.as_deref().is_some_and(|transfer| transfer != "basic") {
        return Err("it wants another transfer than `basic`".to_owned());
    }
    if answer.hash_algo.as_deref().is_some_and(|algorithm| algorithm != "sha256") {
        return Err("it wants another digest than SHA-256".to_owned());
    }
    let asked: BTreeMap<String, LfsPointer> =
        objects.iter().map(|asked| (asked.content.hex(), *asked)).collect();
    let mut said = BTreeMap::new();
    for object in answer.objects {
        if let Some(asked) = asked.get(&object.oid) {
            said.insert(*asked, meaning(object, operation));
        }
    }
    Ok(said)
}

fn meaning(object: AnsweredObject, operation: Operation) -> Said {
    if let Some(error) = object.error {
        return Said::Refused(error.code, error.message.unwrap_or_default());
    }
    let authenticated = object.authenticated.unwrap_or(false);
    let known = |link: Link| Link { authenticated, ..link };
    let actions = object.actions.unwrap_or_default();
    match operation {
        Operation::Download => match actions.download {
            Some(link) => Said::Download(known(link)),
            None => Said::Refused(None, String::new()),
        },
        Operation::Upload => match actions.upload {
            Some(link) => Said::Upload(known(link), actions.verify.map(known)),
            None => Said::There,
        },
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::Digest;

    use super::*;

    fn pointer() -> LfsPointer {
        LfsPointer { content: Digest::of(b"abc"), size: 3 }
    }

    fn said(operation: Operation, object: &Value) -> Option<Said> {
        let mut object = object.clone();
        object["oid"] = json!(pointer().content.hex());
        let answer = json!({ "transfer": "basic", "objects": [object, { "oid": "x", "actions": {} }] });
        let mut said = read(answer.to_string().as_bytes(), operation, &[pointer()]).unwrap();
        assert!(said.len() <= 1);
        said.remove(&pointer())
    }

    #[test]
    fn what_is_answered() {
        let link = json!({ "href": "https://x/y", "header": { "Key": "v", "Transfer-Encoding": "chunked" } });
        let object = json!({ "size": 3, "authenticated": true, "actions": { "download": link } });
        let Some(Said::Download(found)) = said(Operation::Download, &object) else { panic!() };
        assert_eq!((found.href.as_str(), found.authenticated), ("https://x/y", true));
        let headers = found.headers().unwrap();
        assert_eq!((headers.len(), headers["key"].to_str().unwrap()), (1, "v"));
        let object = json!({ "actions": { "upload": link, "verify": link } });
        assert!(matches!(said(Operation::Upload, &object), Some(Said::Upload(_, Some(_)))));
        assert!(matches!(said(Operation::Upload, &json!({ "size": 3 })), Some(Said::There)));
        let gone = json!({ "error": { "code": 404, "message": "Object does not exist" } });
        let Some(Said::Refused(code, why)) = said(Operation::Download, &gone) else { panic!() };
        assert_eq!((code, why.as_str()), (Some(404), "Object does not exist"));
        assert!(matches!(said(Operation::Download, &json!({ "actions": {} })), Some(Said::Refused(None, _))));
    }

    #[test]
    fn what_no_server_answers() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"objects":{}}"#,
            r#"{"objects":[{"size":3}]}"#,
            r#"{"transfer":"ssh","objects":[]}"#,
            r#"{"hash_algo":"sha1","objects":[]}"#,
            r#"{"objects":[{"oid":"x","actions":{"download":{}}}]}"#,
        ] {
            assert!(read(bad.as_bytes(), Operation::Download, &[pointer()]).is_err(), "{bad}");
        }
        let link = |header: Value| -> Link {
            serde_json::from_value(json!({ "href": "", "header": header })).unwrap()
        };
        let many: BTreeMap<String, &str> = (0..40).map(|number| (format!("x-{number}"), "v")).collect();
        for bad in [
            json!({ "a b": "v" }),
            json!({ "a": "b\r\nc: d" }),
            json!({ "a": "x".repeat(9000) }),
            json!(many),
        ] {
            assert!(link(bad.clone()).headers().is_none(), "{bad}");
        }
    }

    #[test]
    fn what_is_asked() {
        let asked = question(Operation::Upload, Some("refs/heads/b"), &[pointer()]);
        assert_eq!(asked["objects"][0], json!({ "oid": pointer().content.hex(), "size": 3 }));
        assert_eq!(
            (&asked["operation"], &asked["ref"]["name"], &asked["transfers"]),
            (&json!("upload"), &json!("refs/heads/b"), &json!(["basic"]))
        );
        assert!(question(Operation::Download, None, &[]).get("ref").is_none());
    }
}
