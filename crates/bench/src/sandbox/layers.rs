//! Snapshots and forks of layers with many files.

use std::{fs, path::Path, time::Instant};

use anyhow::Result;
use cofferdam_sandbox::{LayerStack, remove_layer, workspace_upper};

use crate::figures::{Samples, head, row};

const ROUNDS: usize = 20;
/// Files in one directory.
const EACH: usize = 1000;
const CONTENT: [u8; 100] = [b'x'; 100];

/// Measures layers of each number of files. The files are as a sandbox leaves them: written a moment ago, not flushed.
pub(super) fn snapshots(folder: &Path, counts: &[usize]) -> Result<()> {
    let mut rows = Vec::new();
    for count in counts {
        let (mut taken, mut forked, mut back) = (Samples::default(), Samples::default(), Samples::default());
        let (layer, fork) = (folder.join(format!("layer-{count}")), folder.join("fork"));
        fill(&layer, *count)?;
        let stack = LayerStack::at(&layer);
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let snapshot = stack.snapshot()?;
            taken.push(started.elapsed());
            let started = Instant::now();
            stack.fork(snapshot, &fork)?;
            forked.push(started.elapsed());
            let started = Instant::now();
            stack.roll_back(snapshot)?;
            back.push(started.elapsed());
            remove_layer(&fork)?;
        }
        rows.push((count, taken, forked, back));
        remove_layer(&layer)?;
    }
    head("layers", "least files");
    for (count, taken, forked, back) in &rows {
        for (what, samples, floor) in
            [("snapshot", taken, &rows[0].1), ("fork", forked, &rows[0].2), ("going back", back, &rows[0].3)]
        {
            row(&format!("{what}, {count} files"), samples, floor);
        }
    }
    Ok(())
}

fn fill(layer: &Path, count: usize) -> Result<()> {
    let upper = workspace_upper(layer);
    for number in 0..count {
        let directory = upper.join((number / EACH).to_string());
        if number % EACH == 0 {
            fs::create_dir_all(&directory)?;
        }
        fs::write(directory.join(number.to_string()), CONTENT)?;
    }
    Ok(())
}
