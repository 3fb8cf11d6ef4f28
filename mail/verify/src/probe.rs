//! A probe: a message without content of its own, for one address, that is never delivered.

use crate::VerifyConfig;
use base_calls::{Envelope, Origin, QueueId, Recipient, Submit, SubmitError, SubmitOptions, Timestamp};

/// See `Envelope::is_probe`.
const ATTRIBUTE: &str = "verify_probe";
/// Characters of the part of the sender that changes with time.
const DIGITS: &[u8] = b"0123456789bcdfghjklmnpqrstvwxz";

/// Queues a probe; `now` in seconds since 1970.
pub(crate) async fn send(
    config: &VerifyConfig,
    submit: &dyn Submit,
    address: &str,
    now: u64,
) -> Result<QueueId, SubmitError> {
    let arrival = Timestamp::now();
    let envelope = Envelope {
        arrival,
        sender: sender(config, now),
        origin: Origin::Internal,
        smtputf8: config.detects_utf8 && !address.is_ascii(),
        rewrite_local: true,
        attributes: vec![(ATTRIBUTE.to_owned(), "yes".to_owned())],
        ..Envelope::default()
    };
    let mut submission = submit.open(envelope, SubmitOptions::INTERNAL)?;
    submission.recipient(Recipient {
        address: address.to_owned(),
        original: address.to_owned(),
        ..Recipient::default()
    });
    let id = submission.queue_id();
    let received = format!(
        "Received: by {} ({})\r\n\tid {id}; {}\r\n",
        config.myhostname,
        config.mail_name,
        arrival.mail_date()
    );
    submission.content(received.as_bytes()).await?;
    Ok(submission.finish().await?.id)
}

/// `address_verify_sender`, with a part that changes every `address_verify_sender_ttl` behind its local part.
fn sender(config: &VerifyConfig, now: u64) -> String {
    let ttl = config.sender_ttl.as_secs();
    if config.sender.is_empty() || ttl == 0 {
        return config.sender.clone();
    }
    let (local, domain) = match config.sender.rsplit_once('@') {
        Some((local, domain)) => (local, format!("@{domain}")),
        None => (config.sender.as_str(), String::new()),
    };
    format!("{local}{}{domain}", digits(now / ttl))
}

/// A number in letters and digits that form no words.
fn digits(mut n: u64) -> String {
    let base = DIGITS.len() as u64;
    let mut out = Vec::new();
    while n > 0 {
        let digit = usize::try_from(n % base).ok().and_then(|i| DIGITS.get(i));
        out.extend(digit.copied().map(char::from));
        n /= base;
    }
    out.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_conf::Config;

    #[test]
    fn senders() {
        let at = |main: &str, now| {
            let config = VerifyConfig::from_config(&Config::from_text(main)).expect("config");
            sender(&config, now)
        };
        assert_eq!(at("", 1), "double-bounce");
        assert_eq!(at("address_verify_sender = <>\naddress_verify_sender_ttl = 1h", 1), "");
        assert_eq!(at("address_verify_sender =", 1), "");
        let ttl = "address_verify_sender = p@x.test\naddress_verify_sender_ttl = 1000s";
        assert_eq!(at(ttl, 30_000_000), "p1030@x.test".replace("1030", &digits(30_000)));
        assert_eq!(at(ttl, 30_000_999), at(ttl, 30_000_000));
        assert_ne!(at(ttl, 30_001_000), at(ttl, 30_000_000));
        assert_eq!(digits(31), "11");
    }
}
