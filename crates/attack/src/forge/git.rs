//! Git's smart protocol, by git itself (git-http-backend(1)).

use std::process::Stdio;

use axum::{
    body::Body,
    http::{HeaderValue, Response, header, request::Parts},
};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{Desk, said};

/// Serves a request for a repository to whoever may have it.
pub(super) async fn serve(desk: &Desk, who: Option<&str>, parts: &Parts, body: &[u8]) -> Response<Body> {
    let path = parts.uri.path().trim_start_matches('/');
    let mut segments = path.splitn(3, '/');
    let (owner, name) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    let rest = segments.next().unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let name = name.strip_suffix(".git").unwrap_or(name);
    let writes = rest == "git-receive-pack" || query.contains("git-receive-pack");
    let (id, right) = {
        let mut state = desk.state();
        let Some(id) = state.at(&format!("{owner}/{name}")) else { return said(404, &json!({})) };
        (id, state.of(id).right_of(who.unwrap_or_default()))
    };
    let may = if writes { matches!(right, "write" | "admin") } else { right != "none" };
    if !may {
        let mut refused = said(401, &json!({}));
        let wanted = HeaderValue::from_static("Basic realm=\"forge\"");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, wanted);
        return refused;
    }
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", &desk.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", format!("/{id}.git/{rest}"))
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", text("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(who) = who {
        // Whoever is named may push, as git-http-backend(1) says.
        command.env("REMOTE_USER", who);
    }
    let Ok(mut child) = command.spawn() else { return said(500, &json!({})) };
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that has heard enough closes it.
            stdin.write_all(body).await.ok();
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    output.map_or_else(|_| said(500, &json!({})), |output| answer(&output.stdout))
}

/// The response that a program prints (RFC 3875): header lines, an empty line, the body.
fn answer(printed: &[u8]) -> Response<Body> {
    let Some(end) = printed.windows(4).position(|window| window == b"\r\n\r\n") else {
        return said(500, &json!({}));
    };
    let (head, body) = printed.split_at(end);
    let head = String::from_utf8_lossy(head);
    let mut response = Response::builder();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or("500")),
            name => response.header(name, value),
        };
    }
    let body = body.get(4..).unwrap_or_default().to_vec();
    response.body(Body::from(body)).unwrap_or_else(|_| said(500, &json!({})))
}
