//! Tries below HTTP: connections, datagrams, questions for names.

use std::{
    io::{Read as _, Write as _},
    net::{ToSocketAddrs as _, UdpSocket},
};

use super::{Options, Outcome, PATIENCE, connect_to, shown, unescaped};

/// Connects, says `--send`, and shows what comes back.
pub(super) fn connect(options: &Options) -> Outcome {
    let mut stream = connect_to(&options.target)?;
    stream.write_all(&unescaped(options.get("send").unwrap_or_default()))?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).map_err(|error| format!("connected, and then {error}"))?;
    if length == 0 {
        return Ok("connected and closed".to_owned());
    }
    Ok(format!("connected and told {}", shown(&answer[..length])))
}

/// Opens `--count` connections at once and holds them; then tries one more exchange.
pub(super) fn crowd(options: &Options) -> Outcome {
    let count: usize = options.get("count").unwrap_or("100").parse()?;
    let mut open = Vec::new();
    for _ in 0..count {
        match connect_to(&options.target) {
            Ok(stream) => open.push(stream),
            Err(_) => break,
        }
    }
    Ok(format!("opened {} of {count}", open.len()))
}

/// Sends a datagram and waits a moment for another.
pub(super) fn datagram(options: &Options) -> Outcome {
    let address = options.target.to_socket_addrs()?.next().ok_or("no address")?;
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local)?;
    socket.connect(address)?;
    socket.send(&unescaped(options.get("send").unwrap_or_default()))?;
    socket.set_read_timeout(Some(PATIENCE / 8))?;
    let mut answer = [0; 4096];
    Ok(match socket.recv(&mut answer) {
        Ok(length) => format!("told {}", shown(&answer[..length])),
        Err(error) => format!("sent into nothing: {error}"),
    })
}

/// Asks `--server` (the sandbox's resolver when absent) for a name, with a record `--type` as a number; `--tcp yes` over TCP.
pub(super) fn question(options: &Options) -> Outcome {
    let server = options.get("server").map_or_else(resolver, str::to_owned);
    let kind: u16 = options.get("type").unwrap_or("1").parse()?;
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in options.target.split('.') {
        message.push(u8::try_from(label.len())?);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    let mut answer = [0; 4096];
    let length = if options.get("tcp").is_some() {
        let mut stream = connect_to(&server)?;
        stream.write_all(&u16::try_from(message.len())?.to_be_bytes())?;
        stream.write_all(&message)?;
        stream.read(&mut answer)?.saturating_sub(2)
    } else {
        let socket = UdpSocket::bind(if server.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" })?;
        socket.set_read_timeout(Some(PATIENCE / 4))?;
        socket.send_to(&message, &server)?;
        socket.recv(&mut answer)?
    };
    // RFC 1035, section 4.1.1: the low bits of the fourth byte say what came of it, the next numbers how many answers there are.
    Ok(format!(
        "answered code {} with {} records in {length} bytes",
        answer[3] & 15,
        u16::from_be_bytes([answer[6], answer[7]])
    ))
}

fn resolver() -> String {
    let configured = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let server =
        configured.lines().find_map(|line| line.strip_prefix("nameserver")).unwrap_or("127.0.0.1").trim();
    if server.contains(':') { format!("[{server}]:53") } else { format!("{server}:53") }
}
