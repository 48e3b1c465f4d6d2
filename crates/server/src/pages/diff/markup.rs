//! A change as markup.

use std::{collections::BTreeMap, ops::Range};

use cofferdam_domain::{Finding, amount::counted};
use maud::{Markup, html};

use super::{
    highlight::{self, Carried, Class, Language},
    order::{Rank, rank},
    patch::{File, FileChange, Hunk, Line, Patch, Sign},
    words::differing,
};
use crate::pages::{
    session::{Facts, ResultPage, Row},
    text::{inert, line, plain, size},
    timeline::findings,
};

/// Lines of one file that are shown without being asked for.
const OPEN_LINES: u64 = 500;
/// Lines of all files together that are on the page at all; the rest is one click away.
const PAGE_LINES: u64 = 6_000;
/// Lines of a file that is looked at alone.
const ALONE_LINES: u64 = 20_000;
/// Bytes of one line.
const LONGEST_LINE: usize = 2_000;
/// Files that are listed.
const LISTED: usize = 1_000;

/// What there is to show.
#[derive(Debug)]
pub(crate) enum Shown<'a> {
    /// The change as a patch, and whether there is more of it; with its number, one file alone.
    Patch { text: &'a str, cut: bool, alone: Option<usize> },
    /// A change of which no patch was kept: an older session.
    Unknown,
    /// No change yet.
    None,
}

/// The page.
pub(crate) fn page(row: &Row, facts: &Facts, shown: &Shown<'_>) -> Markup {
    let content = html! {
            @match shown {
                Shown::None => p.empty { "There is no change yet. It appears here when the agent has finished." },
                Shown::Unknown => p.empty { "The change was not kept as text. " code { "cofferdam diff " (row.id) } " shows it." },
                Shown::Patch { text, cut, alone } => (patch(row, facts.findings(), &Patch::parse(text), *alone, *cut)),
            }
    };
    ResultPage::Diff.around(row, facts, &content)
}

/// A file with its place in the patch and in the reading order.
struct Placed<'a> {
    number: usize,
    rank: Rank,
    file: &'a File,
}

fn patch(row: &Row, found: &[Finding], patch: &Patch, alone: Option<usize>, cut: bool) -> Markup {
    let mut files: Vec<Placed<'_>> = patch
        .files
        .iter()
        .enumerate()
        .map(|(number, file)| Placed { number, rank: rank(file, found), file })
        .collect();
    files.sort_by_key(|placed| (placed.rank, placed.number));
    let mut left = PAGE_LINES;
    html! {
        div.diff {
            nav.files aria-label="Files" {
                div.filter.scripted { input #filter type="search" placeholder="Filter files" aria-label="Filter the files" autocomplete="off"; }
                (tree(&files))
            }
            div.changes {
                @if !found.is_empty() {
                    section.card aria-labelledby="findings-title" {
                        h2 #findings-title { "What the gate saw" }
                        (findings(found))
                    }
                }
                @if cut || patch.incomplete {
                    p.banner.warn { "This is not all of the change: it was cut, or a part of it is no patch. The branch has all of it." }
                }
                @if alone.is_some() {
                    p.banner { "One file alone. " a href=(format!("/sessions/{}/diff", row.id)) { "All files" } }
                }
                @for placed in files.iter().filter(|placed| alone.is_none_or(|alone| alone == placed.number)) {
                    @let of_file: Vec<&Finding> = found.iter().filter(|finding| finding.path == placed.file.path).collect();
                    (file(row, placed, &of_file, alone.is_some(), &mut left))
                }
            }
        }
    }
}

fn tree(files: &[Placed<'_>]) -> Markup {
    let mut groups: BTreeMap<Rank, Vec<&Placed<'_>>> = BTreeMap::new();
    for placed in files.iter().take(LISTED) {
        groups.entry(placed.rank).or_default().push(placed);
    }
    html! {
        @for (rank, group) in &groups {
            h2 { (rank.words()) " " span.quiet { (group.len()) } }
            ul {
                @for placed in group {
                    @let file = placed.file;
                    @let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
                    li.risk[placed.rank <= Rank::Risky] {
                        a href=(format!("#file-{}", placed.number)) title=(plain(&file.path)) {
                            span.change.(change_class(file.change)) aria-hidden="true" { (change_sign(file.change)) }
                            span.file-name { (line(name, 80)) @if !folder.is_empty() { span.folder { (line(folder, 80)) } } }
                            span.count { span.plus { "+" (file.added) } " " span.minus { "−" (file.removed) } }
                        }
                    }
                }
            }
        }
        @if files.len() > LISTED { p.quiet { "and " (files.len() - LISTED) " more" } }
    }
}

const fn change_class(change: FileChange) -> &'static str {
    match change {
        FileChange::Added => "plus",
        FileChange::Deleted => "minus",
        FileChange::Modified => "quiet",
    }
}

const fn change_sign(change: FileChange) -> &'static str {
    match change {
        FileChange::Added => "A",
        FileChange::Deleted => "D",
        FileChange::Modified => "M",
    }
}

fn file(row: &Row, placed: &Placed<'_>, found: &[&Finding], alone: bool, left: &mut u64) -> Markup {
    let Placed { number, rank, file } = placed;
    let lines: u64 = file.hunks.iter().map(|hunk| hunk.lines.len() as u64).sum();
    let most = if alone { ALONE_LINES } else { *left };
    let open = alone || (lines <= OPEN_LINES && *rank != Rank::Generated && lines <= *left);
    let fits = lines <= most;
    if fits && !alone {
        *left -= lines;
    }
    html! {
        details.diff-file #(format!("file-{number}")) open[open] data-key=(format!("file-{number}")) {
            summary {
                span.change.(change_class(file.change)) { (change_sign(file.change)) }
                code.path { (inert(&file.path)) }
                @if *rank <= Rank::Risky { span.tag.(if *rank == Rank::Blocking { "bad" } else { "warn" }) { (rank.words()) } }
                span.count { span.plus { "+" (file.added) } " " span.minus { "−" (file.removed) } }
            }
            @for finding in found { p.finding-line { b { (line(&finding.rule, 60)) } " " (line(&finding.why, 400)) } }
            @for note in &file.notes { p.file-note { (inert(note)) } }
            @if file.binary {
                p.file-note { "Not text." }
            } @else if !fits && !alone {
                p.file-note { (counted(lines, "line")) ". " a href=(format!("/sessions/{}/diff?file={number}", row.id)) { "Show this file alone" } }
            } @else if file.hunks.is_empty() {
                p.file-note { "No lines differ." }
            } @else {
                (hunks(file, most, found))
            }
        }
    }
}

fn hunks(file: &File, most: u64, found: &[&Finding]) -> Markup {
    let language = highlight::language(&file.path);
    let mut left = most;
    html! {
        table.lines aria-label=(plain(&file.path)) {
            @for hunk in &file.hunks {
                @if left > 0 {
                    tbody {
                        tr.hunk { td colspan="2" {} td { (place(hunk)) " " (line(&hunk.above, 160)) } }
                        (lines(hunk, language, &mut left, found))
                    }
                }
            }
        }
        @if left == 0 { p.file-note { "The rest is not shown here. The branch has all of it." } }
    }
}

fn place(hunk: &Hunk) -> String {
    let first = hunk.lines.iter().find_map(|line| line.new.or(line.old));
    first.map_or_else(String::new, |first| format!("line {first}"))
}

fn lines(hunk: &Hunk, language: Option<&'static Language>, left: &mut u64, found: &[&Finding]) -> Markup {
    let differing = differing(&hunk.lines);
    // What goes on over lines goes on separately before and after the change.
    let (mut old, mut new) = (Carried::default(), Carried::default());
    html! {
        @for (one, differs) in hunk.lines.iter().zip(&differing) {
            @if *left > 0 {
                @let colours = language.map(|language| colours(language, one, &mut old, &mut new)).unwrap_or_default();
                @let here = one.new.is_some_and(|number| found.iter().any(|finding| finding.line == Some(number)));
                (numbered(one, &colours, differs.as_ref(), here))
                @if take(left) { }
            }
        }
    }
}

fn take(left: &mut u64) -> bool {
    *left -= 1;
    true
}

fn colours(
    language: &'static Language,
    one: &Line,
    old: &mut Carried,
    new: &mut Carried,
) -> Vec<(Range<usize>, Class)> {
    match one.sign {
        Sign::Removed => highlight::line(language, &one.text, old),
        Sign::Added => highlight::line(language, &one.text, new),
        Sign::Same => {
            highlight::line(language, &one.text, old);
            highlight::line(language, &one.text, new)
        }
    }
}

fn numbered(
    one: &Line,
    colours: &[(Range<usize>, Class)],
    differs: Option<&Range<usize>>,
    here: bool,
) -> Markup {
    let (class, word) = match one.sign {
        Sign::Same => ("same", ""),
        Sign::Added => ("add", "added: "),
        Sign::Removed => ("del", "removed: "),
    };
    html! {
        tr.(class).here[here] {
            // Numbers are drawn from the attribute, so that they are not copied with the code.
            td.no data-no=[one.old] {}
            td.no data-no=[one.new] {}
            td.code {
                span.unseen { (word) }
                (coloured(&one.text, colours, differs))
                @if one.unended { span.gap { " no line end" } }
            }
        }
    }
}

/// A line's pieces: each with at most one colour, and whether it differs.
fn coloured(text: &str, colours: &[(Range<usize>, Class)], differs: Option<&Range<usize>>) -> Markup {
    let end = text.floor_char_boundary(LONGEST_LINE);
    let mut cuts: Vec<usize> = colours.iter().flat_map(|(range, _)| [range.start, range.end]).collect();
    cuts.extend(differs.iter().flat_map(|range| [range.start, range.end]));
    cuts.extend([0, end]);
    cuts.retain(|cut| *cut <= end && text.is_char_boundary(*cut));
    cuts.sort_unstable();
    cuts.dedup();
    let mut colours = colours.iter().peekable();
    html! {
        @for pair in cuts.windows(2) {
            @let (from, to) = (pair[0], pair[1]);
            @let piece = &text[from..to];
            @let class = colour_at(&mut colours, from);
            @let marked = differs.is_some_and(|range| range.start <= from && to <= range.end);
            @match (class, marked) {
                (None, false) => (inert(piece)),
                (Some(class), false) => i.(class.name()) { (inert(piece)) },
                (None, true) => mark { (inert(piece)) },
                (Some(class), true) => mark { i.(class.name()) { (inert(piece)) } },
            }
        }
        @if end < text.len() { span.gap { " … " (size((text.len() - end) as u64)) " left out" } }
    }
}

fn colour_at<'a>(
    colours: &mut std::iter::Peekable<impl Iterator<Item = &'a (Range<usize>, Class)>>,
    from: usize,
) -> Option<Class> {
    while colours.next_if(|(range, _)| range.end <= from).is_some() {}
    colours.peek().filter(|(range, _)| range.start <= from).map(|(_, class)| *class)
}
