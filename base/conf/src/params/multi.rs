//! Parameters of postmulti(1) instances. Facts of postconf(5); sorted by name.

use super::{Param, text, yesno};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    text("multi_instance_directories", "").used(),
    yesno("multi_instance_enable", "no"),
    text("multi_instance_group", ""),
    text("multi_instance_name", ""),
    text("multi_instance_wrapper", ""),
    text("postmulti_control_commands", "reload flush"),
    text("postmulti_start_commands", "start"),
    text("postmulti_stop_commands", "stop abort drain quick-stop"),
];
