//! `permit_rhswl_client domain[=value]`: like `permit_dnswl_client`, for the client's verified name.

use super::{About, Rule, dns::welcoming};

pub(crate) static RULE: Rule = welcoming("permit_rhswl_client", About::Client);
