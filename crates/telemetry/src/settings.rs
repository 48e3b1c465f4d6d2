//! Where spans go, as the configuration's table `[telemetry]` and the standard environment variables say.
//!
//! Source: OpenTelemetry specification 1.5x, "OTLP Exporter Configuration" and "SDK Environment Variables". The environment goes before the file.
//! Unlike there, nothing is sent where no endpoint is named.

use std::time::Duration;

use cofferdam_domain::Secret;
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use crate::{Content, Resource};

/// What the configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The collector's address; `/v1/traces` is added.
    pub endpoint: Option<String>,
    /// Headers for the collector.
    pub headers: Vec<(String, Secret)>,
    /// Whether spans tell what was written.
    pub content: Content,
}

/// Where spans go, and with what.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address that is posted to.
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) timeout: Duration,
    pub(crate) content: Content,
    pub(crate) resource: Resource,
}

/// A setting that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    /// An address that cannot be posted to.
    #[error(
        "{0} must be an http:// or https:// address without user and fragment, such as http://127.0.0.1:4318"
    )]
    Endpoint(&'static str),
    /// Headers that are none.
    #[error(
        "{0} must be names of HTTP headers with values of visible characters: name=value,name=value where it is a variable"
    )]
    Headers(&'static str),
    /// Attributes that are none.
    #[error("{0} must be name=value,name=value with values percent-encoded")]
    Attributes(&'static str),
    /// A time that is none.
    #[error("{0} must be a number of milliseconds from 1 to 600000")]
    Timeout(&'static str),
    /// A protocol that is not spoken here.
    #[error(
        "{0} must be http/protobuf, the only protocol that is spoken here: collectors listen for it at port 4318"
    )]
    Protocol(&'static str),
}

const TABLE: &str = "[telemetry] endpoint";
const TABLE_HEADERS: &str = "[telemetry] headers";
const LONGEST_TIMEOUT: u64 = 600_000;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The environment as settings are read from it.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Settings {
    /// What the file and the environment say together; `None` where nothing is to be sent. `instance` tells this process from others.
    ///
    /// # Errors
    /// When something is no setting; says which.
    pub fn resolve(
        table: &Table,
        instance: &str,
        environment: Environment<'_>,
    ) -> Result<Option<Self>, InvalidSettings> {
        let off = environment("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || environment("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let Some(url) = endpoint(table, environment)?.filter(|_| !off) else { return Ok(None) };
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            match environment(name).as_deref() {
                None => {}
                Some("http/protobuf") => break,
                Some(_) => return Err(InvalidSettings::Protocol(name)),
            }
        }
        let attributes = match environment("OTEL_RESOURCE_ATTRIBUTES") {
            Some(text) => pairs(&text).ok_or(InvalidSettings::Attributes("OTEL_RESOURCE_ATTRIBUTES"))?,
            None => Vec::new(),
        };
        Ok(Some(Self {
            url,
            headers: headers(table, environment)?,
            timeout: timeout(environment)?,
            content: table.content,
            resource: Resource::new(instance, attributes, environment("OTEL_SERVICE_NAME")),
        }))
    }

    /// The collector's address, for people and for whoever makes a client for it.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.as_str()
    }
}

fn endpoint(table: &Table, environment: Environment<'_>) -> Result<Option<Url>, InvalidSettings> {
    const OWN: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const SHARED: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    if let Some(text) = environment(OWN) {
        return address(&text, OWN).map(Some);
    }
    let (text, name) = match (environment(SHARED), &table.endpoint) {
        (Some(text), _) => (text, SHARED),
        (None, Some(text)) => (text.clone(), TABLE),
        (None, None) => return Ok(None),
    };
    let mut url = address(&text, name)?;
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(Some(url))
}

fn address(text: &str, name: &'static str) -> Result<Url, InvalidSettings> {
    let url = Url::parse(text).map_err(|_| InvalidSettings::Endpoint(name))?;
    let fits = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    if fits { Ok(url) } else { Err(InvalidSettings::Endpoint(name)) }
}

fn headers(table: &Table, environment: Environment<'_>) -> Result<HeaderMap, InvalidSettings> {
    let mut headers = HeaderMap::new();
    for (name, value) in &table.headers {
        header(&mut headers, name, value.expose()).ok_or(InvalidSettings::Headers(TABLE_HEADERS))?;
    }
    for variable in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
        let Some(text) = environment(variable) else { continue };
        for (name, value) in pairs(&text).ok_or(InvalidSettings::Headers(variable))? {
            header(&mut headers, &name, &value).ok_or(InvalidSettings::Headers(variable))?;
        }
    }
    Ok(headers)
}

/// What the protocol itself says cannot be said otherwise.
const OURS: [&str; 5] = ["content-type", "content-length", "host", "transfer-encoding", "connection"];

fn header(headers: &mut HeaderMap, name: &str, value: &str) -> Option<()> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    if OURS.contains(&name.as_str()) {
        return None;
    }
    headers.insert(name, value);
    Some(())
}

fn timeout(environment: Environment<'_>) -> Result<Duration, InvalidSettings> {
    for name in ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"] {
        if let Some(text) = environment(name) {
            let millis: u64 = text.parse().map_err(|_| InvalidSettings::Timeout(name))?;
            let fits = (1..=LONGEST_TIMEOUT).contains(&millis);
            return if fits {
                Ok(Duration::from_millis(millis))
            } else {
                Err(InvalidSettings::Timeout(name))
            };
        }
    }
    Ok(DEFAULT_TIMEOUT)
}

/// The most that are read of one variable.
const MOST_PAIRS: usize = 128;

/// `name=value,name=value` with values percent-encoded, as in W3C Baggage without properties.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let name = decoded(name.trim())?;
        if name.is_empty() || pairs.len() >= MOST_PAIRS {
            return None;
        }
        pairs.push((name, decoded(value.trim())?));
    }
    Some(pairs)
}

/// A text with `%` and two digits for single bytes (RFC 3986, section 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        rest = after;
        let value = |digit: u8| char::from(digit).to_digit(16);
        let byte = value(digits[0])? * 16 + value(digits[1])?;
        bytes.push(u8::try_from(byte).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolve(table: &Table, variables: &[(&str, &str)]) -> Result<Option<Settings>, InvalidSettings> {
        let environment = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::resolve(table, "host:7", &environment)
    }

    fn url(table: &Table, variables: &[(&str, &str)]) -> Option<String> {
        resolve(table, variables).unwrap().map(|settings| settings.address().to_owned())
    }

    fn table(endpoint: &str) -> Table {
        Table { endpoint: Some(endpoint.to_owned()), ..Table::default() }
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let none = Table::default();
        assert_eq!(url(&none, &[]), None);
        assert_eq!(url(&table("http://a:4318"), &[]).unwrap(), "http://a:4318/v1/traces");
        let shared = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://b.example/otlp/");
        assert_eq!(url(&table("http://a:4318"), &[shared]).unwrap(), "https://b.example/otlp/v1/traces");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c.example/x?tenant=1");
        assert_eq!(url(&none, &[shared, own]).unwrap(), "http://c.example/x?tenant=1");
        assert_eq!(url(&none, &[shared, ("OTEL_SDK_DISABLED", "TRUE")]), None);
        assert_eq!(url(&table("http://a:4318"), &[("OTEL_TRACES_EXPORTER", "none")]), None);
    }

    #[test]
    fn headers_attributes_and_times_are_read_as_the_specification_says() {
        let mut table = table("http://a:4318");
        table.headers = vec![("X-Tenant".to_owned(), Secret::new("7"))];
        let settings = resolve(
            &table,
            &[
                ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YTpi, x-tenant = 8"),
                ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,service.name=theirs"),
                ("OTEL_SERVICE_NAME", "ours"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ],
        );
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.headers["authorization"], "Basic YTpi");
        assert_eq!(settings.headers["x-tenant"], "8");
        assert!(!format!("{settings:?}").contains("YTpi"), "headers are secret");
        assert_eq!(settings.timeout, Duration::from_millis(250));
        let attributes: Vec<_> = settings.resource.attributes().collect();
        assert!(attributes.contains(&("service.name", "ours")));
        assert!(attributes.contains(&("deployment.environment.name", "prod")));
        assert!(attributes.contains(&("service.instance.id", "host:7")));
        assert_eq!(attributes.iter().filter(|(name, _)| *name == "service.name").count(), 1);
    }

    #[test]
    fn mistakes_are_named() {
        for bad in ["collector:4318", "ftp://a", "http://u:p@a:4318", "http://a/#x", "/v1/traces"] {
            let error = resolve(&table(bad), &[]).unwrap_err();
            assert_eq!(error, InvalidSettings::Endpoint(TABLE), "{bad}");
        }
        let collector = table("http://a:4318");
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%0a"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "content-type=text/plain"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=%f"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a"),
        ] {
            let error = resolve(&collector, &[(name, value)]).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}|[%a-f0-9=,]{0,40}") {
            pairs(&text);
        }
    }
}
