//! The `[[mcp]]` tables: other programs whose tools sessions may call.

use anyhow::{Result, bail};
use cofferdam_mcp::ServerSettings;

/// The same, if they can be.
pub(super) fn checked(servers: Vec<ServerSettings>) -> Result<Vec<ServerSettings>> {
    for (number, settings) in servers.iter().enumerate() {
        if servers.iter().take(number).any(|other| other.name == settings.name) {
            bail!("[[mcp]]: two are called {}", settings.name);
        }
        if let Err(problem) = settings.check() {
            bail!("[[mcp]] of {}: {problem}", settings.name);
        }
        for directory in &settings.read_only {
            if !directory.host.exists() {
                bail!(
                    "[[mcp]] of {}: {} does not exist on this host",
                    settings.name,
                    directory.host.display()
                );
            }
        }
    }
    Ok(servers)
}
