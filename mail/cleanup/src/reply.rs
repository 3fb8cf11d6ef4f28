//! The answers of cleanup: what an error says to a client, and to a sender in a notice.

use base_calls::SubmitError;
use base_spool::SpoolError;
use proto_dsn::Status;
use proto_message::mime::MimeError;

/// 554: more Received: headers than `hopcount_limit`.
pub(crate) fn too_many_hops() -> SubmitError {
    SubmitError::new(554, Status::new(5, 4, 0), "Error: too many hops")
}

/// 552: `message_size_limit`.
pub(crate) fn too_big() -> SubmitError {
    SubmitError::new(552, Status::new(5, 3, 4), "Error: message file too big")
}

/// 451: a lookup or the disk failed.
pub(crate) fn write_error() -> SubmitError {
    SubmitError::new(451, Status::new(4, 3, 0), "Error: queue file write error")
}

/// 451: virtual alias expansion got out of hand.
pub(crate) fn alias_expansion() -> SubmitError {
    SubmitError::new(451, Status::new(4, 6, 0), "Alias expansion error")
}

/// 550: nobody to deliver to.
pub(crate) fn no_recipients() -> SubmitError {
    SubmitError::new(550, Status::new(5, 1, 0), "no recipients specified")
}

/// 550: structure that is not allowed.
pub(crate) fn mime(error: MimeError) -> SubmitError {
    SubmitError::new(550, Status::new(5, 6, 0), error.text())
}

/// 550: `message_reject_characters`.
pub(crate) fn characters() -> SubmitError {
    SubmitError::new(550, Status::new(5, 7, 1), "disallowed character")
}

/// What a failure of the spool means to the client.
pub(crate) fn spool(error: &SpoolError) -> SubmitError {
    match error {
        SpoolError::Full => SubmitError::new(452, Status::new(4, 3, 1), "Insufficient system storage"),
        _ => write_error(),
    }
}

/// The text of a notice for an error.
pub(crate) fn notice_text(error: &SubmitError) -> &str {
    error.text.strip_prefix("Error: ").unwrap_or(&error.text)
}
