//! A page in Prometheus' text form, version 0.0.4.

use crate::{Counter, Histogram, Table, counter::BOUNDS};
use std::fmt::Write;

/// The page as it grows.
#[derive(Debug, Default)]
pub struct Page(String);

/// The labels of one series.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Starts a family.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One series of the family that was started.
    pub fn series(&mut self, name: &str, labels: Labels<'_>, value: impl std::fmt::Display) {
        self.0.push_str(name);
        self.labels(labels, None);
        let _ = writeln!(self.0, " {value}");
    }

    /// A family with one series that only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.series(name, &[], value);
    }

    /// A family with one series that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.series(name, &[], value);
    }

    /// A family of counters with one label.
    pub fn counters(&mut self, name: &str, help: &str, label: &str, series: &[(&str, &Counter)]) {
        self.family(name, "counter", help);
        for (value, counter) in series {
            self.series(name, &[(label, value)], counter.get());
        }
    }

    /// The family of a table; what found no place stands under `other`.
    pub fn table<'k, K: 'k, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        table: &'k Table<K>,
        values: impl Fn(&'k K) -> [String; N],
    ) {
        self.family(name, "counter", help);
        for (key, count) in table.iter() {
            let values = values(key);
            let pairs: Vec<(&str, &str)> =
                labels.into_iter().zip(values.iter().map(String::as_str)).collect();
            self.series(name, &pairs, count);
        }
        if table.others() > 0 {
            let pairs = labels.map(|l| (l, "other"));
            self.series(name, &pairs, table.others());
        }
    }

    /// One histogram of the family that was started.
    pub fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        let (buckets, count, sum) = histogram.read();
        let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, n) in bounds.zip(buckets.iter().chain([&count])) {
            let _ = write!(self.0, "{name}_bucket");
            self.labels(labels, Some(&bound));
            let _ = writeln!(self.0, " {n}");
        }
        self.series(&format!("{name}_sum"), labels, sum);
        self.series(&format!("{name}_count"), labels, count);
    }

    fn labels(&mut self, labels: Labels<'_>, le: Option<&str>) {
        let all = labels.iter().copied().chain(le.map(|bound| ("le", bound)));
        let mut separator = '{';
        for (name, value) in all {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{separator}{name}=\"{value}\"");
            separator = ',';
        }
        if separator == ',' {
            self.0.push('}');
        }
    }

    /// The page.
    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let mut page = Page::default();
        page.gauge("hikyaku_a", "One.", 1.5);
        page.family("hikyaku_b", "counter", "Two.");
        page.series("hikyaku_b", &[("x", "a\"\\\n"), ("y", "z")], 2);
        assert_eq!(
            page.into_text(),
            "# HELP hikyaku_a One.\n# TYPE hikyaku_a gauge\nhikyaku_a 1.5\n\
             # HELP hikyaku_b Two.\n# TYPE hikyaku_b counter\nhikyaku_b{x=\"a\\\"\\\\\\n\",y=\"z\"} 2\n"
        );
    }
}
