//! Starting a command: the request, the hand's first answer, and whoever watches it from then on.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
};

use cofferdam_hand::protocol::message::{ReplyBody, RequestBody, RequestId, Start};

use super::{
    command::{Ends, problem},
    connection::{ANSWER, Connection, wrong_reply},
    process::{NativeProcess, Watch},
};
use crate::SandboxError;

/// Has the hand start a command, whose standard streams are `ends`.
///
/// # Errors
/// As [`crate::Sandbox::start`].
pub(super) async fn launch(
    connection: &Arc<Connection>,
    id: RequestId,
    start: Start,
    ends: Ends,
    watch: Watch,
) -> Result<NativeProcess, SandboxError> {
    let program = start.program.as_os_str().to_string_lossy().into_owned();
    let sent: Vec<BorrowedFd<'_>> = ends.command.iter().map(|end| end.as_fd()).collect();
    let asked = connection.request_as(id, RequestBody::Start(start), &sent).await;
    let mut replies = asked.map_err(|error| {
        // The one thing about a request that is the caller's doing.
        if let SandboxError::Setup { source, .. } = &error {
            problem(&program, &source.to_string())
        } else {
            error
        }
    })?;
    drop(sent);
    let Ends { host, command: theirs } = ends;
    // Or the end of the output would never come.
    drop(theirs);
    let reply = replies.next(ANSWER).await?;
    if let ReplyBody::NotStarted(why) = reply {
        return Err(problem(&program, &why.to_string()));
    } else if let ReplyBody::Refused(notice) = reply {
        return Err(problem(&program, notice.as_str()));
    } else if reply != ReplyBody::Started {
        return Err(wrong_reply(connection));
    }
    let step = format!("prepare the output of {program}");
    NativeProcess::watch(Arc::clone(connection), replies, host, watch)
        .map_err(|source| SandboxError::Setup { step, source })
}
