//! The registry of the doctor's checks: one record per file, one word here, sorted by name.

mod certificates;
mod clock;
mod disk;
mod listed;
mod outbound;
mod permissions;
pub mod queue;
mod resolver;
mod reverse_name;

use super::Check;

/// All of them.
pub const ALL: &[&Check] = &[
    &certificates::CHECK,
    &clock::CHECK,
    &disk::CHECK,
    &listed::CHECK,
    &outbound::CHECK,
    &permissions::CHECK,
    &queue::CHECK,
    &resolver::CHECK,
    &reverse_name::CHECK,
];
