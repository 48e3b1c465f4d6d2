//! `cofferdam schedule list`: what begins when.

use anyhow::Result;
use cofferdam_domain::Timestamp;
use cofferdam_intake::{Schedule, ScheduleSettings, now};

use crate::{
    args::ScheduleListArguments,
    compose::App,
    exit::Exit,
    terminal::{Style, inert},
};

/// Lists the schedules of the configuration with the next times for which each is due.
pub(crate) fn list(app: &App, arguments: &ScheduleListArguments) -> Result<Exit> {
    let now = now();
    let schedules = ScheduleSettings::schedules(&app.config.schedules, now)?;
    for (schedule, settings) in schedules.iter().zip(&app.config.schedules) {
        let times = times(schedule, now, arguments.count);
        if arguments.json {
            app.terminal.json(&json(schedule, settings, &times).to_string());
            continue;
        }
        app.terminal.line(&app.terminal.paint(Style::Bold, schedule.name()));
        let about = format!(
            "    {}, missed: {}, overlap: {}, {}",
            schedule.calendar(),
            schedule.missed().name(),
            schedule.overlap().name(),
            settings.repository
        );
        let by = schedule.playbook().map(|playbook| format!(", playbook {playbook}")).unwrap_or_default();
        app.terminal.line(&app.terminal.paint(Style::Dim, &inert(&format!("{about}{by}"))));
        for due in times {
            app.terminal.line(&format!("    {}", schedule.calendar().shown(due)));
        }
    }
    if schedules.is_empty() && !arguments.json {
        app.terminal.line("There are no schedules. A [[schedule]] table in cofferdam.toml makes one.");
    }
    Ok(Exit::Success)
}

fn times(schedule: &Schedule, now: Timestamp, count: u32) -> Vec<Timestamp> {
    let mut last = now;
    let mut next = || {
        last = schedule.calendar().next(last)?;
        Some(last)
    };
    (0..count).map_while(|_| next()).collect()
}

fn json(schedule: &Schedule, settings: &ScheduleSettings, times: &[Timestamp]) -> serde_json::Value {
    serde_json::json!({
        "name": schedule.name(),
        "cron": settings.cron,
        "time_zone": settings.time_zone,
        "repository": settings.repository,
        "playbook": schedule.playbook(),
        "missed": schedule.missed().name(),
        "overlap": schedule.overlap().name(),
        "next": times.iter().map(|due| due.utc()).collect::<Vec<_>>(),
    })
}
