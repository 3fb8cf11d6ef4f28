//! `permit_tls_clientcerts`: the client has proved its certificate, and `relay_clientcerts` lists it (TLS_README). On a
//! session without TLS nobody has.

use super::{Permits, Rule};
use crate::Verdict;

pub(crate) static RULE: Rule =
    Rule { permits: Permits::Client, ..Rule::new("permit_tls_clientcerts", |_| Verdict::Dunno.into()) };
