//! DMARC aggregate reports (`dmarc_report_sender`): what cleanup has counted in `dmarc_report_map`, to those whom the domains' records
//! name and who agree (RFC 7489 7.1, 7.2). One of them is enough; a failure of the others is told.

use super::{
    Batch, Kind, Reports,
    mail::{Form, gzip},
};
use base_auth::dmarc::{
    Record,
    report::{self, Report, Row},
};
use base_calls::Fut;

pub const KIND: Kind = Kind {
    name: "dmarc",
    sender: "dmarc_report_sender",
    interval: "dmarc_report_interval",
    map: "dmarc_report_map",
    authorities: None,
    send: |reports, batch| Box::pin(send(reports, batch)),
};

async fn send(reports: &Reports, batch: &Batch) -> Result<(), String> {
    let domain = &batch.domain;
    let texts = reports.txt(&format!("_dmarc.{domain}")).await?;
    let Some(record) = texts.iter().find_map(|t| Record::parse(t)) else { return Ok(()) };
    let rows: Vec<_> = batch.rows.iter().filter_map(|(key, n)| Some((Row::parse(key)?, *n))).collect();
    let xml = report::xml(&Report {
        organization: &reports.organization,
        address: &reports.sender,
        id: &batch.id(),
        span: batch.span,
        domain,
        record: &record,
        rows: &rows,
    });
    let attached = gzip(&xml).map_err(|e| e.to_string())?;
    let form = Form {
        fields: "",
        container: "multipart/mixed",
        text: &format!("This is an aggregate report about mail in the name of {domain}."),
        media_type: "application/gzip",
        suffix: ".xml.gz",
    };
    let (form, attached) = (&form, &attached[..]);
    let sends = record.reports_to.iter().map(|address| -> Fut<'_, _> {
        Box::pin(async move {
            let wanted = wants(reports, domain, address).await?;
            if wanted {
                reports.mail(batch, address, form, attached).await?;
            }
            Ok(wanted)
        })
    });
    reports.each(batch, sends.collect()).await
}

/// Whether an address of another domain has agreed to get reports about this one.
async fn wants(reports: &Reports, domain: &str, address: &str) -> Result<bool, String> {
    let Some(name) = report::consent(domain, address) else { return Ok(true) };
    Ok(reports.txt(&name).await?.iter().any(|t| t.starts_with(b"v=DMARC1")))
}
