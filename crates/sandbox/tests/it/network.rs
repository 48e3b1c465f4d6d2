//! The network of a sandbox with an egress door: everything ends at sockets that the host holds, or nowhere. The test plays the door.

use std::{future::pending, net::SocketAddr, process::Command, time::Duration};

use cofferdam_sandbox::{
    Capture, CaptureLevel, Driver as _, HostEnvironment, LimitLevel, NativeOptions, Network, Sandbox,
    SandboxError, SandboxSpec, System, User,
};
use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

use crate::support::{LONG, Place, is_root, run, sh, shell, text};

/// Makes this test binary count its descriptors, alone.
const COUNT_DESCRIPTORS: &str = "COFFERDAM_TEST_COUNT_DESCRIPTORS";
/// What the door says to whoever connects.
const GREETING: &str = "from the door";

/// The host's end of a sandbox's network.
struct Door {
    tcp: Vec<TcpListener>,
    dns: Vec<UdpSocket>,
}

impl Door {
    fn of(sandbox: &dyn Sandbox) -> Self {
        let listeners = sandbox.take_listeners().expect("the door's sockets are there");
        assert!(sandbox.take_listeners().is_none(), "they are given once");
        Self {
            tcp: listeners.tcp.into_iter().map(|listener| TcpListener::from_std(listener).unwrap()).collect(),
            dns: listeners.dns.into_iter().map(|socket| UdpSocket::from_std(socket).unwrap()).collect(),
        }
    }

    fn has_ipv6(&self) -> bool {
        if self.tcp.len() < 2 {
            eprintln!("SKIPPED: this host has no IPv6");
        }
        self.tcp.len() == 2
    }

    /// The next connection, and where its program wanted it to go.
    async fn accept(&self) -> (TcpStream, SocketAddr) {
        let v6 = async {
            match self.tcp.get(1) {
                Some(listener) => listener.accept().await,
                None => pending().await,
            }
        };
        let accepted = async {
            tokio::select! {
                accepted = self.tcp[0].accept() => accepted.map(|(stream, _)| {
                    let meant = ip_original_dst(&stream).unwrap();
                    (stream, meant.into())
                }),
                accepted = v6 => accepted.map(|(stream, _)| {
                    let meant = ipv6_original_dst(&stream).unwrap();
                    (stream, meant.into())
                }),
            }
        };
        timeout(LONG, accepted).await.expect("a connection comes").unwrap()
    }

    /// Greets one connection. Where it was meant to go.
    async fn greet(&self) -> SocketAddr {
        let (mut stream, meant) = self.accept().await;
        stream.write_all(GREETING.as_bytes()).await.unwrap();
        meant
    }

    /// Asserts that nobody has connected or asked for a name.
    fn assert_quiet(&self) {
        for listener in &self.tcp {
            assert_eq!(rustix::net::accept(listener).unwrap_err(), rustix::io::Errno::AGAIN);
        }
        for socket in &self.dns {
            assert_eq!(
                socket.try_recv_from(&mut [0; 512]).unwrap_err().kind(),
                std::io::ErrorKind::WouldBlock
            );
        }
    }
}

fn with_door(place: &Place, layer: &str) -> SandboxSpec {
    SandboxSpec { network: Network::Door, ..place.spec(layer) }
}

/// A sandbox with its door; `None`, loudly, where the kernel cannot redirect connections or there is nothing to make them with.
async fn open(place: &Place, layer: &str, program: &str) -> Option<(Box<dyn Sandbox>, Door)> {
    if !place.driver.level().contains("gets every connection") {
        eprintln!("SKIPPED: no nf_tables: {}", place.driver.level());
        return None;
    }
    let sandbox = place.create(with_door(place, layer)).await;
    if sh(&*sandbox, &format!("command -v {program}")).await.is_empty() {
        eprintln!("SKIPPED: no {program} for connections from inside");
        return None;
    }
    let door = Door::of(&*sandbox);
    Some((sandbox, door))
}

/// Connects, and prints what comes.
fn connect(to: SocketAddr) -> String {
    format!("bash -c 'exec 3<>/dev/tcp/{}/{} && cat <&3' 2>&1", to.ip(), to.port())
}

/// Connects by a script inside and greets outside. What the script printed, and where the connection was meant to go.
async fn meet(sandbox: &dyn Sandbox, door: &Door, script: &str) -> (String, SocketAddr) {
    tokio::join!(sh(sandbox, script), door.greet())
}

#[tokio::test]
async fn every_connection_ends_at_the_door() {
    let Some(place) = Place::new().await else { return };
    let Some((sandbox, door)) = open(&place, "layer", "bash").await else { return };
    let v4 = [
        "203.0.113.7:8443",
        "10.0.0.1:22",
        "169.254.169.254:80",
        "192.168.0.1:1",
        "198.18.0.1:65535",
        "172.17.0.1:2375",
        "0.0.0.1:443",
        "240.0.0.1:443",
        "203.0.113.7:1015",
        "126.255.255.255:53",
        "128.0.0.1:3128",
    ];
    let v6 = [
        "[2001:db8::7]:443",
        "[fd00::1]:65000",
        "[64:ff9b::a9fe:a9fe]:80",
        "[::2]:22",
        "[fe80::1%1]:443",
        "[100::1]:1015",
    ];
    let v6 = if door.has_ipv6() { &v6[..] } else { &[] };
    for to in v4.iter().chain(v6) {
        let (name, to): (_, SocketAddr) = (to, to.parse().unwrap());
        // The shell knows the interface by its name.
        let script = connect(to).replace("fe80::1", "fe80::1%lo");
        let (printed, meant) = meet(&*sandbox, &door, &script).await;
        assert_eq!((printed.as_str(), meant.ip(), meant.port()), (GREETING, to.ip(), to.port()), "{name}");
    }
    if door.has_ipv6() {
        // A socket of the one family, an address of the other.
        let mapped = "[::ffff:203.0.113.9]:80".parse().unwrap();
        let (printed, meant) = meet(&*sandbox, &door, &connect(mapped)).await;
        assert_eq!((printed.as_str(), meant), (GREETING, "203.0.113.9:80".parse().unwrap()));
    }
    door.assert_quiet();
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn servers_inside_are_reached_from_inside() {
    let Some(place) = Place::new().await else { return };
    let Some((sandbox, door)) = open(&place, "layer", "python3").await else { return };
    let script = "import socket\n\
                  def talk(family, bound, address):\n\
                  \x20   s = socket.socket(family); s.bind(bound); s.listen()\n\
                  \x20   c = socket.create_connection(address, timeout=10)\n\
                  \x20   p = s.accept()[0]; p.sendall(b'yes'); print(address[1], c.recv(3).decode())\n\
                  talk(socket.AF_INET, ('127.0.0.1', 8000), ('127.0.0.1', 8000))\n\
                  talk(socket.AF_INET, ('0.0.0.0', 80), ('127.0.0.1', 80))\n\
                  talk(socket.AF_INET, ('127.0.0.1', 443), ('localhost', 443))\n\
                  talk(socket.AF_INET, ('0.0.0.0', 3000), ('0.0.0.0', 3000))\n\
                  talk(socket.AF_INET, ('127.9.9.9', 1), ('127.9.9.9', 1))\n\
                  talk(socket.AF_INET, ('0.0.0.0', 5000), ('192.0.0.8', 5000))\n\
                  a = socket.socket(type=socket.SOCK_DGRAM); a.bind(('127.0.0.1', 9))\n\
                  b = socket.socket(type=socket.SOCK_DGRAM); b.sendto(b'yes', ('127.0.0.1', 9)); print('udp', a.recv(3).decode())\n";
    sandbox.write("/tmp/talk.py", script.as_bytes(), None).await.unwrap();
    let expected = "8000 yes\n80 yes\n443 yes\n3000 yes\n1 yes\n5000 yes\nudp yes\n";
    assert_eq!(sh(&*sandbox, "python3 /tmp/talk.py 2>&1").await, expected);
    if door.has_ipv6() {
        let script = "import socket\n\
                      s = socket.socket(socket.AF_INET6); s.bind(('::1', 81)); s.listen()\n\
                      socket.create_connection(('::1', 81), timeout=10); print(s.accept()[1][0])\n";
        sandbox.write("/tmp/talk6.py", script.as_bytes(), None).await.unwrap();
        assert_eq!(sh(&*sandbox, "python3 /tmp/talk6.py 2>&1").await, "::1\n");
    }
    door.assert_quiet();
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn questions_for_names_end_at_the_door_and_answers_arrive() {
    let Some(place) = Place::new().await else { return };
    let Some((sandbox, door)) = open(&place, "layer", "bash").await else { return };
    let servers =
        [("8.8.8.8", 0), ("127.0.0.1", 0), ("192.168.0.1", 0), ("2001:4860:4860::8888", 1), ("::1", 1)];
    let families = if door.has_ipv6() { 2 } else { 1 };
    for (server, family) in servers.into_iter().filter(|(_, family)| *family < families) {
        // The shell's socket is connected: it takes answers from the server that was asked only.
        let script = format!("bash -c 'exec 3<>/dev/udp/{server}/53 && echo who >&3 && head -n 1 <&3' 2>&1");
        let answer = async {
            let mut question = [0; 512];
            let (length, from) = door.dns[family].recv_from(&mut question).await.unwrap();
            assert_eq!(&question[..length], b"who\n");
            door.dns[family].send_to(b"me\n", from).await.unwrap();
        };
        let (printed, ()) =
            tokio::join!(sh(&*sandbox, &script), async { timeout(LONG, answer).await.unwrap() });
        assert_eq!(printed, "me\n", "{server}");
    }
    // The system's own resolver asks the door because of /etc/resolv.conf; this program wants addresses of a kind that the machine has.
    let resolved = tokio::select! {
        printed = sh(&*sandbox, "getent ahostsv4 name.example | head -n 1 | cut -d' ' -f1") => printed,
        () = answer_with_placeholder(&door.dns[0]) => String::new(),
    };
    assert_eq!(resolved, "198.18.0.9\n");
    sandbox.destroy().await.unwrap();
}

/// Answers every question for an IPv4 address (RFC 1035, section 4).
async fn answer_with_placeholder(socket: &UdpSocket) {
    let mut packet = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut packet).await.unwrap();
        let name = 12 + packet[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let wants_v4 = packet[name..name + 2] == [0, 1];
        assert!(length >= name + 4 && packet[12..].starts_with(b"\x04name\x07example\0"));
        let mut answer = packet[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(wants_v4), 0, 0, 0, 0]);
        answer.extend(&packet[12..name + 4]);
        if wants_v4 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 9]);
        }
        socket.send_to(&answer, from).await.unwrap();
    }
}

#[tokio::test]
async fn all_else_goes_nowhere() {
    let Some(place) = Place::new().await else { return };
    let Some((sandbox, door)) = open(&place, "layer", "bash").await else { return };
    let mut servers = vec!["8.8.8.8/443", "203.0.113.7/123", "169.254.169.254/53000", "10.0.0.1/51820"];
    if door.has_ipv6() {
        servers.push("2001:db8::7/443");
    }
    for server in servers {
        let script = format!("bash -c 'echo data > /dev/udp/{server}' 2>&1 | grep -c 'not permitted'");
        assert_eq!(sh(&*sandbox, &script).await, "1\n", "{server}");
    }
    door.assert_quiet();
    assert_eq!(sh(&*sandbox, "sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' '").await, "lo\n");
    if sh(&*sandbox, "command -v python3").await.is_empty() {
        eprintln!("SKIPPED: no python3 for other kinds of socket");
        return;
    }
    let script = "import socket\n\
                  def made(name, *arguments):\n\
                  \x20   try: return socket.socket(*arguments)\n\
                  \x20   except OSError: print(name, 'refused')\n\
                  def sent(name, s, *to):\n\
                  \x20   try: s.sendto(b'data', *to); print(name, 'SENT')\n\
                  \x20   except OSError as error: print(name, error.errno)\n\
                  made('vsock', 40, socket.SOCK_STREAM)\n\
                  made('packet', 17, socket.SOCK_RAW)\n\
                  made('raw', socket.AF_INET, socket.SOCK_RAW, 1)\n\
                  made('raw ip', socket.AF_INET, socket.SOCK_RAW, 255)\n\
                  made('raw6', socket.AF_INET6, socket.SOCK_RAW, 58)\n\
                  made('ping', socket.AF_INET, socket.SOCK_DGRAM, 1)\n\
                  made('netfilter', 16, socket.SOCK_RAW, 12)\n\
                  made('diagnostics', 16, socket.SOCK_RAW, 4)\n\
                  made('xdp', 44, socket.SOCK_RAW)\n\
                  s = made('udp', socket.AF_INET, socket.SOCK_DGRAM)\n\
                  s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n\
                  sent('broadcast', s, ('255.255.255.255', 53000)); sent('multicast', s, ('224.0.0.251', 5353))\n\
                  s = made('udp', socket.AF_INET, socket.SOCK_DGRAM); s.bind(('203.0.113.200', 4000))\n\
                  sent('from elsewhere', s, ('203.0.113.7', 443))\n";
    sandbox.write("/tmp/attempts.py", script.as_bytes(), None).await.unwrap();
    let refused = ["vsock", "packet", "raw", "raw ip", "raw6", "ping", "netfilter", "diagnostics", "xdp"]
        .map(|name| format!("{name} refused\n"));
    let expected = format!("{}broadcast 1\nmulticast 1\nfrom elsewhere 1\n", refused.concat());
    assert_eq!(sh(&*sandbox, "python3 /tmp/attempts.py 2>&1").await, expected);
    door.assert_quiet();
    sandbox.destroy().await.unwrap();
}

/// Asks the kernel to read and to change the network, in all ways that need no special kind of socket.
const TAMPER: &str = "import os, socket, struct
def ask(name, kind, flags, body):
    s = socket.socket(16, socket.SOCK_RAW, 0)
    s.send(struct.pack('IHHII', 16 + len(body), kind, 1 | flags, 1, 0) + body)
    answer = s.recv(65536)
    kind, = struct.unpack_from('H', answer, 4)
    print(name, -struct.unpack_from('i', answer, 16)[0] if kind == 2 else 'told')
def attribute(kind, value): return struct.pack('HH', 4 + len(value), kind) + value
ask('read routes', 26, 0x300, struct.pack('BBBBBBBBI', 2, 0, 0, 0, 0, 0, 0, 0, 0))
route = struct.pack('BBBBBBBBI', 2, 0, 0, 0, 255, 3, 254, 2, 0) + attribute(4, struct.pack('i', 1))
ask('delete route', 25, 4, route)
ask('add route', 24, 4 | 0x400, route)
ask('loopback down', 16, 4, struct.pack('BBHiII', 0, 0, 0, 1, 0, 1))
ask('new interface', 16, 4 | 0x600, struct.pack('BBHiII', 0, 0, 0, 0, 0, 0) + attribute(18, attribute(1, b'veth')))
ask('new address', 20, 4 | 0x400, struct.pack('BBBBi', 2, 32, 0, 0, 1) + attribute(2, bytes([203, 0, 113, 7])))
ask('new rule', 32, 4 | 0x600, struct.pack('BBBBBBBBI', 2, 0, 0, 0, 254, 0, 0, 6, 0))
for family in 2, 10:
    for level, option, value in (0, 64, b'\\0' * 64), (41, 64, b'\\0' * 64), (0, 19, b'\\1\\0\\0\\0'), (41, 75, b'\\1\\0\\0\\0'), (1, 36, b'\\1\\0\\0\\0'):
        try: socket.socket(family).setsockopt(level, option, value); print(family, level, option, 'SET')
        except OSError: pass
for name in 'ip_forward', 'ip_unprivileged_port_start', 'conf/all/route_localnet', 'ping_group_range', 'ip_local_port_range':
    try: open('/proc/sys/net/ipv4/' + name, 'w').write('1'); print(name, 'WRITTEN')
    except OSError: pass
";
/// What it prints: 1 is `EPERM`.
const REFUSED: &str = "read routes told\ndelete route 1\nadd route 1\nloopback down 1\nnew interface 1\nnew address 1\nnew rule 1\n";

/// Tries to change the network as this user, and looks whether it still is as it was.
async fn tamper(sandbox: &dyn Sandbox, door: &Door, user: User) {
    sandbox.write("/tmp/tamper.py", TAMPER.as_bytes(), None).await.unwrap();
    let print = |script: &str| {
        let command = cofferdam_sandbox::Command { user, ..shell(script) };
        async move { text(&run(sandbox, command).await) }
    };
    assert_eq!(print("python3 /tmp/tamper.py 2>&1").await, REFUSED);
    for tool in ["nft flush ruleset", "iptables -t nat -F", "ip route flush table all", "ip link set lo down"]
    {
        // Missing tools change nothing either.
        assert_eq!(print(&format!("PATH=$PATH:/usr/sbin:/sbin {tool} 2>/dev/null && echo DONE")).await, "");
    }
    let connect = "import socket; print(socket.create_connection(('203.0.113.7', 443)).recv(99).decode())";
    let (printed, meant) = tokio::join!(print(&format!("python3 -c \"{connect}\"")), door.greet());
    assert_eq!(
        (printed.trim_end(), meant),
        (GREETING, "203.0.113.7:443".parse().unwrap()),
        "all is as it was"
    );
}

#[tokio::test]
async fn nothing_inside_changes_routes_or_rules() {
    let Some(place) = Place::new().await else { return };
    let Some((sandbox, door)) = open(&place, "layer", "python3").await else { return };
    tamper(&*sandbox, &door, User::Agent).await;
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn not_even_root_inside_changes_routes_or_rules() {
    let Some(place) = Place::new().await else { return };
    let Some((sandbox, _door)) = open(&place, "plain", "python3").await else { return };
    sandbox.destroy().await.unwrap();
    let spec = SandboxSpec { system: System::Writable, ..with_door(&place, "layer") };
    let sandbox = match place.driver.create(spec).await {
        Ok(sandbox) => sandbox,
        Err(error @ SandboxError::Host { .. }) if !is_root() => {
            eprintln!("SKIPPED: {error}");
            return;
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    };
    let door = Door::of(&*sandbox);
    tamper(&*sandbox, &door, User::Root).await;
    let script = "for kind in '2, 3, 1' '2, 3, 255' '2, 2, 1' '17, 3, 0' '16, 3, 12' '40, 1, 0'; do \
                  python3 -c \"import socket; socket.socket($kind)\" 2>/dev/null && echo MADE $kind; done; echo tried";
    let command = cofferdam_sandbox::Command { user: User::Root, ..shell(script) };
    assert_eq!(text(&run(&*sandbox, command).await), "tried\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn the_door_is_the_sandboxs_own_and_held_outside_only() {
    let Some(place) = Place::new().await else { return };
    let Some((one, door)) = open(&place, "one", "bash").await else { return };
    let Some((other, other_door)) = open(&place, "other", "bash").await else { return };
    let to: SocketAddr = "203.0.113.7:443".parse().unwrap();
    let script = connect(to);
    let (printed, meant) = meet(&*one, &door, &script).await;
    assert_eq!((printed.as_str(), meant), (GREETING, to));
    other_door.assert_quiet();
    // Straight to where the door listens: no way into another sandbox, and recognisable.
    let (printed, meant) = meet(&*one, &door, &connect("127.0.0.1:1015".parse().unwrap())).await;
    assert_eq!((printed.as_str(), meant.ip().is_loopback()), (GREETING, true));
    other_door.assert_quiet();

    drop(door);
    assert!(sh(&*one, &script).await.contains("refused"), "no copy of the listener is left inside");
    let (printed, _) = meet(&*other, &other_door, &script).await;
    assert_eq!(printed, GREETING, "the other is not concerned");

    other.destroy().await.unwrap();
    tokio::time::timeout(Duration::from_millis(50), other_door.accept()).await.map(|_| ()).unwrap_err();
    other_door.assert_quiet();
    one.destroy().await.unwrap();
}

#[tokio::test]
async fn connections_wait_for_a_door_that_is_late() {
    let Some(place) = Place::new().await else { return };
    let Some((sandbox, door)) = open(&place, "layer", "bash").await else { return };
    // More than the usual backlog of a listener. They are there before anybody accepts one.
    let script = "bash -c 'for port in $(seq 1 300); do exec {fd}<>/dev/tcp/203.0.113.7/$port || exit 1; done; echo connected'";
    assert_eq!(sh(&*sandbox, script).await, "connected\n");
    let mut ports = Vec::new();
    for _ in 1..=300 {
        ports.push(door.accept().await.1.port());
    }
    assert_eq!(ports, (1..=300).collect::<Vec<u16>>());
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn without_a_door_there_is_none() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    assert!(sandbox.take_listeners().is_none());
    assert!(sandbox.level().contains("no network;"), "{}", sandbox.level());
    assert_eq!(sh(&*sandbox, "echo $CARGO_NET_OFFLINE $GOPROXY").await, "true off\n");
    assert_eq!(sh(&*sandbox, "getent ahostsv4 name.example || echo nobody").await, "nobody\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn variables_are_those_of_the_network_and_the_sandboxs_own() {
    let Some(place) = Place::new().await else { return };
    let variables = [("LANG", "C"), ("SSL_CERT_FILE", "/x.pem")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let sandbox = place.create(SandboxSpec { variables, ..with_door(&place, "layer") }).await;
    let script =
        "echo \"$CARGO_NET_OFFLINE$GOPROXY$PIP_RETRIES$npm_config_offline $LANG $SSL_CERT_FILE $USER\"";
    assert_eq!(sh(&*sandbox, script).await, " C /x.pem agent\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn where_connections_cannot_be_captured_the_door_is_a_proxy() {
    let options = NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::WeakAllowed);
    let options = NativeOptions { capture: CaptureLevel::ProxyOnly, ..options };
    let Some(place) = Place::with(options).await else { return };
    let sandbox = place.create(with_door(&place, "layer")).await;
    assert!(sandbox.level().contains("none at all for others"), "{}", sandbox.level());
    let listeners = sandbox.take_listeners().unwrap();
    let Capture::ProxyOnly { address } = listeners.capture else { panic!("{listeners:?}") };
    assert!(listeners.tcp.len() == 1 && listeners.dns.is_empty(), "{listeners:?}");
    assert_eq!(listeners.tcp[0].local_addr().unwrap(), address);
    let proxy = format!("http://{address}");
    assert_eq!(sh(&*sandbox, "echo $http_proxy $HTTPS_PROXY").await, format!("{proxy} {proxy}\n"));
    if sh(&*sandbox, "command -v bash").await.is_empty() {
        eprintln!("SKIPPED: no bash for connections from inside");
        return;
    }
    let door = Door {
        tcp: vec![TcpListener::from_std(listeners.tcp[0].try_clone().unwrap()).unwrap()],
        dns: Vec::new(),
    };
    drop(listeners);
    let script = connect(address);
    let greet = async {
        let (mut stream, _) = timeout(LONG, door.tcp[0].accept()).await.unwrap().unwrap();
        stream.write_all(GREETING.as_bytes()).await.unwrap();
    };
    let (printed, ()) = tokio::join!(sh(&*sandbox, &script), greet);
    assert_eq!(printed, GREETING);
    for to in ["203.0.113.7:443", "[2001:db8::7]:443"] {
        let printed = sh(&*sandbox, &connect(to.parse().unwrap())).await;
        assert!(printed.contains("unreachable"), "{printed}");
    }
    door.assert_quiet();
    sandbox.destroy().await.unwrap();
}

/// Not a test of its own: what [`no_descriptor_is_left`] starts, because other tests open descriptors too.
#[tokio::test]
async fn count_descriptors() {
    if std::env::var_os(COUNT_DESCRIPTORS).is_none() {
        return;
    }
    let Some(place) = Place::new().await else { return };
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut before = 0;
    for round in 0..21 {
        let sandbox = place.create(with_door(&place, "layer")).await;
        // Taken and used, taken and dropped later than the sandbox, or never taken.
        let door = (round % 3 != 0).then(|| Door::of(&*sandbox));
        assert_eq!(sh(&*sandbox, "echo hello").await, "hello\n");
        sandbox.destroy().await.unwrap();
        drop(door);
        if round == 0 {
            before = count();
        }
    }
    // Watchers of ended sandboxes end in their own time.
    for _ in 0..100 {
        if count() <= before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(count() <= before, "{before} before, {} after", count());
    println!("counted");
}

#[test]
fn no_descriptor_is_left() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "network::count_descriptors", "--nocapture"])
        .env(COUNT_DESCRIPTORS, "1")
        .output()
        .unwrap();
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}\n{errors}");
    for line in errors.lines().filter(|line| line.starts_with("SKIPPED:")) {
        eprintln!("{line}");
    }
    assert!(printed.contains("counted") || errors.contains("SKIPPED:"), "{printed}\n{errors}");
}
