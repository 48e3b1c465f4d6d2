//! Notes, discussions and reactions (<https://docs.gitlab.com/api/notes/>, <https://docs.gitlab.com/api/discussions/>,
//! <https://docs.gitlab.com/api/emoji_reactions/>).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    front::{Answer, Asked, Reply},
    request::{Kind as Holds, Parameter, Refusal, forbidden, missing, not_allowed, refusal},
    state::{Award, Event, Kind, Note, Thing, User, digest, now, number},
};

/// Names of reactions that are known here; GitLab has some thousand.
const EMOJI: [&str; 8] =
    ["thumbsup", "thumbsdown", "eyes", "rocket", "confused", "heart", "tada", "white_check_mark"];
const BODY: [Parameter; 2] = [("body", Holds::Text, true), ("created_at", Holds::Text, false)];
const SORTED: [Parameter; 3] = [
    ("sort", Holds::OneOf(&["asc", "desc"]), false),
    ("order_by", Holds::OneOf(&["created_at", "updated_at"]), false),
    ("activity_filter", Holds::OneOf(&["all_notes", "only_comments", "only_activity"]), false),
];
/// Fields of a position on a line.
const POSITION: [&str; 8] =
    ["base_sha", "start_sha", "head_sha", "position_type", "new_path", "old_path", "new_line", "old_line"];

/// Whoever asks, and what they may there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) user: &'a User,
    pub(super) level: u64,
}

/// What is asked below an issue or a merge request.
pub(super) fn answer(thing: &mut Thing, kind: Kind, who: Who<'_>, asked: &Asked, path: &[&str]) -> Answer {
    match path {
        ["notes"] => notes(thing, who, asked),
        ["notes", id] => {
            let note = found(thing, id)?;
            match asked.method.as_str() {
                "GET" => asked.parameters.only(&[]).map(|_| Reply::ok(note.shown())),
                "PUT" => edit(note, who, asked),
                _ => not_allowed(),
            }
        }
        ["resource_label_events" | "resource_state_events"] => events(thing, kind, asked, path),
        ["award_emoji"] => awards(&mut thing.awards, who, asked),
        ["notes", id, "award_emoji"] => awards(&mut found(thing, id)?.awards, who, asked),
        ["discussions"] => discussions(thing, kind, who, asked),
        ["discussions", id] => discussion(thing, who, asked, id),
        ["discussions", id, "notes"] => match asked.method.as_str() {
            "POST" => reply(thing, who, asked, id),
            _ => not_allowed(),
        },
        ["discussions", _, "notes", id] => match asked.method.as_str() {
            "PUT" => edit(found(thing, id)?, who, asked),
            _ => not_allowed(),
        },
        _ => missing("Page"),
    }
}

/// What was done to it (<https://docs.gitlab.com/api/resource_label_events/>, <https://docs.gitlab.com/api/resource_state_events/>).
fn events(thing: &Thing, kind: Kind, asked: &Asked, path: &[&str]) -> Answer {
    if asked.method != "GET" {
        return not_allowed();
    }
    let given = asked.parameters.of_list(&[])?;
    let of_labels = path == ["resource_label_events"];
    let resource = if kind == Kind::Issue { "Issue" } else { "MergeRequest" };
    let shown = |event: &Event| {
        let mut shown = json!({
            "id": event.id, "user": event.by.shown(), "created_at": event.at.utc(), "resource_type": resource, "resource_id": thing.iid,
        });
        match &event.label {
            Some(label) => {
                shown["action"] = "add".into();
                shown["label"] = json!({ "id": 1, "name": label, "color": "#00aabb" });
            }
            None => shown["state"] = "closed".into(),
        }
        shown
    };
    let wanted = thing.events.iter().filter(|event| event.label.is_some() == of_labels);
    Ok(Reply::list(&given, wanted.map(shown).collect()))
}

fn found<'t>(thing: &'t mut Thing, id: &str) -> Result<&'t mut Note, Refusal> {
    let id: u64 = id.parse().unwrap_or(0);
    let note = thing.notes.iter_mut().find(|note| note.id == id);
    note.map_or_else(|| missing("Note"), Ok)
}

fn new_note(who: Who<'_>, body: &str, discussion: String, position: Option<Value>) -> Note {
    Note {
        id: number(),
        discussion,
        body: body.to_owned(),
        author: who.user.clone(),
        created: now(),
        updated: now(),
        system: false,
        position,
        resolved: false,
        awards: Vec::new(),
    }
}

fn notes(thing: &mut Thing, who: Who<'_>, asked: &Asked) -> Answer {
    match asked.method.as_str() {
        "GET" => {
            let given = asked.parameters.of_list(&SORTED)?;
            let mut all: Vec<&Note> = thing.notes.iter().collect();
            match given.text("order_by") {
                Some("updated_at") => all.sort_by_key(|note| (note.updated, note.id)),
                Some(_) | None => all.sort_by_key(|note| note.id),
            }
            // "Default is desc".
            if given.text("sort") != Some("asc") {
                all.reverse();
            }
            Ok(Reply::list(&given, all.into_iter().map(Note::shown).collect()))
        }
        "POST" => {
            let given = asked.parameters.only(&BODY)?;
            let body = given.text("body").unwrap_or_default();
            if body.is_empty() {
                return refusal(StatusCode::BAD_REQUEST, "400 Bad request - Note can't be blank");
            }
            let note = new_note(who, body, digest("discussion"), None);
            let shown = note.shown();
            thing.notes.push(note);
            // "updated_at" of an issue is also when somebody wrote below it.
            thing.updated = now();
            Ok(Reply::created(shown))
        }
        _ => not_allowed(),
    }
}

/// "Modify an existing note": its author's, or a maintainer's to change.
fn edit(note: &mut Note, who: Who<'_>, asked: &Asked) -> Answer {
    let given = asked.parameters.only(&[("body", Holds::Text, false), ("resolved", Holds::Truth, false)])?;
    if note.author != *who.user && who.level < 40 {
        return forbidden();
    }
    if let Some(body) = given.text("body") {
        note.body = body.to_owned();
    }
    note.updated = now();
    Ok(Reply::ok(note.shown()))
}

fn shown(id: &str, notes: &[&Note]) -> Value {
    let alone = notes.len() == 1 && notes.iter().all(|note| note.position.is_none());
    json!({ "id": id, "individual_note": alone, "notes": notes.iter().map(|note| note.shown()).collect::<Vec<_>>() })
}

fn of<'t>(thing: &'t Thing, id: &str) -> Vec<&'t Note> {
    thing.notes.iter().filter(|note| note.discussion == id).collect()
}

fn discussions(thing: &mut Thing, kind: Kind, who: Who<'_>, asked: &Asked) -> Answer {
    match asked.method.as_str() {
        "GET" => {
            let given = asked.parameters.of_list(&[])?;
            let mut ids: Vec<&str> = Vec::new();
            for note in &thing.notes {
                if !ids.contains(&note.discussion.as_str()) {
                    ids.push(&note.discussion);
                }
            }
            Ok(Reply::list(&given, ids.into_iter().map(|id| shown(id, &of(thing, id))).collect()))
        }
        "POST" => {
            let given = asked.parameters.only(&[BODY[0], BODY[1], ("position", Holds::Object, false)])?;
            let position = given.object("position").cloned();
            if let Some(position) = &position {
                let fits = kind == Kind::MergeRequest && fits(position);
                if !fits {
                    return refusal(
                        StatusCode::BAD_REQUEST,
                        "400 Bad request - Note {:position=>[\"is incomplete\"]}",
                    );
                }
            }
            let id = digest("discussion");
            thing.notes.push(new_note(who, given.text("body").unwrap_or_default(), id.clone(), position));
            Ok(Reply::created(shown(&id, &of(thing, &id))))
        }
        _ => not_allowed(),
    }
}

/// Whether a position on a line has all that it must, and nothing that is not documented.
fn fits(position: &Value) -> bool {
    let text = |name: &str| position[name].as_str().is_some_and(|text| !text.is_empty());
    let known =
        position.as_object().is_some_and(|all| all.keys().all(|name| POSITION.contains(&name.as_str())));
    let line = ["new_line", "old_line"].iter().any(|name| position[name].is_u64());
    known
        && line
        && position["position_type"] == "text"
        && ["base_sha", "start_sha", "head_sha", "new_path"].iter().all(|name| text(name))
}

fn discussion(thing: &mut Thing, who: Who<'_>, asked: &Asked, id: &str) -> Answer {
    if of(thing, id).is_empty() {
        return missing("Discussion");
    }
    match asked.method.as_str() {
        "GET" => drop(asked.parameters.only(&[])?),
        // "Resolve a thread": whoever may push, or who opened the merge request.
        "PUT" => {
            let given = asked.parameters.only(&[("resolved", Holds::Truth, true)])?;
            if who.level < 30 && thing.author != *who.user {
                return forbidden();
            }
            if of(thing, id).iter().all(|note| note.position.is_none()) {
                return refusal(
                    StatusCode::BAD_REQUEST,
                    "400 Bad request - the discussion is not resolvable",
                );
            }
            let resolved = given.truth("resolved") == Some(true);
            thing
                .notes
                .iter_mut()
                .filter(|note| note.discussion == id)
                .for_each(|note| note.resolved = resolved);
        }
        _ => return not_allowed(),
    }
    Ok(Reply::ok(shown(id, &of(thing, id))))
}

fn reply(thing: &mut Thing, who: Who<'_>, asked: &Asked, id: &str) -> Answer {
    let given = asked.parameters.only(&BODY)?;
    let Some(position) = of(thing, id).first().map(|first| first.position.clone()) else {
        return missing("Discussion");
    };
    let note = new_note(who, given.text("body").unwrap_or_default(), id.to_owned(), position);
    let shown = note.shown();
    thing.notes.push(note);
    Ok(Reply::created(shown))
}

fn awards(awards: &mut Vec<Award>, who: Who<'_>, asked: &Asked) -> Answer {
    let shown = |award: &Award| json!({ "id": award.id, "name": award.name, "user": award.user.shown() });
    match asked.method.as_str() {
        "GET" => {
            let given = asked.parameters.of_list(&[])?;
            Ok(Reply::list(&given, awards.iter().map(shown).collect()))
        }
        "POST" => {
            let given = asked.parameters.only(&[("name", Holds::Text, true)])?;
            let name = given.text("name").unwrap_or_default();
            if !EMOJI.contains(&name) {
                return missing("Award Emoji Name is not a valid emoji name");
            }
            if awards.iter().any(|award| award.name == name && award.user == *who.user) {
                return missing("Award Emoji Name has already been taken");
            }
            let award = Award { id: number(), name: name.to_owned(), user: who.user.clone() };
            let shown = shown(&award);
            awards.push(award);
            Ok(Reply::created(shown))
        }
        _ => not_allowed(),
    }
}
