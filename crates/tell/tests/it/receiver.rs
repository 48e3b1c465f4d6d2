//! A receiver of webhooks that answers as it is told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
    task::JoinSet,
};

/// What is answered to one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// This, with these lines of head.
    Status(u16, &'static str),
    /// Nothing, for ever.
    Silence,
    /// A body that does not end.
    Giant,
    /// Something that is no HTTP.
    Noise,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Listens until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    requests: Mutex<mpsc::UnboundedReceiver<Received>>,
    _serving: JoinSet<()>,
}

impl Receiver {
    /// Answers the first requests with these replies, all further ones with 204.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, requests) = mpsc::unbounded_channel();
        let replies = Arc::new(Mutex::new(replies.into_iter()));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tell, replies) = (tell.clone(), replies.clone());
                connections.spawn(async move {
                    let Some((request, stream)) = read(stream).await else { return };
                    // In the order in which they come.
                    let reply = replies.lock().await.next().unwrap_or(Reply::Status(204, ""));
                    tell.send(request).ok();
                    answer(stream, reply).await;
                });
            }
        });
        Self { address, requests: Mutex::new(requests), _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?key=1", self.address)
    }

    /// The next request.
    pub(crate) async fn next(&self) -> Received {
        let next = async { self.requests.lock().await.recv().await.unwrap() };
        tokio::time::timeout(Duration::from_secs(60), next).await.unwrap()
    }

    /// Whether there is none that was not looked at.
    pub(crate) async fn is_quiet(&self) -> bool {
        self.requests.lock().await.try_recv().is_err()
    }
}

async fn read(stream: TcpStream) -> Option<(Received, TcpStream)> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let received = Received { line: line.trim().to_owned(), headers, body: String::from_utf8(body).ok()? };
    Some((received, stream.into_inner()))
}

async fn answer(mut stream: TcpStream, reply: Reply) {
    let sent = match reply {
        Reply::Status(status, head) => {
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n{head}\r\n");
            stream.write_all(text.as_bytes()).await
        }
        Reply::Silence => std::future::pending().await,
        Reply::Giant => {
            let head = "HTTP/1.1 500 X\r\ncontent-length: 1099511627776\r\n\r\n";
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(&[b'x'; 65536]).await;
            }
            sent
        }
        Reply::Noise => stream.write_all(b"\x16\x03\x01 nothing of the kind\r\n\r\n").await,
    };
    // Whoever asked may have gone.
    sent.ok();
}
