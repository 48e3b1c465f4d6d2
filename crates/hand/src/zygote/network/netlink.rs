//! Netlink messages (netlink(7)): requests to the kernel in one packet, which it has carried out when the
//! send returns.

use rustix::{
    io::Errno,
    net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with},
};

/// `NLM_F_REQUEST`: on every request.
const REQUEST: u16 = 1;
/// `NLM_F_ACK`: the kernel answers also when nothing is wrong.
pub(super) const ACKNOWLEDGE: u16 = 4;
/// `NLM_F_CREATE`: make it if it is not there.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`: put it after the others.
pub(super) const APPEND: u16 = 0x800;
/// The flag of an attribute that consists of attributes.
const NESTED: u16 = 0x8000;
/// `NLMSG_ERROR`: an answer, with an error number that is 0 if all is well.
const ANSWER: u16 = 2;
/// Bytes of a message before its body: length, kind, flags, number, sender.
const HEADER: usize = 16;
/// `MAX_ERRNO` (`linux/err.h`).
const HIGHEST_ERROR: i32 = 4095;
/// More than all answers to one batch.
const ANSWERS: usize = 8192;

/// Requests in the order in which they are carried out.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    requests: u32,
    /// The number of the last request whose success the kernel tells.
    awaited: u32,
}

impl Batch {
    /// Adds a request.
    pub(super) fn add(&mut self, kind: u16, flags: u16, body: &[u8]) {
        self.requests += 1;
        if flags & ACKNOWLEDGE != 0 {
            self.awaited = self.requests;
        }
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        self.bytes.extend_from_slice(&self.requests.to_ne_bytes());
        // To the kernel, from whatever number it gives this socket.
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(body);
        align(&mut self.bytes);
    }

    /// Sends all requests and waits until the last one that asked for an answer has got it. Of those that
    /// fail, the kernel tells in any case: the first error is the result.
    pub(super) fn carry_out(self, protocol: Option<Protocol>) -> rustix::io::Result<()> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        send(&socket, &self.bytes, SendFlags::empty())?;
        let mut buffer = vec![0; ANSWERS];
        loop {
            let received = match recv(&socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((received, _)) => received,
                Err(Errno::INTR) => continue,
                // Everything is carried out by now, so that there would be an answer if there was one to
                // come.
                Err(Errno::AGAIN) => return Err(Errno::PROTO),
                Err(errno) => return Err(errno),
            };
            if tells(buffer.get(..received).unwrap_or_default(), self.awaited)? {
                return Ok(());
            }
        }
    }
}

/// Whether a packet of answers says that the request with the number `awaited` has been carried out.
fn tells(mut packet: &[u8], awaited: u32) -> rustix::io::Result<bool> {
    while let Some((header, _)) = packet.split_first_chunk::<HEADER>() {
        let [l0, l1, l2, l3, k0, k1, _, _, n0, n1, n2, n3, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let Some((message, rest)) = packet.split_at_checked(length.max(HEADER)) else {
            return Err(Errno::BADMSG);
        };
        let error = message.get(HEADER..).and_then(|body| body.first_chunk::<4>());
        if let (ANSWER, Some(error)) = (u16::from_ne_bytes([k0, k1]), error) {
            let error = i32::from_ne_bytes(*error);
            match error.wrapping_neg() {
                0 => {}
                errno @ 1..=HIGHEST_ERROR => return Err(Errno::from_raw_os_error(errno)),
                _ => return Err(Errno::BADMSG),
            }
            if u32::from_ne_bytes([n0, n1, n2, n3]) == awaited {
                return Ok(true);
            }
        }
        packet = rest.get(padding(length)..).unwrap_or_default();
    }
    Ok(false)
}

/// One attribute of a request.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    const HEADER: usize = 4;
    let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(HEADER + value.len() + 3);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    align(&mut bytes);
    bytes
}

/// An attribute that consists of others.
pub(super) fn nested(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    attribute(NESTED | kind, &attributes.concat())
}

fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len() + padding(bytes.len()), 0);
}

/// Bytes from `length` to the next multiple of four, where whatever follows begins.
const fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(number: u32, error: i32) -> Vec<u8> {
        let mut bytes = 36_u32.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&ANSWER.to_ne_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&number.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&error.to_ne_bytes());
        bytes.resize(36, 0);
        bytes
    }

    #[test]
    fn attributes_are_padded_but_say_their_true_length() {
        assert_eq!(attribute(7, b"abcde"), [9, 0, 7, 0, b'a', b'b', b'c', b'd', b'e', 0, 0, 0]);
        assert_eq!(attribute(7, b""), [4, 0, 7, 0]);
        assert_eq!(
            nested(1, &[attribute(2, b"x"), attribute(3, b"")]),
            [16, 0, 1, 0x80, 5, 0, 2, 0, b'x', 0, 0, 0, 4, 0, 3, 0]
        );
    }

    #[test]
    fn requests_are_numbered_and_aligned() {
        let mut batch = Batch::default();
        batch.add(16, 0, b"x");
        batch.add(17, CREATE | ACKNOWLEDGE, b"");
        batch.add(18, 0, b"");
        assert_eq!((batch.requests, batch.awaited), (3, 2));
        assert_eq!(batch.bytes.len(), 20 + 16 + 16);
        assert_eq!(batch.bytes[..20], [17, 0, 0, 0, 16, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'x', 0, 0, 0]);
        assert_eq!(batch.bytes[20..36], [16, 0, 0, 0, 17, 0, 5, 4, 2, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn the_first_error_is_the_result_and_only_the_awaited_answer_is_the_end() {
        assert_eq!(tells(&[answer(1, 0), answer(3, 0)].concat(), 3), Ok(true));
        assert_eq!(tells(&[answer(1, 0), answer(2, 0)].concat(), 3), Ok(false));
        assert_eq!(tells(&[answer(2, -1), answer(3, 0)].concat(), 3), Err(Errno::PERM));
        assert_eq!(tells(&answer(3, i32::MIN), 3), Err(Errno::BADMSG));
        assert_eq!(tells(b"", 3), Ok(false));
    }

    #[test]
    fn answers_that_are_cut_short_are_no_answers() {
        let whole = answer(3, 0);
        for length in 16..whole.len() {
            assert_eq!(tells(&whole[..length], 3), Err(Errno::BADMSG), "{length}");
        }
        assert_eq!(tells(&[0; 64], 3), Ok(false), "a length of nothing is no endless loop");
    }

    #[test]
    fn the_kernel_refuses_what_it_does_not_know() {
        let mut batch = Batch::default();
        // A kind of request that does not exist, and then one that would be answered.
        batch.add(0xffff, 0, b"");
        batch.add(0xffff, ACKNOWLEDGE, b"");
        assert_eq!(batch.carry_out(None), Err(Errno::OPNOTSUPP));
    }
}
