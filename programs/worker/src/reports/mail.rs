//! The mail that carries a report: a sentence, and the report behind it, compressed (RFC 7489 7.2.1.1, RFC 8460 5.3).

use super::{Batch, Reports};
use base_calls::Timestamp;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::io::{self, Write as _};

/// How the report is attached.
pub struct Form<'a> {
    /// Further header fields, each with its line end.
    pub fields: &'a str,
    /// The whole: `multipart/mixed`.
    pub container: &'a str,
    /// What a person reads.
    pub text: &'a str,
    /// The report: `application/gzip`.
    pub media_type: &'a str,
    /// The end of its file name.
    pub suffix: &'a str,
}

impl Reports {
    /// Sends a report to an address.
    pub async fn mail(
        &self,
        batch: &Batch,
        to: &str,
        form: &Form<'_>,
        attached: &[u8],
    ) -> Result<(), String> {
        let date = Timestamp::now().mail_date();
        let head = Head { from: &self.sender, to, date: &date, organization: &self.organization };
        self.submit(to, &message(&head, batch, form, attached)).await.map_err(|e| e.to_string())
    }
}

struct Head<'a> {
    from: &'a str,
    to: &'a str,
    date: &'a str,
    organization: &'a str,
}

/// Header and body in wire form.
fn message(head: &Head<'_>, batch: &Batch, form: &Form<'_>, attached: &[u8]) -> Vec<u8> {
    let Head { from, to, date, organization } = head;
    let Form { fields, container, text, media_type, suffix } = form;
    let (domain, id, (begin, end)) = (&batch.domain, batch.id(), batch.span);
    let name = format!("{organization}!{domain}!{begin}!{end}{suffix}");
    let boundary = format!("=_{begin}.{end}");
    let mut out = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nDate: {date}\r\nMessage-ID: <{id}@{organization}>\r\n\
         Subject: Report Domain: {domain}\r\n\tSubmitter: {organization}\r\n\tReport-ID: <{id}@{organization}>\r\n\
         {fields}MIME-Version: 1.0\r\nAuto-Submitted: auto-generated\r\nContent-Type: {container};\r\n\tboundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{text}\r\n\r\n\
         --{boundary}\r\nContent-Type: {media_type};\r\n\tname=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment;\r\n\tfilename=\"{name}\"\r\n\r\n",
    )
    .into_bytes();
    for line in STANDARD.encode(attached).as_bytes().chunks(76) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    out
}

/// As it is attached.
pub fn gzip(text: &str) -> io::Result<Vec<u8>> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes())?;
    gzip.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form() {
        let head = Head { from: "r@here", to: "r@a.test", date: "now", organization: "mx.here" };
        let batch = Batch { kind: "tlsrpt", domain: "a.test".into(), rows: Vec::new(), span: (10, 20) };
        let form = Form {
            fields: "TLS-Report-Domain: a.test\r\n",
            container: "multipart/report; report-type=\"tlsrpt\"",
            text: "Read.",
            media_type: "application/tlsrpt+gzip",
            suffix: ".json.gz",
        };
        let want = "From: <r@here>\nTo: <r@a.test>\nDate: now\nMessage-ID: <tlsrpt.10.20.a.test@mx.here>\n\
             Subject: Report Domain: a.test\n\tSubmitter: mx.here\n\tReport-ID: <tlsrpt.10.20.a.test@mx.here>\n\
             TLS-Report-Domain: a.test\nMIME-Version: 1.0\nAuto-Submitted: auto-generated\n\
             Content-Type: multipart/report; report-type=\"tlsrpt\";\n\tboundary=\"=_10.20\"\n\n\
             --=_10.20\nContent-Type: text/plain; charset=us-ascii\n\nRead.\n\n\
             --=_10.20\nContent-Type: application/tlsrpt+gzip;\n\tname=\"mx.here!a.test!10!20.json.gz\"\n\
             Content-Transfer-Encoding: base64\nContent-Disposition: attachment;\n\tfilename=\"mx.here!a.test!10!20.json.gz\"\n\n\
             aGk=\n\n--=_10.20--\n";
        let made = String::from_utf8(message(&head, &batch, &form, b"hi")).unwrap();
        assert_eq!(made, want.replace('\n', "\r\n"));
        let long = String::from_utf8(message(&head, &batch, &form, &[0; 1000])).unwrap();
        assert!(long.lines().all(|line| line.len() <= 80), "{long}");
    }
}
