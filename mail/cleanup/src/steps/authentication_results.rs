//! `authentication_methods`: judges mail from outside, and says so in Authentication-Results: and Received-SPF: headers on top; headers that
//! claim to be ours are taken out (RFC 8601 5). `dmarc_actions`: what a domain wants to happen to mail that it did not send.

use super::{Phase, Step};
use crate::{authentication::Authentication, edits::Edited, message::Message, reply};
use base_auth::{
    Findings, Question, Section, Unreadable, claims_to_be,
    dmarc::{Policy, report},
    examine,
    spf::{Client, Identity, received_spf},
};
use base_calls::{MessageAction, Origin, SubmitError, Timestamp};
use proto_dsn::Status;
use std::net::IpAddr;

pub(super) const STEP: Step =
    Step { name: "authentication_methods", phase: Phase::End(|m| super::if_asked(m, |m| Box::pin(run(m)))) };

async fn run(m: &mut Message) {
    let core = m.core.clone();
    let Some(authentication) = core.authentication.get().and_then(Option::as_ref) else { return };
    let Some(ip) = judged(m, authentication).await else { return };
    if let Err(error) = judge(m, authentication, ip).await {
        m.warn(&format!("message not judged: {}", error.text));
        m.refuse(error);
    }
}

/// The client, when its mail is to be judged.
async fn judged(m: &mut Message, authentication: &Authentication) -> Option<IpAddr> {
    let client = &m.envelope.client;
    let from_outside = m.envelope.origin == Origin::Smtpd && client.sasl_username.is_empty();
    if !from_outside || m.options.no_milters || m.config().authentication.methods.is_empty() || m.has_notice()
    {
        return None;
    }
    let ip = client.addr.parse().ok()?;
    authentication.judges(&client.name, ip).await.then_some(ip)
}

async fn judge(m: &mut Message, authentication: &Authentication, ip: IpAddr) -> Result<(), SubmitError> {
    let config = m.core.config.clone();
    let c = &config.authentication;
    let content = m.out.content();
    let section = Section::read(&content, true).map_err(unreadable)?;
    let envelope = &m.envelope;
    let client =
        Client { ip, helo: &envelope.client.helo, sender: &envelope.sender, receiver: &config.myhostname };
    let question = Question {
        section: &section,
        content: &content,
        client: Some(client),
        now: Timestamp::now().secs(),
        lot: lot(m),
    };
    let found = examine(authentication.dns.as_ref(), &question, c.methods).await.map_err(unreadable)?;
    let mut edited = Edited::scan(&content).map_err(|_| reply::write_error())?;
    remove_false_ones(&section, &c.our_name, &mut edited);
    if let Some((spf, _)) = found.spf.as_ref().filter(|_| c.received_spf) {
        let value = received_spf(spf, &client, Identity::MailFrom);
        edited.insert(0, Some(format!("Received-SPF: {value}\r\n").into_bytes()));
    }
    let value = found.value(&c.our_name);
    edited.insert(0, Some(format!("Authentication-Results: {value}\r\n").into_bytes()));
    edited.write(&mut m.out)?;
    act(m, authentication, &found, ip);
    m.findings = Some(Box::new(found));
    Ok(())
}

fn remove_false_ones(section: &Section, our_name: &str, edited: &mut Edited) {
    let claims: Vec<bool> =
        section.values("authentication-results").map(|value| claims_to_be(value, our_name)).collect();
    for (at, _) in claims.iter().enumerate().rev().filter(|(_, ours)| **ours) {
        edited.change(b"Authentication-Results", u32::try_from(at + 1).unwrap_or(u32::MAX), None);
    }
}

/// Does what the domain in From: wants, and counts it for its report.
fn act(m: &mut Message, authentication: &Authentication, found: &Findings, ip: IpAddr) {
    let Some(dmarc) = &found.dmarc else { return };
    let config = m.core.config.clone();
    let c = &config.authentication;
    let done = match dmarc.disposition {
        Policy::Reject if c.dmarc_reject => {
            let text = format!("message refused by the DMARC policy of {}", dmarc.domain);
            m.log_decision("dmarc-reject", "END-OF-MESSAGE", &format!("5.7.1 {text}"), true);
            m.refuse(SubmitError::new(550, Status::new(5, 7, 1), text));
            Policy::Reject
        }
        Policy::Reject | Policy::Quarantine if c.dmarc_quarantine => {
            m.log_decision(
                "dmarc-hold",
                "END-OF-MESSAGE",
                &format!("DMARC policy of {}", dmarc.domain),
                true,
            );
            m.apply(MessageAction::Hold);
            Policy::Quarantine
        }
        _ => Policy::None,
    };
    let Some(cache) = authentication.reports.as_ref().filter(|_| report::counts(dmarc)) else { return };
    if let Some(row) = report::Row::of(found, ip, done) {
        cache.add(&row.key(), 1);
    }
}

/// A number below 100 that does not follow from anything that the sender knows.
fn lot(m: &Message) -> u8 {
    u8::try_from(m.id.time.micros() % 100).unwrap_or(0)
}

fn unreadable(error: Unreadable) -> SubmitError {
    match error {
        Unreadable::TooLarge => {
            SubmitError::new(550, Status::new(5, 6, 0), "header section too large to be judged")
        }
        Unreadable::Io => reply::write_error(),
    }
}
