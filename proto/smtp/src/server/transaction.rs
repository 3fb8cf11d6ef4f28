//! A mail transaction in progress: what MAIL said, and how many recipients were accepted.

use super::MailParams;

/// From MAIL to the end of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Address and parameters of MAIL.
    pub mail: MailParams,
    /// Accepted recipients.
    pub recipients: u32,
    /// Recipients beyond the limit.
    pub overshoot: u32,
}

/// Where a BDAT sequence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BdatState {
    /// No BDAT since the last MAIL.
    #[default]
    None,
    /// All chunks so far were taken.
    Open,
    /// A chunk was refused: the others are thrown away until LAST.
    Failed,
}
