//! Requests to an LFS server and to where it says that contents are.
//!
//! The server itself is where the repository is. It may name any other address, so what it names is judged: https only (http where the
//! repository itself is behind http, which is this machine's loopback), no user or password in it, and an address where the operator lets such
//! requests go. A redirection of a download is judged like that too; its headers go to the place that they were given for and nowhere else.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use cofferdam_domain::{address::may_dial, egress::Addresses};
use http::{HeaderMap, header::LOCATION};
use reqwest::{
    Body, Client, ClientBuilder, Method, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use tokio::time::timeout;
use url::{Host, Url};

/// How often a download may be said to be elsewhere.
const MOST_MOVES: u32 = 3;
/// The longest address.
const LONGEST_ADDRESS: usize = 16 << 10;

/// Sends requests.
#[derive(Debug, Clone)]
pub(super) struct Dial {
    own: Url,
    client: Client,
    elsewhere: Client,
    addresses: Addresses,
    patience: Duration,
}

/// A request.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Body>,
    /// How long it may take until an answer begins.
    pub(super) time: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Later there may be one.
    ForNow(String),
    /// Nobody is asked there.
    Address(String),
}

impl Trouble {
    pub(super) fn reason(self) -> String {
        match self {
            Self::ForNow(reason) | Self::Address(reason) => reason,
        }
    }
}

impl Dial {
    /// For the server at `own`. Other places are asked where they are at `addresses`. An answer, or a part of it, may take so long.
    pub(super) fn new(own: Url, addresses: &Addresses, patience: Duration) -> Result<Self, reqwest::Error> {
        // Fails where it is installed already, which is as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        let loopback = cofferdam_domain::loopback::is_loopback(own.host_str().unwrap_or_default());
        let client = builder(patience);
        let client = if loopback { client.no_proxy() } else { client };
        let judged = Arc::new(Judged(addresses.clone()));
        let elsewhere = builder(patience).no_proxy().dns_resolver(judged);
        Ok(Self {
            own,
            client: client.build()?,
            elsewhere: elsewhere.build()?,
            addresses: addresses.clone(),
            patience,
        })
    }

    /// How long an answer may take, and each part of it.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// The beginning of an answer, at most so many bytes.
    pub(super) async fn start_of(&self, mut answer: Response, most: usize) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        while bytes.len() < most {
            let chunk = timeout(self.patience, answer.chunk()).await.map_err(|_| late())?;
            let Some(chunk) = chunk.map_err(|error| unreachable(&error))? else { break };
            bytes.extend_from_slice(&chunk[..chunk.len().min(most - bytes.len())]);
        }
        Ok(bytes)
    }

    /// Hands an answer over piece by piece, until no more is wanted.
    pub(super) async fn pour<E: From<Trouble>>(
        &self,
        mut answer: Response,
        mut take: impl FnMut(&[u8]) -> Result<bool, E>,
    ) -> Result<(), E> {
        loop {
            let chunk = timeout(self.patience, answer.chunk()).await.map_err(|_| late())?;
            let Some(chunk) = chunk.map_err(|error| unreachable(&error))? else { return Ok(()) };
            if !take(&chunk)? {
                return Ok(());
            }
        }
    }

    /// Whether an address is the server's own.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.own.origin()
    }

    /// An address that the server has named, if anybody is asked there.
    pub(super) fn address(&self, text: &str) -> Result<Url, Trouble> {
        let refused =
            |why: &str| Err(Trouble::Address(format!("it is said to be where nothing is asked for: {why}")));
        let Some(url) =
            Some(text).filter(|text| text.len() <= LONGEST_ADDRESS).and_then(|text| Url::parse(text).ok())
        else {
            return refused("that is no address");
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refused("it has a user or password in it");
        }
        if url.scheme() != "https" && !(url.scheme() == "http" && self.own.scheme() == "http") {
            return refused("it is not https");
        }
        if self.is_own(&url) {
            return Ok(url);
        }
        let literal: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return refused("it names no host"),
        };
        if let Some(address) = literal {
            let port = url.port_or_known_default();
            let other = matches!(self.addresses, Addresses::At(at) if Some(at.port()) != port);
            if let Err(problem) = may_dial(address, &self.addresses) {
                return refused(&problem.to_string());
            }
            if other {
                return refused("it is at another port");
            }
        }
        Ok(url)
    }

    /// Sends a request. A download is followed to where it is said to be.
    pub(super) async fn send(&self, mut request: Request) -> Result<Response, Trouble> {
        for _ in 0..=MOST_MOVES {
            let client = if self.is_own(&request.url) { &self.client } else { &self.elsewhere };
            let mut asked = client.request(request.method.clone(), request.url.clone());
            asked = asked.headers(request.headers.clone());
            if let Some(body) = request.body.take() {
                asked = asked.body(body);
            }
            let answer = timeout(request.time, asked.send()).await.map_err(|_| late())?;
            let answer = answer.map_err(|error| unreachable(&error))?;
            let moved = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !moved || request.method != Method::GET {
                return Ok(answer);
            }
            let place = answer.headers().get(LOCATION).and_then(|place| place.to_str().ok());
            let place = place.and_then(|place| request.url.join(place).ok());
            let Some(place) = place else { return Ok(answer) };
            let place = self.address(place.as_str())?;
            if place.origin() != request.url.origin() {
                request.headers.clear();
            }
            request.url = place;
        }
        Err(Trouble::Address("it is said to be elsewhere again and again".to_owned()))
    }
}

fn builder(patience: Duration) -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(patience.min(Duration::from_secs(10)))
        .pool_max_idle_per_host(4)
        .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
}

fn late() -> Trouble {
    Trouble::ForNow("there was no answer in time".to_owned())
}

/// Why there was no answer. An address may hold what nobody else is to know.
fn unreachable(error: &reqwest::Error) -> Trouble {
    if error.is_timeout() {
        return late();
    }
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let what = if error.is_connect() { "it cannot be reached" } else { "the connection broke" };
    // Other errors repeat what the other side has said.
    match inner.downcast_ref::<io::Error>() {
        Some(inner) => Trouble::ForNow(format!("{what} ({inner})")),
        None => Trouble::ForNow(what.to_owned()),
    }
}

/// Finds addresses, and passes on those where somebody else than the server may be.
#[derive(Debug)]
struct Judged(Addresses);

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.0.clone();
        Box::pin(async move {
            if let Addresses::At(at) = addresses {
                return Ok(Box::new(std::iter::once(at)) as Addrs);
            }
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // All of them or none: whoever mixes them means no good.
            if found.is_empty() || found.iter().any(|found| may_dial(found.ip(), &addresses).is_err()) {
                let why = "its name leads to no address where contents may be; see [repositories.lfs] in the configuration";
                return Err(io::Error::other(why).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(own: &str, addresses: &Addresses) -> Dial {
        Dial::new(Url::parse(own).unwrap(), addresses, Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn nothing_is_asked_just_anywhere() {
        let public = dial("https://git.example.org/a/b.git/info/lfs", &Addresses::Public);
        for (good, own) in [
            ("https://git.example.org/x?y=z", true),
            ("https://git.example.org:443/x", true),
            ("https://bucket.example.com/x", false),
            ("https://git.example.org:8443/x", false),
            ("https://8.8.8.8/x", false),
        ] {
            assert_eq!(public.is_own(&public.address(good).unwrap()), own, "{good}");
        }
        for bad in [
            "",
            "/x",
            "http://git.example.org/x",
            "http://bucket.example.com/x",
            "ftp://git.example.org/x",
            "file:///etc/passwd",
            "https://u@git.example.org/x",
            "https://u:p@git.example.org/x",
            "https://127.0.0.1/x",
            "https://2130706433/x",
            "https://0x7f.1/x",
            "https://[::1]/x",
            "https://[::ffff:127.0.0.1]/x",
            "https://169.254.169.254/latest",
            "https://10.0.0.1/x",
            "https://[fd00::1]/x",
        ] {
            assert!(public.address(bad).is_err(), "{bad}");
        }
        let private = dial("https://git.example.org/", &Addresses::Private);
        assert!(private.address("https://10.0.0.1/x").is_ok());
        assert!(private.address("https://127.0.0.1/x").is_err());
        let here = dial("http://127.0.0.1:3000/", &Addresses::Public);
        assert!(here.address("http://127.0.0.1:3000/x").is_ok());
        assert!(here.address("http://127.0.0.1:22/x").is_err());
        let at = dial("http://127.0.0.1:3000/", &Addresses::At("127.0.0.1:22".parse().unwrap()));
        assert!(at.address("http://127.0.0.1:22/x").is_ok() && at.address("http://127.0.0.1:23/x").is_err());
    }
}
