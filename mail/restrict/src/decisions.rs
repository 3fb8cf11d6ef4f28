//! The last decisions of the server, for `postfix explain QUEUE-ID`: bounded in number and in bytes, the oldest go first.
//!
//! In memory while the server runs, in one file when it has stopped in order (`$data_directory/decisions`, readable by the mail owner
//! alone); after a crash the memory begins anew. A file that makes no sense counts as none.

use crate::{Decision, Facts};
use base_calls::Timestamp;
use base_conf::Config;
use std::{
    collections::VecDeque,
    fs::OpenOptions,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The first bytes of the file.
const MAGIC: &[u8] = b"hikyaku decisions 1\n";

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most decisions that are kept, 0: none.
    pub count: usize,
    /// The most bytes that they take.
    pub bytes: usize,
}

impl Bounds {
    /// `explain_history_limit`, `explain_history_size_limit`.
    pub fn from_config(cfg: &Config) -> Result<Self, base_conf::Error> {
        let int = |name| cfg.int(name).map(|n| usize::try_from(n).unwrap_or(0));
        Ok(Self { count: int("explain_history_limit")?, bytes: int("explain_history_size_limit")? })
    }
}

/// The file of decisions while the server does not run.
pub fn history_file(cfg: &Config) -> Result<PathBuf, base_conf::Error> {
    Ok(PathBuf::from(cfg.str("data_directory")?).join("decisions"))
}

/// The decisions.
#[derive(Debug)]
pub struct Decisions(Mutex<State>);

#[derive(Debug)]
struct State {
    frames: VecDeque<Box<[u8]>>,
    bytes: usize,
    bounds: Bounds,
}

impl State {
    fn push(&mut self, frame: Box<[u8]>) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.frames.len() > self.bounds.count || self.bytes > self.bounds.bytes {
            let Some(oldest) = self.frames.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }
}

impl Decisions {
    /// None yet.
    pub fn new(bounds: Bounds) -> Self {
        Self(Mutex::new(State { frames: VecDeque::new(), bytes: 0, bounds }))
    }

    /// Other bounds from now on.
    pub fn set_bounds(&self, bounds: Bounds) {
        let mut state = self.lock();
        state.bounds = bounds;
        state.shrink();
    }

    /// One more.
    pub fn push(&self, decision: &Decision<'_>) {
        let frame = decision.encode().into_boxed_slice();
        self.lock().push(frame);
    }

    /// Whether any are kept.
    pub fn keep_any(&self) -> bool {
        self.lock().bounds.count > 0
    }

    /// What was decided about a session, with what its tape has. `reply`: the refusal, or nothing. Without a tape nothing is kept.
    pub fn remember(&self, facts: &Facts<'_>, service: &str, reply: &str) {
        let Some(tape) = facts.tape else { return };
        let external = |address: Option<&str>| {
            address.map_or_else(String::new, |a| ["<", &proto_address::external(a), ">"].concat())
        };
        self.push(&Decision {
            time: Timestamp::now().0,
            service,
            id: &facts.queue_id.map_or_else(String::new, |id| id.to_string()),
            stage: facts.stage.name(),
            name: &facts.client.name,
            addr: &facts.client.addr,
            helo: facts.helo.unwrap_or_default(),
            sender: &external(facts.sender),
            recipient: &external(facts.recipient),
            login: facts.sasl_username().unwrap_or_default(),
            reply,
            tape: &tape.take(),
        });
    }

    /// The last `most` that are about this ([`Decision::is_about`]), oldest first, as frames.
    pub fn about(&self, what: &str, most: usize) -> Vec<Vec<u8>> {
        let state = self.lock();
        let hits = state.frames.iter().rev();
        let hits = hits.filter(|frame| Decision::decode(frame).is_some_and(|d| d.is_about(what)));
        let mut found: Vec<Vec<u8>> = hits.take(most).map(|frame| frame.to_vec()).collect();
        found.reverse();
        found
    }

    /// Takes in what [`Decisions::save`] has left.
    pub fn load(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let most = MAGIC.len() + state.bounds.bytes + 4 * state.bounds.count;
        let mut text = Vec::new();
        OpenOptions::new().read(true).open(path)?.take(most as u64).read_to_end(&mut text)?;
        let Some(mut rest) = text.strip_prefix(MAGIC) else { return Ok(()) };
        while let Some((length, more)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let Some((frame, more)) = more.split_at_checked(length) else { break };
            state.push(frame.into());
            rest = more;
        }
        Ok(())
    }

    /// Writes all to a file, in place of what it was.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let state = self.lock();
        let mut text = MAGIC.to_vec();
        for frame in &state.frames {
            text.extend(u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes());
            text.extend_from_slice(frame);
        }
        let fresh = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&fresh)?.write_all(&text)?;
        std::fs::rename(fresh, path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(decisions: &Decisions, what: &str, most: usize) -> Vec<String> {
        let frames = decisions.about(what, most);
        frames.iter().filter_map(|f| Decision::decode(f)).map(|d| d.id.to_owned()).collect()
    }

    fn push(decisions: &Decisions, id: &str, addr: &str) {
        decisions.push(&Decision { id, addr, ..Decision::default() });
    }

    #[test]
    fn the_oldest_go_first() {
        let decisions = Decisions::new(Bounds { count: 3, bytes: 1 << 20 });
        for id in ["A", "B", "C", "D"] {
            push(&decisions, id, "192.0.2.1");
        }
        push(&decisions, "E", "192.0.2.2");
        assert_eq!(ids(&decisions, "192.0.2.1", 10), ["C", "D"]);
        assert_eq!(ids(&decisions, "192.0.2.1", 1), ["D"]);
        assert_eq!(ids(&decisions, "E", 10), ["E"]);
        let size = decisions.lock().bytes / 3;
        decisions.set_bounds(Bounds { count: 3, bytes: size + 1 });
        assert_eq!(ids(&decisions, "192.0.2.1", 10), Vec::<String>::new());
        decisions.set_bounds(Bounds { count: 0, bytes: 1 << 20 });
        push(&decisions, "F", "192.0.2.2");
        let state = decisions.lock();
        assert_eq!((state.frames.len(), state.bytes), (0, 0));
    }

    #[test]
    fn they_outlive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("decisions");
        let bounds = Bounds { count: 10, bytes: 1 << 20 };
        let before = Decisions::new(bounds);
        assert!(before.load(&path).is_err());
        push(&before, "A", "192.0.2.1");
        push(&before, "B", "192.0.2.1");
        before.save(&path).unwrap();
        let after = Decisions::new(bounds);
        after.load(&path).unwrap();
        assert_eq!(ids(&after, "192.0.2.1", 10), ["A", "B"]);
        // Cut or foreign: what can be read, and no error.
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 3]).unwrap();
        let cut = Decisions::new(bounds);
        cut.load(&path).unwrap();
        assert_eq!(ids(&cut, "192.0.2.1", 10), ["A"]);
        std::fs::write(&path, "something else").unwrap();
        cut.load(&path).unwrap();
        assert_eq!(ids(&cut, "192.0.2.1", 10), ["A"]);
    }

    #[test]
    fn bounds_are_read() {
        let cfg = Config::from_text("explain_history_limit = 7\nexplain_history_size_limit = 800");
        assert_eq!(Bounds::from_config(&cfg).unwrap(), Bounds { count: 7, bytes: 800 });
    }
}
