//! The one parser of server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).
//!
//! It is fed bytes as they arrive, in whatever pieces, and gives the same events for every way of cutting
//! them. Where it leaves the standard it does so because providers do: an event that is not followed by an
//! empty line counts when the stream ends.

/// The longest line that is accepted, in bytes.
const MAX_LINE: usize = 16 << 20;
/// The most data that one event may have, in bytes.
const MAX_DATA: usize = 16 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The event's name; empty where the stream gives none.
    pub(crate) name: String,
    /// Its data lines, joined by newlines.
    pub(crate) data: String,
}

/// A line or an event is larger than anything a provider has reason to send.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider sent an event of more than {} MiB", MAX_DATA >> 20)]
pub(crate) struct TooLarge;

/// The parser's state between two pieces.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    name: String,
    data: String,
    has_data: bool,
    after_carriage_return: bool,
    begun: bool,
}

impl SseParser {
    /// Takes the next piece and appends the events that it completes to `events`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), TooLarge> {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_carriage_return) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + part.len() > MAX_LINE {
                return Err(TooLarge);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { break };
            self.after_carriage_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            events.extend(self.end_line()?);
        }
        Ok(())
    }

    /// The event that the end of the stream completes, if any.
    pub(crate) fn finish(&mut self) -> Result<Option<SseEvent>, TooLarge> {
        let event = if self.line.is_empty() { None } else { self.end_line()? };
        Ok(event.or_else(|| self.dispatch()))
    }

    fn end_line(&mut self) -> Result<Option<SseEvent>, TooLarge> {
        let bytes = std::mem::take(&mut self.line);
        let mut line = String::from_utf8_lossy(&bytes);
        if !std::mem::replace(&mut self.begun, true)
            && let Some(rest) = line.strip_prefix('\u{feff}')
        {
            line = rest.to_owned().into();
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.data.len() + value.len() > MAX_DATA {
                    return Err(TooLarge);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.name),
            // Comments (an empty field name), ids, reconnection times and anything unknown say nothing about
            // the answer.
            _ => (),
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        std::mem::take(&mut self.has_data).then_some(SseEvent { name, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece, &mut events).unwrap();
        }
        events.extend(parser.finish().unwrap());
        events
    }

    fn event(name: &str, data: &str) -> SseEvent {
        SseEvent { name: name.into(), data: data.into() }
    }

    #[test]
    fn the_forms_that_providers_send() {
        let stream = b"\xef\xbb\xbf: hello\r\nevent: a\r\ndata: {\"x\":1}\r\n\r\ndata:one\ndata: two\nid: 7\n\nevent: dropped\n\ndata\n\n\ndata: [DONE]";
        let expected = [event("a", "{\"x\":1}"), event("", "one\ntwo"), event("", ""), event("", "[DONE]")];
        assert_eq!(parse(&[stream]), expected);
    }

    #[test]
    fn lone_carriage_returns_end_lines() {
        assert_eq!(parse(&[b"data: a\r\rdata: b\r", b"\n\r", b"\n"]), [event("", "a"), event("", "b")]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..20).any(|_| parser.push(&piece, &mut events).is_err());
        assert!(refused);
        let mut parser = SseParser::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        let refused = (0..20).any(|_| parser.push(&line, &mut events).is_err());
        assert!(refused);
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_events(
            lines in prop::collection::vec("(data|event|id|:)?(:| |é|😀|[a-z{}\"]){0,12}", 0..12),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r", "\n\n"]), 12),
            cuts in prop::collection::vec(0usize..400, 0..12),
        ) {
            let stream: Vec<u8> = lines.iter().zip(&ends).flat_map(|(line, end)| [line.as_bytes(), end.as_bytes()].concat()).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&pieces), parse(&[&stream]));
        }

        #[test]
        fn any_bytes_are_survived(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            parse(&pieces);
        }
    }
}
