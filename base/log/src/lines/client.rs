//! `ID: client=host[address], sasl_method=…, sasl_username=…` (smtpd).

use super::Line;

/// A message got its queue id.
pub struct Client<'a> {
    /// Queue id, or `NOQUEUE`.
    pub id: &'a str,
    /// Verified name or `unknown`.
    pub name: &'a str,
    /// Address.
    pub addr: &'a str,
    /// `:port` or nothing (`smtpd_client_port_logging`).
    pub port: &'a str,
    /// More attributes in order: `sasl_method`, `sasl_username`, `sasl_sender`, `orig_queue_id`, `orig_client`;
    /// an empty value is left out.
    pub more: &'a [(&'static str, &'a str)],
}

impl Line for Client<'_> {
    fn event(&self) -> &'static str {
        "client"
    }

    fn text(&self, out: &mut String) {
        out.push_str(self.id);
        for part in [": client=", self.name, "[", self.addr, "]", self.port] {
            out.push_str(part);
        }
        for (name, value) in self.more.iter().filter(|(_, v)| !v.is_empty()) {
            for part in [", ", *name, "=", *value] {
                out.push_str(part);
            }
        }
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("queue_id", self.id);
        each("client_name", self.name);
        each("client_address", self.addr);
        for (name, value) in self.more.iter().filter(|(_, v)| !v.is_empty()) {
            each(name, value);
        }
    }
}
