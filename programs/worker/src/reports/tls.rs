//! TLSRPT reports (`smtp_tls_report_sender`): what SMTP clients have counted in `smtp_tls_report_map`, by mail or HTTPS to those whom the
//! domains' records name (RFC 8460 5). One of them is enough; a failure of the others is told.

use super::{
    Batch, Kind, Reports,
    mail::{Form, gzip},
};
use base_calls::Fut;
use base_https::{Https, Request, Url};
use mail_deliver::tls_report::{Receiver, Report, Row, receivers};
use std::{net::SocketAddr, time::Duration};

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
    let attached = &attached[..];
    let sends = receivers.iter().map(|receiver| -> Fut<'_, _> {
        Box::pin(async move {
            match receiver {
                Receiver::Mail(address) => mail(reports, batch, address, attached).await?,
                Receiver::Https(url) => post(reports, url, attached).await?,
            }
            Ok(true)
        })
    });
    reports.each(batch, sends.collect()).await
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

/// Sends a report to a server that a stranger has named.
pub async fn post(reports: &Reports, url: &str, body: &[u8]) -> Result<(), String> {
    let addresses = addresses(reports, url).await?;
    // Made anew for each report: authorities that have changed count.
    let https = Https::new(&reports.authorities, &reports.opener, PATIENCE, MAX_ANSWER)?;
    let fields = [("Content-Type", MEDIA_TYPE)];
    let answer = https.send_to(url, &addresses, Request { method: "POST", fields: &fields, body }).await;
    let status = answer.map_err(|e| e.to_string())?.status;
    if !(200..300).contains(&status) {
        return Err(format!("{url}: HTTP status {status}"));
    }
    reports.log.info(&reports.source, format!("report to {url}"));
    Ok(())
}

/// Where the server is: at an address that anybody can reach, unless the administrator has said whom to trust.
async fn addresses(reports: &Reports, url: &str) -> Result<Vec<SocketAddr>, String> {
    let Url { host, port, .. } = Url::parse(url).ok_or_else(|| format!("bad address: {url}"))?;
    let found = reports.resolver.addresses(&host, true, true).await.map_err(|e| e.text(&host, "A"))?;
    let anywhere = reports.authorities.file.is_some();
    let fit = found.records.into_iter().filter(|ip| anywhere || base_net::is_public(*ip));
    let addresses: Vec<_> = fit.map(|ip| SocketAddr::new(ip, port)).collect();
    if addresses.is_empty() { Err(format!("{host}: no public address")) } else { Ok(addresses) }
}
