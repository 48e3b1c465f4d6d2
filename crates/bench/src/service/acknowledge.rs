//! How long whoever asks on a forge waits until they see that they were heard: a real Gitea, from the delivery's acceptance to the reaction and to the
//! comment. No worker runs: nothing of this may wait for one.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cofferdam_testkit::{Gitea, GiteaAccount};
use serde_json::{Value, json};

use super::{
    ask::Client,
    deliveries::{SECRET, proof},
    place::{Ground, Settings},
};
use crate::figures::{Samples, head, row_p99, say};

/// Issues that are asked on at most.
const MOST: usize = 100;
/// How long it is waited for a sign.
const PATIENCE: Duration = Duration::from_secs(60);

/// On each database, one issue after the other.
pub(crate) async fn measure(ground: &Ground, rounds: usize) -> Result<()> {
    let Some(forge) = Forge::start().await else { return Ok(()) };
    let rounds = rounds.min(MOST);
    for kind in ground.kinds() {
        let settings = Settings {
            forge: Some(SECRET),
            at: Some((forge.gitea.url(), forge.agent.token.clone())),
            ..Settings::idle()
        };
        let server = ground.place(kind, &settings)?.serve("server")?;
        let mut client = Client::connect(&server.address, "").await?;
        let mut times: [Samples; 3] = Default::default();
        for _ in 0..rounds {
            let [floor, reaction, comment] = &mut times;
            let issue = forge.ask().await;
            let body = forge.delivery(&issue).to_string();
            let headers = proof(&body, "issues", &format!("{}-{}", kind.name(), issue["number"]));
            client.post("/hooks/work", &headers, &body).await?;
            let accepted = Instant::now();
            reaction.push(forge.seen(&issue, "reactions", accepted).await?);
            comment.push(forge.seen(&issue, "comments", accepted).await?);
            let started = Instant::now();
            forge.react(&issue).await;
            floor.push(started.elapsed());
        }
        let [floor, reaction, comment] = &times;
        head(&format!("{}: from a delivery's acceptance", kind.name()), "one");
        row_p99("one reaction, by Gitea's API", floor, floor);
        row_p99("to the reaction", reaction, floor);
        row_p99("to the comment", comment, floor);
        server.end()?;
    }
    say("It is looked every few milliseconds, by the same API, which is part of the times.");
    Ok(())
}

struct Forge {
    gitea: Gitea,
    ann: GiteaAccount,
    agent: GiteaAccount,
    path: String,
    label: Value,
}

impl Forge {
    async fn start() -> Option<Self> {
        let gitea = Gitea::start().await?;
        let (ann, agent) = (gitea.account("ann").await, gitea.account("agent").await);
        let (_, path) = gitea.repository(&ann, "greeter", false).await;
        gitea.permit(&path, &agent, "admin").await;
        let wanted = json!({ "name": "cofferdam", "color": "#00aabb" });
        let label = gitea.must(&ann.token, "POST", &format!("/repos/{path}/labels"), Some(&wanted)).await;
        Some(Self { gitea, ann, agent, path, label: label["id"].clone() })
    }

    /// An issue with the label, of which the forge itself tells nobody.
    async fn ask(&self) -> Value {
        let wanted = json!({ "title": "Greet louder", "body": "With a mark.", "labels": [self.label] });
        self.gitea.must(&self.ann.token, "POST", &format!("/repos/{}/issues", self.path), Some(&wanted)).await
    }

    fn delivery(&self, issue: &Value) -> Value {
        let (owner, name) = self.path.split_once('/').unwrap_or_default();
        json!({
            "action": "opened",
            "issue": issue,
            "number": issue["number"],
            "repository": {
                "id": 1, "full_name": self.path, "name": name, "owner": { "id": self.ann.id, "login": owner },
                "clone_url": format!("{}/{}.git", self.gitea.url(), self.path), "default_branch": "main",
            },
            "sender": { "id": self.ann.id, "login": self.ann.login },
        })
    }

    /// How long after `since` something of the agent's stands there.
    async fn seen(&self, issue: &Value, what: &str, since: Instant) -> Result<Duration> {
        let path = format!("/repos/{}/issues/{}/{what}", self.path, issue["number"]);
        loop {
            let list = self.gitea.must(&self.ann.token, "GET", &path, None).await;
            let mut all = list.as_array().into_iter().flatten();
            if all.any(|one| one["user"]["login"] == *self.agent.login) {
                return Ok(since.elapsed());
            }
            ensure!(since.elapsed() < PATIENCE, "no {what} within {} seconds", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn react(&self, issue: &Value) {
        let path = format!("/repos/{}/issues/{}/reactions", self.path, issue["number"]);
        self.gitea.must(&self.ann.token, "POST", &path, Some(&json!({ "content": "+1" }))).await;
    }
}
