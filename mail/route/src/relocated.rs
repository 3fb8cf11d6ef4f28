//! Users who have moved: relocated(5), `relocated_maps`, `relocated_prefix_enable`.
//!
//! Asked last, whatever the class and the transport of the address; the answer is a bounce with the text of the table.

use crate::{Router, transport::Spec};
use base_calls::{AddressClass, RouteError};
use base_tables::AddressForms;
use proto_address::split_domain;

impl Router {
    /// The `error` transport for an address that has moved.
    pub(crate) async fn relocated(
        &self,
        address: &str,
        class: AddressClass,
    ) -> Result<Option<Spec>, RouteError> {
        if self.relocated.is_empty() {
            return Ok(None);
        }
        let local = class == AddressClass::Local || self.is_origin(address);
        let forms = AddressForms::rewriting(local);
        let found = self.relocated.find_address(address, &self.config.recipient_delimiter, forms).await;
        let found = found.map_err(|_| self.lookup_failure(&self.relocated))?;
        Ok(found.map(|(text, _)| Spec { transport: "error".into(), nexthop: self.moved_to(&text) }))
    }

    fn moved_to(&self, text: &str) -> String {
        match self.config.relocated_prefix {
            true => format!("5.1.6 User has moved to {text}"),
            false => text.to_owned(),
        }
    }

    pub(crate) fn is_origin(&self, address: &str) -> bool {
        split_domain(address).1.is_some_and(|d| d.eq_ignore_ascii_case(&self.config.myorigin))
    }
}
