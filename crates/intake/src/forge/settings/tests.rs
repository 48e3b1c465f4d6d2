//! Tables as people write them, right and wrong.

use super::*;

const TABLE: &str = "[[forge]]\nname = 'work'\nkind = 'gitea'\nurl = 'https://git.example.com'\ntoken = { env = 'TOKEN' }\n\
                     hook_secret = { env = 'SECRET' }\n";

#[derive(Debug, Deserialize)]
struct File {
    forge: Vec<ForgeSettings>,
}

fn open(text: &str) -> Result<Vec<OpenForge>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let environment = |name: &str| match name {
        "TOKEN" => Some("t0ken\n".to_owned()),
        "SECRET" => Some("s3cret".to_owned()),
        "EMPTY" => Some(" ".to_owned()),
        _ => None,
    };
    let open = ForgeSettings::open(&file.forge, &environment).map_err(|error| error.to_string())?;
    for forge in &open {
        forge.settings.hook_secrets(&environment)?;
    }
    Ok(open)
}

#[test]
fn a_table_becomes_a_forge() {
    let forges = open(TABLE).unwrap();
    let settings = &forges[0].settings;
    assert_eq!(forges[0].site.name(), "work");
    assert_eq!((settings.organisation.as_str(), settings.label.as_str()), ("local", "cofferdam"));
    assert_eq!((settings.least_right, settings.fixes), (LeastRight::Write, 3));
    assert!(!format!("{forges:?}").contains("t0ken"));
}

#[test]
fn mistakes_are_named_with_their_remedy() {
    let without =
        |line: &str| TABLE.lines().filter(|known| !known.starts_with(line)).collect::<Vec<_>>().join("\n");
    let with = |more: &str| format!("{TABLE}{more}\n");
    for (text, wanted) in [
        (TABLE.repeat(2), "a name of its own"),
        (TABLE.replace("gitea", "svn"), "svn"),
        (TABLE.replace("'work'", "'Work'"), "lower-case"),
        (TABLE.replace("https", "http"), "https"),
        (TABLE.replace("https://git", "git"), "address"),
        (without("token"), "neither a `token` nor an `app`"),
        (without("hook_secret"), "hook_secret"),
        (with("app = { id = '1', key = { env = 'TOKEN' } }"), "both"),
        (without("token") + "\napp = { id = '1', key = { env = 'TOKEN' } }", "no apps"),
        (TABLE.replace("TOKEN", "NOWHERE"), "NOWHERE is not set"),
        (TABLE.replace("TOKEN", "EMPTY"), "`token` is empty: set EMPTY"),
        (TABLE.replace("SECRET", "EMPTY"), "`hook_secret` is empty: set EMPTY"),
        (TABLE.replace("{ env = 'SECRET' }", "{ file = '/no/such/file' }"), "/no/such/file"),
        (with("earlier_hook_secrets = [{ env = 'EMPTY' }]"), "`earlier_hook_secrets` is empty"),
        (with("label = ' a'"), "`label`"),
        (with("mention = '@agent'"), "without `@`"),
        (with("bots = ['@ci']"), "without `@`"),
        (with("fixes = 21"), "at most 20"),
        (with("least_right = 'read'"), "read"),
        (with("lable = 'x'"), "lable"),
    ] {
        let error = open(&text).map(drop).unwrap_err();
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert!(!error.contains("t0ken") && !error.contains("s3cret"), "{error}");
    }
}
