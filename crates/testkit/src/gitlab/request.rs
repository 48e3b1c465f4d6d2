//! What a request says, held against what GitLab's documentation lets it say.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

/// What a parameter holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Number,
    Truth,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Some of these: `name[]` in a query.
    SomeOf(&'static [&'static str]),
    /// An object, whose fields its user looks at.
    Object,
}

/// A parameter: its name, what it holds, and whether it must be there.
pub(super) type Parameter = (&'static str, Kind, bool);

/// What every list takes (<https://docs.gitlab.com/api/rest/#offset-based-pagination>).
const PAGING: [Parameter; 2] = [("page", Kind::Number, false), ("per_page", Kind::Number, false)];

/// An answer that is an error, as GitLab words them.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) Value);

pub(super) fn refusal<T>(status: StatusCode, message: impl Into<Value>) -> Result<T, Refusal> {
    Err(Refusal(status, json!({ "message": message.into() })))
}

pub(super) fn missing<T>(what: &str) -> Result<T, Refusal> {
    refusal(StatusCode::NOT_FOUND, format!("404 {what} Not Found"))
}

pub(super) fn forbidden<T>() -> Result<T, Refusal> {
    refusal(StatusCode::FORBIDDEN, "403 Forbidden")
}

pub(super) fn not_allowed<T>() -> Result<T, Refusal> {
    Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, json!({ "error": "405 Not Allowed" })))
}

/// What the request's parameters break.
fn invalid<T>(why: String) -> Result<T, Refusal> {
    Err(Refusal(StatusCode::BAD_REQUEST, json!({ "error": why })))
}

/// The parameters of a query and of a body, which GitLab does not tell apart.
#[derive(Debug, Default)]
pub(super) struct Parameters(Map<String, Value>);

impl Parameters {
    /// Of the pairs of a query, and a JSON document.
    pub(super) fn read(query: &[(String, String)], body: &[u8], is_json: bool) -> Result<Self, Refusal> {
        let mut all = Map::new();
        for (name, value) in query {
            match name.strip_suffix("[]") {
                Some(name) => {
                    let list = all.entry(name).or_insert_with(|| json!([]));
                    list.as_array_mut().into_iter().for_each(|list| list.push(json!(value)));
                }
                None => drop(all.insert(name.clone(), json!({ "query": value }))),
            }
        }
        if body.is_empty() {
            return Ok(Self(all));
        }
        if !is_json {
            let why = json!({ "error": "The provided content-type is not supported." });
            return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(document)) => all.extend(document),
            Ok(_) | Err(_) => return invalid("the body is no JSON object".to_owned()),
        }
        Ok(Self(all))
    }

    /// The same, each as its type, if they are these and no others.
    pub(super) fn only(&self, known: &[Parameter]) -> Result<Given, Refusal> {
        let mut given = Map::new();
        for (name, value) in &self.0 {
            let Some((_, kind, _)) = known.iter().find(|(known, ..)| known == name) else {
                return invalid(format!("{name} is none of its documented parameters"));
            };
            match typed(*kind, value) {
                Some(value) => drop(given.insert(name.clone(), value)),
                None if matches!(kind, Kind::OneOf(_) | Kind::SomeOf(_)) => {
                    return invalid(format!("{name} does not have a valid value"));
                }
                None => return invalid(format!("{name} is invalid")),
            }
        }
        match known.iter().find(|(name, _, needed)| *needed && !given.contains_key(*name)) {
            Some((name, ..)) => invalid(format!("{name} is missing")),
            None => Ok(Given(given)),
        }
    }

    /// Those of a list: with the page that is wanted.
    pub(super) fn of_list(&self, known: &[Parameter]) -> Result<Given, Refusal> {
        let given = self.only(&[known, &PAGING].concat())?;
        let (page, size) = (given.number("page").unwrap_or(1), given.number("per_page").unwrap_or(20));
        if page == 0 || !(1..=100).contains(&size) {
            return invalid("page or per_page does not have a valid value".to_owned());
        }
        Ok(given)
    }
}

/// A value as its type. What comes in a query is text, whatever it stands for.
fn typed(kind: Kind, value: &Value) -> Option<Value> {
    let query = value
        .get("query")
        .and_then(Value::as_str)
        .filter(|_| value.as_object().is_some_and(|all| all.len() == 1));
    let text = query.or(value.as_str());
    match kind {
        Kind::Text => text.map(Value::from),
        Kind::Number => query.map_or(value.as_u64(), |text| text.parse().ok()).map(Value::from),
        Kind::Truth => query.map_or(value.as_bool(), |text| text.parse().ok()).map(Value::from),
        Kind::OneOf(names) => text.filter(|text| names.contains(text)).map(Value::from),
        Kind::SomeOf(names) => {
            let all = value.as_array()?;
            let known = all.iter().all(|one| one.as_str().is_some_and(|one| names.contains(&one)));
            known.then(|| value.clone())
        }
        Kind::Object => value.is_object().then(|| value.clone()).filter(|_| query.is_none()),
    }
}

/// Parameters that are as they must be.
#[derive(Debug)]
pub(super) struct Given(Map<String, Value>);

impl Given {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    pub(super) fn object(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether a list of names has this one, or there is no list.
    pub(super) fn lists(&self, name: &str, one: &str) -> bool {
        let list = self.0.get(name).and_then(Value::as_array);
        list.is_none_or(|list| list.iter().any(|named| named == one))
    }
}
