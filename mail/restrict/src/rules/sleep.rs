//! `sleep seconds`: waits.

use super::{Ahead, Argument, Context, Rule};
use crate::{Verdict, list::Arg, verdict::Answer};
use std::time::Duration;

pub(crate) static RULE: Rule =
    Rule { argument: Argument::Seconds, ahead: Ahead::Passes, ..Rule::new("sleep", check) };

fn check(c: Context<'_>) -> Answer<'_> {
    let seconds = match c.arg {
        Arg::Text(text) => text.parse::<u16>().unwrap_or(0),
        _ => 0,
    };
    Answer::later(async move {
        tokio::time::sleep(Duration::from_secs(seconds.into())).await;
        Verdict::Dunno
    })
}
