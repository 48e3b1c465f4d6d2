//! What a program says first when it speaks TLS: the ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3), read
//! strictly and only for the name in it.
//!
//! Whoever terminates or passes on the connection reads the same bytes again; here it is settled that they name one
//! host, in the clear, and that it is the one that the program asked the way to.

use cofferdam_domain::egress::HostName;

/// Bytes of records that a ClientHello may take at most. Programs need 300 to 2,500.
pub(crate) const LONGEST: usize = 16 << 10;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
/// `encrypted_client_hello` (RFC 9849).
const ENCRYPTED: u16 = 0xfe0d;
/// `encrypted_server_name`, its forerunner, as browsers once sent it.
const ENCRYPTED_NAME: u16 = 0xffce;

/// The beginning of a connection that wants TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// More bytes are needed to tell.
    Incomplete,
    /// It names this host, and nothing in it is hidden.
    For(HostName),
    /// It names this host in the clear, and has a part that nobody but the holder of a key can read (ECH): another name, perhaps, or
    /// nothing, as in what browsers make up so that the two cannot be told apart (RFC 9849, section 6.2). Where the TLS ends at the door, it is without
    /// effect: nobody reads it. Passed on, it could name anybody.
    Hiding(HostName),
}

/// The ClientHello is none that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHello {
    /// It breaks the rules of TLS, or is longer than any needs to be.
    #[error("the connection begins like TLS but is not")]
    Malformed,
    /// It names no host.
    #[error("the TLS connection names no host (SNI): use a TLS library that sends the name")]
    Nameless,
    /// What it names is no host name in the accepted form.
    #[error("the TLS connection names a host in a form that is not accepted")]
    Name,
    /// It hides what it names.
    #[error(
        "the TLS connection encrypts its ClientHello (ECH), which nobody could check on its way to a host that is not inspected: turn ECH off"
    )]
    Encrypted,
}

/// Reads the beginning of a connection.
///
/// # Errors
/// When it is no ClientHello that names exactly one host in the clear.
pub fn read_hello(bytes: &[u8]) -> Result<Hello, BadHello> {
    match handshake(bytes)? {
        Some(message) => client_hello(&message),
        None if bytes.len() >= LONGEST => Err(BadHello::Malformed),
        None => Ok(Hello::Incomplete),
    }
}

/// The first handshake message, put together from the records that it came in. `None` when there must be more.
fn handshake(bytes: &[u8]) -> Result<Option<Vec<u8>>, BadHello> {
    let mut rest = Fields(bytes);
    let mut message = Vec::new();
    loop {
        let Ok(kind) = rest.number(1) else { return Ok(None) };
        if kind != usize::from(HANDSHAKE) {
            return Err(BadHello::Malformed);
        }
        let Ok(version) = rest.number(2) else { return Ok(None) };
        if !(0x0301..=0x0303).contains(&version) {
            return Err(BadHello::Malformed);
        }
        let Ok(length) = rest.number(2) else { return Ok(None) };
        if length == 0 || length > 1 << 14 {
            return Err(BadHello::Malformed);
        }
        let whole = rest.0.len() >= length;
        message.extend_from_slice(rest.take(length.min(rest.0.len()))?);
        if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(BadHello::Malformed);
        }
        let mut header = Fields(message.get(1..).unwrap_or_default());
        if let Ok(length) = header.number(3) {
            if length > LONGEST {
                return Err(BadHello::Malformed);
            }
            match message.len().cmp(&(length + 4)) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(message.split_off(4))),
                // Something hides behind the hello.
                std::cmp::Ordering::Greater => return Err(BadHello::Malformed),
            }
        }
        if !whole {
            return Ok(None);
        }
    }
}

fn client_hello(message: &[u8]) -> Result<Hello, BadHello> {
    let mut fields = Fields(message);
    // The version that is there for show, and the random.
    fields.take(2 + 32)?;
    let session = fields.vector(1)?;
    let suites = fields.vector(2)?;
    let compressions = fields.vector(1)?;
    if session.len() > 32 || suites.is_empty() || suites.len() % 2 != 0 || compressions.is_empty() {
        return Err(BadHello::Malformed);
    }
    if fields.0.is_empty() {
        return Err(BadHello::Nameless);
    }
    let mut extensions = Fields(fields.vector(2)?);
    if !fields.0.is_empty() {
        return Err(BadHello::Malformed);
    }
    let mut seen = Vec::new();
    let (mut name, mut hides) = (None, false);
    while !extensions.0.is_empty() {
        let kind = u16::try_from(extensions.number(2)?).map_err(|_| BadHello::Malformed)?;
        let content = extensions.vector(2)?;
        if seen.contains(&kind) || seen.len() >= 64 {
            return Err(BadHello::Malformed);
        }
        seen.push(kind);
        match kind {
            // Nobody makes that one up.
            ENCRYPTED_NAME => return Err(BadHello::Encrypted),
            ENCRYPTED => {
                encrypted_hello(content)?;
                hides = true;
            }
            SERVER_NAME => name = Some(server_name(content)?),
            _ => {}
        }
    }
    let name = name.ok_or(BadHello::Nameless)?;
    Ok(if hides { Hello::Hiding(name) } else { Hello::For(name) })
}

/// That an encrypted part is what an outer hello has (RFC 9849, section 5): suite, id, key and content. An inner one is never sent by itself.
fn encrypted_hello(content: &[u8]) -> Result<(), BadHello> {
    let mut fields = Fields(content);
    let outer = fields.number(1)? == 0;
    fields.take(2 + 2 + 1)?;
    // There is no key in the second hello of a handshake.
    fields.vector(2)?;
    let payload = fields.vector(2)?;
    if outer && !payload.is_empty() && fields.0.is_empty() { Ok(()) } else { Err(BadHello::Malformed) }
}

/// The one name of a list that can have only one.
fn server_name(content: &[u8]) -> Result<HostName, BadHello> {
    let mut fields = Fields(content);
    let mut list = Fields(fields.vector(2)?);
    if list.number(1)? != 0 {
        return Err(BadHello::Malformed);
    }
    let name = list.vector(2)?;
    if !list.0.is_empty() || !fields.0.is_empty() {
        return Err(BadHello::Malformed);
    }
    std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).ok_or(BadHello::Name)
}

/// Fields of a message, read from its front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], BadHello> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BadHello::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of up to three bytes.
    fn number(&mut self, width: usize) -> Result<usize, BadHello> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Bytes with their length before them.
    fn vector(&mut self, width: usize) -> Result<&'a [u8], BadHello> {
        let length = self.number(width)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    /// What rustls says first.
    fn real(host: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = host.to_owned().try_into().unwrap();
        let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// A hello with these extensions.
    fn made(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut list = Vec::new();
        for (kind, content) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            list.extend(*content);
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
        body.extend(list);
        let mut message = vec![CLIENT_HELLO, 0];
        message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(body);
        record(&message)
    }

    fn record(content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![HANDSHAKE, 3, 1];
        bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(content);
        bytes
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        let length = u16::try_from(name.len()).unwrap();
        let mut content = (length + 3).to_be_bytes().to_vec();
        content.push(0);
        content.extend(length.to_be_bytes());
        content.extend(name);
        content
    }

    #[test]
    fn the_name_is_read_from_what_a_library_says() {
        let bytes = real("api.example.com");
        assert_eq!(read_hello(&bytes), Ok(Hello::For("api.example.com".parse().unwrap())));
        for end in 0..bytes.len() {
            assert_eq!(read_hello(&bytes[..end]), Ok(Hello::Incomplete), "{end}");
        }
        assert_eq!(read_hello(&real("192.0.2.1")), Err(BadHello::Nameless));
    }

    #[test]
    fn a_hello_in_pieces_is_one_hello() {
        let whole = made(&[(SERVER_NAME, &sni(b"a.example"))]);
        let message = &whole[5..];
        let pieces: Vec<u8> = message.chunks(7).flat_map(record).collect();
        assert_eq!(read_hello(&pieces), Ok(Hello::For("a.example".parse().unwrap())));
    }

    #[test]
    fn what_hides_or_doubles_a_name_is_refused() {
        let name = sni(b"a.example");
        let two = {
            let mut content = name.clone();
            content.extend_from_slice(&name[2..]);
            let length = u16::try_from(content.len() - 2).unwrap().to_be_bytes();
            content[..2].copy_from_slice(&length);
            content
        };
        let mut trailing = made(&[(SERVER_NAME, &name)]);
        trailing.extend(record(&[0]));
        let cases: [(Vec<u8>, BadHello); 14] = [
            (made(&[]), BadHello::Nameless),
            (made(&[(ENCRYPTED, ECH)]), BadHello::Nameless),
            (made(&[(ENCRYPTED, b"x"), (SERVER_NAME, &name)]), BadHello::Malformed),
            (made(&[(ENCRYPTED, &ECH[..ECH.len() - 1]), (SERVER_NAME, &name)]), BadHello::Malformed),
            (made(&[(ENCRYPTED, b"\x01"), (SERVER_NAME, &name)]), BadHello::Malformed),
            (made(&[(ENCRYPTED, ECH), (SERVER_NAME, &name), (ENCRYPTED, ECH)]), BadHello::Malformed),
            (made(&[(SERVER_NAME, &name), (ENCRYPTED_NAME, b"x")]), BadHello::Encrypted),
            (made(&[(SERVER_NAME, &name), (SERVER_NAME, &name)]), BadHello::Malformed),
            (made(&[(SERVER_NAME, &two)]), BadHello::Malformed),
            (made(&[(SERVER_NAME, &sni(b"a.example\0.evil.example"))]), BadHello::Name),
            (made(&[(SERVER_NAME, &sni(b"a.example."))]), BadHello::Name),
            (made(&[(SERVER_NAME, &sni(b"10.0.0.1"))]), BadHello::Name),
            (made(&[(SERVER_NAME, b"")]), BadHello::Malformed),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), BadHello::Malformed),
        ];
        for (bytes, problem) in cases {
            assert_eq!(read_hello(&bytes), Err(problem), "{bytes:?}");
        }
        // A second record behind the hello is for the handshake to judge, not for the name.
        assert_eq!(read_hello(&trailing), Ok(Hello::For("a.example".parse().unwrap())));
    }

    /// An outer hello's encrypted part: suite, id, a key of four bytes, a content of three.
    const ECH: &[u8] = &[0, 0, 1, 0, 1, 9, 0, 4, 1, 2, 3, 4, 0, 3, 5, 6, 7];

    #[test]
    fn an_encrypted_part_is_seen_wherever_it_stands() {
        let name = sni(b"a.example");
        let hiding = Ok(Hello::Hiding("a.example".parse().unwrap()));
        for extensions in
            [[(ENCRYPTED, ECH), (SERVER_NAME, &name[..])], [(SERVER_NAME, &name[..]), (ENCRYPTED, ECH)]]
        {
            assert_eq!(read_hello(&made(&extensions)), hiding);
        }
    }

    #[test]
    fn endless_hellos_end() {
        let mut bytes = record(&[CLIENT_HELLO, 0, 0x3f, 0xff]);
        while bytes.len() < LONGEST {
            assert_eq!(read_hello(&bytes), Ok(Hello::Incomplete));
            bytes.extend(record(&[0; 512]));
        }
        assert_eq!(read_hello(&bytes), Err(BadHello::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..400) {
            read_hello(&bytes).ok();
            // Damage to a good one gives a name only where the name is untouched, or nothing.
            let mut hello = made(&[(SERVER_NAME, &sni(b"a.example"))]);
            if let (Some(byte), Some(new)) = (hello.get_mut(at), bytes.first()) {
                *byte = *new;
            }
            read_hello(&hello).ok();
        }
    }
}
