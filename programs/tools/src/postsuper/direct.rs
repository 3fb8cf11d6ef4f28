//! Changing the queue of a stopped server: the spool opened here, as its owner, under its lock.

use crate::console::Fatal;
use base_calls::{
    Change, QueueName, Timestamp,
    control::{ControlAction, Select},
};
use base_conf::Config;
use base_spool::{FileSpool, Options, Spool, SpoolError, Summary};
use base_sys::{
    User,
    privilege::{Identity, become_identity, is_root},
};
use base_tables::block_on;
use std::path::Path;

/// Messages looked at in one go.
const PAGE: usize = 4096;

/// An open queue; `None` when there was never one.
pub struct Direct {
    spool: Option<FileSpool>,
}

impl Direct {
    /// Opens the queue; `Ok(None)` when another process has it.
    pub fn open(queue_directory: &Path, config: &Config) -> Result<Option<Self>, Fatal> {
        let dir = base_spool::directory(queue_directory);
        match dir.try_exists() {
            Ok(true) => {}
            Ok(false) => return Ok(Some(Self { spool: None })),
            Err(e) => return Err(Fatal::new(format!("{}: {}", dir.display(), base_sys::system_text(&e)))),
        }
        become_owner(config)?;
        match FileSpool::open(&dir, Options::default()) {
            Ok(spool) => Ok(Some(Self { spool: Some(spool) })),
            Err(SpoolError::Locked) => Ok(None),
            Err(e) => Err(Fatal::new(format!("{}: {e}", dir.display()))),
        }
    }

    /// Acts on messages; `done` is told each id.
    pub fn act(
        &mut self,
        action: ControlAction,
        select: &Select,
        mut done: impl FnMut(&str),
    ) -> Result<(), Fatal> {
        let Some(spool) = &self.spool else { return Ok(()) };
        let queues = match select {
            Select::Id(_, queues) | Select::All(queues) => queues,
        };
        let mut act = |page: &[Summary]| -> Result<(), Fatal> {
            let wanted = |s: &&Summary| queues.is_empty() || queues.contains(&queue_of(s));
            for summary in page.iter().filter(wanted).filter(|s| applies(action, s)) {
                let id = summary.id;
                match perform(spool, action, summary) {
                    Ok(()) => done(&id.to_string()),
                    Err(SpoolError::NotFound) => {}
                    Err(e) => return Err(Fatal::new(format!("{id}: {e}"))),
                }
            }
            Ok(())
        };
        if let Select::Id(id, _) = select {
            let found = spool.find(id).and_then(|id| spool.list(id.slot, 1).first().copied());
            return act(found.as_slice());
        }
        let mut from = Some(0);
        while let Some(slot) = from {
            let page = spool.list(slot, PAGE);
            from = page.last().and_then(|s| s.id.slot.checked_add(1));
            act(&page)?;
        }
        Ok(())
    }

    /// Makes everything durable.
    pub fn close(&mut self) {
        self.spool = None;
    }
}

/// New files must belong to the server, not to root.
pub(crate) fn become_owner(config: &Config) -> Result<(), Fatal> {
    if !is_root() {
        return Ok(());
    }
    let name = config.str("mail_owner").map_err(Fatal::new)?;
    let unknown = || Fatal::new(format!("mail_owner: unknown user name: {name}"));
    let user = User::by_name(&name).map_err(Fatal::new)?.ok_or_else(unknown)?;
    become_identity(&Identity::new(user.uid, user.gid)).map_err(Fatal::new)
}

fn queue_of(s: &Summary) -> QueueName {
    match () {
        () if s.held => QueueName::Hold,
        () if s.retry_at == Timestamp::default() => QueueName::Incoming,
        () => QueueName::Deferred,
    }
}

fn applies(action: ControlAction, s: &Summary) -> bool {
    match action {
        ControlAction::Hold => !s.held,
        ControlAction::Release => s.held,
        ControlAction::Expire => s.expired.is_none(),
        ControlAction::ExpireForced => s.expired.is_none() || s.held,
        ControlAction::Delete | ControlAction::Requeue => true,
        ControlAction::Deliver => false,
    }
}

fn perform(spool: &FileSpool, action: ControlAction, s: &Summary) -> Result<(), SpoolError> {
    let changes = match action {
        ControlAction::Delete => return block_on(spool.remove(s.id)),
        ControlAction::Hold => vec![Change::Held(true)],
        ControlAction::Release => vec![Change::Held(false)],
        ControlAction::Requeue => vec![Change::Requeued],
        ControlAction::Expire => vec![Change::Expired(false)],
        ControlAction::ExpireForced => vec![Change::Expired(true), Change::Held(false)],
        ControlAction::Deliver => vec![],
    };
    block_on(spool.change(s.id, changes, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_calls::Envelope;

    #[test]
    fn actions_on_a_stopped_queue() {
        let dir = tempfile::tempdir().unwrap();
        let options = || Options { segment_size: 1 << 16, ..Options::default() };
        let spool = FileSpool::open(dir.path(), options()).unwrap();
        let put = || {
            let mut draft = spool.draft(false).unwrap();
            draft.write(b"x\r\n").unwrap();
            block_on(spool.commit(draft, Envelope::default(), false)).unwrap().id.to_string()
        };
        let (a, b) = (put(), put());
        let mut direct = Direct { spool: Some(spool) };
        let mut act = |action, select: Select| {
            let mut ids = Vec::new();
            direct.act(action, &select, |id| ids.push(id.to_owned())).unwrap();
            ids.join(" ")
        };
        let all = |q: &[QueueName]| Select::All(q.to_vec());
        assert_eq!(act(ControlAction::Hold, Select::Id(a.clone(), vec![])), a);
        assert_eq!(act(ControlAction::Hold, all(&[])), b);
        assert_eq!(act(ControlAction::Delete, all(&[QueueName::Deferred])), "");
        assert_eq!(act(ControlAction::Release, Select::Id(b.clone(), vec![])), b);
        assert_eq!(act(ControlAction::Expire, Select::Id(b.clone(), vec![])), b);
        assert_eq!(act(ControlAction::Expire, all(&[QueueName::Incoming])), "");
        assert_eq!(act(ControlAction::Delete, all(&[QueueName::Hold])), a);
        assert_eq!(act(ControlAction::Delete, Select::Id(a, vec![])), "");
        direct.close();
        let spool = FileSpool::open(dir.path(), options()).unwrap();
        let left = spool.list(0, 10);
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].id.to_string(), left[0].held, left[0].expired), (b, false, Some(false)));
    }
}
