//! Tries over HTTP/1.1 (RFC 9112), encrypted or not, well-formed or not.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{Options, Outcome, connect_to, ech, shown, unescaped};

/// What is read of an answer.
const MOST: usize = 1 << 20;

/// Something to read from and write to.
pub(super) trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// A request to the URL that is the target: `--method`, `--header` (any number), `--body`; `--at` connects elsewhere, `--sni` greets
/// otherwise, `--ech` hides that name behind the other one (or nothing, with `made-up`), `--proxy` asks a proxy for a tunnel, `--via` asks one for the request itself.
pub(super) fn request(options: &Options) -> Outcome {
    let url = Url::parse(&options.target)?;
    let method = options.get("method").unwrap_or("GET");
    let mut stream = open(options, &url, b"http/1.1")?;
    let target = if options.get("via").is_some() { &options.target } else { &url.path };
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !options.all("header").any(|header| header.to_ascii_lowercase().starts_with("host:")) {
        head.push_str(&format!("host: {}\r\n", url.authority()));
    }
    for header in options.all("header") {
        head.push_str(header);
        head.push_str("\r\n");
    }
    let body = unescaped(options.get("body").unwrap_or_default());
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    stream.write_all(&[head.as_bytes(), b"connection: close\r\n\r\n", &body].concat())?;
    stream.flush()?;
    Ok(answer(&mut *stream))
}

/// Bytes as they are (`--send`, with escapes) to the target, over TLS with `--sni`.
pub(super) fn verbatim(options: &Options) -> Outcome {
    let stream = connect_to(&options.target)?;
    let mut stream: Box<dyn Stream> = match options.get("sni") {
        Some(name) => encrypted(stream, name, None, b"http/1.1")?,
        None => Box::new(stream),
    };
    stream.write_all(&unescaped(options.get("send").unwrap_or_default()))?;
    stream.flush()?;
    Ok(answer(&mut *stream))
}

/// Reads one answer, or as far as patience goes.
fn answer(stream: &mut dyn Stream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    let failure = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break None,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) => break Some(error),
        }
        if is_whole(&bytes) || bytes.len() > MOST {
            break None;
        }
    };
    match (bytes.is_empty(), failure) {
        (true, None) => "CLOSED without an answer".to_owned(),
        (true, Some(error)) => format!("FAILED {error}"),
        (false, _) => format!("ANSWERED {}", shown(&bytes)),
    }
}

/// Whether as much has come as the answer says that it has.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

/// Connects to where the URL says, or where the options do.
pub(super) fn open(
    options: &Options,
    url: &Url,
    protocol: &[u8],
) -> Result<Box<dyn Stream>, Box<dyn std::error::Error>> {
    let elsewhere = ["at", "proxy", "via"].into_iter().find_map(|name| options.get(name));
    let mut stream = connect_to(elsewhere.unwrap_or(&url.address()))?;
    if options.get("proxy").is_some() {
        let target = options.get("connect").map_or_else(|| url.address(), str::to_owned);
        write!(stream, "CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n")?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte)? == 0 {
                return Err("the proxy closed".into());
            }
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 200") {
            return Err(format!("the proxy answered {}", shown(&head)).into());
        }
    }
    if url.encrypted {
        encrypted(stream, options.get("sni").unwrap_or(&url.host), options.get("ech"), protocol)
    } else {
        Ok(Box::new(stream))
    }
}

fn encrypted(
    mut stream: TcpStream,
    name: &str,
    hidden: Option<&str>,
    protocol: &[u8],
) -> Result<Box<dyn Stream>, Box<dyn std::error::Error>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = match hidden {
        Some(hidden) => builder.with_ech(ech::mode(hidden, name)?)?,
        None => builder.with_safe_default_protocol_versions()?,
    };
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous)).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    // Without a name where none is wanted.
    config.enable_sni = name != "none";
    let name = if config.enable_sni { name } else { "none.test" };
    // What is shown is in the configuration then.
    let name = hidden.filter(|hidden| *hidden != ech::MADE_UP).unwrap_or(name);
    let mut connection = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned())?)?;
    if let Err(error) = connection.complete_io(&mut stream) {
        // Whoever is at the other end may look at it first.
        io::copy(&mut stream, &mut io::sink()).ok();
        return Err(error.into());
    }
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

/// The parts of a URL that a request needs. Anything goes: it is the other side that has to be strict.
pub(super) struct Url {
    pub(super) encrypted: bool,
    pub(super) host: String,
    port: u16,
    pub(super) path: String,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let (scheme, rest) = text.split_once("://").ok_or("a URL has a scheme")?;
        let encrypted = scheme == "https";
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let default = if encrypted { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse()?),
            _ => (authority, default),
        };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { encrypted, host: host.to_owned(), port, path: path.to_owned() })
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(super) fn authority(&self) -> String {
        if self.port == if self.encrypted { 443 } else { 80 } { self.host.clone() } else { self.address() }
    }
}

/// Believes every certificate: an attacker does not care.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
