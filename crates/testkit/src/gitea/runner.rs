//! A runner of Gitea Actions whose jobs all fail: what it says to Gitea is what `act_runner` says, in Connect's JSON
//! (<https://gitea.com/gitea/actions-proto-def>, `proto/runner/v1`).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Gitea, PATIENCE, client};

/// What a workflow has in `runs-on` to come here.
const LABEL: &str = "here";

impl Gitea {
    /// A workflow with one job, for a push to any branch: its file, and its text. The name of its status is [`Gitea::JOB`].
    pub const WORKFLOW: (&'static str, &'static str) = (
        ".gitea/workflows/checks.yml",
        "name: checks\non: push\njobs:\n  test:\n    runs-on: here\n    steps:\n      - run: make test\n",
    );
    /// The name of the job's status.
    pub const JOB: &'static str = "checks / test (push)";

    /// Takes the next job of a repository and has it fail, after it has written this.
    ///
    /// # Panics
    /// When there is no job, or Gitea does not take what a runner says.
    pub async fn fail_job(&self, path: &str, log: &str) {
        let place = format!("/repos/{path}/actions/runners/registration-token");
        let token = self.must(self.token(), "POST", &place, None).await["token"].clone();
        let wanted =
            json!({ "name": self.fresh("runner"), "token": token, "labels": [LABEL], "version": "v1" });
        let runner = self.run(&Value::Null, "Register", &wanted).await["runner"].clone();
        self.run(&runner, "Declare", &json!({ "version": "v1", "labels": [LABEL] })).await;

        let began = Instant::now();
        let task = loop {
            let fetched = self.run(&runner, "FetchTask", &json!({})).await;
            if let Some(task) = fetched["task"]["id"].as_str() {
                break task.to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "there is no job");
            sleep(Duration::from_millis(50)).await;
        };
        let time = "2026-01-02T03:04:05Z";
        let rows: Vec<Value> = log.lines().map(|line| json!({ "time": time, "content": line })).collect();
        let said = json!({ "taskId": task, "index": "0", "rows": rows, "noMore": true });
        self.run(&runner, "UpdateLog", &said).await;
        let state = json!({ "id": task, "result": "RESULT_FAILURE", "startedAt": time, "stoppedAt": time });
        self.run(&runner, "UpdateTask", &json!({ "state": state })).await;
    }

    async fn run(&self, runner: &Value, method: &str, said: &Value) -> Value {
        let url = format!("{}/api/actions/runner.v1.RunnerService/{method}", self.url());
        let answer = client()
            .post(url)
            .header("content-type", "application/json")
            .header("x-runner-uuid", runner["uuid"].as_str().unwrap_or_default())
            .header("x-runner-token", runner["token"].as_str().unwrap_or_default())
            .body(said.to_string())
            .send()
            .await
            .unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{method}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}
