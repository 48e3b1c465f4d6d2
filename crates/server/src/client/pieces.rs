//! Takes a stream of server-sent events apart (HTML Living Standard, section 9.2.6), as far as this API sends them: `data` on one line
//! or several, comments, empty lines.

/// The longest event that is taken, in bytes.
const MAX_EVENT: usize = 64 << 20;

/// An event was too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// What of a stream is not yet an event.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    rest: Vec<u8>,
    data: Vec<u8>,
}

impl Pieces {
    /// Takes bytes as they came. Gives the data of each event that is whole now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line = self.rest[begin..begin + length].to_vec();
            begin += length + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                if !self.data.is_empty() {
                    events.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            }
        }
        self.rest.drain(..begin);
        if self.rest.len() + self.data.len() > MAX_EVENT { Err(TooLong) } else { Ok(events) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cutting_gives_the_same_events() {
        let stream =
            b": here\n\nid: 1\ndata: {\"a\":1}\n\nid: 2\r\ndata: x\r\ndata: y\r\n\r\n\n\ndata:z\n\ndata: cut";
        for size in 1..stream.len() {
            let mut pieces = Pieces::default();
            let mut events = Vec::new();
            for chunk in stream.chunks(size) {
                events.extend(pieces.push(chunk).unwrap());
            }
            assert_eq!(events, [&b"{\"a\":1}"[..], b"x\ny", b"z"], "pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut pieces = Pieces::default();
        let piece = vec![b'x'; MAX_EVENT / 4];
        assert!((0..5).any(|_| pieces.push(&piece) == Err(TooLong)));
    }
}
