//! Sessions of clients: counted with the lines `connect from` and `disconnect from`.

use crate::{Counter, Page, Table};

/// Sessions and commands.
#[derive(Debug, Default)]
pub struct Smtpd {
    /// Sessions begun.
    pub connects: Counter,
    /// Sessions ended.
    pub disconnects: Counter,
    commands: Table<(&'static str, bool)>,
}

impl Smtpd {
    /// A session gave this command so often; `ok`: with success.
    pub fn commands(&self, name: &'static str, ok: bool, n: u32) {
        if n > 0 {
            self.commands.add(n.into(), |k| *k == (name, ok), || (name, ok));
        }
    }

    pub(crate) fn write(&self, page: &mut Page) {
        page.counter("hikyaku_smtpd_connects_total", "Sessions of clients that began.", self.connects.get());
        page.counter(
            "hikyaku_smtpd_disconnects_total",
            "Sessions of clients that ended.",
            self.disconnects.get(),
        );
        page.table(
            "hikyaku_smtpd_commands_total",
            "Commands of clients, counted when their session ends.",
            ["command", "outcome"],
            &self.commands,
            |(name, ok)| [(*name).to_owned(), if *ok { "ok" } else { "refused" }.to_owned()],
        );
    }
}
