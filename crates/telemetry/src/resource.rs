//! Who tells: what every span of this process has in common.

use crate::names;

/// Who tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource(Vec<(String, String)>);

impl Resource {
    /// This process. `instance` tells it from others of the service; `told` goes before what is known, `service` before both.
    #[must_use]
    pub fn new(instance: &str, told: Vec<(String, String)>, service: Option<String>) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let known = [
            (names::SERVICE_NAME, "cofferdam"),
            (names::SERVICE_VERSION, version),
            (names::SERVICE_INSTANCE, instance),
            (names::SDK_NAME, "cofferdam"),
            (names::SDK_LANGUAGE, "rust"),
            (names::SDK_VERSION, version),
        ];
        let known = known.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let service = service.map(|service| (names::SERVICE_NAME.to_owned(), service));
        let mut attributes: Vec<(String, String)> = Vec::new();
        for (name, value) in service.into_iter().chain(told).chain(known) {
            if !attributes.iter().any(|(known, _)| *known == name) {
                attributes.push((name, value));
            }
        }
        Self(attributes)
    }

    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
