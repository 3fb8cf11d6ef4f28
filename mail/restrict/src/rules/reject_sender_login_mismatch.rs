//! `reject_sender_login_mismatch`: the sender has owners and the client has not logged in as one of them, or it has logged in and nobody owns the sender
//! (`smtpd_sender_login_maps`).

use super::{
    Rule,
    logins::{Refuses, check, record},
};

/// What it stands for.
const TOLD: &[&str] =
    &["reject_authenticated_sender_login_mismatch", "reject_unauthenticated_sender_login_mismatch"];

pub(crate) static RULE: Rule = record("reject_sender_login_mismatch", |c| {
    check(c, Refuses { strangers: true, others: true, unowned: true, told: TOLD })
});
