//! What a collector answers (`ExportTraceServiceResponse` of OTLP, as protobuf), as far as anything depends on it.

/// How many spans a collector says it did not take, by the answer that it gave with success. What cannot be read says none: they were
/// delivered, and nothing else depends on it.
pub(crate) fn rejected(answer: &[u8]) -> u64 {
    let partial = Fields(answer).find_map(|field| match field {
        (1, Field::Bytes(bytes)) => Some(bytes),
        _ => None,
    });
    let number = Fields(partial.unwrap_or_default()).find_map(|field| match field {
        (1, Field::Number(number)) => Some(number),
        _ => None,
    });
    number.unwrap_or(0)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, up to the first that is none.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Field<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.take(8).map(|_| Field::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Field::Other)?,
            _ => return None,
        };
        Some((tag >> 3, field))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_rejected_is_read() {
        // partial_success { error_message: "two", rejected_spans: 300 }
        let answer = b"\x0a\x08\x12\x03two\x08\xac\x02";
        assert_eq!(rejected(answer), 300);
        assert_eq!(rejected(&[]), 0);
        assert_eq!(rejected(b"<html>no collector</html>"), 0);
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>) {
            rejected(&bytes);
        }
    }
}
