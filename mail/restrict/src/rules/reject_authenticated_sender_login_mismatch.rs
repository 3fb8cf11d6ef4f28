//! `reject_authenticated_sender_login_mismatch`: the client has logged in, but does not own the sender
//! (`smtpd_sender_login_maps`).

use super::{
    Rule,
    logins::{Refuses, check, record},
};

pub(crate) static RULE: Rule = record("reject_authenticated_sender_login_mismatch", |c| {
    check(
        c,
        Refuses {
            strangers: false,
            others: true,
            unowned: true,
            told: &["reject_authenticated_sender_login_mismatch"],
        },
    )
});
