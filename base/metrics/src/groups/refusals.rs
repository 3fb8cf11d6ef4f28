//! Refusals and other words of rules: counted with the line `NOQUEUE: reject: RCPT from …`.

use crate::{Page, Table};

/// By action (`reject`, `reject_warning`, `hold` …), restriction and reply code.
#[derive(Debug, Default)]
pub struct Refusals(Table<(&'static str, &'static str, u16)>);

/// The words that rules have for what they do; anything else is counted as `other`.
const ACTIONS: [&str; 16] = [
    "reject",
    "reject_warning",
    "permit",
    "warn",
    "info",
    "hold",
    "discard",
    "filter",
    "redirect",
    "bcc",
    "prepend",
    "milter-reject",
    "milter-hold",
    "milter-discard",
    "dmarc-reject",
    "dmarc-hold",
];

impl Refusals {
    /// A rule had its say. `restriction` is empty when it was none; `text` begins with the reply code, if there is one.
    pub fn add(&self, action: &str, restriction: &'static str, text: &str) {
        let action = ACTIONS.into_iter().find(|a| *a == action).unwrap_or("other");
        let code = text.get(..3).and_then(|t| t.parse().ok()).filter(|c| (400..600).contains(c)).unwrap_or(0);
        let key = (action, restriction, code);
        self.0.add(1, |k| *k == key, || key);
    }

    pub(crate) fn write(&self, page: &mut Page) {
        page.table(
            "hikyaku_rejects_total",
            "What restrictions and filters decided about clients' commands, by restriction and reply code.",
            ["action", "restriction", "code"],
            &self.0,
            |(action, restriction, code)| [(*action).to_owned(), (*restriction).to_owned(), code.to_string()],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_codes() {
        let refusals = Refusals::default();
        refusals.add("reject", "reject_unauth_destination", "554 5.7.1 <a@b>: Relay access denied");
        refusals.add("reject", "", "bare <LF> received");
        refusals.add("made up", "", "\u{e9}\u{e9}");
        let all: Vec<_> = refusals.0.iter().map(|(k, _)| *k).collect();
        let relay = ("reject", "reject_unauth_destination", 554);
        assert_eq!(all, [relay, ("reject", "", 0), ("other", "", 0)]);
    }
}
