//! The pages about forges: making an app in two steps that belong to one browser, and removing it.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    http::{HeaderMap, Uri},
    response::Html,
};
use cofferdam_domain::{OrgId, Rank, Secret, Timestamp};
use cofferdam_server::{
    AppForm, AppSeen, AppWish, BelongTogether, BudgetSeen, ForgeSeen, ForgeWish, Forges, NewApp, NoNewApp,
};
use cofferdam_store::{Arrival, KeptApp};
use reqwest::{Method, Response, StatusCode, header};
use tokio::net::TcpListener;

use crate::{
    browser::Seat,
    harness::{Kind, Setup, Somebody, World},
};

on_every_store!(
    an_app_is_made_in_two_steps_of_one_browser,
    what_another_browser_began_is_nobody_elses,
    what_comes_back_is_looked_at_strictly,
    a_forge_that_is_away_costs_nothing_but_time,
    an_app_is_removed_by_whoever_administers_its_organisation,
    a_forge_is_worked_with_as_its_organisation_says,
);

const HUB: &str = "https://hub.example";
/// What no page, log entry or cookie may ever show.
const KEY: &str = "-----BEGIN RSA PRIVATE KEY----- of nobody";

/// A hub on which whatever is wanted is made. What the codes are worth is in their names.
#[derive(Clone)]
struct Hub {
    web: String,
    seen: Arc<Mutex<Vec<ForgeSeen>>>,
    exchanged: Arc<Mutex<Vec<(String, String)>>>,
    looks: Arc<AtomicUsize>,
}

impl Hub {
    fn at(web: &str) -> Self {
        let (seen, exchanged, looks) = Default::default();
        Self { web: web.to_owned(), seen, exchanged, looks }
    }
}

#[async_trait]
impl Forges for Hub {
    async fn of(&self, _: OrgId) -> Vec<ForgeSeen> {
        self.seen.lock().unwrap().clone()
    }

    fn places(&self) -> Vec<String> {
        vec![self.web.clone(), "https://other.example".to_owned()]
    }

    async fn plan(&self, _: OrgId, wish: &AppWish, state: &Secret) -> Result<AppForm, String> {
        if wish.name == "taken" {
            return Err("\"taken\" is taken: choose another name".to_owned());
        }
        Ok(AppForm {
            web: wish.web.clone(),
            action: format!("{}/settings/apps/new?state={}", self.web, state.expose()),
            manifest: r#"{"name":"Cofferdam \"<b>\""}"#.to_owned(),
            permissions: vec![("pull_requests".to_owned(), "write".to_owned())],
            hears: true,
        })
    }

    async fn exchange(&self, web: &str, code: &str) -> Result<NewApp, NoNewApp> {
        self.exchanged.lock().unwrap().push((web.to_owned(), code.to_owned()));
        match code {
            "good" => {
                let page = format!("{}/apps/cofferdam", self.web);
                Ok(NewApp { number: 7, page, secrets: Secret::new(KEY) })
            }
            "away" => Err(NoNewApp { again: true, reason: "the hub is away".to_owned() }),
            _ => Err(NoNewApp { again: false, reason: "that code was used: begin again".to_owned() }),
        }
    }

    fn settings(&self, wish: &ForgeWish) -> Result<String, String> {
        if wish.every.as_deref() == Some("never") {
            return Err("`poll` is a time".to_owned());
        }
        let together: Vec<_> = wish.together.iter().map(|one| one.also.len()).collect();
        Ok(format!("{:?} {together:?}", wish.every))
    }

    async fn look_again(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }
}

async fn scene(kind: Kind) -> Option<(World, Hub)> {
    let hub = Hub::at(HUB);
    let world = World::of(Setup { forges: Some(Box::new(hub.clone())), ..Setup::on(kind) }).await?;
    Some((world, hub))
}

/// A browser in which somebody is signed in: its cookie.
struct Browser(String);

impl Browser {
    async fn of(world: &World, who: &Somebody) -> Self {
        let link = world.server.desk(who.org, who.user, "ann".to_owned()).link(who.user).await.unwrap();
        let path = link.url.expose().split_once(&world.address.to_string()).unwrap().1.to_owned();
        let signed = from_own_page(world, world.plain(Method::POST, &path)).send().await.unwrap();
        let cookie = signed.headers()[header::SET_COOKIE].to_str().unwrap();
        Self(cookie.split(';').next().unwrap().to_owned())
    }

    async fn get(&self, world: &World, path: &str) -> Response {
        world.plain(Method::GET, path).header(header::COOKIE, &self.0).send().await.unwrap()
    }

    async fn post(&self, world: &World, path: &str, form: &str) -> Response {
        let request = from_own_page(world, world.plain(Method::POST, path)).header(header::COOKIE, &self.0);
        sent(request, form).await
    }

    /// Begins to make an app. Gives the state.
    async fn begin(&self, world: &World) -> String {
        let answer =
            self.post(world, "/forges/connect", "name=github&web=https%3A%2F%2Fhub.example&owner=").await;
        assert_eq!(answer.status(), StatusCode::OK);
        state(&answer.text().await.unwrap())
    }

    async fn finish(&self, world: &World, state: &str, code: &str) -> Response {
        self.post(world, "/forges/apps", &format!("code={code}&state={state}")).await
    }
}

fn from_own_page(world: &World, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request.header("origin", format!("http://{}", world.address)).header("sec-fetch-site", "same-origin")
}

async fn sent(request: reqwest::RequestBuilder, form: &str) -> Response {
    let form = form.to_owned();
    request.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.unwrap()
}

fn state(page: &str) -> String {
    let rest = page.split_once("?state=").unwrap().1;
    rest.split('"').next().unwrap().to_owned()
}

async fn audited(world: &World, who: &Somebody) -> Vec<String> {
    let entries = world.store.audited(who.org, None, 100).await.unwrap();
    let all: String = entries.iter().map(|entry| format!("{entry:?}")).collect();
    assert!(!all.contains("BEGIN RSA") && !all.contains("cfg_"), "{all}");
    let of_forges = entries.into_iter().filter(|entry| entry.action.starts_with("forge."));
    of_forges.map(|entry| format!("{} {}", entry.action, entry.subject)).collect()
}

async fn an_app_is_made_in_two_steps_of_one_browser(kind: Kind) {
    let Some((world, hub)) = scene(kind).await else { return };
    let ann = world.local(Rank::Admin).await;
    let browser = Browser::of(&world, &ann).await;
    let listed = browser.get(&world, "/forges").await;
    let own = listed.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(own.contains("form-action 'self';"), "{own}");
    let listed = listed.text().await.unwrap();
    assert!(listed.contains("value=\"github\"") && listed.contains(HUB), "{listed}");

    let form = "name=github&web=https%3A%2F%2Fhub.example&owner=acme";
    let answer = browser.post(&world, "/forges/connect", form).await;
    let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert_eq!(policy, own.replace("form-action 'self';", "form-action 'self' https://hub.example;"));
    assert_eq!(answer.headers()[header::REFERRER_POLICY], "strict-origin");
    let page = answer.text().await.unwrap();
    assert!(page.contains("<meta name=\"referrer\" content=\"strict-origin\">"));
    assert!(
        page.contains("Cofferdam \\&quot;&lt;b&gt;\\&quot;") && page.contains("pull requests: <b>write"),
        "{page}"
    );
    let state = state(&page);

    // No cookie of ours comes with what another site leads to, and nothing happens yet.
    let back = world.plain(Method::GET, &format!("/forges/apps/return?code=good&state={state}&more=1"));
    let back = back.send().await.unwrap();
    assert_eq!(back.status(), StatusCode::OK);
    let back = back.text().await.unwrap();
    assert!(back.contains("action=\"/forges/apps\"") && back.contains(&state) && back.contains("data-go"));
    assert!(hub.exchanged.lock().unwrap().is_empty());

    let done = browser.finish(&world, &state, "good").await;
    assert_eq!(
        (done.status(), &done.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/forges#forge-github".parse().unwrap())
    );
    assert_eq!(*hub.exchanged.lock().unwrap(), [(HUB.to_owned(), "good".to_owned())]);
    assert_eq!(hub.looks.load(Ordering::Relaxed), 1);
    let apps = world.store.apps().await.unwrap();
    let [KeptApp { name, org, web, number: 7, page, hears: true, sealed, .. }] = &apps[..] else {
        panic!("{apps:?}")
    };
    assert_eq!(
        (name.as_str(), *org, web.as_str(), page.as_str()),
        ("github", ann.org, HUB, "https://hub.example/apps/cofferdam")
    );
    // The harness' seal turns it around.
    assert_eq!(*sealed, KEY.bytes().rev().collect::<Vec<u8>>());

    // The same again, as whoever has seen the address could.
    let again = browser.finish(&world, &state, "good").await;
    assert_eq!(again.status(), StatusCode::FORBIDDEN);
    assert!(again.text().await.unwrap().contains("Begin again"));
    assert_eq!(hub.exchanged.lock().unwrap().len(), 1);
    let steps = ["forge.connect_refused an app", "forge.connected github", "forge.connect_begun github"];
    assert_eq!(audited(&world, &ann).await, steps);

    // A name that was taken meanwhile: what is to be done with the app is said.
    let state = browser.begin(&world).await;
    let taken = browser.finish(&world, &state, "good").await;
    assert_eq!(taken.status(), StatusCode::CONFLICT);
    let taken = taken.text().await.unwrap();
    assert!(
        taken.contains("delete it at https://hub.example/apps/cofferdam") && !taken.contains("BEGIN"),
        "{taken}"
    );
    world.end().await;
}

async fn what_another_browser_began_is_nobody_elses(kind: Kind) {
    let Some((world, hub)) = scene(kind).await else { return };
    let ann = world.local(Rank::Admin).await;
    let browser = Browser::of(&world, &ann).await;
    let state = browser.begin(&world).await;
    // The same person's other browser, another admin, one of another organisation.
    let elsewhere = world.elsewhere().await;
    let bob = world.local(Rank::Admin).await;
    for who in [&ann, &bob, &elsewhere] {
        let foreign = Browser::of(&world, who).await;
        assert_eq!(foreign.finish(&world, &state, "good").await.status(), StatusCode::FORBIDDEN);
    }
    // Who administers nothing, and who is no browser.
    for rank in [Rank::Member, Rank::Viewer] {
        let member = world.local(rank).await;
        let browser = Browser::of(&world, &member).await;
        for path in ["/forges", "/forges/github/remove"] {
            assert_eq!(browser.get(&world, path).await.status(), StatusCode::FORBIDDEN, "{path}");
        }
        for (path, form) in [
            ("/forges/connect", "name=github&web=https%3A%2F%2Fhub.example&owner=".to_owned()),
            ("/forges/apps", format!("code=good&state={state}")),
            ("/forges/github/remove", String::new()),
            ("/forges/github/settings", "every=1m&together=".to_owned()),
        ] {
            assert_eq!(browser.post(&world, path, &form).await.status(), StatusCode::FORBIDDEN, "{path}");
        }
        assert!(!browser.get(&world, "/settings").await.text().await.unwrap().contains("href=\"/forges\""));
    }
    let form = format!("code=good&state={state}");
    assert_eq!(
        sent(world.ask(&ann, Method::POST, "/forges/apps"), &form).await.status(),
        StatusCode::FORBIDDEN
    );
    let connect = "name=github&web=https%3A%2F%2Fhub.example&owner=";
    let by_token = sent(world.ask(&ann, Method::POST, "/forges/connect"), connect).await;
    assert_eq!(by_token.status(), StatusCode::FORBIDDEN);
    // A page of somebody else's, in the right browser.
    let crossed = world.plain(Method::POST, "/forges/apps").header(header::COOKIE, &browser.0);
    let crossed = crossed.header("origin", "https://evil.example").header("sec-fetch-site", "cross-site");
    assert_eq!(sent(crossed, &form).await.status(), StatusCode::FORBIDDEN);
    // Nobody at all is sent to where one signs in.
    let nobody = sent(from_own_page(&world, world.plain(Method::POST, "/forges/apps")), &form).await;
    assert_eq!(nobody.headers()["location"], "/sign-in");
    assert!(hub.exchanged.lock().unwrap().is_empty() && world.store.apps().await.unwrap().is_empty());
    // None of that has used it up.
    assert_eq!(browser.finish(&world, &state, "good").await.status(), StatusCode::SEE_OTHER);
    world.end().await;
}

async fn what_comes_back_is_looked_at_strictly(kind: Kind) {
    let Some((world, hub)) = scene(kind).await else { return };
    let ann = world.local(Rank::Admin).await;
    let browser = Browser::of(&world, &ann).await;
    let state = browser.begin(&world).await;
    let long = "a".repeat(201);
    for code in ["", "a%2F..%2Fb", "a%20b", "a%0D%0Ab", "%C3%A4", "%22%3E%3Cb%3E", &long] {
        let back = world.plain(Method::GET, &format!("/forges/apps/return?code={code}&state={state}"));
        assert_eq!(back.send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{code}");
        assert_eq!(browser.finish(&world, &state, code).await.status(), StatusCode::FORBIDDEN, "{code}");
    }
    let other = state.replace("cfg_", "cfc_");
    for state in ["", "cfg_1", "%22%3E", &other, &state[..state.len() - 1]] {
        let back = world.plain(Method::GET, &format!("/forges/apps/return?code=good&state={state}"));
        assert_eq!(back.send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{state}");
        assert_eq!(browser.finish(&world, state, "good").await.status(), StatusCode::FORBIDDEN, "{state}");
    }
    let back = world.plain(Method::GET, "/forges/apps/return").send().await.unwrap();
    assert_eq!(back.status(), StatusCode::BAD_REQUEST);
    assert!(hub.exchanged.lock().unwrap().is_empty());
    // What the forge does not know ends the attempt.
    let used = browser.finish(&world, &state, "used").await;
    assert_eq!(used.status(), StatusCode::CONFLICT);
    assert!(used.text().await.unwrap().contains("begin again"));
    assert_eq!(browser.finish(&world, &state, "good").await.status(), StatusCode::FORBIDDEN);
    // Half an hour is long enough.
    let state = browser.begin(&world).await;
    world.pass(Duration::from_secs(31 * 60));
    assert_eq!(browser.finish(&world, &state, "good").await.status(), StatusCode::FORBIDDEN);
    // What cannot be is said before anybody goes anywhere.
    let taken =
        browser.post(&world, "/forges/connect", "name=taken&web=https%3A%2F%2Fhub.example&owner=").await;
    assert_eq!(taken.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        taken.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("form-action 'self';")
    );
    assert!(taken.text().await.unwrap().contains("is taken: choose another name"));
    assert!(world.store.apps().await.unwrap().is_empty());
    world.end().await;
}

async fn a_forge_that_is_away_costs_nothing_but_time(kind: Kind) {
    let Some((world, _)) = scene(kind).await else { return };
    let ann = world.local(Rank::Admin).await;
    let browser = Browser::of(&world, &ann).await;
    let state = browser.begin(&world).await;
    for _ in 0..2 {
        let away = browser.finish(&world, &state, "away").await;
        assert_eq!(away.status(), StatusCode::SERVICE_UNAVAILABLE);
        let page = away.text().await.unwrap();
        assert!(page.contains("the hub is away") && page.contains("Try again"), "{page}");
        assert!(page.contains(&state) && page.contains("value=\"away\"") && !page.contains("data-go"));
    }
    assert_eq!(browser.finish(&world, &state, "good").await.status(), StatusCode::SEE_OTHER);
    let steps = audited(&world, &ann).await;
    assert_eq!(steps[..2], ["forge.connected github", "forge.connect_failed github"]);
    world.end().await;
}

async fn an_app_is_removed_by_whoever_administers_its_organisation(kind: Kind) {
    let Some((world, hub)) = scene(kind).await else { return };
    let ann = world.local(Rank::Admin).await;
    let browser = Browser::of(&world, &ann).await;
    let state = browser.begin(&world).await;
    browser.finish(&world, &state, "good").await;
    hub.seen.lock().unwrap().extend([seen("github", true), seen("work", false)]);
    let arrived = Arrival {
        source: "github".to_owned(),
        id: "1".to_owned(),
        event: "issues".to_owned(),
        line: "1".to_owned(),
        org: ann.org,
        at: world.now(),
        body: b"{}".to_vec(),
    };
    world.store.arrive(arrived).await.unwrap();
    let listed = browser.get(&world, "/forges").await.text().await.unwrap();
    for shown in [
        "href=\"https://hub.example/apps/cofferdam/installations/new\"",
        "https://c.example/hooks/github",
        "accepted</span>",
        "<code>issues</code>, waiting",
        "refused</span>",
        "a wrong signature",
        "core: <b>4990</b> of 5000",
        "[[forge]]",
        "It is left out",
        "value=\"github-2\"",
    ] {
        assert!(listed.contains(shown), "{shown}: {listed}");
    }
    assert!(!listed.contains("<script>alert"), "{listed}");
    let asked = browser.get(&world, "/forges/github/remove").await;
    assert_eq!(asked.status(), StatusCode::OK);
    assert!(asked.text().await.unwrap().contains("action=\"/forges/github/remove\""));
    for path in ["/forges/work/remove", "/forges/none/remove"] {
        assert_eq!(browser.get(&world, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let stranger = world.elsewhere().await;
    let foreign = Browser::of(&world, &stranger).await;
    assert_eq!(foreign.post(&world, "/forges/github/remove", "").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(world.store.apps().await.unwrap().len(), 1);
    assert_eq!(browser.post(&world, "/forges/github/remove", "").await.status(), StatusCode::SEE_OTHER);
    assert!(world.store.apps().await.unwrap().is_empty());
    assert_eq!(browser.post(&world, "/forges/github/remove", "").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(audited(&world, &ann).await[0], "forge.removed github");
    assert_eq!(hub.looks.load(Ordering::Relaxed), 2);
    world.end().await;
}

async fn a_forge_is_worked_with_as_its_organisation_says(kind: Kind) {
    let Some((world, hub)) = scene(kind).await else { return };
    let ann = world.local(Rank::Admin).await;
    let browser = Browser::of(&world, &ann).await;
    let state = browser.begin(&world).await;
    browser.finish(&world, &state, "good").await;
    hub.seen.lock().unwrap().extend([seen("github", true), seen("work", false)]);
    let listed = browser.get(&world, "/forges").await.text().await.unwrap();
    assert_eq!(listed.matches("action=\"/forges/github/settings\"").count(), 1, "{listed}");
    assert!(!listed.contains("/forges/work/settings") && listed.contains("acme/app: acme/lib"), "{listed}");

    let form =
        "every=5m&together=acme%2Fapp%3A+acme%2Flib+acme%2Fdocs%23next%0D%0A%0D%0Aacme%2Flib%3Aacme%2Fapp";
    let set = browser.post(&world, "/forges/github/settings", form).await;
    assert_eq!(
        (set.status(), &set.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/forges#forge-github".parse().unwrap())
    );
    let kept = async || world.store.apps().await.unwrap()[0].settings.clone();
    assert_eq!(kept().await, "Some(\"5m\") [2, 1]");
    assert_eq!(audited(&world, &ann).await[0], "forge.set github");
    assert_eq!(hub.looks.load(Ordering::Relaxed), 2);

    for (form, status) in [
        ("every=never&together=", StatusCode::UNPROCESSABLE_ENTITY),
        ("every=5m&together=acme%2Fapp", StatusCode::UNPROCESSABLE_ENTITY),
        ("every=5m&together=&label=x", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let refused = browser.post(&world, "/forges/github/settings", form).await.status();
        assert!(refused == status || refused == StatusCode::BAD_REQUEST, "{form}: {refused}");
    }
    // One of the configuration is said there; another organisation's is nobody's here.
    for path in ["/forges/work/settings", "/forges/none/settings"] {
        assert_eq!(
            browser.post(&world, path, "every=&together=").await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let foreign = Browser::of(&world, &world.elsewhere().await).await;
    let refused = foreign.post(&world, "/forges/github/settings", "every=&together=").await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    assert_eq!(kept().await, "Some(\"5m\") [2, 1]");
    let emptied = browser.post(&world, "/forges/github/settings", "every=+&together=").await;
    assert_eq!((emptied.status(), &*kept().await), (StatusCode::SEE_OTHER, "None []"));
    world.end().await;
}

/// A forge with everything that a page shows of one.
fn seen(name: &str, is_kept: bool) -> ForgeSeen {
    let app = AppSeen {
        number: 7,
        page: format!("{HUB}/apps/cofferdam"),
        at: Timestamp(1_800_000_000_000),
        by: "ann<script>alert(1)</script>".to_owned(),
    };
    ForgeSeen {
        name: name.to_owned(),
        kind: "GitHub".to_owned(),
        web: HUB.to_owned(),
        api: format!("{HUB}/api/v3"),
        hook: is_kept.then(|| format!("https://c.example/hooks/{name}")),
        every: Some("1m".to_owned()),
        together: vec![BelongTogether {
            repository: "acme/app".to_owned(),
            also: vec!["acme/lib".to_owned()],
        }],
        app: is_kept.then_some(app),
        refused: (!is_kept).then(|| (Timestamp(1_800_000_000_000), "a wrong signature".to_owned())),
        budgets: vec![BudgetSeen { name: "core".to_owned(), left: 4990, of: Some(5000), again: None }],
        trouble: (!is_kept).then(|| "It is left out: its key is damaged.".to_owned()),
    }
}

/// A hub with pages, which another site is to a browser.
async fn hub_with_pages(
    asked: Arc<Mutex<Vec<String>>>,
    back: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> String {
    let agree = move |uri: Uri, headers: HeaderMap, body: String| async move {
        let of = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        asked.lock().unwrap().extend([of("origin"), of("cookie"), body]);
        let state = uri.query().unwrap_or_default().strip_prefix("state=").unwrap_or_default().to_owned();
        Html(format!(
            "<!DOCTYPE html><title>Create</title><link rel=icon href=data:,><form action=\"{}/forges/apps/return\"><input type=hidden name=code value=good>\
             <input type=hidden name=state value=\"{state}\"><button autofocus>Create</button></form>",
            back()
        ))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().route("/settings/apps/new", axum::routing::post(agree));
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, router).await.ok() });
    format!("http://localhost:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_goes_to_the_forge_and_comes_back() {
    let (asked, server) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<OnceLock<String>>::default());
    let known = server.clone();
    let web = hub_with_pages(asked.clone(), move || known.get().unwrap().clone()).await;
    let hub = Hub::at(&web);
    let setup = Setup { forges: Some(Box::new(hub.clone())), ..Setup::on(Kind::Sqlite) };
    let Some(seat) = Seat::with(Rank::Admin, setup).await else { return };
    let own = format!("http://{}", seat.world.address);
    server.set(own.clone()).unwrap();
    let browser = &seat.browser;
    browser.tab_to("a[href='/forges']").await;
    browser.press("Enter").await;
    browser.until("location.pathname === '/forges'").await;
    browser.tab_to("#app-owner").await;
    browser.write("acme").await;
    browser.tab_to("#connect button.primary").await;
    browser.press("Enter").await;
    browser.until("location.pathname === '/forges/connect' && document.querySelector('.grants')").await;
    // The button has the focus by itself, a moment after it is there.
    browser.until("document.activeElement.matches('button.primary')").await;
    browser.press("Enter").await;
    browser.until("location.pathname === '/settings/apps/new' && document.readyState === 'complete'").await;
    browser.tab_to("button").await;
    browser.press("Enter").await;
    // It goes on by itself, with its cookie: the page of our own begins the last request.
    browser.until("location.pathname === '/forges' && location.hash === '#forge-github'").await;
    assert_eq!(seat.world.store.apps().await.unwrap().len(), 1);
    let asked = asked.lock().unwrap().clone();
    assert_eq!((asked[0].as_str(), asked[1].as_str()), (own.as_str(), ""));
    assert!(asked[2].starts_with("manifest=%7B"), "{}", asked[2]);

    hub.seen.lock().unwrap().extend([seen("github", true), seen("work", false)]);
    for (width, phone) in [(1280, false), (390, true)] {
        browser.size(width, 844, phone).await;
        seat.open("/forges").await;
        assert_eq!(
            browser.value("document.documentElement.scrollWidth <= innerWidth").await,
            true,
            "{width}"
        );
    }
    browser.tab_to("a[href='/forges/github/remove']").await;
    browser.press("Enter").await;
    browser.until("document.querySelector('form[action=\"/forges/github/remove\"]')").await;
    browser.tab_to("form[action='/forges/github/remove'] button").await;
    browser.press("Enter").await;
    browser.until("location.pathname === '/forges'").await;
    assert!(seat.world.store.apps().await.unwrap().is_empty());
    let seen = browser.seen();
    assert_eq!((seen.dialogs, seen.errors), (vec![], vec![]));
    browser.call("Page.navigate", serde_json::json!({ "url": "about:blank" })).await;
    drop(seat.browser);
    seat.world.end().await;
}
