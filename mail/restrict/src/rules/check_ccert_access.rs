//! `check_ccert_access type:table`: the fingerprints of the client's certificate and of its public key, by default in this
//! order; `{ type:table, { search_order = pubkey_fingerprint … } }` for another one. access(5), TLS_README.

use super::{Argument, Context, Rule};
use crate::{
    Verdict,
    verdict::{Answer, Kind, Subject},
};

pub(crate) static RULE: Rule =
    Rule { argument: Argument::CertTable, ..Rule::table("check_ccert_access", check) };

fn check(c: Context<'_>) -> Answer<'_> {
    if !c.facts.ccert_asked {
        c.warning("check_ccert_access is requested, but \"smtpd_tls_ask_ccert = no\"".to_owned());
        return Verdict::Dunno.into();
    }
    let Some(cert) = c.facts.client_cert() else { return Verdict::Dunno.into() };
    Answer::later(async move {
        for key in [cert.fingerprint.as_str(), cert.pubkey_fingerprint.as_str()] {
            if key.is_empty() {
                continue;
            }
            match c.lookup(Subject::new(key, Kind::Certificate), |l| l.exactly(key)).await {
                Verdict::Dunno => {}
                other => return other,
            }
        }
        Verdict::Dunno
    })
}
