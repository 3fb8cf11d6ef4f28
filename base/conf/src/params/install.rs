//! Parameters of file locations and what is installed: postfix(1). Facts of postconf(5); sorted by name.

use super::{Param, builtin, text};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    text("alternate_config_directories", "").used(),
    text("command_directory", "/usr/sbin").used(),
    builtin("config_directory", "/etc/postfix").used(),
    text("daemon_directory", "/usr/lib/postfix/sbin").used(),
    text("data_directory", "/var/lib/postfix").used(),
    text("default_privs", "nobody").used(),
    text("html_directory", "/usr/share/doc/postfix/html"),
    text("mail_owner", "postfix").used(),
    text("mail_release_date", "20260305"),
    text("mail_version", "3.11.0").used(),
    text("mailq_path", "/usr/bin/mailq"),
    text("manpage_directory", "/usr/share/man"),
    text("meta_directory", "/etc/postfix"),
    text("newaliases_path", "/usr/bin/newaliases"),
    text("openssl_path", "openssl"),
    text("process_id_directory", "pid"),
    text("queue_directory", "/var/spool/postfix").used(),
    text("readme_directory", "/usr/share/doc/postfix"),
    text("sample_directory", "/etc/postfix"),
    text("sendmail_path", "/usr/sbin/sendmail"),
    text("setgid_group", "postdrop").used(),
    text("shlib_directory", "/usr/lib/postfix"),
];
