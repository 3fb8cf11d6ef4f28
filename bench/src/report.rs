//! Rows and ratios.

use crate::{
    instance::{Mta, Used},
    options::Options,
};
use std::{fmt, time::Duration};

/// The figures of one run, each per message or per second.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Messages delivered per second.
    pub rate: f64,
    /// Messages accepted per second.
    pub accepted: f64,
    /// CPU seconds per 1,000 messages.
    pub cpu: f64,
    /// Context switches per message.
    pub switches: f64,
    /// Bytes that the machine's disks wrote per message.
    pub written: f64,
    /// Peak memory of the largest process, MiB.
    pub peak: f64,
}

impl Row {
    /// From the raw figures of a run.
    pub fn new(count: u32, accepted: Duration, all: Duration, written: f64, used: Used) -> Self {
        let n = f64::from(count);
        Self {
            rate: n / all.as_secs_f64(),
            accepted: n / accepted.as_secs_f64(),
            cpu: used.cpu_us / n / 1000.0,
            switches: used.switches / n,
            written: written / n,
            peak: used.peak_kib / 1024.0,
        }
    }

    /// One line for the screen.
    pub fn line(&self, mta: Mta, run: u32) -> String {
        format!("{:8} run {run}: {self}", mta.name())
    }

    fn figures(&self) -> [f64; 6] {
        [self.rate, self.accepted, self.cpu, self.switches, self.written, self.peak]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:8.0} msg/s {:8.0} accepted/s {:7.3} CPU s/1000 {:6.1} switches/msg {:7.0} bytes written/msg {:6.1} MiB",
            self.rate, self.accepted, self.cpu, self.switches, self.written, self.peak
        )
    }
}

/// All runs.
pub struct Report {
    title: String,
    rows: Vec<(Mta, Row)>,
}

impl Report {
    /// An empty one.
    pub fn new(o: &Options) -> Self {
        let how = if o.persistent { "persistent" } else { "fresh" };
        let title = format!(
            "{}: {} messages of {} bytes, {} sessions, {how} connections",
            o.mode, o.count, o.size, o.sessions
        );
        Self { title, rows: Vec::new() }
    }

    /// Adds a run.
    pub fn add(&mut self, mta: Mta, row: Row) {
        self.rows.push((mta, row));
    }

    fn median(&self, mta: Mta) -> Row {
        let column = |i: usize| {
            let mut v: Vec<f64> = self.rows.iter().filter(|r| r.0 == mta).map(|r| r.1.figures()[i]).collect();
            v.sort_by(f64::total_cmp);
            v.get(v.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let [rate, accepted, cpu, switches, written, peak] = std::array::from_fn(column);
        Row { rate, accepted, cpu, switches, written, peak }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (theirs, ours) = (self.median(Mta::Postfix), self.median(Mta::Hikyaku));
        writeln!(f, "\n{} (medians)", self.title)?;
        writeln!(f, "postfix  {theirs}\nhikyaku  {ours}")?;
        let r = |a: f64, b: f64| if b == 0.0 { f64::NAN } else { a / b };
        write!(
            f,
            "ratio    {:.2}x msg/s, {:.2}x accepted/s, {:.3}x CPU, {:.3}x switches, {:.2}x bytes written",
            r(ours.rate, theirs.rate),
            r(ours.accepted, theirs.accepted),
            r(ours.cpu, theirs.cpu),
            r(ours.switches, theirs.switches),
            r(ours.written, theirs.written)
        )
    }
}
