//! The lab's resolver (RFC 1035): keeps every question, and answers as it was told to.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
};

use super::{Server, Visits};

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const NO_SUCH_NAME: u8 = 3;

/// A name's answers, one list for each time it is asked.
#[derive(Debug, Default)]
struct Answers {
    lists: Vec<Vec<IpAddr>>,
    asked: usize,
}

/// What names resolve to.
#[derive(Debug, Clone, Default)]
pub(super) struct Zone(Arc<Mutex<BTreeMap<String, Answers>>>);

impl Zone {
    pub(super) fn set(&self, name: &str, answers: &[&[IpAddr]]) {
        let lists = answers.iter().map(|list| list.to_vec()).collect();
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned(), Answers { lists, asked: 0 });
    }

    /// `None`: there is no such name.
    fn ask(&self, name: &str, kind: u16) -> Option<Vec<IpAddr>> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = names.get_mut(name)?;
        let at = answers.asked.min(answers.lists.len().saturating_sub(1));
        let list = answers.lists.get(at).cloned().unwrap_or_default();
        let wanted: Vec<IpAddr> =
            list.into_iter().filter(|address| address.is_ipv4() == (kind == TYPE_A)).collect();
        // A question that the list has nothing for does not count as one of the times.
        if !wanted.is_empty() {
            answers.asked += 1;
        }
        Some(wanted)
    }
}

pub(super) async fn over_udp(socket: UdpSocket, zone: Zone, visits: Visits) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = answer(&buffer[..length], &zone, &visits) {
            // Whoever asked may be gone.
            socket.send_to(&answer, from).await.ok();
        }
    }
}

pub(super) async fn over_tcp(mut stream: TcpStream, zone: &Zone, visits: &Visits) -> io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await?;
        let Some(answer) = answer(&question, zone, visits) else { return Ok(()) };
        stream.write_u16(u16::try_from(answer.len()).unwrap_or(u16::MAX)).await?;
        stream.write_all(&answer).await?;
    }
}

fn answer(message: &[u8], zone: &Zone, visits: &Visits) -> Option<Vec<u8>> {
    let (name, end) = name_at(message, HEADER)?;
    visits.note(Server::Dns, &name, name.as_bytes());
    let kind = u16::from_be_bytes([*message.get(end)?, *message.get(end + 1)?]);
    let found = zone.ask(&name.to_ascii_lowercase(), kind);
    let addresses = found.clone().unwrap_or_default();
    let code = if found.is_some() { 0 } else { NO_SUCH_NAME };
    let mut answer = message.get(..2)?.to_vec();
    // An answer, recursion available; one question, so many answers.
    answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(addresses.len()).ok()?, 0, 0, 0, 0]);
    answer.extend_from_slice(message.get(HEADER..end + 4)?);
    for address in addresses {
        let (kind, bytes) = match address {
            IpAddr::V4(address) => (TYPE_A, address.octets().to_vec()),
            IpAddr::V6(address) => (TYPE_AAAA, address.octets().to_vec()),
        };
        // The name by reference, class IN, no time to live.
        answer.extend([0xc0, 0x0c]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]);
        answer.extend(u16::try_from(bytes.len()).ok()?.to_be_bytes());
        answer.extend(bytes);
    }
    Some(answer)
}

/// The name that stands there in labels, and where it ends. Questions have no references.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).into_owned());
        at += length;
    }
}
