//! Parameters of the local delivery agent: local(8), aliases(5), pipe(8). Facts of postconf(5); sorted by name.

use super::{Param, int, long, raw, text, time, yesno};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    text("alias_maps", "$default_database_type:/etc/aliases").used(),
    text("allow_mail_to_commands", "alias, forward").used(),
    text("allow_mail_to_files", "alias, forward").used(),
    yesno("biff", "yes"),
    raw("command_execution_directory", "").used(),
    text("command_expansion_filter", "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ").used(),
    time("command_time_limit", "1000s").used(),
    int("duplicate_filter_limit", "1000").used(),
    text("execution_directory_expansion_filter", "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ").used(),
    yesno("expand_owner_alias", "no").used(),
    text("fallback_transport", "").used(),
    text("fallback_transport_maps", "").used(),
    text("forward_expansion_filter", "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ").used(),
    raw("forward_path", "$home/.forward${recipient_delimiter}${extension}, $home/.forward").used(),
    yesno("frozen_delivered_to", "yes").used(),
    text("home_mailbox", "").used(),
    text("local_command_shell", "").used(),
    text("local_delivery_status_filter", "$default_delivery_status_filter").used(),
    raw("luser_relay", "").used(),
    text("mail_spool_directory", "/var/mail").used(),
    raw("mailbox_command", "").used(),
    text("mailbox_command_maps", "").used(),
    text("mailbox_delivery_lock", "fcntl, dotlock").used(),
    long("mailbox_size_limit", "51200000").used(),
    text("mailbox_transport", "").used(),
    text("mailbox_transport_maps", "").used(),
    text("pipe_delivery_status_filter", "$default_delivery_status_filter").used(),
    text("prepend_delivered_header", "command, file, forward").used(),
    text("propagate_unmatched_extensions", "canonical, virtual").used(),
    yesno("require_home_directory", "no").used(),
    yesno("reset_owner_alias", "no").used(),
    yesno("strict_mailbox_ownership", "yes").used(),
    yesno("sun_mailtool_compatibility", "no"),
];
