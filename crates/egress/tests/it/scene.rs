//! A doorway with one door and one sandbox behind it, and what the door wrote down.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::{
    SandboxId,
    egress::{
        Addresses, BodyLimit, EgressPolicy, EgressRule, Fetched, HostPattern, Method, Passed, Refusal,
        Refused, Scheme,
    },
};
use cofferdam_egress::{
    About, Capture, Door, Doorway, DoorwayOptions, Listeners, NotRecorded, Patience, Record, Roots, Serving,
};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Notify,
    time::timeout,
};

use crate::host::Authority;

/// How long a test waits for what must happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a door wrote down.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) passed: Mutex<Vec<Passed>>,
    pub(crate) refused: Mutex<Vec<Refused>>,
    pub(crate) fetched: Mutex<Vec<Fetched>>,
    /// Whether nothing can be written down.
    pub(crate) broken: Mutex<bool>,
    news: Notify,
}

#[async_trait]
impl Record for Log {
    async fn passed(&self, passed: Passed) -> Result<(), NotRecorded> {
        if *self.broken.lock().unwrap() {
            return Err(NotRecorded);
        }
        self.passed.lock().unwrap().push(passed);
        Ok(())
    }

    fn refused(&self, refused: Refused) {
        self.refused.lock().unwrap().push(refused);
        self.news.notify_waiters();
    }

    fn fetched(&self, fetched: Fetched) {
        self.fetched.lock().unwrap().push(fetched);
        self.news.notify_waiters();
    }
}

impl Log {
    pub(crate) fn codes(&self) -> Vec<Refusal> {
        self.refused.lock().unwrap().iter().map(|refused| refused.code).collect()
    }

    pub(crate) fn passes(&self) -> usize {
        self.passed.lock().unwrap().len()
    }

    /// Waits until a package of this name has come.
    pub(crate) async fn wait_for_package_named(&self, name: &str) -> Fetched {
        let found = || self.fetched.lock().unwrap().iter().find(|fetched| fetched.name == name).cloned();
        self.wait(found).await.unwrap_or_else(|| panic!("no {name} but {:?}", self.fetched.lock().unwrap()))
    }

    /// Waits until something was refused for this reason.
    pub(crate) async fn wait_for(&self, code: Refusal) -> Refused {
        let found = || self.refused.lock().unwrap().iter().find(|refused| refused.code == code).cloned();
        self.wait(found).await.unwrap_or_else(|| panic!("no {code:?} but {:?}", self.codes()))
    }

    /// Waits until a package has come, and takes the line about it out.
    pub(crate) async fn wait_for_package(&self) -> Fetched {
        self.wait(|| self.fetched.lock().unwrap().pop()).await.expect("a package")
    }

    async fn wait<T>(&self, found: impl Fn() -> Option<T>) -> Option<T> {
        let seen = async {
            loop {
                let mut news = std::pin::pin!(self.news.notified());
                // From now on, so that nothing is missed between the look and the wait.
                news.as_mut().enable();
                if let Some(found) = found() {
                    return found;
                }
                news.await;
            }
        };
        timeout(SOON, seen).await.ok()
    }
}

/// A door and what is on its two sides.
pub(crate) struct Scene {
    pub(crate) log: Arc<Log>,
    pub(crate) door: Door,
    pub(crate) serving: Serving,
    pub(crate) proxy: SocketAddr,
    names: SocketAddr,
    _doorway: Doorway,
}

/// A rule that permits everything on one host, which is at this address.
pub(crate) fn rule(host: &str, scheme: Scheme, at: SocketAddr) -> EgressRule {
    EgressRule {
        scheme,
        methods: ["GET", "HEAD", "POST", "PUT"].map(|method| method.parse::<Method>().unwrap()).to_vec(),
        query: true,
        body_limit: BodyLimit(64 << 20),
        addresses: Addresses::At(at),
        ..EgressRule::new(host, host.parse::<HostPattern>().unwrap())
    }
}

pub(crate) fn quick() -> Patience {
    Patience {
        beginning: Duration::from_millis(700),
        head: Duration::from_millis(900),
        connect: Duration::from_millis(1500),
        answer: Duration::from_millis(700),
        stall: Duration::from_millis(700),
    }
}

impl Scene {
    pub(crate) fn new(rules: Vec<EgressRule>, authority: &Authority) -> Self {
        Self::with(EgressPolicy { rules, ..EgressPolicy::default() }, DoorwayOptions::default(), authority)
    }

    pub(crate) fn with(policy: EgressPolicy, options: DoorwayOptions, authority: &Authority) -> Self {
        let roots = Roots { host: false, extra: authority.pem().into_bytes() };
        Self::at(policy, DoorwayOptions { roots, ..options })
    }

    /// A scene whose door is about something.
    pub(crate) fn about(policy: EgressPolicy, about: &About<'_>, authority: &Authority) -> Self {
        let roots = Roots { host: false, extra: authority.pem().into_bytes() };
        Self::opened(&policy, about, DoorwayOptions { roots, ..DoorwayOptions::default() })
    }

    /// A scene whose hosts are vouched for by whoever the options say.
    pub(crate) fn at(policy: EgressPolicy, options: DoorwayOptions) -> Self {
        Self::opened(&policy, &About::default(), options)
    }

    fn opened(policy: &EgressPolicy, about: &About<'_>, options: DoorwayOptions) -> Self {
        let doorway = Doorway::new(options).unwrap();
        let log = Arc::<Log>::default();
        let door = doorway.open_for(policy, about, log.clone()).unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let dns = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (proxy, names) = (tcp.local_addr().unwrap(), dns.local_addr().unwrap());
        let listeners = Listeners {
            tcp: vec![tcp],
            dns: vec![dns],
            streams: None,
            capture: Capture::ProxyOnly { address: proxy },
        };
        let serving = door.serve(SandboxId::generate(), listeners).unwrap();
        Self { log, door, serving, proxy, names, _doorway: doorway }
    }

    /// Asks the door for a name's address, as a program's resolver does.
    pub(crate) async fn ask(&self, message: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(message, self.names).await.unwrap();
        let mut answer = [0; 1500];
        let length = timeout(SOON, socket.recv(&mut answer)).await.expect("an answer").unwrap();
        answer[..length].to_vec()
    }

    /// The placeholder of a name.
    pub(crate) async fn placeholder(&self, name: &str) -> Option<IpAddr> {
        let question = crate::lookups::question(name, 1);
        match cofferdam_egress::read_answer(&question, &self.ask(&question).await).unwrap() {
            cofferdam_egress::Answered::Addresses(addresses) => addresses.first().copied(),
            other @ (cofferdam_egress::Answered::Truncated | cofferdam_egress::Answered::Failed) => {
                panic!("{other:?}")
            }
        }
    }

    /// A connection that a program in the sandbox makes to this address, as the kernel redirects it to the door.
    pub(crate) async fn connect_to(&self, destination: SocketAddr) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        self.serving.take(far.unwrap().0.into_std().unwrap(), destination).unwrap();
        near.unwrap()
    }

    /// A connection that a program makes to a host by its name.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> TcpStream {
        let placeholder = self.placeholder(host).await.expect("the name is known");
        self.connect_to(SocketAddr::new(placeholder, port)).await
    }

    /// A connection to the door as a proxy.
    pub(crate) async fn connect_to_proxy(&self) -> TcpStream {
        TcpStream::connect(self.proxy).await.unwrap()
    }

    /// The bundle that programs inside are told to trust.
    pub(crate) fn bundle(&self) -> Vec<u8> {
        let trust = self.door.trust();
        let (_, path) = trust.variables.iter().find(|(name, _)| name == "SSL_CERT_FILE").unwrap();
        trust.files.iter().find(|file| file.inside.to_str() == Some(path)).unwrap().content.to_vec()
    }
}
