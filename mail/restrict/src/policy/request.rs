//! The attributes of a policy request, in the order of SMTPD_POLICY_README.

use crate::{Facts, Stage};
use std::borrow::Cow;

/// Parameters that policies are told.
pub(super) struct Of<'a> {
    pub(super) context: &'a str,
    pub(super) compatibility_level: &'a str,
    pub(super) mail_version: &'a str,
}

/// The bytes of the request.
pub(super) fn request(f: &Facts<'_>, of: &Of<'_>) -> Vec<u8> {
    let attributes = attributes(f, of);
    proto_wire::policy::request(attributes.iter().map(|(n, v)| (*n, v.as_ref())))
}

fn attributes<'a>(f: &'a Facts<'_>, of: &'a Of<'_>) -> Vec<(&'static str, Cow<'a, str>)> {
    let number = |n: u64| Cow::Owned(n.to_string());
    let port = |n: u16| if n == 0 { Cow::Borrowed("") } else { Cow::Owned(n.to_string()) };
    let text = |t: Option<&'a str>| Cow::Borrowed(t.unwrap_or_default());
    let (login, cert) = (f.login, f.client_cert());
    // A count makes sense when it is final.
    let counted = matches!(f.stage, Stage::Data | Stage::EndOfMessage);
    vec![
        ("request", "smtpd_access_policy".into()),
        ("protocol_state", f.stage.name().into()),
        ("protocol_name", f.protocol.into()),
        ("client_address", f.client.addr.as_str().into()),
        ("client_name", f.client.name.as_str().into()),
        ("client_port", port(f.client_port)),
        ("reverse_client_name", f.client.reverse_name.as_str().into()),
        ("server_address", f.client.server_ip.map_or("".into(), |ip| Cow::Owned(ip.to_string()))),
        ("server_port", port(f.server_port)),
        ("helo_name", text(f.helo)),
        ("sender", text(f.sender)),
        ("recipient", text(f.recipient)),
        ("recipient_count", number(if counted { f.recipients.into() } else { 0 })),
        ("queue_id", f.queue_id.map_or("".into(), |id| Cow::Owned(id.to_string()))),
        ("instance", Cow::Owned(format!("{:x}", f.instance))),
        ("size", number(f.size)),
        ("etrn_domain", text(f.etrn)),
        ("stress", if f.stressed { "yes".into() } else { "".into() }),
        ("sasl_method", text(login.map(|l| l.method.as_str()))),
        ("sasl_username", text(login.map(|l| l.username.as_str()))),
        ("sasl_sender", text(f.sasl_sender)),
        ("ccert_subject", text(cert.map(|c| c.subject.as_str()))),
        ("ccert_issuer", text(cert.map(|c| c.issuer.as_str()))),
        ("ccert_fingerprint", text(cert.map(|c| c.fingerprint.as_str()))),
        ("ccert_pubkey_fingerprint", text(cert.map(|c| c.pubkey_fingerprint.as_str()))),
        ("encryption_protocol", text(f.tls.map(|t| t.protocol.as_str()))),
        ("encryption_cipher", text(f.tls.map(|t| t.cipher.as_str()))),
        ("encryption_keysize", number(f.tls.map_or(0, |t| t.keysize.into()))),
        ("policy_context", of.context.into()),
        ("compatibility_level", of.compatibility_level.into()),
        ("mail_version", of.mail_version.into()),
        ("tls_sni", text(f.tls.map(|t| t.sni.as_str()))),
    ]
}
