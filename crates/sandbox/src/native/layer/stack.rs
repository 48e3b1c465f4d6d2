//! The file `stack` of a layer: which parts are frozen, in which order, and which part is written to.
//!
//! A few lines of text. It is replaced by a rename, so a reader sees the old one or the new one; a last line says that it is whole, so that
//! a file which a power failure has cut is refused rather than believed.

use std::{
    fmt, fs,
    fs::File,
    io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::error::{LayerError, failed};

const FILE: &str = "stack";
const NEW: &str = "stack.new";
const LOCK: &str = "stack.lock";
const HEAD: &str = "cofferdam layer 1";
const END: &str = "end";
/// How often, and how far apart, it is tried to lock a part.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(5);
/// Frozen parts that one layer may have: the overlay's options must fit on a page, and each costs time in every search for a file.
pub(super) const MOST_FROZEN: usize = 64;

/// Names a snapshot of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(u128);

impl SnapshotId {
    /// One that nobody has.
    pub(super) fn generate() -> io::Result<Self> {
        random().map(Self)
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snp_{:032x}", self.0)
    }
}

/// Text that names no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a snapshot's name is snp_ and 32 hexadecimal digits")]
pub struct NoSnapshotId;

impl FromStr for SnapshotId {
    type Err = NoSnapshotId;

    fn from_str(text: &str) -> Result<Self, NoSnapshotId> {
        let digits = text.strip_prefix("snp_").ok_or(NoSnapshotId)?;
        number(digits).map(Self).ok_or(NoSnapshotId)
    }
}

/// 32 small hexadecimal digits and nothing else.
fn number(digits: &str) -> Option<u128> {
    let all = digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    all.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

fn random() -> io::Result<u128> {
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u128::from_le_bytes(bytes))
}

/// A frozen part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The snapshot that froze it.
    pub(super) snapshot: SnapshotId,
    /// Where it is; in this layer's directory, or in that of the layer that this one is a fork of.
    pub(super) directory: PathBuf,
}

/// Several parts merged into one directory, which is mounted in their place. They stay, to be gone back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Squashed {
    /// How many, from the lowest on.
    pub(super) parts: usize,
    /// Where.
    pub(super) directory: PathBuf,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) layer: PathBuf,
    /// Tells this layer from others that use the same frozen parts; 0 until there is a file.
    pub(super) id: u128,
    /// Lowest first.
    pub(super) frozen: Vec<Part>,
    pub(super) squashed: Option<Squashed>,
    /// The number of the part that is written to. Numbers are never used twice.
    pub(super) number: u32,
}

impl Stack {
    /// That of a layer of which no snapshot has been taken.
    pub(super) fn new(layer: &Path) -> Self {
        Self { layer: layer.to_owned(), id: 0, frozen: Vec::new(), squashed: None, number: 0 }
    }

    /// Reads the file of a layer.
    pub(super) fn read(layer: &Path) -> Result<Self, LayerError> {
        let file = layer.join(FILE);
        match fs::read_to_string(&file) {
            Ok(text) => {
                parse(layer, &text).map_err(|line| LayerError::Damaged { file, line: line.saturating_add(1) })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::new(layer)),
            Err(error) => Err(failed(format!("read {}", file.display()))(error)),
        }
    }

    /// Replaces the file.
    pub(super) fn write(&mut self) -> Result<(), LayerError> {
        if self.id == 0 {
            self.id = random().map_err(failed("choose a name for a layer"))?;
        }
        let (new, file) = (self.layer.join(NEW), self.layer.join(FILE));
        let written = fs::write(&new, self.text()?).and_then(|()| fs::rename(&new, &file));
        written.map_err(failed(format!("write {}", file.display())))
    }

    /// Removes the file.
    pub(super) fn forget(&self) -> io::Result<()> {
        fs::remove_file(self.layer.join(FILE))
    }

    /// The part that is written to.
    pub(super) fn top(&self) -> PathBuf {
        self.layer.join(self.number.to_string())
    }

    /// What is mounted below that, lowest first.
    pub(super) fn mounted(&self) -> Vec<PathBuf> {
        let (merged, left) = match &self.squashed {
            Some(squashed) => (Some(squashed.directory.clone()), squashed.parts),
            None => (None, 0),
        };
        merged.into_iter().chain(self.frozen.iter().skip(left).map(|part| part.directory.clone())).collect()
    }

    /// Every directory that it needs, besides the part that is written to.
    pub(super) fn used(&self) -> Vec<PathBuf> {
        let merged = self.squashed.iter().map(|squashed| squashed.directory.clone());
        self.frozen.iter().map(|part| part.directory.clone()).chain(merged).collect()
    }

    /// The same up to a snapshot, without what came later.
    pub(super) fn up_to(&self, snapshot: SnapshotId) -> Result<Self, LayerError> {
        let position = self.frozen.iter().position(|part| part.snapshot == snapshot);
        let unknown = LayerError::Unknown { layer: self.layer.clone(), snapshot };
        let kept = position.ok_or(unknown)?.saturating_add(1);
        let mut stack = self.clone();
        stack.frozen.truncate(kept);
        stack.squashed = stack.squashed.filter(|squashed| squashed.parts <= kept);
        Ok(stack)
    }

    fn text(&self) -> Result<String, LayerError> {
        let mut lines = vec![HEAD.to_owned(), format!("id {:032x}", self.id)];
        for part in &self.frozen {
            lines.push(format!("{} {}", part.snapshot, path_text(&part.directory)?));
        }
        if let Some(Squashed { parts, directory }) = &self.squashed {
            lines.push(format!("squashed {parts} {}", path_text(directory)?));
        }
        lines.push(format!("top {}", self.number));
        lines.push(END.to_owned());
        Ok(lines.join("\n") + "\n")
    }
}

/// A path as it stands in the file.
fn path_text(path: &Path) -> Result<&str, LayerError> {
    let text = path.to_str().filter(|text| path.is_absolute() && !text.contains(['\n', '\r']));
    text.ok_or_else(|| LayerError::Path(path.to_owned()))
}

/// Strict: what [`Stack::text`] writes and nothing else. Says which line is wrong, counted from 0.
fn parse(layer: &Path, text: &str) -> Result<Stack, usize> {
    let mut stack = Stack::new(layer);
    let mut lines = text.split('\n').enumerate().peekable();
    if lines.next().is_none_or(|(_, line)| line != HEAD) {
        return Err(0);
    }
    let id = lines.next().and_then(|(_, line)| number(line.strip_prefix("id ")?));
    stack.id = id.filter(|id| *id != 0).ok_or(1_usize)?;
    while let Some((_, part)) = lines.peek().and_then(|(at, line)| Some((*at, frozen(line)?))) {
        stack.frozen.push(part);
        lines.next();
    }
    if let Some((at, line)) = lines.next_if(|(_, line)| line.starts_with("squashed ")) {
        stack.squashed = Some(squashed(line, stack.frozen.len()).ok_or(at)?);
    }
    let (at, line) = lines.next().ok_or(2_usize)?;
    let top = line.strip_prefix("top ").and_then(|digits| {
        let number: u32 = digits.parse().ok()?;
        (number.to_string() == digits).then_some(number)
    });
    stack.number = top.ok_or(at)?;
    let rest: Vec<&str> = lines.map(|(_, line)| line).collect();
    if rest == [END, ""] && stack.frozen.len() <= MOST_FROZEN { Ok(stack) } else { Err(at.saturating_add(1)) }
}

fn frozen(line: &str) -> Option<Part> {
    let (snapshot, directory) = line.split_once(' ')?;
    Some(Part { snapshot: snapshot.parse().ok()?, directory: absolute(directory)? })
}

fn squashed(line: &str, most: usize) -> Option<Squashed> {
    let (parts, directory) = line.strip_prefix("squashed ")?.split_once(' ')?;
    let parts: usize = parts.parse().ok()?;
    (1..=most).contains(&parts).then_some(Squashed { parts, directory: absolute(directory)? })
}

fn absolute(text: &str) -> Option<PathBuf> {
    text.starts_with('/').then(|| PathBuf::from(text))
}

/// Keeps others from changing a layer's stack for as long as the result lives. Waits for them.
pub(super) fn lock_changes(layer: &Path) -> Result<File, LayerError> {
    let path = layer.join(LOCK);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let locked = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
        .and_then(|file| flock(&file, FlockOperation::LockExclusive).map(|()| File::from(file)));
    locked.map_err(|errno| failed(format!("lock {}", path.display()))(errno.into()))
}

/// Says that a part is in use, for as long as the result lives.
pub(super) fn lock_shared(part: &Path) -> io::Result<File> {
    lock(part, FlockOperation::NonBlockingLockShared)
}

/// Makes sure that nobody uses a part; `None` if somebody does. A child that this process has just forked for a program keeps the locks until
/// it runs that, so somebody may be nobody a moment later.
pub(super) fn lock_alone(part: &Path) -> io::Result<Option<File>> {
    for _ in 0..ATTEMPTS {
        match lock(part, FlockOperation::NonBlockingLockExclusive) {
            Ok(locked) => return Ok(Some(locked)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn lock(part: &Path, operation: FlockOperation) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(part, flags, Mode::empty())?;
    flock(&file, operation)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(frozen: usize, squashed: Option<usize>) -> Stack {
        let part = |number: usize| Part {
            snapshot: SnapshotId(number as u128 + 1),
            directory: format!("/some where/{number}").into(),
        };
        let squashed = squashed.map(|parts| Squashed { parts, directory: "/x/squashed".into() });
        let frozen = (0..frozen).map(part).collect();
        Stack { layer: "/x".into(), id: 77, frozen, squashed, number: 12 }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for stack in [stack(0, None), stack(1, None), stack(3, Some(2)), stack(64, Some(64))] {
            assert_eq!(parse(Path::new("/x"), &stack.text().unwrap()), Ok(stack));
        }
    }

    #[test]
    fn a_file_that_was_cut_or_changed_is_refused() {
        let text = stack(3, Some(2)).text().unwrap();
        for length in 0..text.len() {
            assert!(parse(Path::new("/x"), &text[..length]).is_err(), "cut at {length}");
        }
        for (from, to) in [
            ("layer 1", "layer 2"),
            ("squashed 2", "squashed 4"),
            ("squashed 2", "squashed 0"),
            ("top 12", "top 012"),
            ("snp_", "snp-"),
            ("/some where/1", "some where/1"),
            ("end\n", "end\nend\n"),
        ] {
            assert!(parse(Path::new("/x"), &text.replace(from, to)).is_err(), "{from} as {to}");
        }
        assert!(parse(Path::new("/x"), &stack(65, None).text().unwrap()).is_err());
    }

    #[test]
    fn names_of_snapshots() {
        let id = SnapshotId::generate().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            "",
            "snp_",
            "snp_12",
            "snp_+0000000000000000000000000000001",
            "SNP_00000000000000000000000000000001",
        ] {
            assert_eq!(wrong.parse::<SnapshotId>(), Err(NoSnapshotId), "{wrong}");
        }
    }

    #[test]
    fn going_back_forgets_what_came_later() {
        let stack = stack(5, Some(3));
        assert_eq!(stack.mounted().len(), 3);
        let back = stack.up_to(SnapshotId(4)).unwrap();
        assert_eq!((back.frozen.len(), back.mounted().len()), (4, 2));
        let further = stack.up_to(SnapshotId(2)).unwrap();
        assert_eq!((further.squashed, further.frozen.len()), (None, 2));
        assert!(matches!(stack.up_to(SnapshotId(9)), Err(LayerError::Unknown { .. })));
    }
}
