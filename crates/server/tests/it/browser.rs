//! The pages in a real browser: by keyboard alone, live, under attack, and long.

use std::time::{Duration, Instant};

use cofferdam_domain::{
    Digest, Event, EventBody, Owner, PullRequestState, Rank, Seq, SessionId, ToolStatus, event::PlanDecision,
};
use cofferdam_store::{Placement, Ticket, Writer};
use reqwest::Method;

use crate::{
    chromium::Browser,
    harness::{self, Kind, LONG, Setup, Somebody, World},
    sample::{self, Words},
};

/// A server, somebody in it, and a browser in which they are signed in.
pub(crate) struct Seat {
    pub(crate) world: World,
    pub(crate) who: Somebody,
    pub(crate) browser: Browser,
}

impl Seat {
    pub(crate) async fn take(rank: Rank) -> Option<Self> {
        Self::with(rank, Setup::on(Kind::Sqlite)).await
    }

    /// The same before a server that is like this.
    pub(crate) async fn with(rank: Rank, setup: Setup) -> Option<Self> {
        let browser = Browser::start().await?;
        let world = World::of(setup).await?;
        let who = world.local(rank).await;
        let link = world.server.desk(who.org, who.user, "ann".to_owned()).link(who.user).await.unwrap();
        browser.open(link.url.expose()).await;
        // The one button has the focus, a moment after it is there.
        browser.until("document.activeElement.matches('button.primary')").await;
        browser.press("Enter").await;
        browser.until("location.pathname === '/'").await;
        Some(Self { world, who, browser })
    }

    pub(crate) fn address(&self, path: &str) -> String {
        format!("http://{}{path}", self.world.address)
    }

    pub(crate) async fn open(&self, path: &str) {
        self.browser.open(&self.address(path)).await;
    }

    /// A session with these events after a harmless task.
    pub(crate) async fn session(&self, bodies: Vec<EventBody>) -> SessionId {
        let mut bodies = bodies;
        bodies.insert(0, sample::task(sample::as_they_are));
        self.session_from(bodies).await
    }

    /// A session with these events, of which the first is its task.
    pub(crate) async fn session_from(&self, mut bodies: Vec<EventBody>) -> SessionId {
        let project = self.world.project(self.who.org).await;
        let owner = Owner { org: self.who.org, project, user: self.who.user };
        let ticket = Ticket { owner, placement: Placement::Queued { priority: 0 } };
        let (session, first) = (SessionId::generate(), bodies.remove(0));
        self.world.store.enqueue(ticket, session, self.world.now(), first, Vec::new()).await.unwrap();
        self.append(session, bodies).await;
        session
    }

    pub(crate) async fn append(&self, session: SessionId, bodies: Vec<EventBody>) {
        for some in bodies.chunks(500) {
            self.world.store.append(session, Writer::Anybody, self.world.now(), some.to_vec()).await.unwrap();
        }
    }

    async fn log(&self, session: SessionId) -> Vec<Event> {
        self.world.store.read(session, Seq::START, 10_000).await.unwrap()
    }

    /// Waits until the log has an event like this.
    async fn written(&self, session: SessionId, is_it: impl Fn(&EventBody) -> bool) -> EventBody {
        let end = Instant::now() + LONG;
        loop {
            if let Some(event) = self.log(session).await.into_iter().find(|event| is_it(&event.body)) {
                return event.body;
            }
            assert!(Instant::now() < end, "never written");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything that a session can have, with the blobs that it names.
    pub(crate) async fn delivery(&self, words: Words) -> Vec<EventBody> {
        let patch = words(
            "diff --git a/src/a.rs b/src/a.rs\n--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1,2 +1,2 @@ fn a()\n // one\n-let a = 1;\n+let a = 2;\n",
        );
        let patch = self.world.store.put_blob(patch.as_bytes()).await.unwrap();
        let output = self.world.store.put_blob(words("running 4 tests\nok\n").as_bytes()).await.unwrap();
        let mut bodies = sample::delivery(words);
        for body in &mut bodies {
            if let EventBody::ObjectsReceived(received) = body {
                received.patch = Some(patch);
            } else if let EventBody::EvidenceRun(run) = body {
                run.output = output;
            }
        }
        bodies
    }

    /// That nothing happened that must not, and the end.
    pub(crate) async fn leave(self) {
        self.browser.seen().is_clean(&self.address("/"));
        self.browser.call("Page.navigate", serde_json::json!({ "url": "about:blank" })).await;
        drop(self.browser);
        self.world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_given_watched_and_steered_by_keyboard() {
    let Some(seat) = Seat::take(Rank::Member).await else { return };
    let browser = &seat.browser;
    browser.tab_to("a[href='/new']").await;
    browser.press("Enter").await;
    browser.until("location.pathname === '/new'").await;
    browser.tab_to("#repository").await;
    browser.write("/srv/durations").await;
    browser.tab_to("#prompt").await;
    browser.write("Parse durations with more than one unit").await;
    browser.tab_to("[name=plan_first]").await;
    browser.press(" ").await;
    browser.tab_to("form.form button.primary").await;
    browser.press("Enter").await;
    browser.until("location.pathname.startsWith('/sessions/ses_')").await;
    let id = browser.value("location.pathname.split('/')[2]").await;
    let session: SessionId = id.as_str().unwrap().parse().unwrap();
    let task = seat.written(session, |body| matches!(body, EventBody::TaskAccepted { .. })).await;
    assert!(
        matches!(task, EventBody::TaskAccepted { task } if task.wishes.plan_first && task.repository == "/srv/durations")
    );

    // Live, without the page being loaded again.
    browser.value("window.same = true").await;
    let plan = "1. Read\n2. Change **one** thing";
    seat.append(session, vec![EventBody::Claimed { worker: "w".to_owned(), fence: 1 }, harness::plan(plan)])
        .await;
    browser.until("document.querySelector('#asks .ask')").await;
    browser.tab_to("#asks button[value=approve]").await;
    browser.press("Enter").await;
    let decided = seat.written(session, |body| matches!(body, EventBody::PlanDecided { .. })).await;
    let approved = EventBody::PlanDecided {
        digest: Digest::of(plan.as_bytes()),
        by: "member".to_owned(),
        decision: PlanDecision::Approved { text: None },
    };
    assert_eq!(decided, approved);
    browser.until("!document.querySelector('#asks .ask')").await;

    seat.append(session, vec![harness::question()]).await;
    browser.until("document.querySelector('#asks textarea')").await;
    browser.tab_to("#asks textarea").await;
    browser.write("The first.").await;
    browser.press_with("Enter", 2).await;
    let answered = seat.written(session, |body| matches!(body, EventBody::QuestionAnswered { .. })).await;
    assert!(matches!(answered, EventBody::QuestionAnswered { text, .. } if text == "The first."));

    seat.append(session, vec![EventBody::AccessAsked(Box::new(harness::access()))]).await;
    browser.until("document.querySelector('#asks button[value=grant]')").await;
    // What somebody has chosen stays chosen while other things happen.
    browser.tab_to("#asks select[name=minutes]").await;
    browser.value("document.activeElement.value = '60'").await;
    browser.press("Tab").await;
    let more =
        sample::step(sample::as_they_are, 1, "Meanwhile.", ("shell", "{}".to_owned()), ToolStatus::Ok, "x");
    seat.append(session, more).await;
    browser.until("document.querySelector('#timeline').textContent.includes('Meanwhile.')").await;
    assert_eq!(browser.value("document.querySelector('#asks select[name=minutes]').value").await, "60");
    browser.tab_to("#asks button[value=grant]").await;
    browser.press("Enter").await;
    let decided = seat.written(session, |body| matches!(body, EventBody::AccessDecided(_))).await;
    assert!(
        matches!(decided, EventBody::AccessDecided(access) if access.granted && access.rule == harness::access().digest() && access.until.is_some())
    );

    browser.until("document.readyState === 'complete' && document.querySelector('#message')").await;
    browser.press("m").await;
    browser.write("Keep the public names.").await;
    browser.press_with("Enter", 2).await;
    seat.written(
        session,
        |body| matches!(body, EventBody::MessageReceived { text, .. } if text == "Keep the public names."),
    )
    .await;
    seat.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_appear_and_are_moved_through_without_a_jump() {
    let Some(seat) = Seat::take(Rank::Member).await else { return };
    let browser = &seat.browser;
    let words: Words = sample::as_they_are;
    let session = seat.session(sample::beginning(words).split_off(1)).await;
    seat.open(&format!("/sessions/{session}")).await;
    browser
        .value(
            "window.shift = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) if (!one.hadRecentInput) window.shift += one.value; })\
             .observe({ type: 'layout-shift', buffered: true }); 1",
        )
        .await;
    let before = browser.value("document.querySelectorAll('.entry').length").await.as_u64().unwrap();
    for number in 1..=5_u32 {
        let call = ("shell", r#"{"command":"cargo test\n--offline"}"#.to_owned());
        seat.append(
            session,
            sample::step(words, number, "On.", call, ToolStatus::Ok, "exit 0 after 1 s\nfine"),
        )
        .await;
        browser.until(&format!("document.querySelectorAll('.entry.step').length === {number}")).await;
        browser.until("document.querySelector('.entry.step:last-child .output')").await;
    }
    assert_eq!(browser.value("document.querySelectorAll('.entry').length").await, before + 5);
    let shift = browser.value("window.shift").await.as_f64().unwrap();
    assert!(shift < 0.1, "layout shift {shift}");

    // To the last step with k, open its call with o; what was opened stays open when the entry changes.
    browser.press("k").await;
    browser.press("o").await;
    browser.until("document.activeElement.matches('.entry:last-child') && document.activeElement.querySelector('.call[open]')").await;
    let checkpoint = EventBody::Checkpointed { step: 5, snapshot: "snp_5".to_owned() };
    seat.append(session, vec![checkpoint]).await;
    browser.until("document.activeElement.querySelector('.checkpoint')").await;
    assert_eq!(browser.value("!!document.activeElement.querySelector('.call[open]')").await, true);
    browser.press("j").await;
    assert_eq!(
        browser.value("document.activeElement.matches('.entry:last-child')").await,
        true,
        "there is nothing below"
    );
    browser.press("/").await;
    browser.write("nothing that is there").await;
    browser.until("document.querySelectorAll('.entry:not([hidden])').length === 0").await;
    browser.press("Escape").await;
    browser.press("?").await;
    browser.until("document.querySelector('dialog[open]')").await;
    browser.press("Escape").await;

    // Back to the checkpoint, and a fork from there, by keyboard.
    let to = seat.log(session).await.last().unwrap().seq;
    browser.tab_to(&format!("#checkpoint-{} summary", to.0)).await;
    browser.press("Enter").await;
    browser.tab_to(&format!("#instead-{}", to.0)).await;
    browser.write("Simpler.").await;
    browser.tab_to("button[formaction$='/fork']").await;
    browser.press("Enter").await;
    browser
        .until(&format!(
            "location.pathname.startsWith('/sessions/ses_') && !location.pathname.endsWith('{session}')"
        ))
        .await;
    browser.until("document.body.innerText.includes('forked from')").await;
    seat.open(&format!("/sessions/{session}")).await;
    browser.tab_to(&format!("#checkpoint-{} summary", to.0)).await;
    browser.press("Enter").await;
    browser.tab_to(&format!("form[action$='/rollback'] textarea[id='instead-{}']", to.0)).await;
    browser.write("Simpler.").await;
    browser.tab_to("form[action$='/rollback'] button").await;
    browser.press("Enter").await;
    let back = seat.written(session, |body| matches!(body, EventBody::RolledBack { .. })).await;
    assert!(
        matches!(back, EventBody::RolledBack { to: place, instruction: Some(text), .. } if place == to && text == "Simpler.")
    );
    seat.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_reviewed_and_merged_by_keyboard() {
    let Some(seat) = Seat::take(Rank::Member).await else { return };
    let browser = &seat.browser;
    let words: Words = sample::as_they_are;
    let mut bodies = sample::beginning(words).split_off(1);
    bodies.extend(sample::work(words));
    bodies.extend(seat.delivery(words).await);
    let session = seat.session(bodies).await;
    seat.open("/").await;
    browser.press("j").await;
    browser.press("Enter").await;
    browser.until(&format!("location.pathname === '/sessions/{session}'")).await;
    browser.until("document.querySelector('.result.good .light-box.bad') && document.querySelector('.result .light-box.good')").await;
    browser.tab_to(".next a[href$='/diff']").await;
    browser.press("Enter").await;
    browser.until("document.querySelectorAll('.lines .add').length === 1 && document.querySelector('.lines .add mark').textContent === '2'").await;
    browser.tab_to(".tabs a[href$='/evidence']").await;
    browser.press("Enter").await;
    browser.until("document.body.innerText.includes('Fixed by the change')").await;
    browser.tab_to("a[href*='/output/']").await;
    browser.press("Enter").await;
    browser.until("document.querySelector('pre.raw')?.textContent.includes('running 4 tests')").await;
    browser.tab_to(".tabs a[href$='/pull-request']").await;
    browser.press("Enter").await;
    browser.until("document.querySelector('form[action$=\"/merge\"]')").await;
    browser.tab_to("form[action$='/merge'] button").await;
    browser.press("Enter").await;
    let asked = seat.written(session, |body| matches!(body, EventBody::MergeAsked { .. })).await;
    assert!(
        matches!(asked, EventBody::MergeAsked { commit, .. } if commit == "7c1fa2ee09d4d3b8f02a4b2c9a7d5c1e6f9081a3")
    );
    let merged = EventBody::PullRequestClosed { state: PullRequestState::Merged { commit: "1".repeat(40) } };
    // Live, and what is being read stays.
    browser.until("document.querySelector('#newer')?.hidden && document.readyState === 'complete'").await;
    seat.append(session, vec![merged]).await;
    browser.until("!document.querySelector('#newer').hidden").await;
    browser.until("document.querySelector('#head .pill.good')?.textContent === 'Merged'").await;
    seat.open(&format!("/sessions/{session}/pull-request")).await;
    browser.until("document.querySelector('.pill.good')?.textContent === 'Merged'").await;
    seat.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_it_appears_when_it_is_there() {
    let Some(seat) = Seat::take(Rank::Viewer).await else { return };
    let browser = &seat.browser;
    let words: Words = sample::as_they_are;
    for (page, there) in [
        ("diff", "document.querySelectorAll('.lines .add').length === 1"),
        ("evidence", "document.body.innerText.includes('Fixed by the change')"),
        ("pull-request", "document.querySelector('article.pull-request')"),
    ] {
        let mut bodies = sample::beginning(words).split_off(1);
        bodies.extend(sample::work(words));
        let session = seat.session(bodies).await;
        seat.open(&format!("/sessions/{session}/{page}")).await;
        browser.until("document.querySelector('p.empty') && document.querySelector('.spent')").await;
        seat.append(session, seat.delivery(words).await).await;
        browser.until(there).await;
    }
    seat.leave().await;
}

/// What somebody would write who wants to leave his place.
fn hostile(text: &str) -> String {
    let attack = "\"'><script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)><svg onload=alert(3)><a href=javascript:alert(4)>x</a>\
                  ![p](https://evil.example/p.png) [l](javascript:alert(5)) <iframe src=https://evil.example></iframe>\u{202e}\u{1b}[31m\u{0}</textarea></pre>\
                  <style>body{display:none}</style><meta http-equiv=refresh content='0;url=https://evil.example'>";
    format!("{text}{attack}{}", "lots of it \n".repeat(4_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_session_is_harmless() {
    let Some(seat) = Seat::take(Rank::Admin).await else { return };
    let browser = &seat.browser;
    let mut bodies = sample::beginning(hostile);
    bodies.extend(sample::work(hostile));
    bodies.extend(sample::rest(hostile));
    bodies.push(EventBody::AccessAsked(Box::new(sample::ask(hostile))));
    bodies.push(EventBody::QuestionAsked { call: harness::call(), question: hostile("Which one?") });
    let asking = seat.session_from(bodies.clone()).await;
    bodies.extend(seat.delivery(hostile).await);
    let ended = seat.session_from(bodies).await;
    let output = seat.log(ended).await.into_iter().find_map(|event| {
        if let EventBody::EvidenceRun(run) = event.body { Some(run.output.digest) } else { None }
    });
    let mut paths = vec!["/".to_owned(), "/usage".to_owned(), "/audit".to_owned(), "/settings".to_owned()];
    paths.push(format!("/sessions/{asking}"));
    for page in
        ["", "/diff", "/evidence", "/pull-request", "/events/3", &format!("/output/{}", output.unwrap())]
    {
        paths.push(format!("/sessions/{ended}{page}"));
    }
    for path in paths {
        seat.open(&path).await;
        // Everything that is folded is opened, so that whatever is in it is laid out.
        browser.value("for (const one of document.querySelectorAll('details')) one.open = true; 1").await;
        browser.until("document.body.offsetHeight > 100").await;
        let odd = "[...document.querySelectorAll('script, img, iframe, object, embed, style, base, video, audio')].map((one) => one.outerHTML).join('\\n')";
        let odd = browser.value(odd).await;
        assert!(
            odd.as_str().unwrap().starts_with("<script src=\"/assets/")
                && odd.as_str().unwrap().lines().count() == 1,
            "{path}: {odd}"
        );
        let handlers = "[...document.querySelectorAll('*')].flatMap((one) => one.getAttributeNames()).filter((name) => name.startsWith('on') || name === 'style').join()";
        assert_eq!(browser.value(handlers).await, "", "{path}");
        let links =
            "[...document.links].map((one) => one.protocol).filter((one) => !/^https?:$/.test(one)).join()";
        assert_eq!(browser.value(links).await, "", "{path}");
        assert_eq!(
            browser.value(&format!("location.href === '{}'", seat.address(&path))).await,
            true,
            "{path} went elsewhere"
        );
        browser.seen().is_clean(&seat.address("/"));
    }
    seat.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_5_000_events_stays_quick() {
    let Some(seat) = Seat::take(Rank::Member).await else { return };
    let browser = &seat.browser;
    let words: Words = sample::as_they_are;
    let output = "a line of what a command printed, as long as such lines are\n".repeat(60);
    let step = |number| {
        let call = ("shell", r#"{"command":"cargo test --offline 2>&1 | tail -n 50"}"#.to_owned());
        sample::step(
            words,
            number,
            "I go on with the next case, which fails as the last one did.",
            call,
            ToolStatus::Ok,
            &output,
        )
    };
    let session = seat.session((1..=1_250).flat_map(step).collect()).await;
    assert!(seat.log(session).await.len() > 5_000);
    let path = format!("/sessions/{session}");
    let get = || async {
        let begun = Instant::now();
        let answer = seat.world.ask(&seat.who, Method::GET, &path).send().await.unwrap();
        let first = begun.elapsed();
        (first, answer.bytes().await.unwrap().len())
    };
    let (cold, size) = get().await;
    let (warm, _) = get().await;
    seat.open(&path).await;
    let timing = "(() => { const t = performance.getEntriesByType('navigation')[0]; return [t.responseStart, t.domContentLoadedEventEnd, document.querySelectorAll('*').length]; })()";
    let timing = browser.value(timing).await;
    eprintln!(
        "5,000 events: first byte after {cold:?}, then {warm:?}; {size} bytes; in the browser [first byte, laid out, elements] {timing}"
    );
    assert!(warm < Duration::from_secs(2), "{warm:?}");
    assert!(size < 1 << 20, "{size}");
    assert!(timing[1].as_f64().unwrap() < 5_000.0 && timing[2].as_u64().unwrap() < 6_000, "{timing}");

    // Earlier entries come by request, above, and where one reads does not move.
    assert_eq!(browser.value("document.querySelectorAll('.entry').length").await, 60);
    browser.tab_to("#earlier a").await;
    browser.press("Enter").await;
    browser.until("document.querySelectorAll('.entry').length === 120").await;
    assert_eq!(
        browser.value("document.querySelector('.entry').textContent.includes('Step 1131')").await,
        true
    );

    // An update of a long session costs as little as one of a short one.
    let begun = Instant::now();
    seat.append(session, step(1_251)).await;
    browser
        .until("document.querySelector('.timeline').lastElementChild.textContent.includes('Step 1251')")
        .await;
    eprintln!("5,000 events: an update is seen after {:?}", begun.elapsed());
    seat.leave().await;
}
