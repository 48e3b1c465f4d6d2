//! What of which servers a session may use: what is configured, as far as it was approved and nothing of it has changed in the configuration
//! since.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use cofferdam_domain::{
    Digest, OrgId,
    foreign::{Foreign, ForeignKind, ForeignServer, ForeignTool, Permit},
};
use cofferdam_mcp::{Catalogue, ServerSettings};

use super::beside;
use crate::{Parts, WorkerError, patience::patiently};

/// Tools that a model is shown; where there are more, it is shown how to find them.
const MOST_SHOWN: usize = 20;
/// Characters that providers take of a tool's name.
const LONGEST_NAME: usize = 64;

/// The MCP servers of a worker.
pub struct Mcp {
    /// As they are configured.
    pub servers: Vec<ServerSettings>,
    /// What was approved of them.
    pub approvals: Arc<dyn Approvals>,
}

impl Mcp {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self { servers: Vec::new(), approvals: Arc::new(NothingApproved) }
    }
}

/// A server that somebody has approved for an organisation.
#[derive(Debug, Clone, PartialEq)]
pub struct Approved {
    /// Its name.
    pub server: String,
    /// What was approved: see [`Catalogue::digest`].
    pub digest: Digest,
    /// Its tools as they were then.
    pub catalogue: Catalogue,
}

/// Knows what was approved.
#[async_trait]
pub trait Approvals: Send + Sync {
    /// The servers that are approved for an organisation's sessions.
    ///
    /// # Errors
    /// When that cannot be read.
    async fn approved(&self, org: OrgId) -> Result<Vec<Approved>, WorkerError>;
}

/// Nothing was ever approved.
#[derive(Debug, Clone, Copy)]
pub struct NothingApproved;

#[async_trait]
impl Approvals for NothingApproved {
    async fn approved(&self, _: OrgId) -> Result<Vec<Approved>, WorkerError> {
        Ok(Vec::new())
    }
}

impl Parts {
    /// The tools of other programs for a session of an organisation on a repository. `kept` are the only servers that its policy leaves, if
    /// that says which.
    ///
    /// # Errors
    /// When it cannot be read what was approved.
    pub async fn foreign(
        &self,
        org: OrgId,
        repositories: &[&str],
        kept: Option<&[String]>,
    ) -> Result<Foreign, WorkerError> {
        if self.mcp.servers.is_empty() {
            return Ok(Foreign::default());
        }
        let approved = patiently(|| self.mcp.approvals.approved(org)).await?;
        Ok(offer(&self.mcp.servers, &approved, repositories, kept))
    }
}

fn offer(
    servers: &[ServerSettings],
    approved: &[Approved],
    repositories: &[&str],
    kept: Option<&[String]>,
) -> Foreign {
    let mut foreign = Foreign::default();
    for settings in servers {
        let name = settings.name.as_str();
        let left = kept.is_none_or(|kept| kept.iter().any(|one| one == name));
        let Some(found) = approved.iter().find(|approved| approved.server == name) else { continue };
        if !left
            || !repositories.iter().all(|repository| settings.serves(repository))
            || found.catalogue.digest(&settings.reached()) != found.digest
        {
            continue;
        }
        let before = foreign.tools.len();
        add(&mut foreign.tools, settings, &found.catalogue);
        if foreign.tools.len() > before {
            foreign.servers.push(ForeignServer {
                name: name.to_owned(),
                digest: found.digest,
                public: settings.public,
            });
        }
    }
    foreign.searched = foreign.tools.len() > MOST_SHOWN;
    foreign
}

fn add(tools: &mut Vec<ForeignTool>, settings: &ServerSettings, catalogue: &Catalogue) {
    let beside = beside::tools(settings, catalogue);
    // What is asked for by our own names is never one of its tools.
    let mut known: BTreeSet<String> = beside.iter().map(|tool| tool.called.clone()).collect();
    for tool in &catalogue.tools {
        let ruling = settings.ruling(&tool.name);
        let called = settings.name.tool(&tool.name);
        // Of two that a model could not tell apart, the second is not there.
        if ruling.permit == Permit::Deny || called.len() > LONGEST_NAME || !known.insert(called.clone()) {
            continue;
        }
        let (description, parameters) = tool.visible();
        tools.push(ForeignTool {
            server: settings.name.as_str().to_owned(),
            name: tool.name.clone(),
            called,
            kind: ForeignKind::Tool,
            description,
            parameters,
            permit: ruling.permit,
            read_only: ruling.read_only,
            arguments: ruling.arguments.to_vec(),
        });
    }
    tools.extend(beside);
}

#[cfg(test)]
mod tests {
    use cofferdam_mcp::Tool;
    use serde_json::json;

    use super::*;

    fn settings(name: &str) -> ServerSettings {
        let rules = json!([{"names": ["get*"], "permit": "allow", "read_only": true}, {"names": ["put"], "permit": "ask"}]);
        let all = json!({"name": name, "command": ["serve"], "tools": rules, "repositories": ["https://f.example/*"]});
        serde_json::from_value(all).unwrap()
    }

    fn approved(settings: &ServerSettings, tools: &[&str]) -> Approved {
        let tool = |name: &&str| Tool {
            name: (*name).to_owned(),
            description: "gets\u{200b}".to_owned(),
            parameters: json!({"type": "object"}),
            rest: json!(null),
        };
        let catalogue = Catalogue { tools: tools.iter().map(tool).collect(), ..Catalogue::default() };
        let digest = catalogue.digest(&settings.reached());
        Approved { server: settings.name.as_str().to_owned(), digest, catalogue }
    }

    #[test]
    fn only_what_is_approved_and_permitted_is_offered() {
        let servers = [settings("docs")];
        let known = [approved(&servers[0], &["get.a", "get/a", "put", "drop"])];
        let foreign = offer(&servers, &known, &["https://f.example/x"], None);
        let called: Vec<(&str, Permit)> =
            foreign.tools.iter().map(|tool| (tool.called.as_str(), tool.permit)).collect();
        assert_eq!(called, [("docs__get_a", Permit::Allow), ("docs__put", Permit::Ask)]);
        assert!(foreign.tools[0].read_only && !foreign.tools[1].read_only && !foreign.searched);
        assert_eq!(foreign.tools[0].description, "gets\\u{200b}", "what nobody sees is shown");
        assert_eq!(
            foreign.servers,
            [ForeignServer { name: "docs".into(), digest: known[0].digest, public: false }]
        );

        assert!(offer(&servers, &[], &["https://f.example/x"], None).is_none(), "nobody approved it");
        assert!(offer(&servers, &known, &["https://g.example/x"], None).is_none(), "another repository");
        let both = ["https://f.example/x", "https://g.example/x"];
        assert!(offer(&servers, &known, &both, None).is_none(), "another repository beside");
        assert!(offer(&servers, &known, &["https://f.example/x"], Some(&["other".into()])).is_none());
        let mut changed = settings("docs");
        changed.command.push("--evil".into());
        assert!(
            offer(&[changed], &known, &["https://f.example/x"], None).is_none(),
            "started in another way"
        );
        let useless = [approved(&servers[0], &["drop"])];
        assert!(offer(&servers, &useless, &["https://f.example/x"], None).is_none());
    }

    #[test]
    fn many_are_looked_for() {
        let servers = [settings("docs")];
        let names: Vec<String> = (0..40).map(|number| format!("get{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let foreign = offer(&servers, &[approved(&servers[0], &names)], &["https://f.example/x"], None);
        assert!(foreign.searched && foreign.tools.len() == 40);
    }
}
