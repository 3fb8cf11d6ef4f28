//! Parameters of Milters: MILTER_README. Facts of postconf(5); sorted by name.

use super::{Param, text, time};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    time("milter_command_timeout", "30s").used(),
    text("milter_connect_macros", "j {daemon_name} {daemon_addr} v _").used(),
    time("milter_connect_timeout", "30s").used(),
    time("milter_content_timeout", "300s").used(),
    text("milter_data_macros", "i").used(),
    text("milter_default_action", "shutdown").used(),
    text("milter_end_of_data_macros", "i").used(),
    text("milter_end_of_header_macros", "i").used(),
    text("milter_header_checks", "").used(),
    text("milter_helo_macros", "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}").used(),
    text("milter_macro_daemon_name", "$myhostname").used(),
    text("milter_macro_defaults", "").used(),
    text("milter_macro_v", "$mail_name $mail_version").used(),
    text("milter_mail_macros", "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}").used(),
    text("milter_protocol", "6").used(),
    text("milter_rcpt_macros", "i {rcpt_addr} {rcpt_host} {rcpt_mailer}").used(),
    text("milter_unknown_command_macros", "").used(),
    text("non_smtpd_milters", "").used(),
];
