//! Aggregate reports: what was seen of mail in a domain's name, counted by client and result, for the domain (RFC 7489 7.2, appendix C).
//!
//! A [`Row`] is what equal messages have in common; its text form is the key of a counter in a cache. [`xml`] makes the report.

use super::{Dmarc, Policy, Record};
use crate::{Findings, MethodResult};
use std::{fmt::Write, net::IpAddr};

/// What equal messages have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where the record stands: whom the report is for.
    pub policy_domain: String,
    /// Fields of the report in order: client, disposition, aligned DKIM and SPF, From: domain, the domains and results judged.
    fields: Vec<String>,
}

/// Between the fields of a row; stands in no domain.
const SEPARATOR: char = '\t';
/// Domains of signatures that a row tells.
const MAX_SIGNATURES: usize = 4;

impl Row {
    /// Of a judged message; `None`: nobody wants to hear of it. `disposition`: what was done.
    pub fn of(found: &Findings, client: IpAddr, disposition: Policy) -> Option<Self> {
        let dmarc = found.dmarc.as_ref()?;
        dmarc.record.as_ref().filter(|r| !r.reports_to.is_empty())?;
        let passed = |ok: bool| if ok { "pass" } else { "fail" }.to_owned();
        let mut fields = vec![
            client.to_string(),
            disposition.name().to_owned(),
            passed(dmarc.dkim_aligned),
            passed(dmarc.spf_aligned),
            dmarc.domain.clone(),
        ];
        match &found.spf {
            Some((spf, _)) => fields.extend([spf.domain.clone(), spf.result.name().to_owned()]),
            None => fields.extend([String::new(), "none".to_owned()]),
        }
        for d in found.dkim.iter().flatten().filter(|d| !d.domain.is_empty()).take(MAX_SIGNATURES) {
            fields.extend([d.domain.clone(), d.selector.clone(), d.result.name().to_owned()]);
        }
        let clean = |f: String| f.chars().filter(|c| !c.is_control()).take(255).collect();
        Some(Self {
            policy_domain: dmarc.policy_domain.clone(),
            fields: fields.into_iter().map(clean).collect(),
        })
    }

    /// As the key of a counter.
    pub fn key(&self) -> String {
        format!("{}{SEPARATOR}{}", self.policy_domain, self.fields.join("\t"))
    }

    /// From the key of a counter.
    pub fn parse(key: &str) -> Option<Self> {
        let mut fields = key.split(SEPARATOR).map(str::to_owned);
        let row = Self { policy_domain: fields.next()?, fields: fields.collect() };
        (row.fields.len() >= 7).then_some(row)
    }
}

/// What a report is about.
pub struct Report<'a> {
    /// Who reports: our name, and an address for questions.
    pub organization: &'a str,
    /// The sender of the report.
    pub address: &'a str,
    /// Unique among our reports.
    pub id: &'a str,
    /// Seconds since 1970: from, to.
    pub span: (u64, u64),
    /// Whom it is for.
    pub domain: &'a str,
    /// What the domain asks for.
    pub record: &'a Record,
    /// Rows and how many messages each stands for.
    pub rows: &'a [(Row, u64)],
}

/// The report as XML (RFC 7489, appendix C).
pub fn xml(r: &Report<'_>) -> String {
    let mut out =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feedback>\n <version>1.0</version>\n");
    let mode = |strict: bool| if strict { "s" } else { "r" };
    let _ = write!(
        out,
        " <report_metadata>\n  <org_name>{}</org_name>\n  <email>{}</email>\n  <report_id>{}</report_id>\n  \
         <date_range><begin>{}</begin><end>{}</end></date_range>\n </report_metadata>\n \
         <policy_published>\n  <domain>{}</domain>\n  <adkim>{}</adkim>\n  <aspf>{}</aspf>\n  <p>{}</p>\n  \
         <sp>{}</sp>\n  <pct>{}</pct>\n </policy_published>\n",
        escaped(r.organization),
        escaped(r.address),
        escaped(r.id),
        r.span.0,
        r.span.1,
        escaped(r.domain),
        mode(r.record.strict_dkim),
        mode(r.record.strict_spf),
        r.record.policy.name(),
        r.record.subdomains.name(),
        r.record.percent,
    );
    for (row, count) in r.rows {
        record_xml(row, *count, &mut out);
    }
    out.push_str("</feedback>\n");
    out
}

fn record_xml(row: &Row, count: u64, out: &mut String) {
    let field = |n: usize| row.fields.get(n).map(|f| escaped(f)).unwrap_or_default();
    let _ = write!(
        out,
        " <record>\n  <row>\n   <source_ip>{}</source_ip>\n   <count>{count}</count>\n   <policy_evaluated>\
         <disposition>{}</disposition><dkim>{}</dkim><spf>{}</spf></policy_evaluated>\n  </row>\n  \
         <identifiers><header_from>{}</header_from></identifiers>\n  <auth_results>\n",
        field(0),
        field(1),
        field(2),
        field(3),
        field(4),
    );
    for signature in row.fields.get(7..).unwrap_or_default().chunks_exact(3) {
        if let [domain, selector, result] = signature {
            let (domain, selector, result) = (escaped(domain), escaped(selector), escaped(result));
            let _ = writeln!(
                out,
                "   <dkim><domain>{domain}</domain><selector>{selector}</selector><result>{result}</result></dkim>"
            );
        }
    }
    let (domain, result) = (field(5), field(6));
    let _ = write!(
        out,
        "   <spf><domain>{domain}</domain><scope>mfrom</scope><result>{result}</result></spf>\n  </auth_results>\n </record>\n"
    );
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Who is to be asked whether reports about `domain` may go to `address` (RFC 7489 7.1): a TXT record `v=DMARC1` there says yes. `None`:
/// nobody, the address is the domain's own.
pub fn consent(domain: &str, address: &str) -> Option<String> {
    let host = address.rsplit_once('@').map_or("", |(_, h)| h).to_ascii_lowercase();
    let same = |a: &str, b: &str| a == b || a.ends_with(&format!(".{b}"));
    (!same(&host, domain) && !same(domain, &host)).then(|| format!("{domain}._report._dmarc.{host}"))
}

/// Whether a judgement counts as one that DMARC itself could make.
pub fn counts(dmarc: &Dmarc) -> bool {
    matches!(dmarc.result, MethodResult::Pass | MethodResult::Fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dkim::Dkim, spf::Spf, spf::SpfResult};

    fn row() -> (Row, Record) {
        let record = Record::parse(b"v=DMARC1; p=reject; rua=mailto:r@b.test").expect("a record");
        let dmarc = Dmarc {
            domain: "a.b.test".into(),
            policy_domain: "b.test".into(),
            result: MethodResult::Fail,
            record: Some(record.clone()),
            ..Dmarc::default()
        };
        let spf =
            Spf { result: SpfResult::Fail, domain: "x&y.test".into(), explanation: None, problem: None };
        let dkim = Dkim {
            result: MethodResult::Pass,
            reason: None,
            domain: "other.test".into(),
            selector: "s\t1".into(),
            algorithm: "rsa-sha256",
            beginning: String::new(),
        };
        let found = Findings {
            spf: Some((spf, String::new())),
            dkim: Some(vec![dkim]),
            dmarc: Some(dmarc),
            arc: None,
        };
        let row = Row::of(&found, [192, 0, 2, 1].into(), Policy::Reject).expect("a row");
        (row, record)
    }

    #[test]
    fn rows() {
        let (row, _) = row();
        assert_eq!(Row::parse(&row.key()), Some(row.clone()));
        assert_eq!(
            row.key(),
            "b.test\t192.0.2.1\treject\tfail\tfail\ta.b.test\tx&y.test\tfail\tother.test\ts1\tpass"
        );
        assert_eq!(Row::parse("x\ty"), None);
    }

    #[test]
    fn reports() {
        let (row, record) = row();
        let rows = [(row, 3)];
        let report = Report {
            organization: "mx.here",
            address: "dmarc@here",
            id: "1",
            span: (10, 20),
            domain: "b.test",
            record: &record,
            rows: &rows,
        };
        let text = xml(&report);
        for part in [
            "<begin>10</begin><end>20</end>",
            "<source_ip>192.0.2.1</source_ip>\n   <count>3</count>",
            "<disposition>reject</disposition><dkim>fail</dkim><spf>fail</spf>",
            "<spf><domain>x&amp;y.test</domain>",
            "<dkim><domain>other.test</domain><selector>s1</selector><result>pass</result></dkim>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn who_is_asked() {
        for (domain, address, want) in [
            ("b.test", "r@b.test", None),
            ("b.test", "r@sub.b.test", None),
            ("x.b.test", "r@b.test", None),
            ("b.test", "r@other.test", Some("b.test._report._dmarc.other.test")),
        ] {
            assert_eq!(consent(domain, address).as_deref(), want);
        }
    }
}
