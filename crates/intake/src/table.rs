//! What the tables of all ways in have in common.

use cofferdam_domain::Secret;
use cofferdam_tell::SecretPlace;

/// The organisation that is meant where a table names none: the one that every store has.
pub(crate) fn organisation() -> String {
    "local".to_owned()
}

/// Reads the secret that stands under `key`, which has nothing beside it but perhaps the end of its line.
pub(crate) fn secret(
    key: &str,
    place: &SecretPlace,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Secret, String> {
    let text = place.read(environment).map_err(|problem| format!("`{key}`: {problem}"))?;
    let text = text.trim();
    if !text.is_empty() {
        return Ok(Secret::new(text));
    }
    Err(match place {
        SecretPlace::File(path) => format!("`{key}` is empty: put it into {}", path.display()),
        SecretPlace::Env(variable) => format!("`{key}` is empty: set {variable}"),
    })
}

/// The same of a token, which has no spaces in it and nothing but ASCII.
pub(crate) fn token(
    key: &str,
    place: &SecretPlace,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Secret, String> {
    let secret = secret(key, place, environment)?;
    let is_plain = secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(secret) } else { Err(format!("`{key}` is no token")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_without_the_end_of_their_line() {
        let environment = |name: &str| match name {
            "ONE" => Some(" t0ken\n".to_owned()),
            "KEY" => Some("-----BEGIN\nx y\n".to_owned()),
            "EMPTY" => Some(" \n".to_owned()),
            _ => None,
        };
        let place = |name: &str| SecretPlace::Env(name.to_owned());
        assert_eq!(token("token", &place("ONE"), &environment).unwrap().expose(), "t0ken");
        assert_eq!(secret("key", &place("KEY"), &environment).unwrap().expose(), "-----BEGIN\nx y");
        for (name, why) in [("KEY", "no token"), ("EMPTY", "set EMPTY"), ("NONE", "NONE is not set")] {
            let error = token("token", &place(name), &environment).unwrap_err();
            assert!(error.starts_with("`token`") && error.contains(why) && !error.contains("x y"), "{error}");
        }
    }
}
