//! Parameters of the queue manager: qmgr(8), oqmgr(8). Facts of postconf(5); sorted by name.

use super::{Param, int, text, time};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    text("default_filter_nexthop", "").used(),
    text("defer_transports", "").used(),
    time("maximal_backoff_time", "4000s").used(),
    time("maximal_queue_lifetime", "5d").used(),
    time("minimal_backoff_time", "300s").used(),
    time("qmgr_clog_warn_time", "300s"),
    time("qmgr_daemon_timeout", "1000s"),
    int("qmgr_fudge_factor", "100"),
    time("qmgr_ipc_timeout", "60s"),
    int("qmgr_message_active_limit", "20000").used(),
    int("qmgr_message_recipient_limit", "20000").used(),
    int("qmgr_message_recipient_minimum", "10").used(),
    time("queue_run_delay", "300s").used(),
];
