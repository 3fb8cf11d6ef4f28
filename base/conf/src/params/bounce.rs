//! Parameters of notices: bounce(8), and who gets them. Facts of postconf(5); sorted by name.

use super::{Param, int, text, time, yesno};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    text("2bounce_notice_recipient", "postmaster").used(),
    yesno("backwards_bounce_logfile_compatibility", "yes"),
    text("bounce_notice_recipient", "postmaster").used(),
    time("bounce_queue_lifetime", "5d").used(),
    text("bounce_service_name", "bounce").used(),
    int("bounce_size_limit", "50000").used(),
    text("bounce_template_file", "").used(),
    yesno("confirm_delay_cleared", "no").used(),
    int("delay_logging_resolution_limit", "2").max(6),
    text("delay_notice_recipient", "postmaster").used(),
    time("delay_warning_time", "0h").used(),
    yesno("disable_verp_bounces", "no").used(),
    text("double_bounce_sender", "double-bounce").used(),
    yesno("enable_threaded_bounces", "no").used(),
    text("error_notice_recipient", "postmaster").used(),
    yesno("soft_bounce", "no").used(),
];
