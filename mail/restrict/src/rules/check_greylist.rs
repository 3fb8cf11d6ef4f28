//! `check_greylist`: who comes for the first time shall come again (an extension; docs/extensions.md).

use super::Rule;
use crate::verdict::Answer;

pub(crate) static RULE: Rule =
    Rule::new("check_greylist", |c| Answer::later(async move { c.restrict.greylisted(c.facts).await }));
