//! `reject_known_sender_login_mismatch`: the sender has owners, and the client has not logged in as one of them
//! (`smtpd_sender_login_maps`).

use super::{
    Rule,
    logins::{Refuses, check, record},
};

pub(crate) static RULE: Rule = record("reject_known_sender_login_mismatch", |c| {
    check(
        c,
        Refuses {
            strangers: true,
            others: true,
            unowned: false,
            told: &["reject_known_sender_login_mismatch"],
        },
    )
});
