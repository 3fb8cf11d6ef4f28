//! The command line of postsuper(1).

use crate::{
    console::{Console, Fatal, is_queue_id},
    getopt,
};
use base_calls::{QueueName, Wanted};
use std::{collections::HashSet, ffi::OsString, io::BufRead};

const USAGE: &str = "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] \
    [-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge temporary files)] \
    [-r queue_id (requeue)] [-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] [queue...]";

/// Names of queue folders that may be given.
const QUEUES: [(&str, Option<QueueName>); 9] = [
    ("active", Some(QueueName::Active)),
    ("bounce", None),
    ("defer", None),
    ("deferred", Some(QueueName::Deferred)),
    ("flush", None),
    ("hold", Some(QueueName::Hold)),
    ("incoming", Some(QueueName::Incoming)),
    ("maildrop", None),
    ("trace", None),
];

/// Most queue ids read from standard input.
const MAX_IDS: usize = 10_000_000;

/// As given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-c`.
    pub dir: Option<OsString>,
    /// Option letter and its value.
    pub actions: Vec<(char, String)>,
    /// Where to look; empty: everywhere.
    pub queues: Vec<QueueName>,
    /// Queues were named, none of which holds messages here.
    pub nowhere: bool,
    /// `--to` and its kin: of the messages named, only these.
    pub wanted: Wanted,
}

/// What to do for one option letter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// `ALL` was among the values.
    pub all: bool,
    /// The other values.
    pub ids: Vec<String>,
}

/// All orders.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// `-h`
    pub hold: Option<Order>,
    /// `-H`
    pub release: Option<Order>,
    /// `-e`
    pub expire: Option<Order>,
    /// `-f`
    pub force: Option<Order>,
    /// `-r`
    pub requeue: Option<Order>,
    /// `-d`
    pub delete: Option<Order>,
    /// Where to look; empty: everywhere.
    pub queues: Vec<QueueName>,
    /// Look nowhere.
    pub nowhere: bool,
}

/// Reads the command line.
pub fn parse(args: &[OsString]) -> Result<Options, Fatal> {
    let mut args = args.to_vec();
    let wanted = Wanted::take(&mut args).map_err(|e| Fatal::usage(e, USAGE))?;
    let parsed = getopt::parse("c:d:e:f:h:H:pr:sSv", &args).map_err(|e| Fatal::usage(e, USAGE))?;
    let mut out = Options { wanted, ..Options::default() };
    for (letter, value) in parsed.options {
        match (letter, value) {
            ('c', Some(dir)) => out.dir = Some(dir),
            (letter, Some(value)) => out.actions.push((letter, value.to_string_lossy().into_owned())),
            _ => {}
        }
    }
    for name in &parsed.operands {
        let known = QUEUES.iter().find(|(n, _)| name.as_os_str() == *n);
        let Some((_, queue)) = known else {
            return Err(Fatal::new(format!("invalid directory name: {}", name.display())));
        };
        out.queues.extend(*queue);
    }
    out.nowhere = out.queues.is_empty() && !parsed.operands.is_empty();
    Ok(out)
}

impl Options {
    /// The orders; `-` reads ids from `stdin`, one a line. Malformed ids are warned of and left out.
    pub fn orders(&self, console: &Console, stdin: &mut impl BufRead) -> Result<Orders, Fatal> {
        let mut orders = Orders { queues: self.queues.clone(), nowhere: self.nowhere, ..Orders::default() };
        for (letter, value) in &self.actions {
            let slot = match letter {
                'h' => &mut orders.hold,
                'H' => &mut orders.release,
                'e' => &mut orders.expire,
                'f' => &mut orders.force,
                'r' => &mut orders.requeue,
                _ => &mut orders.delete,
            };
            let order = slot.get_or_insert_default();
            match value.as_str() {
                "ALL" => order.all = true,
                "-" => read_ids(console, stdin, order)?,
                id => add(console, order, id),
            }
        }
        Ok(orders)
    }
}

impl Orders {
    /// Leaves only messages of `wanted`; `ALL` means all of these.
    pub fn only(&mut self, wanted: &HashSet<String>) {
        let all = [
            &mut self.hold,
            &mut self.release,
            &mut self.expire,
            &mut self.force,
            &mut self.requeue,
            &mut self.delete,
        ];
        for order in all.into_iter().flatten() {
            match std::mem::take(&mut order.all) {
                true => order.ids = wanted.iter().cloned().collect(),
                false => order.ids.retain(|id| wanted.contains(id)),
            }
            order.ids.sort_unstable();
        }
    }
}

fn read_ids(console: &Console, stdin: &mut impl BufRead, order: &mut Order) -> Result<(), Fatal> {
    let mut line = Vec::new();
    while order.ids.len() < MAX_IDS {
        line.clear();
        let n = stdin.read_until(b'\n', &mut line);
        if n.map_err(|e| Fatal::new(format!("standard input: {}", base_sys::system_text(&e))))? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
        add(console, order, &text);
    }
    Ok(())
}

fn add(console: &Console, order: &mut Order, id: &str) {
    if is_queue_id(id) {
        order.ids.push(id.to_owned());
    } else {
        console.warning(format!("invalid mail queue id: {id}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> Result<Options, Fatal> {
        parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn command_lines() {
        let all = check("-c /x -d ALL deferred hold").unwrap();
        assert_eq!(all.dir, Some("/x".into()));
        assert_eq!(all.actions, [('d', "ALL".to_owned())]);
        assert_eq!(all.queues, [QueueName::Deferred, QueueName::Hold]);
        assert!(check("-d X defer").unwrap().nowhere);
        assert_eq!(check("-psSv").unwrap(), Options::default());
        assert_eq!(check("-d X nosuch"), Err(Fatal::new("invalid directory name: nosuch")));
        assert_eq!(check("-x"), Err(Fatal::usage("invalid option -- 'x'", USAGE)));
        assert_eq!(check("-d"), Err(Fatal::usage("option requires an argument -- 'd'", USAGE)));
    }

    #[test]
    fn orders_from_arguments_and_input() {
        let console = Console::new("postsuper", None);
        let options = check("-d - -d A1 -h ALL").unwrap();
        let orders = options.orders(&console, &mut &b"B2\n\nbad id\nC3"[..]).unwrap();
        assert_eq!(
            orders.delete,
            Some(Order { all: false, ids: vec!["B2".into(), "C3".into(), "A1".into()] })
        );
        assert_eq!(orders.hold, Some(Order { all: true, ids: vec![] }));
        assert_eq!(orders.requeue, None);
        let mut orders = orders;
        orders.only(&["C3", "D4"].map(str::to_owned).into());
        let ids = |order: Option<Order>| order.map(|o| (o.all, o.ids.join(" ")));
        assert_eq!(ids(orders.delete), Some((false, "C3".into())));
        assert_eq!(ids(orders.hold), Some((false, "C3 D4".into())));
    }
}
