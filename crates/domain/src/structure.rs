//! How much structure a JSON text has, told from its bytes before anything is made of it.
//!
//! A short text can be a large thing in memory: seven bytes of `{"":0}` are some 660 bytes as a map. So what strangers send is not only bounded in
//! length, but also in how many things it says.

/// Whether a JSON text says at most so many things: maps, lists, members and items together. Of what is no JSON nothing is said.
#[must_use]
pub fn has_at_most(text: &[u8], most: usize) -> bool {
    let mut things = 0;
    let mut rest = text;
    while let Some((mark, after)) = next(rest) {
        rest = if mark == b'"' { behind_string(after) } else { after };
        things += usize::from(mark != b'"');
        if things > most {
            return false;
        }
    }
    true
}

/// The next byte that begins a string or says one thing more, and what comes after it.
fn next(text: &[u8]) -> Option<(u8, &[u8])> {
    let place = text.iter().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b':' | b','))?;
    Some((*text.get(place)?, text.get(place + 1..)?))
}

/// What comes after a string, from behind the mark that begins it.
fn behind_string(mut text: &[u8]) -> &[u8] {
    while let Some(place) = text.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        let escapes = text.get(place) == Some(&b'\\');
        text = text.get(place + 1 + usize::from(escapes)..).unwrap_or_default();
        if !escapes {
            return text;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn count(text: &str) -> usize {
        (0..).find(|most| has_at_most(text.as_bytes(), *most)).unwrap()
    }

    /// Maps, lists, members and items.
    fn things(value: &Value) -> usize {
        let of = |length: usize| 1 + length + length.saturating_sub(1);
        match value {
            Value::Object(map) => of(map.len()) + map.values().map(things).sum::<usize>(),
            Value::Array(list) => list.len().max(1) + list.iter().map(things).sum::<usize>(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }

    #[test]
    fn what_stands_in_strings_is_no_structure() {
        assert_eq!(count(r#"{"a":[1,2,3],"b":"{[,:\"{[,:"}"#), 1 + 2 + 1 + 1 + 2);
        assert_eq!(count(r#""\\",[]"#), 2, "a string that ends in a backslash has ended");
        assert_eq!(count(r#""never ended {{{{"#), 0);
        assert_eq!((count(""), count("\"\\")), (0, 0));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<u32>().prop_map(Value::from), r#"[a"\\{,:]{0,6}"#.prop_map(Value::from)];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(r#"[a"\\{,:]{0,6}"#, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_thing_is_counted_once(value in json()) {
            prop_assert_eq!(count(&value.to_string()), things(&value));
        }

        #[test]
        fn any_bytes_have_a_number_of_things(text in prop::collection::vec(any::<u8>(), 0..80), most in 0usize..9) {
            prop_assert!(has_at_most(&text, text.len()));
            prop_assert!(!has_at_most(&text, most) || has_at_most(&text, most + 1));
        }
    }
}
