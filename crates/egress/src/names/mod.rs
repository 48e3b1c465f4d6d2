//! Names: a sandbox has no resolver. Its questions are answered here, with placeholders, and go nowhere.

mod message;
mod table;

use std::sync::Arc;

use cofferdam_domain::{
    SandboxId,
    egress::{HostName, Operation, Refusal},
};
use tokio::net::UdpSocket;

pub use self::message::{Answered, MalformedMessage, Question, Reply, read_answer};
pub(crate) use self::{
    message::{A, AAAA, LONGEST_QUESTION, ask},
    table::Placeholders,
};
use crate::{door::Shared, refuse::denied};

/// Seconds for which programs may remember an answer. It stays true as long as the door exists.
const SECONDS: u32 = 60;

/// Answers the questions of one sandbox for as long as it exists. `v6` says whether its IPv6 connections are caught.
pub(crate) async fn answer_all(door: Arc<Shared>, sandbox: SandboxId, socket: UdpSocket, v6: bool) {
    let mut buffer = [0; LONGEST_QUESTION];
    loop {
        // A failed receive is an error that an earlier answer met on its way (ICMP); the socket is as good as before.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let Some(question) = buffer.get(..length) else { continue };
        if let Ok(question) = Question::read(question) {
            let reply = reply(&door, sandbox, &question, v6);
            // Who cannot take the answer asks again.
            socket.send_to(&question.answer(reply, SECONDS), from).await.ok();
        }
    }
}

fn reply(door: &Shared, sandbox: SandboxId, question: &Question, v6: bool) -> Reply {
    if let Err(denied) = door.watchlist.name(&question.name, &door.credentials.known()) {
        refuse(door, sandbox, question, denied.code, &denied.reason);
        return Reply::NoSuchName;
    }
    let name: Option<HostName> = question.name.parse().ok().filter(|_| door.open().is_ok());
    let Some(name) = name.filter(|name| door.rules().knows(name)) else {
        let reason = "no rule is about this name, so it is not answered, and nobody outside was asked";
        refuse(door, sandbox, question, Refusal::Name, reason);
        return Reply::NoSuchName;
    };
    let Some(number) = door.names.number(&name) else {
        refuse(
            door,
            sandbox,
            question,
            Refusal::Limit,
            "this session has asked for too many different names",
        );
        return Reply::Failure;
    };
    if question.is_for(A) {
        Reply::Address(table::v4(number))
    } else if question.is_for(AAAA) && v6 {
        Reply::Address(table::v6(number))
    } else {
        // No HTTPS and SVCB records either, and so no keys for encrypted client hellos (RFC 9460).
        Reply::Nothing
    }
}

fn refuse(door: &Shared, sandbox: SandboxId, question: &Question, code: Refusal, reason: &str) {
    let name = question.name.chars().take(256).collect();
    door.ledger.refuse(sandbox, Operation::Name { name }, &denied(code, reason));
}
