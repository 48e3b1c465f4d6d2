//! Starting a command: the request, the hand's first answer, and whoever watches it from then on.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
};

use cofferdam_hand::protocol::message::{ReplyBody, RequestBody, RequestId, Start};

use super::{
    command::{Ends, problem},
    connection::{Connection, wrong_reply},
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
    let replies = asked.map_err(|error| {
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
    let setup = |source| SandboxError::Setup { step: format!("prepare the output of {program}"), source };
    let watched = NativeProcess::watch(Arc::clone(connection), replies, host, watch);
    let (process, answered) = watched.map_err(setup)?;
    // The task that answers ends without an answer only with the runtime.
    let answer = answered.await.unwrap_or_else(|_| Err(connection.gone()))?;
    if let ReplyBody::NotStarted(why) = answer {
        return Err(problem(&program, &why.to_string()));
    } else if let ReplyBody::Refused(notice) = answer {
        return Err(problem(&program, notice.as_str()));
    } else if answer != ReplyBody::Started {
        return Err(wrong_reply(connection));
    }
    Ok(process)
}
