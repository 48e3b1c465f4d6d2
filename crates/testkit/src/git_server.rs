//! A plain git server on this machine: the real `git http-backend` behind HTTP with a password, as a forge has it.

#![expect(clippy::unwrap_used, reason = "only tests use it, and they fail by panicking")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, process::Command, task::JoinHandle};

/// The longest request that is taken.
const LONGEST: usize = 64 << 20;

/// A git server for the repositories below a directory. Ends when it is dropped.
#[derive(Debug)]
pub struct GitServer {
    address: SocketAddr,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

/// What the server has heard and how it is to answer.
#[derive(Debug)]
struct Desk {
    root: PathBuf,
    manner: Mutex<Manner>,
    heard: Mutex<Vec<Option<String>>>,
    sent: AtomicU64,
}

/// How a server treats whoever comes.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Everybody is served.
    Serves,
    /// Whoever presents this value of `Authorization` is served.
    Expects(String),
    /// Everybody is sent elsewhere: to the same path below this address.
    Redirects(String),
    /// Nobody is served, and everybody is told what they presented.
    Repeats,
}

impl GitServer {
    /// Starts one for the bare repositories below `root`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(root: &Path, manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk {
            root: root.to_owned(),
            manner: Mutex::new(manner),
            heard: Mutex::new(Vec::new()),
            sent: AtomicU64::new(0),
        });
        let router = Router::new().fallback(serve).with_state(desk.clone());
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Self { address, desk, task }
    }

    /// Its address, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on whoever comes is treated like this.
    pub fn behave(&self, manner: Manner) {
        *self.desk.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// What was presented, in the order of the requests.
    #[must_use]
    pub fn heard(&self) -> Vec<Option<String>> {
        self.desk.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of all that git has answered.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.desk.sent.load(Ordering::Relaxed)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let presented =
        request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    desk.heard.lock().unwrap_or_else(PoisonError::into_inner).push(presented.clone());
    let manner = desk.manner.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match manner {
        Manner::Serves => backend(&desk, request).await,
        Manner::Expects(expected) if presented.as_ref() == Some(&expected) => backend(&desk, request).await,
        Manner::Expects(_) => Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")
            .body(Body::empty())
            .unwrap(),
        Manner::Redirects(elsewhere) => Response::builder()
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header(header::LOCATION, format!("{elsewhere}{}", request.uri()))
            .body(Body::empty())
            .unwrap(),
        Manner::Repeats => Response::builder()
            .status(StatusCode::FORBIDDEN)
            .header(header::CONTENT_TYPE, "text/plain")
            .body(Body::from(format!("you said {}", presented.unwrap_or_default())))
            .unwrap(),
    }
}

/// Has git answer, as a web server does (git-http-backend(1), RFC 3875).
async fn backend(desk: &Desk, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LONGEST).await.unwrap();
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", &desk.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "somebody")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text(&parts.headers, "content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text(&parts.headers, "content-encoding"))
        .env("GIT_PROTOCOL", text(&parts.headers, "git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = async move { drop(stdin.write_all(&body).await) };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let printed = output.unwrap().stdout;
    desk.sent.fetch_add(printed.len() as u64, Ordering::Relaxed);
    answer(&printed)
}

/// The response that a program prints: header lines, an empty line, the body.
fn answer(printed: &[u8]) -> Response {
    let end = printed.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&printed[..end]).unwrap();
    let mut response = Response::builder();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap().parse::<u16>().unwrap()),
            name => response.header(name, value),
        };
    }
    response.body(Body::from(printed[end + 4..].to_vec())).unwrap()
}
