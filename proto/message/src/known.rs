//! The headers that a mail system treats in a way of their own: one sorted table.

/// What is known of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Name in its usual spelling.
    pub name: &'static str,
    /// Which one.
    pub id: Id,
    /// Holds addresses of the sender's side (`header_sender` rewriting).
    pub sender: bool,
    /// Holds addresses of recipients.
    pub recipient: bool,
    /// Recipients of `sendmail -t` are taken from it.
    pub extract: bool,
    /// One of the `Resent-` headers.
    pub resent: bool,
}

/// The headers of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Id {
    ApparentlyTo,
    Bcc,
    Cc,
    ContentDescription,
    ContentDisposition,
    ContentId,
    ContentLength,
    ContentTransferEncoding,
    ContentType,
    Date,
    DeliveredTo,
    DispositionNotificationTo,
    ErrorsTo,
    From,
    MailFollowupTo,
    MessageId,
    MimeVersion,
    Received,
    ReplyTo,
    ResentBcc,
    ResentCc,
    ResentDate,
    ResentFrom,
    ResentMessageId,
    ResentReplyTo,
    ResentSender,
    ResentTo,
    ReturnPath,
    ReturnReceiptTo,
    Sender,
    To,
}

const fn plain(name: &'static str, id: Id) -> Known {
    Known { name, id, sender: false, recipient: false, extract: false, resent: false }
}

const fn sender(name: &'static str, id: Id) -> Known {
    Known { sender: true, ..plain(name, id) }
}

const fn recipient(name: &'static str, id: Id, extract: bool) -> Known {
    Known { recipient: true, extract, ..plain(name, id) }
}

const fn resent(known: Known) -> Known {
    Known { resent: true, ..known }
}

/// Sorted by name, ignoring case.
pub const KNOWN: [Known; 31] = [
    recipient("Apparently-To", Id::ApparentlyTo, false),
    recipient("Bcc", Id::Bcc, true),
    recipient("Cc", Id::Cc, true),
    plain("Content-Description", Id::ContentDescription),
    plain("Content-Disposition", Id::ContentDisposition),
    plain("Content-ID", Id::ContentId),
    plain("Content-Length", Id::ContentLength),
    plain("Content-Transfer-Encoding", Id::ContentTransferEncoding),
    plain("Content-Type", Id::ContentType),
    plain("Date", Id::Date),
    plain("Delivered-To", Id::DeliveredTo),
    sender("Disposition-Notification-To", Id::DispositionNotificationTo),
    sender("Errors-To", Id::ErrorsTo),
    sender("From", Id::From),
    recipient("Mail-Followup-To", Id::MailFollowupTo, false),
    plain("Message-Id", Id::MessageId),
    plain("MIME-Version", Id::MimeVersion),
    plain("Received", Id::Received),
    sender("Reply-To", Id::ReplyTo),
    resent(recipient("Resent-Bcc", Id::ResentBcc, true)),
    resent(recipient("Resent-Cc", Id::ResentCc, true)),
    resent(plain("Resent-Date", Id::ResentDate)),
    resent(sender("Resent-From", Id::ResentFrom)),
    resent(plain("Resent-Message-Id", Id::ResentMessageId)),
    resent(recipient("Resent-Reply-To", Id::ResentReplyTo, false)),
    resent(sender("Resent-Sender", Id::ResentSender)),
    resent(recipient("Resent-To", Id::ResentTo, true)),
    sender("Return-Path", Id::ReturnPath),
    sender("Return-Receipt-To", Id::ReturnReceiptTo),
    sender("Sender", Id::Sender),
    recipient("To", Id::To, true),
];

/// Looks a name up, ignoring case.
pub fn known(name: &[u8]) -> Option<&'static Known> {
    let lower = |b: &u8| b.to_ascii_lowercase();
    let found = KNOWN.binary_search_by(|k| k.name.as_bytes().iter().map(lower).cmp(name.iter().map(lower)));
    found.ok().and_then(|i| KNOWN.get(i))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_found() {
        for k in &KNOWN {
            assert_eq!(known(k.name.to_uppercase().as_bytes()), Some(k));
        }
        assert_eq!(known(b"X-To"), None);
        assert_eq!(known(b""), None);
    }
}
