//! The table `[telemetry]`: where traces go, and what they tell.

use std::collections::BTreeMap;

use cofferdam_domain::Secret;
use cofferdam_telemetry::{Content, Table};
use serde::{Deserialize, Deserializer};

/// The `[telemetry]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TelemetrySettings {
    /// The collector's address.
    endpoint: Option<String>,
    /// Headers for it.
    #[serde(deserialize_with = "secrets")]
    headers: BTreeMap<String, Secret>,
    /// Whether spans tell what people, models and programs wrote.
    content: bool,
}

impl TelemetrySettings {
    /// The same for whoever sends.
    pub(crate) fn table(&self) -> Table {
        Table {
            endpoint: self.endpoint.clone(),
            headers: self.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            content: if self.content { Content::Told } else { Content::Left },
        }
    }
}

/// Headers hold keys.
fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    let headers = BTreeMap::<String, String>::deserialize(deserializer)?;
    Ok(headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
}
