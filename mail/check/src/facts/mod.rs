//! What administrators should know and configurations do not say: restrictions and where they work, names of the past,
//! blocklists that closed, programs of master.cf. Facts only; the rules act on them.

pub mod blocklists;
pub mod daemons;
pub mod old_names;
pub mod restrictions;
