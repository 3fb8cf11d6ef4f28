//! Parameters of notices: bounce(8), and who gets them. Facts of postconf(5); sorted by name.

use super::{Param, int, text, time, yesno};

/// The group.
pub(super) const PARAMS: &[Param] = &[
    text("2bounce_notice_recipient", "postmaster"),
    yesno("backwards_bounce_logfile_compatibility", "yes"),
    text("bounce_notice_recipient", "postmaster"),
    time("bounce_queue_lifetime", "5d"),
    text("bounce_service_name", "bounce"),
    int("bounce_size_limit", "50000"),
    text("bounce_template_file", ""),
    yesno("confirm_delay_cleared", "no"),
    int("delay_logging_resolution_limit", "2").max(6),
    text("delay_notice_recipient", "postmaster"),
    time("delay_warning_time", "0h"),
    yesno("disable_verp_bounces", "no"),
    text("double_bounce_sender", "double-bounce"),
    yesno("enable_threaded_bounces", "no"),
    text("error_notice_recipient", "postmaster"),
    yesno("soft_bounce", "no"),
];
