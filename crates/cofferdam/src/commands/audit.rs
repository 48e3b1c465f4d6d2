//! `cofferdam audit`: that the logs are what was written, for whoever has the store, and for whoever has only an export.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write as _},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use cofferdam_domain::amount::counted;
use cofferdam_store::{
    CheckedExport, CheckpointKey, Exported, audit_checkpoint, check_checkpoint, check_export, checkpoint,
    export, export_audit, verify_all,
};

use crate::{
    args::{AuditCommand, CheckArguments, CheckpointArguments, ExportArguments, VerifyArguments},
    commands::admin::org_named,
    compose::App,
    exit::Exit,
    secrets::make_private,
};

/// The file in the data directory with the key that signs checkpoints, and the one with what checks them.
const KEY: &str = "audit.key";
const PUBLIC: &str = "audit.pub";

/// The longest checkpoint that is read, in bytes: a line for each session.
const MAX_CHECKPOINT: u64 = 1 << 30;

/// Does one thing.
pub(crate) async fn audit(app: &App, command: &AuditCommand) -> Result<Exit> {
    match command {
        AuditCommand::Verify(arguments) => verify(app, arguments).await?,
        AuditCommand::Checkpoint(arguments) => make_checkpoint(app, arguments).await?,
        AuditCommand::Export(arguments) => write_export(app, arguments).await?,
        AuditCommand::Check(arguments) => check(app, arguments)?,
    }
    Ok(Exit::Success)
}

/// Checks one log, or all.
async fn verify(app: &App, arguments: &VerifyArguments) -> Result<()> {
    let store = app.store().await?;
    if let Some(session) = arguments.session {
        let verified = store.verify(session).await?;
        app.terminal.line(&format!(
            "{session}: {} and {} are as they were written; the last event is {}",
            counted(verified.events, "event"),
            counted(verified.blobs, "content"),
            verified.head
        ));
        return Ok(());
    }
    let checked = verify_all(&*store).await?;
    app.terminal.line(&format!(
        "{}, {} and {} are as they were written; so are {}",
        counted(checked.sessions, "session"),
        counted(checked.events, "event"),
        counted(checked.blobs, "content"),
        counted_entries(checked.entries)
    ));
    let Some((public, text)) = pin(arguments.checkpoint.as_deref(), arguments.key.as_deref())? else {
        return Ok(());
    };
    let held = check_checkpoint(&*store, &public, &text).await?;
    app.terminal.line(&format!(
        "they hold all that the checkpoint says: {} with {}, and {}; {} deleted since",
        counted(held.sessions, "session"),
        counted(held.events, "event"),
        counted_entries(held.entries),
        counted(held.forgotten, "session")
    ));
    Ok(())
}

fn counted_entries(entries: u64) -> String {
    format!("{entries} {} of the audit log", if entries == 1 { "entry" } else { "entries" })
}

/// Signs where all logs end, or one organisation's audit log.
async fn make_checkpoint(app: &App, arguments: &CheckpointArguments) -> Result<()> {
    let store = app.store().await?;
    let key = match &arguments.key {
        Some(file) => read_key(file)?,
        None => own_key(app.data()?)?,
    };
    let at = cofferdam_worker::now();
    let text = match &arguments.org {
        Some(name) => audit_checkpoint(&*store, org_named(&*store, name).await?, &key, at).await?,
        None => checkpoint(&*store, &key, at).await?,
    };
    match &arguments.output {
        Some(file) => {
            std::fs::write(file, &text).with_context(|| format!("failed to write {}", file.display()))?;
            app.terminal.line(&format!(
                "{} is signed; its public key is {}",
                file.display(),
                hex(&key.public())
            ));
        }
        None => app.terminal.line(text.trim_end()),
    }
    Ok(())
}

/// The data directory's own signing key, which is made if there is none, with the public one beside it.
pub(crate) fn own_key(data: &Path) -> Result<CheckpointKey> {
    let (key, public) = (data.join(KEY), data.join(PUBLIC));
    if !key.exists() {
        make_private(&key, &hex(&CheckpointKey::generate()?))
            .with_context(|| format!("failed to make the key {}", key.display()))?;
    }
    let read = read_key(&key)?;
    if !public.exists() {
        make_private(&public, &hex(&read.public()))
            .with_context(|| format!("failed to write {}", public.display()))?;
    }
    Ok(read)
}

fn read_key(file: &Path) -> Result<CheckpointKey> {
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let read = bytes(text.trim()).map(|bytes| CheckpointKey::read(&bytes));
    match read {
        Some(Ok(key)) => Ok(key),
        Some(Err(_)) | None => {
            bail!(
                "{} has no signing key: without --key, `cofferdam audit checkpoint` makes one",
                file.display()
            )
        }
    }
}

/// Writes a session's log, or an organisation's audit log.
async fn write_export(app: &App, arguments: &ExportArguments) -> Result<()> {
    let Some(file) = &arguments.output else {
        return write_lines(app, arguments, |line| {
            app.terminal.line(line);
            Ok(())
        })
        .await;
    };
    let failed = || format!("failed to write {}", file.display());
    let mut to = BufWriter::new(File::create(file).with_context(failed)?);
    write_lines(app, arguments, |line| writeln!(to, "{line}").map_err(anyhow::Error::from))
        .await
        .with_context(failed)?;
    to.flush().with_context(failed)
}

async fn write_lines(
    app: &App,
    arguments: &ExportArguments,
    line: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let store = app.store().await?;
    match (arguments.session, &arguments.org) {
        (Some(session), _) => export(&*store, session, line).await,
        (None, Some(name)) => export_audit(&*store, org_named(&*store, name).await?, line).await,
        (None, None) => bail!("name a session, or with --org an organisation"),
    }
}

/// Checks an export without a store.
fn check(app: &App, arguments: &CheckArguments) -> Result<()> {
    let file = &arguments.export;
    let from = File::open(file).with_context(|| format!("failed to read {}", file.display()))?;
    let pin = pin(arguments.checkpoint.as_deref(), arguments.key.as_deref())?;
    let pin = pin.as_ref().map(|(public, text)| (&public[..], text.as_str()));
    let checked = check_export(BufReader::new(from), pin)?;
    app.terminal.line(&said(&checked));
    Ok(())
}

fn said(checked: &CheckedExport) -> String {
    let CheckedExport { of, events, head, pinned } = checked;
    let (of, amount) = match of {
        Exported::Session(session) => (session.to_string(), counted(*events, "event")),
        Exported::Audit(_) => (of.to_string(), counted_entries(*events)),
    };
    let until = match pinned {
        Some(seq) => format!("the checkpoint vouches for all up to number {}", seq.0),
        None => "only a checkpoint (--checkpoint) shows that nothing is missing at the end".to_owned(),
    };
    format!("{of}: {amount} are as they were written; the last is {head}; {until}")
}

/// The public key and the checkpoint that are named, if they are.
fn pin(checkpoint: Option<&Path>, key: Option<&str>) -> Result<Option<(Vec<u8>, String)>> {
    let (Some(checkpoint), Some(key)) = (checkpoint, key) else { return Ok(None) };
    let failed = || format!("failed to read {}", checkpoint.display());
    let size = checkpoint.metadata().with_context(failed)?.len();
    ensure!(size <= MAX_CHECKPOINT, "{} is too long for a checkpoint", checkpoint.display());
    let text = std::fs::read_to_string(checkpoint).with_context(failed)?;
    let public = match bytes(key) {
        Some(public) => Some(public),
        None => {
            let text =
                std::fs::read_to_string(key).with_context(|| format!("failed to read the key {key}"))?;
            bytes(text.trim())
        }
    };
    let public = public.filter(|public| public.len() == 32);
    let public = public.context("a public key has 64 hexadecimal digits, or is a file with them")?;
    Ok(Some((public, text)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Nothing if these are no pairs of hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair.filter(|pair| pair.len() == 2)?, 16).ok()).collect()
}
