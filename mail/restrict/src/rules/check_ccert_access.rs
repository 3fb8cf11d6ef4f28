//! `check_ccert_access type:table`: the fingerprints of the client's certificate and of its public key, by default in this
//! order; `{ type:table, { search_order = pubkey_fingerprint … } }` for another one. postconf(5), access(5), TLS_README.

use super::{Argument, Context, Rule};
use crate::{
    ClientCert, Verdict,
    list::Arg,
    verdict::{Answer, Kind, Subject},
};
use base_conf::list::{split, unbrace};

pub(crate) static RULE: Rule =
    Rule { argument: Argument::CertTable, ..Rule::table("check_ccert_access", check) };

/// A word of `search_order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Certificate,
    PublicKey,
}

/// In which order a table is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertOrder(Vec<By>);

impl CertOrder {
    /// The table and the order of `type:table` or `{ type:table, { name = value } … }`. `Err`: what the log says.
    pub(crate) fn parse(text: &str) -> Result<(&str, Self), String> {
        let mut words = split(unbrace(text)).into_iter();
        let table = words.next().unwrap_or_default();
        let mut order = Self(vec![By::Certificate, By::PublicKey]);
        for setting in words {
            let Some((name, value)) = unbrace(setting).split_once('=') else {
                return Err(format!("check_ccert_access: missing '=' after attribute name: \"{setting}\""));
            };
            match name.trim() {
                "search_order" => order = Self::words(value, text)?,
                other => return Err(format!("check_ccert_access: unexpected name: \"{other}\"")),
            }
        }
        Ok((table, order))
    }

    fn words(text: &str, all: &str) -> Result<Self, String> {
        let by = |word: &str| match word.to_ascii_lowercase().as_str() {
            "cert_fingerprint" => Ok(By::Certificate),
            "pubkey_fingerprint" => Ok(By::PublicKey),
            _ => Err(format!("unknown search type '{word}' in '{all}'")),
        };
        let order = split(text).into_iter().map(by).collect::<Result<Vec<By>, String>>()?;
        if order.is_empty() {
            return Err("check_ccert_access: empty search_order".to_owned());
        }
        Ok(Self(order))
    }

    fn keys<'a>(&self, cert: &'a ClientCert) -> impl Iterator<Item = &'a str> {
        let key = |by: &By| match by {
            By::Certificate => cert.fingerprint.as_str(),
            By::PublicKey => cert.pubkey_fingerprint.as_str(),
        };
        self.0.iter().map(key).filter(|key| !key.is_empty())
    }
}

fn check(c: Context<'_>) -> Answer<'_> {
    if !c.facts.ccert_asked {
        c.warning("check_ccert_access is requested, but \"smtpd_tls_ask_ccert = no\"".to_owned());
        return Verdict::Dunno.into();
    }
    let (Some(cert), Arg::CertTable(_, order)) = (c.facts.client_cert(), c.arg) else {
        return Verdict::Dunno.into();
    };
    Answer::later(async move {
        for key in order.keys(cert) {
            let subject = Subject::new(&cert.subject, Kind::Certificate);
            match c.lookup(subject, |l| l.exactly(key)).await {
                Verdict::Dunno => {}
                other => return other,
            }
        }
        Verdict::Dunno
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let cert =
            ClientCert { fingerprint: "C".into(), pubkey_fingerprint: "K".into(), ..ClientCert::default() };
        for (text, want) in [
            ("hash:x", "hash:x C K"),
            ("{ hash:x }", "hash:x C K"),
            ("{ hash:x, { search_order = pubkey_fingerprint } }", "hash:x K"),
            ("{ hash:x { search_order = pubkey_fingerprint, cert_fingerprint } }", "hash:x K C"),
            ("{hash:x, search_order=cert_fingerprint}", "hash:x C"),
            ("{ hash:x, { search_order = } }", "check_ccert_access: empty search_order"),
            (
                "{ hash:x, { search_order = sun } }",
                "unknown search type 'sun' in '{ hash:x, { search_order = sun } }'",
            ),
            ("{ hash:x, { order = y } }", "check_ccert_access: unexpected name: \"order\""),
            ("{ hash:x, more }", "check_ccert_access: missing '=' after attribute name: \"more\""),
        ] {
            let got = CertOrder::parse(text);
            let got = got.map(|(t, o)| [t].into_iter().chain(o.keys(&cert)).collect::<Vec<_>>().join(" "));
            assert_eq!(got.unwrap_or_else(|e| e), want, "{text}");
        }
    }
}
