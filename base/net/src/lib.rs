//! Sockets for everybody: endpoint names, connecting, listening, and [`LineStream`], the buffered reader and writer
//! under every text protocol of the server.
//!
//! - [`Endpoint`]: `host:port`, `[v6]:port`, `inet:host:port`, `unix:path`, service names of /etc/services.
//! - [`connect`], [`connect_unix`]: one attempt to one address, with a source address and a time limit.
//! - [`Listener`]: bound here or taken over as an inherited descriptor.
//! - [`LineStream`]: lines with a length limit, bulk reading, one write per batch of replies, time limits and
//!   deadlines with a minimum data rate. Buffers exist only while there is something in them.
//!
//! Nothing here resolves host names (base/dns does) and nothing retries; callers decide. Every wait on a peer has a
//! time limit that the caller sets.

mod connect;
mod endpoint;
mod error;
mod listen;
mod protocols;
mod public;
mod services;
mod socket;
mod stream;
mod timing;

pub use connect::{ConnectOptions, connect, connect_unix};
pub use endpoint::{BadEndpoint, Endpoint, split_host_port};
pub use error::{NetError, os_text};
pub use listen::{Listener, bind};
pub use protocols::{BadProtocols, Protocols};
pub use public::is_public;
pub use services::{Services, port_number};
pub use socket::{BoxIo, Io, PeerAddr, Socket};
pub use stream::{Ending, Excess, Line, LineStream, NotEmpty};
