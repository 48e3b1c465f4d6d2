//! Lengths of time as people write them on tide tables: `6h 12m`, `45m`, `90s`.

/// The length of time in seconds.
///
/// A text is any number of parts, each a whole number and one of the units `h`, `m` and `s`. Anything else is an error that names
/// what is wrong.
pub fn seconds(text: &str) -> Result<u64, String> {
    let mut total = 0;
    let mut number = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' => number.push(character),
            ' ' => {}
            'h' | 'm' | 's' => {
                let value: u64 = number.parse().map_err(|_| format!("no number before {character:?}"))?;
                number.clear();
                total += value * unit(character);
            }
            other => return Err(format!("unknown unit {other:?}")),
        }
    }
    Ok(total)
}

fn unit(character: char) -> u64 {
    match character {
        'h' => 3600,
        'm' => 60,
        _ => 1,
    }
}
