//! Telling by a program of the operator's, which has the message on its standard input.

use std::{io, process::Stdio, time::Duration};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use crate::{Channel, Failed, Message};

/// What a program has of this process's environment: enough to be found, nothing that is secret.
const VARIABLES: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

/// A program that is started for each message.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    program: String,
    arguments: Vec<String>,
    limit: Duration,
}

impl Program {
    pub(crate) const fn new(program: String, arguments: Vec<String>, limit: Duration) -> Self {
        Self { program, arguments, limit }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().kill_on_drop(true).process_group(0);
        command.envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

#[async_trait]
impl Channel for Program {
    async fn tell(&self, message: &Message) -> Result<(), Failed> {
        let program = &self.program;
        let mut child = self
            .command()
            .spawn()
            .map_err(|error| Failed::for_now(format!("{program} cannot be started ({error})")))?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let input = child.stdin.take();
        let run = async {
            if let Some(mut input) = input {
                // One that does not want to know may end without having read all of it.
                let written = input.write_all(message.body.as_bytes()).await;
                if written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
                    written?;
                }
            }
            child.wait().await
        };
        let ended = timeout(self.limit, run).await;
        drop(group);
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Failed::for_now(format!("{program} failed ({status})"))),
            Ok(Err(error)) => Err(Failed::for_now(format!("{program} was lost ({error})"))),
            Err(_) => {
                Err(Failed::for_now(format!("{program} took more than {} seconds", self.limit.as_secs())))
            }
        }
    }
}

/// All that a program has started; ended with this.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nothing may be left of it, which is as well.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}
