//! DNS messages (RFC 1035, section 4; RFC 6891), read strictly: one question, nothing that is not needed.
//!
//! The same reading serves both sides: questions from a sandbox, and answers from a resolver to the door's own
//! questions. Everything is bounded by the message itself: a name is at most 255 bytes, and a pointer in a
//! compressed name leads backwards only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a message's header.
const HEADER: usize = 12;
/// A message over UDP that announces nothing else is at most this long (RFC 1035, 4.2.1), and none of ours is longer.
pub(crate) const LONGEST_QUESTION: usize = 512;

/// Type A.
pub(crate) const A: u16 = 1;
/// Type CNAME.
const CNAME: u16 = 5;
/// Type AAAA.
pub(crate) const AAAA: u16 = 28;
/// Pseudo-type OPT.
const OPT: u16 = 41;
/// Class IN.
const IN: u16 = 1;

/// The message is none that is understood here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a DNS message in the accepted form")]
pub struct MalformedMessage;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Ties the answer to it.
    pub id: u16,
    /// The name as text, in lower case; other bytes than those of host names are escaped as `\ddd`.
    pub name: String,
    /// The type.
    pub kind: u16,
    /// The class.
    pub class: u16,
    /// Whether it came with an OPT record, which the answer must then have too.
    extended: bool,
    recursion: bool,
    /// The question as it came: answers repeat it byte for byte.
    bytes: Vec<u8>,
}

/// What a question is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// This address.
    Address(IpAddr),
    /// The name exists, but has nothing of this type.
    Nothing,
    /// There is no such name.
    NoSuchName,
    /// The question is malformed.
    Malformed,
    /// Not now.
    Failure,
}

impl Question {
    /// Reads a question.
    ///
    /// # Errors
    /// When it is not exactly one question, with at most an OPT record after it.
    pub fn read(message: &[u8]) -> Result<Self, MalformedMessage> {
        let mut reader = Reader::new(message);
        let header = reader.header()?;
        let plain = !header.response && header.opcode == 0 && !header.truncated;
        if !plain || header.questions != 1 || header.answers != 0 || header.authorities != 0 {
            return Err(MalformedMessage);
        }
        let start = reader.at;
        let name = reader.name(false)?;
        let (kind, class) = (reader.u16()?, reader.u16()?);
        let bytes = message.get(start..reader.at).ok_or(MalformedMessage)?.to_vec();
        let extended = match header.additional {
            0 => false,
            1 => reader.opt()?,
            _ => return Err(MalformedMessage),
        };
        if reader.at != message.len() {
            return Err(MalformedMessage);
        }
        Ok(Self { id: header.id, name, kind, class, extended, recursion: header.recursion, bytes })
    }

    /// Whether it asks for addresses of the family that `kind` is, in the one class that there is.
    pub(crate) fn is_for(&self, kind: u16) -> bool {
        self.kind == kind && self.class == IN
    }

    /// The message that answers it.
    #[must_use]
    pub fn answer(&self, reply: Reply, seconds: u32) -> Vec<u8> {
        let code: u16 = match reply {
            Reply::Address(_) | Reply::Nothing => 0,
            Reply::Malformed => 1,
            Reply::Failure => 2,
            Reply::NoSuchName => 3,
        };
        let mut message = Vec::with_capacity(HEADER + self.bytes.len() + 40);
        // A response, recursion available; authoritative it is not.
        let flags = 0x8080 | u16::from(self.recursion) << 8 | code;
        let answers = u16::from(matches!(reply, Reply::Address(_)));
        for field in [self.id, flags, 1, answers, 0, u16::from(self.extended)] {
            message.extend(field.to_be_bytes());
        }
        message.extend(&self.bytes);
        if let Reply::Address(address) = reply {
            let (kind, bytes): (u16, &[u8]) = match &address {
                IpAddr::V4(address) => (A, &address.octets()),
                IpAddr::V6(address) => (AAAA, &address.octets()),
            };
            // The name: a pointer to the question's, right behind the header.
            for field in [0xc00c, kind, IN] {
                message.extend(field.to_be_bytes());
            }
            message.extend(seconds.to_be_bytes());
            message.extend(u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes());
            message.extend(bytes);
        }
        if self.extended {
            message.push(0);
            for field in [OPT, 1232, 0, 0, 0] {
                message.extend(u16::to_be_bytes(field));
            }
        }
        message
    }
}

/// A question of the door's own, to a resolver.
pub(crate) fn ask(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 6);
    for field in [id, 0x0100, 1, 0, 0, 0] {
        message.extend(field.to_be_bytes());
    }
    for label in name.split('.') {
        // A host name's labels have at most 63 characters.
        message.push(u8::try_from(label.len()).unwrap_or_default());
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(IN.to_be_bytes());
    message
}

/// What a resolver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// These addresses, through however many aliases.
    Addresses(Vec<IpAddr>),
    /// The answer did not fit: ask again over TCP.
    Truncated,
    /// The resolver could not say.
    Failed,
}

/// Reads the answer to the question `asked`; the name in it must be the one asked for.
///
/// # Errors
/// When it is no answer to that question, or malformed.
pub fn read_answer(asked: &[u8], message: &[u8]) -> Result<Answered, MalformedMessage> {
    let (mut asked_reader, mut reader) = (Reader::new(asked), Reader::new(message));
    let (sent, header) = (asked_reader.header()?, reader.header()?);
    let fits = header.response && header.id == sent.id && header.opcode == 0 && header.questions == 1;
    let (wanted, name) = (asked_reader.name(false)?, reader.name(false)?);
    let (kind, class) = (asked_reader.u16()?, asked_reader.u16()?);
    if !fits || name != wanted || reader.u16()? != kind || reader.u16()? != class {
        return Err(MalformedMessage);
    }
    if header.truncated {
        return Ok(Answered::Truncated);
    }
    if !matches!(header.code, 0 | 3) {
        return Ok(Answered::Failed);
    }
    let mut owner = name;
    let mut addresses = Vec::new();
    for _ in 0..header.answers {
        let record = reader.record()?;
        if record.class != IN || record.name != owner {
            continue;
        }
        match (record.kind, record.data.len()) {
            (CNAME, _) => owner = Reader { message, at: record.start }.name(true)?,
            (A, 4) if kind == A => {
                let octets: [u8; 4] = record.data.try_into().map_err(|_| MalformedMessage)?;
                addresses.push(IpAddr::V4(Ipv4Addr::from(octets)));
            }
            (AAAA, 16) if kind == AAAA => {
                let octets: [u8; 16] = record.data.try_into().map_err(|_| MalformedMessage)?;
                addresses.push(IpAddr::V6(Ipv6Addr::from(octets)));
            }
            (A | AAAA, _) => return Err(MalformedMessage),
            _ => {}
        }
    }
    Ok(Answered::Addresses(addresses))
}

struct Header {
    id: u16,
    response: bool,
    opcode: u8,
    truncated: bool,
    recursion: bool,
    code: u8,
    questions: u16,
    answers: u16,
    authorities: u16,
    additional: u16,
}

struct Resource<'a> {
    name: String,
    kind: u16,
    class: u16,
    start: usize,
    data: &'a [u8],
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    const fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], MalformedMessage> {
        let end = self.at.checked_add(length).ok_or(MalformedMessage)?;
        let bytes = self.message.get(self.at..end).ok_or(MalformedMessage)?;
        self.at = end;
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, MalformedMessage> {
        self.take(1).map(|bytes| bytes.first().copied().unwrap_or_default())
    }

    fn u16(&mut self) -> Result<u16, MalformedMessage> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }

    fn header(&mut self) -> Result<Header, MalformedMessage> {
        let (id, high, low) = (self.u16()?, self.u8()?, self.u8()?);
        Ok(Header {
            id,
            response: high & 0x80 != 0,
            opcode: high >> 3 & 0xf,
            truncated: high & 2 != 0,
            recursion: high & 1 != 0,
            code: low & 0xf,
            questions: self.u16()?,
            answers: self.u16()?,
            authorities: self.u16()?,
            additional: self.u16()?,
        })
    }

    /// A name; `compressed` says whether it may point back into the message.
    fn name(&mut self, compressed: bool) -> Result<String, MalformedMessage> {
        let mut text = String::new();
        let mut length = 1;
        // Where reading goes on behind the name, once a pointer has been followed.
        let mut behind = None;
        let mut lowest = self.at;
        loop {
            let size = usize::from(self.u8()?);
            match size {
                0 => break,
                1..=63 => {}
                0xc0.. if compressed => {
                    let target = (size & 0x3f) << 8 | usize::from(self.u8()?);
                    behind.get_or_insert(self.at);
                    if target >= lowest {
                        return Err(MalformedMessage);
                    }
                    (lowest, self.at) = (target, target);
                    continue;
                }
                _ => return Err(MalformedMessage),
            }
            length += size + 1;
            if length > 255 {
                return Err(MalformedMessage);
            }
            if !text.is_empty() {
                text.push('.');
            }
            push_label(&mut text, self.take(size)?);
        }
        self.at = behind.unwrap_or(self.at);
        Ok(text)
    }

    fn record(&mut self) -> Result<Resource<'a>, MalformedMessage> {
        let name = self.name(true)?;
        let (kind, class) = (self.u16()?, self.u16()?);
        self.take(4)?;
        let length = usize::from(self.u16()?);
        let start = self.at;
        Ok(Resource { name, kind, class, start, data: self.take(length)? })
    }

    /// An OPT record, whose options mean nothing here.
    fn opt(&mut self) -> Result<bool, MalformedMessage> {
        let record = self.record()?;
        if record.kind == OPT && record.name.is_empty() { Ok(true) } else { Err(MalformedMessage) }
    }
}

/// Appends a label in lower case. What no host name has stays visible, and cannot pass for one.
fn push_label(text: &mut String, label: &[u8]) {
    for byte in label {
        match byte.to_ascii_lowercase() {
            plain @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => text.push(char::from(plain)),
            other => {
                text.push('\\');
                for digit in [other / 100, other / 10 % 10, other % 10] {
                    text.push(char::from(b'0' + digit));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        ask(7, name, kind)
    }

    #[test]
    fn questions_are_read_and_answered() {
        let read = Question::read(&question("API.Example.com", A)).unwrap();
        assert_eq!((read.name.as_str(), read.kind, read.class), ("api.example.com", A, IN));
        let address = IpAddr::from([198, 18, 0, 1]);
        let message = read.answer(Reply::Address(address), 60);
        let answered = read_answer(&question("api.example.com", A), &message).unwrap();
        assert_eq!(answered, Answered::Addresses(vec![address]));
        let none = read_answer(&question("api.example.com", A), &read.answer(Reply::NoSuchName, 60));
        assert_eq!(none, Ok(Answered::Addresses(Vec::new())));
        let failed = read_answer(&question("api.example.com", A), &read.answer(Reply::Failure, 60));
        assert_eq!(failed, Ok(Answered::Failed));
    }

    #[test]
    fn extended_questions_get_extended_answers() {
        let mut message = question("example.com", AAAA);
        message[11] = 1;
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        let read = Question::read(&message).unwrap();
        assert!(read.extended);
        assert_eq!(read.answer(Reply::Nothing, 60)[11], 1);
    }

    #[test]
    fn what_is_not_one_plain_question_is_refused() {
        let plain = question("example.com", A);
        let changed = |at: usize, value: u8| {
            let mut message = plain.clone();
            message[at] = value;
            message
        };
        let bad = [
            changed(2, 0x81),  // a response
            changed(2, 0x11),  // another operation
            changed(5, 2),     // two questions, one there
            changed(7, 1),     // an answer
            changed(12, 0xc0), // a pointer in the question
            changed(12, 64),   // a label of a kind that there is not
            plain[..plain.len() - 1].to_vec(),
            [plain.as_slice(), &[0]].concat(),
        ];
        for message in bad {
            assert_eq!(Question::read(&message), Err(MalformedMessage), "{message:?}");
        }
        let long = question(&["a".repeat(63).as_str(); 4].join("."), A);
        assert_eq!(Question::read(&long), Err(MalformedMessage));
    }

    #[test]
    fn labels_with_dots_inside_are_not_names() {
        let mut message = question("a-b.example", A);
        message[14] = b'.';
        assert_eq!(Question::read(&message).unwrap().name, "a\\046b.example");
    }

    #[test]
    fn aliases_are_followed_and_loops_end() {
        let asked = question("www.example.com", A);
        let mut message = asked.clone();
        message[2] = 0x81;
        message[7] = 2;
        // www.example.com CNAME example.com (a pointer to its place in the question); example.com A 192.0.2.1.
        message.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 16]);
        message.extend([0xc0, 16, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
        let answered = read_answer(&asked, &message).unwrap();
        assert_eq!(answered, Answered::Addresses(vec![IpAddr::from([192, 0, 2, 1])]));
        // A pointer to itself.
        let own = u8::try_from(asked.len()).unwrap();
        let mut looping = asked.clone();
        looping[2] = 0x81;
        looping[7] = 1;
        looping.extend([0xc0, own, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
        assert_eq!(read_answer(&asked, &looping), Err(MalformedMessage));
        // An address of somebody else's name is nobody's.
        let mut other = question("other.example", A);
        other[2] = 0x81;
        assert_eq!(read_answer(&asked, &other), Err(MalformedMessage));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(read) = Question::read(&bytes) {
                prop_assert!(read.answer(Reply::NoSuchName, 1).len() <= 600);
            }
            read_answer(&question("example.com", A), &bytes).ok();
        }

        #[test]
        fn names_come_back(labels in prop::collection::vec("[a-z0-9-]{1,20}", 1..6), id in any::<u16>()) {
            let name = labels.join(".");
            let read = Question::read(&ask(id, &name, AAAA)).unwrap();
            prop_assert_eq!((read.id, read.name), (id, name));
        }
    }
}
