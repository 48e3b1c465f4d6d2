//! Carrying out a selection of cases, some at a time.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc::channel},
};

use tokio::runtime::Handle;

use crate::{
    case::{Case, Report},
    cases,
    world::Host,
};

/// What the suite needs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The product's executable.
    pub executable: PathBuf,
    /// Where the labs' servers run; must go on by itself while [`run`] blocks.
    pub runtime: Handle,
    /// Removes the layer of a sandbox.
    pub remove_layer: fn(&Path) -> io::Result<()>,
    /// Cases carried out at the same time.
    pub at_once: usize,
}

/// Which cases.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Those of one group, such as `EX`.
    pub group: Option<String>,
    /// The one of this name, such as `EX-02`, with its twins and by each driver.
    pub case: Option<String>,
}

/// The suite could not begin.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// Nothing is selected.
    #[error("there is no such case: groups are {0}")]
    NoSuchCase(String),
    /// Sandboxes cannot be made here.
    #[error("{0}; `cofferdam doctor` says what this host lacks")]
    Host(String),
}

impl Selection {
    fn has(&self, case: &Case) -> bool {
        let same = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let named = same(&self.case, case.id) || case.covers.iter().any(|id| same(&self.case, id));
        same(&self.group, case.group()) && named
    }
}

/// Carries out the selected cases and tells of each as it ends. Blocks until the last has.
///
/// # Errors
/// When nothing is selected, or this host makes no sandboxes.
pub fn run(
    options: &Options,
    selection: &Selection,
    mut tell: impl FnMut(&Report),
) -> Result<Vec<Report>, SuiteError> {
    let all = cases::all();
    let mut groups: Vec<&str> = all.iter().map(Case::group).collect();
    groups.dedup();
    let selected: Vec<Case> = all.into_iter().filter(|case| selection.has(case)).collect();
    if selected.is_empty() {
        return Err(SuiteError::NoSuchCase(groups.join(", ")));
    }
    let host = Host::examine(options).map_err(|problem| SuiteError::Host(problem.to_string()))?;
    let mut reports: Vec<(usize, Report)> = Vec::new();
    let queue = Mutex::new(selected.iter().enumerate());
    let (send, receive) = channel();
    std::thread::scope(|scope| {
        for _ in 0..options.at_once.max(1) {
            let (send, queue, host) = (send.clone(), &queue, &host);
            scope.spawn(move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((number, case)) = next else { return };
                    if send.send((number, case.report(host))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        for (number, report) in receive {
            tell(&report);
            reports.push((number, report));
        }
    });
    reports.sort_by_key(|(number, _)| *number);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}
