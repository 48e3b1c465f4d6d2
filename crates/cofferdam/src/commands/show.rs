//! `cofferdam show`: a session's timeline, afterwards or as it grows.

use anyhow::Result;
use cofferdam_domain::{Event, EventBody, Seq};
use futures_util::StreamExt as _;

use crate::{
    args::ShowArguments,
    compose::App,
    exit::Exit,
    show::{Detail, Timeline, show_result},
};

/// Shows the timeline.
pub(crate) async fn show(app: &App, arguments: &ShowArguments) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.id).await?;
    let detail = if arguments.full || arguments.egress { Detail::Full } else { Detail::Brief };
    let mut timeline = Timeline::new(app.terminal, detail);
    let mut print = |event: &Event| -> Result<()> {
        if arguments.egress && !is_about_egress(&event.body) {
            // It is not shown, but calls are named by what came before.
            drop(timeline.lines(event));
            return Ok(());
        }
        if arguments.json {
            app.terminal.json(&serde_json::to_string(event)?);
        } else {
            for line in timeline.lines(event) {
                app.terminal.line(&line);
            }
        }
        Ok(())
    };
    if arguments.follow {
        let mut events = sessions.follow(session, Seq::START).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            print(&event)?;
            if matches!(event.body, EventBody::SessionEnded { .. }) {
                break;
            }
        }
        return Ok(Exit::Success);
    }
    let events = sessions.events(session).await?;
    for event in &events {
        print(event)?;
    }
    if !arguments.json && !arguments.egress {
        show_result(app.terminal, session, &events);
    }
    Ok(Exit::Success)
}

/// Whether an event tells what was let out of the sandboxes, or was not.
const fn is_about_egress(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::EgressAllowed(_)
            | EventBody::EgressRefused(_)
            | EventBody::PackageFetched(_)
            | EventBody::AccessAsked(_)
            | EventBody::AccessDecided(_)
            | EventBody::SandboxFrozen { .. }
            | EventBody::SandboxReleased { .. }
    )
}
