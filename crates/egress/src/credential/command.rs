//! Secrets that a program prints.

use std::{process::Stdio, time::Duration};

use cofferdam_domain::Secret;
use serde::Deserialize;
use tokio::{io::AsyncReadExt as _, process::Command, time::Instant};

use super::{
    CommandSource, CredentialProblem,
    source::{Good, Source},
};

/// The most that a program may print.
const MAX_OUTPUT: u64 = 64 << 10;

/// What a program prints that knows for how long its secret is good.
#[derive(Deserialize)]
struct Printed {
    secret: String,
    expires_at: Option<String>,
}

pub(super) async fn read(
    source: &Source,
    command: &CommandSource,
) -> Result<(Secret, Good), CredentialProblem> {
    let (program, arguments) = command
        .argv
        .split_first()
        .ok_or_else(|| CredentialProblem::misconfigured(&source.name, "argv needs a program"))?;
    let problem = |reason: String| CredentialProblem::Command {
        name: source.name.clone(),
        program: program.clone(),
        reason,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| problem(format!("cannot be started ({error})")))?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(MAX_OUTPUT + 1).read_to_end(&mut output).await;
        read.map_err(|error| problem(format!("cannot be read ({error})")))?;
    }
    // Before its status: a program that is no longer listened to fails for that alone.
    if output.len() as u64 > MAX_OUTPUT {
        return Err(problem("printed too much".to_owned()));
    }
    let status = child.wait().await.map_err(|error| problem(format!("was lost ({error})")))?;
    if !status.success() {
        return Err(problem(format!("failed ({status})")));
    }
    let text = String::from_utf8(output).map_err(|_| problem("printed no text".to_owned()))?;
    let usual = Good::Until(Instant::now() + Duration::from_secs(command.valid_seconds));
    if !text.trim_start().starts_with('{') {
        return Ok((source.secret(&text)?, usual));
    }
    let unfit = || problem("printed JSON without a \"secret\", or a time that is none".to_owned());
    let printed: Printed = serde_json::from_str(&text).map_err(|_| unfit())?;
    let good = match printed.expires_at {
        Some(end) => {
            let end = end.parse().map_err(|_| unfit())?;
            good_until(end, Duration::ZERO).ok_or_else(|| CredentialProblem::Expired {
                name: source.name.clone(),
                remedy: format!("{program} printed one that is over; log in again where it gets it from"),
            })?
        }
        None => usual,
    };
    Ok((source.secret(&printed.secret)?, good))
}

/// Good until some time before its end, if that is yet to come.
pub(super) fn good_until(end: jiff::Timestamp, before: Duration) -> Option<Good> {
    let left = Duration::try_from(end.duration_since(jiff::Timestamp::now())).ok()?;
    Some(Good::Until(Instant::now() + left.checked_sub(before)?))
}

#[cfg(test)]
mod tests {
    use crate::credential::{Credential, CredentialProblem, CredentialSource, Credentials, tests::host};

    async fn problem(script: &str) -> Option<CredentialProblem> {
        let text =
            "name = 'printed'\nhost = 'a.example.com'\nsource = { command = { argv = ['sh', '-c', ''] } }";
        let mut credential: Credential = toml::from_str(text).unwrap();
        let CredentialSource::Command(command) = &mut credential.source else { panic!("{credential:?}") };
        script.clone_into(&mut command.argv[2]);
        Credentials::new(vec![credential], host()).unwrap().problems().await.pop()
    }

    #[tokio::test]
    async fn what_programs_print() {
        assert_eq!(problem("echo a-good-secret").await, None);
        assert_eq!(
            problem("echo '{\"secret\": \"a-good-secret\", \"expires_at\": \"2999-01-01T00:00:00Z\"}'").await,
            None
        );
        for (script, expected) in [
            ("exit 3", "failed"),
            ("true", "empty"),
            ("echo two words", "more than one word"),
            ("echo '{\"token\": \"a-good-secret\"}'", "without a"),
            ("echo '{\"secret\": \"a-good-secret\", \"expires_at\": \"2020-01-01T00:00:00Z\"}'", "expired"),
            ("head -c 70000 /dev/zero | tr '\\0' a", "too much"),
        ] {
            let problem = problem(script).await.map(|problem| problem.to_string()).unwrap_or_default();
            assert!(problem.contains(expected) && !problem.contains("a-good-secret"), "{script}: {problem}");
        }
    }

    #[tokio::test]
    async fn asked_once_while_it_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("echo x >> {0}/asked; echo a-good-secret", folder.path().display());
        let text =
            "name = 'printed'\nhost = 'a.example.com'\nsource = { command = { argv = ['sh', '-c', ''] } }";
        let mut credential: Credential = toml::from_str(text).unwrap();
        let CredentialSource::Command(command) = &mut credential.source else { panic!("{credential:?}") };
        command.argv[2] = script;
        let credentials = Credentials::new(vec![credential], host()).unwrap();
        for _ in 0..3 {
            assert_eq!(credentials.problems().await, []);
        }
        assert_eq!(std::fs::read_to_string(folder.path().join("asked")).unwrap(), "x\n");
    }

    #[tokio::test]
    async fn files_are_read_again_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let text =
            format!("name = 'filed'\nhost = 'a.example.com'\nsource = {{ file = '{}' }}", path.display());
        let credentials = Credentials::new(vec![toml::from_str(&text).unwrap()], host()).unwrap();
        std::fs::write(&path, "a-good-secret\n").unwrap();
        assert_eq!(credentials.problems().await, []);
        std::fs::write(&path, "tiny").unwrap();
        let [problem] = credentials.problems().await.try_into().unwrap();
        assert!(problem.to_string().contains("shorter"), "{problem}");
    }
}
