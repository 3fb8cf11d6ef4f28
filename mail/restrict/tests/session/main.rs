//! Restrictions as a session meets them, with the world around: name servers, policy servers, caches.

mod dns_lists;
mod greylist;
mod policy;
mod world;
