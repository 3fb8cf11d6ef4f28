//! STARTTLS (RFC 3207).

use crate::connection::Connection;
use base_net::NetError;
use proto_dsn::Status;
use proto_smtp::{
    Reply,
    server::{Next, Verdict},
};

impl Connection {
    pub(crate) async fn starttls(&mut self) -> Result<Next, NetError> {
        let reply = Reply::new(454, Status::new(4, 7, 0), "TLS not available due to local problem");
        Ok(self.session.answer(Verdict::Refuse(reply)))
    }
}
