//! Asking whether an address can be delivered to (verify(8), ADDRESS_VERIFICATION_README): [`Verify`], for
//! `reject_unverified_sender` and `reject_unverified_recipient`; implemented by mail/verify.

use crate::Fut;
use std::time::Duration;

/// What is known of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deliverable {
    /// A probe was accepted.
    Yes,
    /// A probe was deferred: not known now, and not for a while.
    Deferred,
    /// A probe was refused for good.
    No,
    /// A probe is under way.
    Unknown,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The verdict.
    pub status: Deliverable,
    /// Why, as the log of the probe has it: `host x[…] said: 550 …`. For [`Deliverable::Unknown`]
    /// `Address verification in progress`.
    pub text: String,
}

/// The cache of verified addresses, and the probes that fill it.
pub trait Verify: Send + Sync {
    /// What is known of `address` (external-unquoted form, as the client gave it). When nothing is, or it is due for a
    /// refresh, a probe is started. Waits up to `wait` (one less than `address_verify_poll_count` times
    /// `address_verify_poll_delay`: with a count of 1 nobody waits) for a
    /// verdict, then answers [`Deliverable::Unknown`]. Never fails: a cache that does not answer counts as empty.
    fn verify<'a>(&'a self, address: &'a str, wait: Duration) -> Fut<'a, Verified>;
}
