//! With a certified provider: `oidc-provider`, from the npm registry, kept from one run to the next.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use cofferdam_domain::Rank;
use cofferdam_server::{Admit, Who};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::OnceCell,
    time::timeout,
};

use super::{Jar, location, settings};
use crate::{
    chromium::Browser,
    harness::{Kind, Setup, World},
};

const VERSION: &str = "9.13.3";
const SCRIPT: &str = include_str!("provider.mjs");
/// Installing takes a network.
const PATIENCE: Duration = Duration::from_secs(300);

/// A provider that runs.
struct Provider {
    issuer: String,
    lines: Lines<BufReader<ChildStdout>>,
    process: Child,
}

/// The folder with the package and the script.
async fn installed() -> Option<PathBuf> {
    static INSTALLED: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    INSTALLED.get_or_init(install).await.clone()
}

async fn install() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    let place = cache.join("cofferdam-test").join(format!("oidc-provider-{VERSION}"));
    std::fs::create_dir_all(&place).ok()?;
    let script = place.join("provider.mjs");
    if std::fs::read_to_string(&script).is_ok_and(|known| known == SCRIPT) {
        return Some(place);
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&place)
        .arg(format!("oidc-provider@{VERSION}"))
        .current_dir(&place)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let done = matches!(timeout(PATIENCE, npm.status()).await, Ok(Ok(status)) if status.success());
    // Last, so that its presence says that everything is there.
    (done && std::fs::write(&script, SCRIPT).is_ok()).then_some(place)
}

impl Provider {
    /// Starts one that is known by this name of the machine and signs like this, or says why not.
    async fn start(host: &str, algorithm: &str) -> Option<Self> {
        let place = installed().await;
        let command = place.map(|place| {
            let mut command = Command::new("node");
            command.args(["provider.mjs", host, algorithm]).current_dir(place);
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
        });
        let Some(Ok(mut process)) = command else {
            eprintln!(
                "SKIPPED: oidc-provider {VERSION} is not there, and npm with node 20 or later cannot install it"
            );
            return None;
        };
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let issuer = said(&mut lines, "issuer ").await;
        Some(Self { issuer, lines, process })
    }

    /// Lets it send browsers back to this server.
    async fn knows(&mut self, world: &World) {
        let back = format!("http://{}/sign-in/openid/return\n", world.address);
        self.process.stdin.as_mut().unwrap().write_all(back.as_bytes()).await.unwrap();
        said(&mut self.lines, "ready").await;
    }
}

async fn said(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) -> String {
    loop {
        let line =
            timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("the provider has ended");
        if let Some(rest) = line.strip_prefix(word) {
            return rest.to_owned();
        }
    }
}

fn team() -> Vec<Admit> {
    vec![Admit { who: Who::Group("team".to_owned()), rank: Rank::Member }]
}

/// A server that asks this provider, with the time that both share.
async fn world(provider: &mut Provider, kind: Kind) -> Option<World> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let begin = u64::try_from(now.as_millis()).unwrap();
    let openid = Some(settings(&provider.issuer, team()));
    let world = World::of(Setup { openid, begin, ..Setup::on(kind) }).await?;
    provider.knows(&world).await;
    Some(world)
}

/// What the form on a page leads to.
fn action(page: &str) -> String {
    let (_, rest) = page.split_once("action=\"").expect(page);
    rest.split_once('"').unwrap().0.to_owned()
}

/// Follows redirects and fills in the provider's forms as `who` until a page of the server comes. Gives its text.
async fn walk(jar: &mut Jar, world: &World, who: &str) -> String {
    let own = format!("http://{}/", world.address);
    let mut response = jar.get(&format!("{own}sign-in/openid")).await;
    for _ in 0..20 {
        if response.status().is_redirection() {
            let next = location(&response);
            response = jar.get(next.as_str()).await;
            continue;
        }
        let here = response.url().clone();
        let status = response.status();
        let page = response.text().await.unwrap();
        if here.as_str().starts_with(&own) {
            return page;
        }
        assert!(status.is_success(), "{here}: {page}");
        let address = here.join(&action(&page)).unwrap();
        let body = if page.contains("name=\"login\"") {
            format!("prompt=login&login={who}&password=x")
        } else {
            "prompt=consent".to_owned()
        };
        let form =
            jar.http.post(address).header("content-type", "application/x-www-form-urlencoded").body(body);
        response = jar.send(form).await;
    }
    panic!("it never came back");
}

async fn whoever_the_provider_knows_comes_in(kind: Kind) {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let Some(mut provider) = Provider::start("127.0.0.1", algorithm).await else { return };
        let Some(world) = world(&mut provider, kind).await else { return };
        let mut jar = Jar::new();
        // Somebody else's hand: neither is believed nor kept.
        let fixed = format!("cfc_{}", "0".repeat(72));
        jar.cookies.insert("cofferdam".to_owned(), fixed.clone());
        jar.cookies.insert("cofferdam-openid".to_owned(), format!("1.cfo_{}", "0".repeat(72)));
        let page = walk(&mut jar, &world, "ann").await;
        assert!(page.contains("You are signed in"), "{page}");
        assert_ne!(jar.cookies["cofferdam"], fixed);
        assert!(!jar.cookies.contains_key("cofferdam-openid"), "it is used up");
        let (status, me) = jar.whoami(&world).await;
        assert_eq!(
            (status, &me["name"], &me["rank"]),
            (200, &json!("ann of Example"), &json!("member")),
            "{me}"
        );
        // In another browser, the same person.
        let mut other = Jar::new();
        walk(&mut other, &world, "ann").await;
        assert_eq!(other.whoami(&world).await.1["user"], me["user"]);
        assert_ne!(other.cookies["cofferdam"], jar.cookies["cofferdam"]);
        world.end().await;
    }
}

on_every_store!(whoever_the_provider_knows_comes_in,);

/// The provider has another name of this machine: to a browser that is another site, as providers are.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_and_out_by_keyboard() {
    let Some(mut provider) = Provider::start("localhost", "ES256").await else { return };
    let Some(browser) = Browser::start().await else { return };
    let world = world(&mut provider, Kind::Sqlite).await.unwrap();
    let own = format!("http://{}", world.address);
    browser.open(&format!("{own}/")).await;
    browser.until("location.pathname === '/sign-in'").await;
    browser.tab_to("a[href='/sign-in/openid']").await;
    browser.press("Enter").await;
    browser.until("location.hostname === 'localhost' && document.querySelector('[name=login]')").await;
    browser.value("document.querySelector('[name=login]').focus()").await;
    browser.write("ann").await;
    browser.value("document.querySelector('[name=password]').focus()").await;
    browser.write("x").await;
    browser.press("Enter").await;
    browser.until("document.querySelector('[name=prompt][value=consent]')").await;
    browser.tab_to("[type=submit]").await;
    browser.press("Enter").await;
    // The strict cookie is sent: the last step is one from the server's own page.
    browser.until("location.pathname === '/' && document.querySelector('.who')").await;
    browser.until("document.querySelector('.who').textContent.includes('ann of Example')").await;
    assert_eq!(browser.value("document.cookie").await, json!(""), "no script sees a cookie");
    browser.tab_to(".menu summary").await;
    browser.press("Enter").await;
    browser.tab_to("form[action='/sign-out'] button").await;
    browser.press("Enter").await;
    browser.until("location.pathname === '/sign-in'").await;
    // The provider's own pages lack this and that.
    let mut seen = browser.seen();
    seen.errors.retain(|error| error.contains(&own));
    assert_eq!((seen.dialogs, seen.errors), (vec![], vec![]));
    drop(browser);
    world.end().await;
}
