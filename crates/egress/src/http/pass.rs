//! One request from decision to answer: judged, written down, given its credential, sent, and its answer looked through.

use std::sync::Arc;

use cofferdam_domain::{
    SandboxId,
    egress::{Operation, Refusal},
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    beside::{check_body, check_query, remove_logins},
    body::{Answer, Besides, Download, Owner, Progress, TOO_LONG, Upload, reflected},
    fields::{join_cookies, remove_hops},
    gathered::Gathered,
    package::{self, Arriving, Course},
    request::Wanted,
    serve::Visit,
    socket::{self, Listener},
};
use crate::{
    credential::{Reflected, ReflectionPatterns, ReflectionScan},
    decide::{Allowed, Decision, Denied},
    door::Shared,
    patience::Patience,
    record::NotRecorded,
    refuse::denied,
    upstream::{Flight, Lane, Offer, Pool},
    watchlist::Passing,
};

/// Whether a request may be sent, by the rules and by the session's limits.
pub(crate) fn judge(visit: &Visit, wanted: &Wanted) -> Result<Allowed, Denied> {
    visit.door.open()?;
    match visit.door.rules().request(&wanted.as_request()) {
        Decision::Allow(allowed) => visit.door.upstream.meter.request().map(|()| allowed),
        Decision::Refuse(denied) => Err(denied),
    }
}

/// Sends a request that may be sent, when it is its turn; gives its answer.
pub(crate) async fn pass(
    visit: &Arc<Visit>,
    wanted: Wanted,
    allowed: Allowed,
    parts: Parts,
    body: Incoming,
) -> Result<Response<Answer>, Denied> {
    let permit = visit.door.upstream.permit().await?;
    // Who waits for a turn does not take the memory that it needs then.
    Box::pin(send(visit, (wanted, allowed), (parts, body), permit)).await
}

async fn send(
    visit: &Arc<Visit>,
    (wanted, allowed): (Wanted, Allowed),
    (mut parts, body): (Parts, Incoming),
    permit: OwnedSemaphorePermit,
) -> Result<Response<Answer>, Denied> {
    let door = &visit.door;
    let errand = Errand { door: door.clone(), wanted: Arc::new(wanted) };
    let wanted = &*errand.wanted;
    // Apart from the rest, whose room is taken for as long as the answer takes.
    let (gathered, passing) = Box::pin(look_through(door, body, wanted, &allowed, &parts.headers)).await?;
    let inside = parts.extensions.remove::<OnUpgrade>().filter(|_| wanted.upgrade);
    let offer = if wanted.upgrade { Offer::OnlyOne } else { Offer::Both };
    let course = match &allowed.reading {
        Some(reading) => package::course(door, wanted, reading, &mut parts.headers).await?,
        None => Course::Fetch(None),
    };
    let package = match course {
        Course::Kept(cached) => {
            return Ok(package::answer(cached, permit).map(|package| Answer::Kept(Box::new(package))));
        }
        Course::Fetch(package) => package,
    };
    let patterns = prepare(door, wanted, &allowed, &mut parts.headers).await?;
    let lane = Lane {
        site: wanted.site.clone(),
        addresses: allowed.addresses.clone(),
        credential: allowed.credential.clone(),
    };
    let way = (door.upstream.way(&lane, offer).await?, permit);
    let operation = wanted.operation();
    // A program may have taken its time until here.
    errand.still_permitted()?;
    let recorded = door
        .ledger
        .pass(visit.sandbox, operation.clone(), &allowed.rule, allowed.credential.as_deref())
        .await;
    recorded.map_err(|NotRecorded| denied(Refusal::Closed, &NotRecorded.to_string()))?;

    let progress = Progress::new();
    let upload = Upload::new(gathered, passing, allowed.body_limit, errand.clone(), progress.clone());
    let mut request = http::Request::new(Box::new(upload));
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri;
    *request.headers_mut() = parts.headers;
    let sent = tokio::select! {
        sent = door.upstream.send(lane, way, offer, request) => sent,
        () = late(door, &progress) => Err(denied(Refusal::Unreachable, "the host took the request and does not answer")),
    };
    // Why a body was cut off says more than what became of the request then.
    let (response, flight) = sent.map_err(|problem| progress.cut.get().cloned().unwrap_or(problem))?;
    let owner = Steward { door: door.clone(), sandbox: visit.sandbox, operation };
    let inside = inside.map(|inside| (inside, errand));
    relay(visit, response, Relay { flight, owner, patterns, package, inside })
}

/// A request that was let out, for as long as something of it is still to be sent.
#[derive(Clone)]
pub(crate) struct Errand {
    door: Arc<Shared>,
    wanted: Arc<Wanted>,
}

impl Errand {
    /// Whether more of it may be sent: what it could change may be held back by now.
    pub(super) fn still_permitted(&self) -> Result<(), Denied> {
        self.door.still_permits(&self.wanted)
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.door.patience
    }
}

/// Reads the beginning of a body and looks through it; gives what the rest is looked through for as it passes.
async fn look_through(
    door: &Shared,
    body: Incoming,
    wanted: &Wanted,
    allowed: &Allowed,
    headers: &HeaderMap,
) -> Result<(Gathered, Passing), Denied> {
    let gathered = Gathered::read(body, wanted.body, &door.patience).await?;
    if gathered.beginning().len() as u64 > allowed.body_limit {
        return Err(denied(Refusal::Body, TOO_LONG));
    }
    let logins = if door.credentials.stripped_headers(&wanted.site.host).is_empty() {
        None
    } else {
        check_body(&wanted.method, headers, &gathered)?
    };
    let held = door.credentials.known();
    if gathered.beginning().is_empty() || !door.watchlist.looks(&held) {
        return Ok((gathered, Passing::default().with(logins)));
    }
    door.watchlist.whole(gathered.beginning().to_vec(), held.clone()).await?;
    let passing = if gathered.is_all() { Passing::default() } else { door.watchlist.passing(held) };
    Ok((gathered, passing.with(logins)))
}

/// Takes away what a request may not say outside, and adds the credential. Gives what the answer may not contain.
async fn prepare(
    door: &Shared,
    wanted: &Wanted,
    allowed: &Allowed,
    headers: &mut HeaderMap,
) -> Result<Option<Arc<ReflectionPatterns>>, Denied> {
    let trailers = headers.contains_key(header::TE);
    remove_hops(headers);
    if trailers {
        // The door takes them too; gRPC hosts insist on being told (RFC 9113, section 8.2.2).
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // Has been met here.
    headers.remove(header::EXPECT);
    join_cookies(headers);
    let stripped = door.credentials.stripped_headers(&wanted.site.host);
    if !stripped.is_empty() {
        check_query(wanted.query.as_deref())?;
    }
    for name in stripped {
        headers.remove(name);
    }
    if wanted.upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        // All of them change what messages look like.
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    }
    let Some(name) = &allowed.credential else { return Ok(None) };
    if wanted.upgrade {
        return Err(denied(
            Refusal::Upgrade,
            "the door adds a credential to this request, and nobody could look for it in what comes over a WebSocket",
        ));
    }
    remove_logins(headers);
    let injection = door
        .credentials
        .for_request(name, &wanted.as_request())
        .await
        .map_err(|problem| denied(Refusal::Credential, &problem.to_string()))?;
    headers.insert(injection.header, injection.value);
    // What the answer is looked through for must be readable, and whole: not compressed, and not a piece at a time
    // (ranges are taken away with the logins).
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(Some(injection.patterns))
}

/// Returns when a host has had all of a request for longer than it may take to answer.
async fn late(door: &Shared, progress: &Progress) {
    loop {
        let due = progress.moved() + door.patience.answer;
        tokio::time::sleep_until(due).await;
        if progress.moved() + door.patience.answer <= due {
            return;
        }
    }
}

/// What an answer needs on its way back.
struct Relay {
    flight: Flight,
    owner: Steward,
    /// What the answer may not contain.
    patterns: Option<Arc<ReflectionPatterns>>,
    /// The package that it brings, if it does.
    package: Option<Arriving>,
    /// The program's side of a connection that becomes a WebSocket.
    inside: Option<(OnUpgrade, Errand)>,
}

fn relay(visit: &Visit, mut response: Response<Incoming>, relay: Relay) -> Result<Response<Answer>, Denied> {
    let Relay { flight, owner, patterns, package, inside } = relay;
    look_at_head(response.headers(), patterns.as_deref())?;
    let scan = patterns.map(ReflectionScan::new);
    let package = match package {
        Some(mut package) => package.begins(&response)?.then_some(package),
        None => None,
    };
    let changes = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let outside = changes.then(|| hyper::upgrade::on(&mut response));
    let headers = response.headers_mut();
    remove_hops(headers);
    // Where else the host could be reached is of no use inside, where there is no other way.
    headers.remove(header::ALT_SVC);
    let (parts, body) = response.into_parts();
    // Anew: what a library keeps besides, such as the reason phrase, is written out again, and nobody has looked at it.
    let mut answer = Response::new(());
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = parts.headers;
    match (outside, inside) {
        (None, _) => {
            let besides = Besides { version: parts.version, scan, package };
            let download = Download::new(body, besides, &visit.door.patience, flight, Box::new(owner));
            Ok(answer.map(|()| Answer::Host(Box::new(download))))
        }
        (Some(outside), Some((inside, errand))) => {
            let headers = answer.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
                let reason = "the host chose an extension that it was not offered";
                return Err(denied(Refusal::Protocol, reason));
            }
            let Steward { door, sandbox, operation } = owner;
            visit.tasks.spawn(async move {
                socket::converse(inside, outside, Listener::new(door, sandbox, operation, errand)).await;
                drop(flight);
            });
            Ok(answer.map(|()| Answer::Own(bytes::Bytes::new())))
        }
        (Some(_), None) => {
            Err(denied(Refusal::Protocol, "the host changed the protocol without being asked to"))
        }
    }
}

/// The body of an answer is coded in no way but in chunks. Where a credential was sent along, the head may not contain
/// it, and the body must be readable.
fn look_at_head(headers: &HeaderMap, patterns: Option<&ReflectionPatterns>) -> Result<(), Denied> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunks = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !chunks || codings.next().is_some() {
        return Err(denied(
            Refusal::Encoding,
            "the host sent its answer in a transfer coding that it was not offered",
        ));
    }
    let Some(patterns) = patterns else { return Ok(()) };
    if patterns.are_in_fields(headers) {
        return Err(reflected(&Reflected));
    }
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        Ok(())
    } else {
        Err(denied(
            Refusal::Encoding,
            "the host encoded its answer although it was asked not to, so nobody could look for the credential in it",
        ))
    }
}

/// Who answers for an answer.
struct Steward {
    door: Arc<Shared>,
    sandbox: SandboxId,
    operation: Operation,
}

impl Owner for Steward {
    fn pool(&self) -> &Pool {
        &self.door.upstream.pool
    }

    fn refused(&self, denied: &Denied) {
        self.door.ledger.refuse(self.sandbox, self.operation.clone(), denied);
    }

    fn exhausted(&self) -> Result<(), Denied> {
        self.door.upstream.meter.exhausted()
    }

    fn arrived(&self, package: Arriving) {
        let door = self.door.clone();
        // What is written to disk must not hold up the answer, nor be lost with it.
        let arrived = package.arrived();
        tokio::spawn(async move {
            if let Some(fetched) = arrived.await {
                door.ledger.fetched(fetched);
            }
        });
    }
}
