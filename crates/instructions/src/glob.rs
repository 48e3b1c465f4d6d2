//! Globs of rules: `*` and `?` within a name, `**` over names, `{a,b}` for either. Without a slash, a glob is for names in any directory.

/// Alternatives that a glob with braces is written out to.
const MOST_ALTERNATIVES: usize = 64;

/// Whether `glob` fits `path`. Takes time in proportion to both, whatever they are.
#[must_use]
pub fn fits(glob: &str, path: &str) -> bool {
    let names: Vec<&str> = path.split('/').collect();
    alternatives(glob).iter().any(|glob| {
        let mut parts: Vec<&str> = glob.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.len() == 1 && !glob.contains('/') {
            parts.insert(0, "**");
        }
        // What a directory is named for is what is in it.
        if glob.ends_with('/') {
            parts.push("**");
        }
        fits_one(&parts, &names, |part| *part == "**", |part, name| name_fits(part, name))
    })
}

/// The glob with each of its braces written out.
fn alternatives(glob: &str) -> Vec<String> {
    let mut open = vec![glob.to_owned()];
    let mut done = Vec::new();
    while let Some(glob) = open.pop() {
        let braces = glob.find('}').and_then(|end| Some((glob.get(..end)?.rfind('{')?, end)));
        match braces {
            Some((start, end)) if open.len() + done.len() < MOST_ALTERNATIVES => {
                let (before, after) = (&glob[..start], &glob[end + 1..]);
                open.extend(
                    glob[start + 1..end]
                        .split(',')
                        .take(MOST_ALTERNATIVES)
                        .map(|inner| format!("{before}{inner}{after}")),
                );
            }
            Some(_) | None => done.push(glob),
        }
        open.truncate(MOST_ALTERNATIVES);
        done.truncate(MOST_ALTERNATIVES);
    }
    done
}

fn name_fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    fits_one(&pattern, &name, |part| *part == '*', |part, character| *part == '?' || part == character)
}

/// Whether the parts fit the whole, where some parts stand for any number of things: row by row, without going back.
fn fits_one<P, T>(parts: &[P], whole: &[T], any: impl Fn(&P) -> bool, one: impl Fn(&P, &T) -> bool) -> bool {
    let mut reached = vec![false; whole.len() + 1];
    reached[0] = true;
    for part in parts {
        let mut next = vec![false; whole.len() + 1];
        if any(part) {
            let mut so_far = false;
            for (to, from) in next.iter_mut().zip(&reached) {
                so_far |= from;
                *to = so_far;
            }
        } else {
            for (index, thing) in whole.iter().enumerate() {
                next[index + 1] = reached[index] && one(part, thing);
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn globs_mean_what_they_do_elsewhere() {
        for (glob, path, wanted) in [
            ("*.rs", "src/a/b.rs", true),
            ("*.rs", "b.rs", true),
            ("src/*.rs", "src/a/b.rs", false),
            ("src/**/*.rs", "src/b.rs", true),
            ("src/**/*.rs", "src/a/c/b.rs", true),
            ("**/test_?.py", "a/test_1.py", true),
            ("**/test_?.py", "a/test_12.py", false),
            ("src/{a,b/**}/*.{ts,tsx}", "src/b/c/x.tsx", true),
            ("src/{a,b}/*.{ts,tsx}", "src/c/x.ts", false),
            ("docs/", "docs/a/b.md", true),
            ("docs/**", "docs/a", true),
            ("a", "ab", false),
            ("", "a", false),
            ("{a", "{a", true),
        ] {
            assert_eq!(fits(glob, path), wanted, "{glob} {path}");
        }
    }

    proptest! {
        #[test]
        fn any_glob_ends(glob in "[a*?{},/]{0,200}", path in "[a/]{0,200}") {
            let _fits = fits(&glob, &path);
        }

        #[test]
        fn a_path_fits_itself(path in "[a-z.]{1,8}(/[a-z.]{1,8}){0,4}") {
            prop_assume!(!path.split('/').any(|part| part == "."));
            prop_assert!(fits(&path, &path));
        }
    }
}
