//! Servers on this machine that stand for the world outside of a sandbox, with and without TLS, and remember what they were asked.

use std::{
    collections::BTreeMap,
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

/// A request as a server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

/// What a server says to a request: a status and a body; `None` to say nothing and keep the connection.
type Answer = dyn Fn(&Asked) -> Option<(u16, Vec<u8>)> + Send + Sync;

/// A server.
pub(crate) struct Lab {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
}

impl Lab {
    /// A server that answers like this.
    pub(crate) fn http(answer: impl Fn(&Asked) -> Option<(u16, Vec<u8>)> + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(answer))
    }

    /// The same with TLS, for this host; with the root certificate that it is verified by.
    pub(crate) fn https(
        host: &str,
        answer: impl Fn(&Asked) -> Option<(u16, Vec<u8>)> + Send + Sync + 'static,
    ) -> (Self, String) {
        let (config, root) = authority(host);
        (Self::start(Some(config), Arc::new(answer)), root)
    }

    fn start(tls: Option<Arc<ServerConfig>>, answer: Arc<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let lab = Self { address, asked: Arc::clone(&asked), over: over.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, tls, answer, asked) =
                    (stream.unwrap(), tls.clone(), answer.clone(), Arc::clone(&asked));
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                    match tls {
                        Some(config) => {
                            let session = ServerConnection::new(config).unwrap();
                            serve(StreamOwned::new(session, stream), &*answer, &asked);
                        }
                        None => serve(stream, &*answer, &asked),
                    }
                });
            }
        });
        lab
    }

    /// Where it is.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// What a server needs to be this host for whoever believes the root certificate beside it.
fn authority(host: &str) -> (Arc<ServerConfig>, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "Lab");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let issuer: &Issuer<'static, KeyPair> = &authority;
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (Arc::new(config), authority.pem())
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
    }
}

/// Serves one connection, for as long as requests without bodies come.
fn serve(stream: impl Read + Write, answer: &Answer, asked: &Mutex<Vec<Asked>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream) {
        asked.lock().unwrap().push(request.clone());
        let Some((status, body)) = answer(&request) else {
            // Until the other side gives up.
            stream.read_to_end(&mut Vec::new()).ok();
            return;
        };
        let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n", body.len());
        let body = if request.method == "HEAD" { Vec::new() } else { body };
        let out = stream.get_mut();
        if out
            .write_all(head.as_bytes())
            .and_then(|()| out.write_all(&body))
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
    }
}

fn read(stream: &mut impl std::io::BufRead) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let (first, headers) = lines.split_first()?;
    let mut words = first.split(' ');
    let headers = headers.iter().filter_map(|line| line.split_once(':'));
    let headers: BTreeMap<String, String> =
        headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    // What comes with it belongs to no other request.
    let length = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
    std::io::copy(&mut stream.take(length), &mut std::io::sink()).ok()?;
    Some(Asked { method: words.next()?.to_owned(), target: words.next()?.to_owned(), headers })
}
