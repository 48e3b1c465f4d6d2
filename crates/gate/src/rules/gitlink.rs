//! `gitlink`: submodules.
//!
//! **What.** New, moved or removed submodule commits. **Why.** A gitlink brings in a whole tree that is not
//! part of this change and that nobody examined here. **Severity.** Blocking when one appears or moves; a
//! warning when one goes.

use cofferdam_domain::{FileMode, Severity};

use crate::{
    GatePolicy,
    view::{Sink, View, bounded},
};

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    for file in &view.files {
        let link = |side: Option<&cofferdam_domain::change::FileSide>| {
            side.filter(|side| side.mode == FileMode::Gitlink).map(|side| bounded(side.object.clone(), 64))
        };
        match (link(file.file.old.as_ref()), link(file.file.new.as_ref())) {
            (_, Some(commit)) => {
                let why = format!("a submodule now at commit {commit}, whose content was not examined");
                sink.add(Severity::Blocking, &file.shown, None, why);
            }
            (Some(_), None) => sink.add(Severity::Warning, &file.shown, None, "a submodule is gone"),
            (None, None) => {}
        }
    }
}
