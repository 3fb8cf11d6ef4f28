//! The typed requests and outcomes that pass between the stages of mail/.
//!
//! No stage imports another; what one asks of the next is a type or a trait of this crate, and
//! `programs/worker` wires implementations to them. Nothing here does IO. What is written to disk
//! (the envelope and its later changes) has its one binary form in [`codec`].
//!
//! Text rules: envelope addresses are UTF-8 (`str`) in *external-unquoted* form, that is
//! `user name@example.com` and not `"user name"@example.com`; the null sender is the empty string.
//! Content is bytes in *wire form*: every line ends with CRLF, no bare LF, no dot-stuffing.

pub mod codec;
mod content;
pub mod control;
pub mod courier;
mod deliver;
mod diagnosis;
mod envelope;
mod filters;
mod ids;
pub mod listing;
pub mod maildrop;
mod notice;
mod queue;
mod route;
mod submit;
mod time;
mod verify;
mod wanted;
pub mod wire;

pub use content::*;
pub use deliver::*;
pub use diagnosis::*;
pub use envelope::*;
pub use filters::*;
pub use ids::*;
pub use notice::*;
pub use queue::*;
pub use route::*;
pub use submit::*;
pub use time::*;
pub use verify::*;
pub use wanted::*;

/// A boxed future, so that stage traits stay object safe.
pub type Fut<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
