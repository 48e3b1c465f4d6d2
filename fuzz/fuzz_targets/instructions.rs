//! Repositories whose texts for agents attack whoever reads them. The input is contents with zero bytes between them, for files that are
//! there in every such repository.

#![no_main]

use cofferdam_instructions::{Gathering, Given, Listed, about, fits, split};
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 7] = [
    "CLAUDE.md",
    "a/GEMINI.md",
    "a/b.md",
    "skills/x/SKILL.md",
    "skills/x/scripts/y.sh",
    ".cursor/rules/r.mdc",
    ".github/instructions/i.instructions.md",
];

fuzz_target!(|input: &[u8]| {
    let contents: Vec<&[u8]> = input.split(|byte| *byte == 0).chain(std::iter::repeat(&b""[..])).take(PATHS.len()).collect();
    let content = |path: &str| PATHS.iter().position(|known| *known == path).map(|at| contents[at]);
    let listed = PATHS.iter().zip(&contents).map(|(path, content)| Listed {
        path: (*path).to_owned(),
        size: content.len() as u64,
        link: content.first() == Some(&b'\\'),
    });
    let mut gathering = Gathering::new(listed.collect());
    for round in 0.. {
        assert!(round < 16, "it never has enough");
        let wanted = gathering.wanted();
        if wanted.is_empty() {
            break;
        }
        for path in wanted {
            let given = content(&path).map_or(Given::Missing, |content| Given::File(content.to_vec()));
            gathering.give(&path, given);
        }
    }
    let gathered = gathering.finish();
    let shown: usize = gathered.files.iter().map(|file| file.text.len()).sum();
    assert!(shown <= 128 * 1024 && gathered.notices.len() <= 64);
    for path in PATHS {
        let _of_it = about(&gathered.files, path);
    }
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok((_, body)) = split(text) {
            assert!(text.ends_with(body));
        }
        let (glob, path) = text.split_once('\n').unwrap_or((text, "a/b"));
        if glob.len() < 512 && path.len() < 512 {
            let _fits = fits(glob, path);
        }
    }
});
