//! Where a host is, the door asks itself; what it is told is judged before anybody is dialled.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use cofferdam_domain::egress::{Addresses, EgressPolicy, EgressRule, Refusal, Registries, Scheme};
use cofferdam_egress::{DoorwayOptions, Part, Question, Registry, RegistryKind, Reply, Resolver};
use tokio::{net::UdpSocket, task::JoinSet};

use crate::{
    host::{Authority, Host},
    inside::{fetch, request},
    scene::{Scene, quick, rule},
};

/// A DNS server that gives each name its next answer.
struct Names {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Names {
    async fn new(answers: &[(&str, &[&str])]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut answers: HashMap<String, Vec<IpAddr>> = answers
            .iter()
            .map(|(name, list)| ((*name).to_owned(), list.iter().map(|text| text.parse().unwrap()).collect()))
            .collect();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = asked.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let question = Question::read(&buffer[..length]).unwrap();
                log.lock().unwrap().push(question.name.clone());
                let list = answers.get_mut(&question.name);
                let wanted =
                    |address: &IpAddr| if question.kind == 1 { address.is_ipv4() } else { address.is_ipv6() };
                let reply = match list {
                    None => Reply::NoSuchName,
                    Some(list) => match list.first().copied().filter(wanted) {
                        Some(address) => {
                            if list.len() > 1 {
                                list.remove(0);
                            }
                            Reply::Address(address)
                        }
                        None => Reply::Nothing,
                    },
                };
                socket.send_to(&question.answer(reply, 1), from).await.unwrap();
            }
        });
        Self { address, asked, _task: task }
    }
}

async fn code(scene: &Scene, host: &str, port: u16) -> String {
    let stream = scene.connect(host, port).await;
    let named = format!("{host}:{port}");
    let answer = fetch(stream, false, request("GET", &named, "/", false, "")).await.unwrap();
    answer.headers().get("cofferdam-refused").map_or("passed", |code| code.to_str().unwrap()).to_owned()
}

#[tokio::test]
async fn addresses_that_no_name_may_lead_to_are_not_dialled() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let bad = [
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "169.254.0.9",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "ff02::1",
    ];
    let names: Vec<String> = (0..bad.len()).map(|number| format!("h{number}.example")).collect();
    let lists: Vec<[&str; 1]> = bad.iter().map(|address| [*address]).collect();
    let answers: Vec<(&str, &[&str])> =
        names.iter().zip(&lists).map(|(name, list)| (name.as_str(), list.as_slice())).collect();
    let server = Names::new(&answers).await;
    let rules = names
        .iter()
        .map(|name| EgressRule {
            addresses: Addresses::Public,
            port: Some(host.address.port()),
            ..rule(name, Scheme::Http, host.address)
        })
        .collect();
    let options = DoorwayOptions { resolver: Resolver::Server(server.address), ..DoorwayOptions::default() };
    let scene = Scene::with(EgressPolicy { rules, ..EgressPolicy::default() }, options, &authority);
    for (name, address) in names.iter().zip(bad) {
        assert_eq!(code(&scene, name, host.address.port()).await, "address", "{address}");
    }
    assert_eq!((host.accepted(), scene.log.passes()), (0, 0));
    assert!(server.asked.lock().unwrap().iter().all(|name| names.contains(name)));
}

#[tokio::test]
async fn a_name_that_moves_is_judged_each_time() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    // First a documentation address, where nobody is; then the worker's own machine.
    let server = Names::new(&[("a.example", &["192.0.2.1", "127.0.0.1"])]).await;
    let rules = vec![EgressRule {
        addresses: Addresses::Public,
        port: Some(host.address.port()),
        ..rule("a.example", Scheme::Http, host.address)
    }];
    let resolver = Resolver::Server(server.address);
    let options = DoorwayOptions { resolver, patience: quick(), ..DoorwayOptions::default() };
    let scene = Scene::with(EgressPolicy { rules, ..EgressPolicy::default() }, options, &authority);
    assert_eq!(code(&scene, "a.example", host.address.port()).await, "unreachable");
    assert_eq!(code(&scene, "a.example", host.address.port()).await, "address");
    scene.log.wait_for(Refusal::Address).await;
    assert_eq!(host.accepted(), 0);
}

#[tokio::test]
async fn an_index_is_where_the_same_resolver_says_or_not_read() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    // The host's own resolver knows the name as well; nobody is to ask it.
    let server = Names::new(&[("localhost.example", &["127.0.0.1"])]).await;
    let registry = Registry {
        kind: RegistryKind::Npm,
        part: Part::Whole,
        scheme: Scheme::Http,
        host: "localhost.example".parse().unwrap(),
        port: host.address.port(),
        base: String::new(),
        addresses: Addresses::Public,
        credential: None,
    };
    let registries = Registries { enabled: true, ..Registries::default() };
    let policy = EgressPolicy { registries, ..EgressPolicy::default() };
    let options = DoorwayOptions {
        registries: vec![registry],
        resolver: Resolver::Server(server.address),
        ..DoorwayOptions::default()
    };
    let scene = Scene::with(policy, options, &authority);
    let stream = scene.connect("localhost.example", host.address.port()).await;
    let named = format!("localhost.example:{}", host.address.port());
    let asked = request("GET", &named, "/left-pad/-/left-pad-1.0.0.tgz", false, "");
    let answer = fetch(stream, false, asked).await.unwrap();
    let body = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(body.contains("index of left-pad cannot be read") && body.contains("127.0.0.1"), "{body}");
    assert_eq!((host.accepted(), scene.log.passes()), (0, 0));
    assert!(!server.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn names_that_no_rule_is_about_are_asked_of_nobody() {
    let authority = Authority::new();
    let server = Names::new(&[]).await;
    let options = DoorwayOptions { resolver: Resolver::Server(server.address), ..DoorwayOptions::default() };
    let scene = Scene::with(EgressPolicy::default(), options, &authority);
    assert_eq!(scene.placeholder("secret.evil.example").await, None);
    let stream = scene.connect_to_proxy().await;
    let text = b"CONNECT secret.evil.example:443 HTTP/1.1\r\n\r\n";
    assert!(crate::inside::say(stream, text).await.starts_with("HTTP/1.1 403"));
    let stream = scene.connect_to_proxy().await;
    let text =
        b"GET http://secret.evil.example/ HTTP/1.1\r\nHost: secret.evil.example\r\nConnection: close\r\n\r\n";
    assert!(crate::inside::say(stream, text).await.starts_with("HTTP/1.1 403"));
    assert_eq!(server.asked.lock().unwrap().len(), 0);
}
