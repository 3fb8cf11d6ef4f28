//! Local submission, pickup(8): takes what `sendmail` and `postdrop` left in the maildrop folder and hands it to cleanup.
//!
//! The worker calls [`Pickup::wake`] when it is woken over `public/pickup`, and lets [`Pickup::run`] scan from time to
//! time. A file is removed only after the message is durable in the spool: a crash in between delivers
//! it twice, never not at all. On a temporary error the file stays for the next scan. A file that cannot be understood,
//! or that cleanup will not have, is moved to the `corrupt` folder, never removed. A file of Postfix's own form stays
//! where it is, for `postfix import-queue`.
//!
//! The folder is writable for a whole group (mode 1730) and its files belong to the users who submitted them, so
//! nothing in it is trusted: only regular files with one link, opened without following links and without
//! blocking; sizes bounded by [`base_calls::maildrop`]; the submitter is the owner of the file.
//!
//! `postdrop` makes a file under a name that starts with a dot, or with another mode than 0700 for its owner, and makes
//! it ready in one step when it is complete and synced: by renaming it, or by setting the execute bit.

mod file;
mod scan;
#[cfg(test)]
mod tests;

pub use scan::{Pickup, PickupConfig, Scanned, Scans};
