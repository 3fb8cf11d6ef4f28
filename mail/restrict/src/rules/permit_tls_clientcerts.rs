//! `permit_tls_clientcerts`: the client has proved its certificate, and `relay_clientcerts` lists it;
//! `permit_tls_all_clientcerts`: it is signed by somebody we trust (TLS_README). On a session without TLS nobody has one.

use super::{Permits, Rule};
use crate::Verdict;

pub(crate) static RULE: Rule = named("permit_tls_clientcerts");
pub(crate) static ALL: Rule = named("permit_tls_all_clientcerts");

const fn named(name: &'static str) -> Rule {
    Rule { permits: Permits::Client, ..Rule::new(name, |_| Verdict::Dunno.into()) }
}
