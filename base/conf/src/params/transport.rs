//! Parameters of per-transport limits and templates: SCHEDULER_README. Facts of postconf(5); sorted by name.

use super::{Param, int, template, text, time, yesno};

/// The group.
pub(super) const PARAMS: &[Param] = &[
    int("default_delivery_slot_cost", "5"),
    int("default_delivery_slot_discount", "50"),
    int("default_delivery_slot_loan", "3"),
    int("default_destination_concurrency_failed_cohort_limit", "1").used(),
    int("default_destination_concurrency_limit", "20").used(),
    text("default_destination_concurrency_negative_feedback", "1").used(),
    text("default_destination_concurrency_positive_feedback", "1").used(),
    time("default_destination_rate_delay", "0s").used(),
    int("default_destination_recipient_limit", "50").used(),
    int("default_extra_recipient_limit", "1000"),
    int("default_minimum_delivery_slots", "3"),
    int("default_recipient_limit", "20000"),
    time("default_recipient_refill_delay", "5s"),
    int("default_recipient_refill_limit", "100"),
    time("default_transport_rate_delay", "0s"),
    yesno("destination_concurrency_feedback_debug", "no"),
    int("initial_destination_concurrency", "5").used(),
    int("relay_destination_concurrency_limit", "$default_destination_concurrency_limit").used(),
    int("relay_destination_recipient_limit", "$default_destination_recipient_limit").used(),
    template("transport_delivery_slot_cost", "$default_delivery_slot_cost"),
    template("transport_delivery_slot_discount", "$default_delivery_slot_discount"),
    template("transport_delivery_slot_loan", "$default_delivery_slot_loan"),
    template(
        "transport_destination_concurrency_failed_cohort_limit",
        "$default_destination_concurrency_failed_cohort_limit",
    ),
    template("transport_destination_concurrency_limit", "$default_destination_concurrency_limit").used(),
    template(
        "transport_destination_concurrency_negative_feedback",
        "$default_destination_concurrency_negative_feedback",
    ),
    template(
        "transport_destination_concurrency_positive_feedback",
        "$default_destination_concurrency_positive_feedback",
    ),
    template("transport_destination_rate_delay", "$default_destination_rate_delay").used(),
    template("transport_destination_recipient_limit", "$default_destination_recipient_limit").used(),
    template("transport_extra_recipient_limit", "$default_extra_recipient_limit"),
    template("transport_initial_destination_concurrency", "$initial_destination_concurrency").used(),
    template("transport_minimum_delivery_slots", "$default_minimum_delivery_slots"),
    template("transport_recipient_limit", "$default_recipient_limit"),
    template("transport_recipient_refill_delay", "$default_recipient_refill_delay"),
    template("transport_recipient_refill_limit", "$default_recipient_refill_limit"),
    time("transport_retry_time", "60s").used(),
    template("transport_time_limit", "$command_time_limit").used(),
    template("transport_transport_rate_delay", "$default_transport_rate_delay"),
];
