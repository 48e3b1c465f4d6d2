//! What a step's work costs without any agent: the same command spawned, the same file read and edited, the same bytes made durable.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Result, ensure};

use super::world::{Kind, content, replacement};
use crate::figures::Samples;

/// Bytes that a step appends to the log, about.
const EVENTS: usize = 1500;
/// Appends of a step.
pub(crate) const APPENDS: f64 = 2.0;

/// The floors, one sample for each round.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    pub(crate) shell: Samples,
    pub(crate) read: Samples,
    pub(crate) edit: Samples,
    /// One write and fdatasync(2).
    pub(crate) durable: Samples,
}

impl Floors {
    /// The floor of a kind of step.
    pub(crate) const fn of(&self, kind: Kind) -> &Samples {
        match kind {
            Kind::Shell => &self.shell,
            Kind::Read => &self.read,
            Kind::Edit => &self.edit,
        }
    }

    /// Measures one more round of each, in `folder`.
    pub(crate) fn round(&mut self, folder: &Path) -> Result<()> {
        let started = Instant::now();
        let output = Command::new("bash").args(["-c", "echo step 17"]).stdin(Stdio::null()).output()?;
        self.shell.push(started.elapsed());
        ensure!(output.stdout == b"step 17\n", "bash does not echo");

        let note = folder.join("floor.txt");
        fs::write(&note, content(0))?;
        let started = Instant::now();
        let text = fs::read_to_string(&note)?;
        self.read.push(started.elapsed());
        ensure!(text.len() == content(0).len(), "the file was not read whole");

        let (old, new) = replacement(0);
        let started = Instant::now();
        let fresh = folder.join("floor.new");
        fs::write(&fresh, fs::read_to_string(&note)?.replacen(&old, &new, 1))?;
        fs::rename(&fresh, &note)?;
        self.edit.push(started.elapsed());

        let mut log = File::options().create(true).append(true).open(folder.join("floor.log"))?;
        let started = Instant::now();
        log.write_all(&[b'x'; EVENTS])?;
        log.sync_data()?;
        self.durable.push(started.elapsed());
        Ok(())
    }
}
