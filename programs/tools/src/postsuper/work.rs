//! Carrying the orders out, by the server or directly, and counting.

use super::{
    direct::Direct,
    options::{Order, Orders},
};
use crate::{
    console::{Console, Fatal},
    control::Control,
};
use base_calls::{
    QueueName,
    control::{ControlAction, ControlReply, ControlRequest, Select},
};
use base_conf::Config;
use std::path::Path;

/// Where hold looks by default.
const WAITING: [QueueName; 3] = [QueueName::Incoming, QueueName::Active, QueueName::Deferred];

/// The queue: through the server, or opened here.
pub enum Store {
    /// A server runs.
    Server(Control),
    /// None runs.
    Direct(Direct),
}

impl Store {
    /// Finds out which. A server that is just starting or stopping is waited for.
    pub fn open(queue_directory: &Path, config: &Config) -> Result<Self, Fatal> {
        for _ in 0..50 {
            if let Some(control) = Control::connect(queue_directory)? {
                return Ok(Self::Server(control));
            }
            if let Some(direct) = Direct::open(queue_directory, config)? {
                return Ok(Self::Direct(direct));
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Err(Fatal::new("the queue is in use, and the mail system does not answer"))
    }

    /// Acts on messages; `done` is told each id.
    fn act(
        &mut self,
        action: ControlAction,
        select: Select,
        mut done: impl FnMut(&str),
    ) -> Result<(), Fatal> {
        match self {
            Self::Direct(direct) => direct.act(action, &select, done),
            Self::Server(control) => control.ask(&ControlRequest::Act(action, select), |reply| {
                if let ControlReply::Done { id, .. } = reply {
                    done(&id);
                }
                Ok(())
            }),
        }
    }
}

/// The order in which actions are done, so that several on one message all count.
pub fn perform(console: &Console, store: &mut Store, orders: &Orders) -> Result<(), Fatal> {
    let mut step = |order: &Option<Order>, action, queues: &[QueueName], word| match order {
        Some(order) => apply(console, store, orders, order, action, queues, word),
        None => Ok(0),
    };
    let held = step(&orders.hold, ControlAction::Hold, &WAITING, "placed on hold")?;
    let released = step(&orders.release, ControlAction::Release, &[QueueName::Hold], "released from hold")?;
    let expired = step(&orders.expire, ControlAction::Expire, &[], "expired")?
        + step(&orders.force, ControlAction::Expire, &[], "expired")?;
    let freed = step(&orders.force, ControlAction::Release, &[QueueName::Hold], "released from hold")?;
    let requeued = step(&orders.requeue, ControlAction::Requeue, &[], "requeued")?;
    let deleted = step(&orders.delete, ControlAction::Delete, &[], "removed")?;
    if let Store::Direct(direct) = store {
        direct.close();
    }
    let report = |asked: bool, word: &str, count: u64| {
        if asked {
            console.info(format!("{word}: {count} message{}", if count == 1 { "" } else { "s" }));
        }
    };
    report(orders.requeue.is_some(), "Requeued", requeued);
    report(orders.delete.is_some(), "Deleted", deleted);
    report(orders.expire.is_some() || orders.force.is_some(), "Force-expired", expired);
    report(orders.hold.is_some(), "Placed on hold", held);
    report(orders.release.is_some() || orders.force.is_some(), "Released from hold", released + freed);
    Ok(())
}

/// One action on everything it was asked for; how many messages changed.
fn apply(
    console: &Console,
    store: &mut Store,
    orders: &Orders,
    order: &Order,
    action: ControlAction,
    default: &[QueueName],
    word: &str,
) -> Result<u64, Fatal> {
    let queues: Vec<QueueName> = match (orders.queues.as_slice(), default) {
        ([], default) => default.to_vec(),
        (named, []) => named.to_vec(),
        (named, default) => named.iter().copied().filter(|q| default.contains(q)).collect(),
    };
    if orders.nowhere || queues.is_empty() && !(default.is_empty() && orders.queues.is_empty()) {
        return Ok(0);
    }
    let mut count = 0;
    for id in &order.ids {
        store.act(action, Select::Id(id.clone(), queues.clone()), |id| {
            console.info(format!("{id}: {word}"));
            count += 1;
        })?;
    }
    if order.all {
        store.act(action, Select::All(queues), |_| count += 1)?;
    }
    Ok(count)
}
