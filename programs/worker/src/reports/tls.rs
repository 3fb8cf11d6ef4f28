//! TLSRPT reports (`smtp_tls_report_sender`): what SMTP clients have counted in `smtp_tls_report_map`, by mail or HTTPS to those whom the
//! domains' records name (RFC 8460 5). One of them is enough; a failure of the others is told.

use super::{
    Batch, Kind, Reports,
    mail::{Form, gzip},
};
use base_https::{Https, Request};
use mail_deliver::tls_report::{Receiver, Report, Row, receivers};
use std::time::Duration;

pub const KIND: Kind = Kind {
    name: "tlsrpt",
    sender: "smtp_tls_report_sender",
    interval: "smtp_tls_report_interval",
    map: "smtp_tls_report_map",
    authorities: Some("smtp_tls_report_CAfile"),
    send: |reports, batch| Box::pin(send(reports, batch)),
};

/// For a server that takes a report, and the largest answer of one.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_ANSWER: usize = 64 * 1024;
const MEDIA_TYPE: &str = "application/tlsrpt+gzip";

async fn send(reports: &Reports, batch: &Batch) -> Result<(), String> {
    let receivers = receivers(&reports.txt(&format!("_smtp._tls.{}", batch.domain)).await?);
    if receivers.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = batch.rows.iter().filter_map(|(key, n)| Some((Row::parse(key)?, *n))).collect();
    let json = Report {
        organization: &reports.organization,
        contact: &reports.sender,
        id: &batch.id(),
        span: batch.span,
        domain: &batch.domain,
        rows: &rows,
    }
    .json();
    let attached = gzip(&json).map_err(|e| e.to_string())?;
    let mut failures = Vec::new();
    for receiver in &receivers {
        let done = match receiver {
            Receiver::Mail(address) => mail(reports, batch, address, &attached).await,
            Receiver::Https(url) => post(reports, url, &attached).await,
        };
        failures.extend(done.err());
    }
    let failures_text = failures.join("; ");
    if failures.len() == receivers.len() {
        return Err(failures_text);
    }
    if !failures.is_empty() {
        reports.log.warning(&reports.source, format!("report for {}: {failures_text}", batch.domain));
    }
    Ok(())
}

async fn mail(reports: &Reports, batch: &Batch, to: &str, attached: &[u8]) -> Result<(), String> {
    let (domain, organization) = (&batch.domain, &reports.organization);
    let form = Form {
        // The report goes out whatever is wrong with the encryption (RFC 8460 5.3, RFC 8689 5).
        fields: &format!(
            "TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {organization}\r\nTLS-Required: no\r\n"
        ),
        container: "multipart/report; report-type=\"tlsrpt\"",
        text: &format!("This is an aggregate report about encrypted SMTP sessions with {domain}."),
        media_type: MEDIA_TYPE,
        suffix: ".json.gz",
    };
    reports.mail(batch, to, &form, attached).await
}

async fn post(reports: &Reports, url: &str, body: &[u8]) -> Result<(), String> {
    // Made anew for each report: authorities that have changed count.
    let https = Https::new(&reports.authorities, &reports.opener, PATIENCE, MAX_ANSWER)?;
    let fields = [("Content-Type", MEDIA_TYPE)];
    let answer = https.send(url, Request { method: "POST", fields: &fields, body }).await;
    let status = answer.map_err(|e| e.to_string())?.status;
    if !(200..300).contains(&status) {
        return Err(format!("{url}: HTTP status {status}"));
    }
    reports.log.info(&reports.source, format!("report to {url}"));
    Ok(())
}
