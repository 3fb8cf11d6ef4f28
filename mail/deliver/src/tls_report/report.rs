//! A report (RFC 8460 4.4).

use super::{PolicyType, Row};
use proto_message::format_rfc3339;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Who reports.
    pub organization: &'a str,
    /// A mail address for questions.
    pub contact: &'a str,
    /// Unique among our reports.
    pub id: &'a str,
    /// Seconds since 1970: from, to.
    pub span: (u64, u64),
    /// Whom it is for.
    pub domain: &'a str,
    /// Rows and how many sessions each stands for.
    pub rows: &'a [(Row, u64)],
}

/// The sessions that were held to one policy.
#[derive(Default)]
struct Sessions {
    good: u64,
    bad: u64,
    details: Vec<Value>,
}

impl Report<'_> {
    /// As JSON.
    pub fn json(&self) -> String {
        let mut policies: BTreeMap<(PolicyType, &[String]), Sessions> = BTreeMap::new();
        for (row, count) in self.rows {
            policies.entry((row.policy_type, &row.policy)).or_default().add(row, *count);
        }
        let policies =
            policies.into_iter().map(|((kind, lines), sessions)| self.policy(kind, lines, sessions));
        let date = |secs: u64| format_rfc3339(i64::try_from(secs).unwrap_or(i64::MAX));
        let report = json!({
            "organization-name": self.organization,
            "date-range": { "start-datetime": date(self.span.0), "end-datetime": date(self.span.1) },
            "contact-info": self.contact,
            "report-id": self.id,
            "policies": policies.collect::<Vec<_>>(),
        });
        report.to_string()
    }

    fn policy(&self, kind: PolicyType, lines: &[String], sessions: Sessions) -> Value {
        let mut policy = json!({ "policy-type": kind.word(), "policy-domain": self.domain });
        if !lines.is_empty() {
            policy["policy-string"] = lines.into();
        }
        let hosts: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("mx: ")).collect();
        if !hosts.is_empty() {
            policy["mx-host"] = hosts.into();
        }
        let summary = json!({
            "total-successful-session-count": sessions.good,
            "total-failure-session-count": sessions.bad,
        });
        let mut out = json!({ "policy": policy, "summary": summary });
        if !sessions.details.is_empty() {
            out["failure-details"] = sessions.details.into();
        }
        out
    }
}

impl Sessions {
    fn add(&mut self, row: &Row, count: u64) {
        let Some(failure) = &row.failure else {
            self.good = self.good.saturating_add(count);
            return;
        };
        self.bad = self.bad.saturating_add(count);
        let mut detail = json!({ "result-type": failure.fault.word(), "failed-session-count": count });
        for (name, value) in [
            ("sending-mta-ip", &failure.sending_ip),
            ("receiving-ip", &failure.receiving_ip),
            ("receiving-mx-hostname", &failure.mx),
            ("failure-reason-code", &failure.reason),
        ] {
            if !value.is_empty() {
                detail[name] = value.as_str().into();
            }
        }
        self.details.push(detail);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn the_form() {
        let policy =
            ["version: STSv1", "mode: testing", "mx: *.mail.a.test", "max_age: 86400"].map(str::to_owned);
        let good = Row {
            domain: "a.test".into(),
            policy_type: PolicyType::Sts,
            policy: policy.to_vec(),
            failure: None,
        };
        let expired = Failure {
            fault: Fault::CertificateExpired,
            reason: "certificate has expired".into(),
            mx: "mx1.mail.a.test".into(),
            receiving_ip: "192.0.2.1".into(),
            sending_ip: "2001:db8::1".into(),
        };
        let bad = Row { failure: Some(expired.clone()), ..good.clone() };
        let none = Failure { fault: Fault::StarttlsNotSupported, sending_ip: String::new(), ..expired };
        let plain = Row {
            policy_type: PolicyType::NotFound,
            policy: Vec::new(),
            failure: Some(none),
            ..good.clone()
        };
        let rows = [(good, 5326), (plain, 2), (bad, 100)];
        let report = Report {
            organization: "mx.here",
            contact: "tls@here",
            id: "1",
            span: (1_795_219_200, 1_795_305_599),
            domain: "a.test",
            rows: &rows,
        };
        let read: Value = serde_json::from_str(&report.json()).expect("JSON");
        let want = json!({
            "organization-name": "mx.here",
            "date-range": {
                "start-datetime": "2026-11-21T00:00:00Z", "end-datetime": "2026-11-21T23:59:59Z",
            },
            "contact-info": "tls@here",
            "report-id": "1",
            "policies": [
                {
                    "policy": {
                        "policy-type": "sts", "policy-string": policy, "policy-domain": "a.test",
                        "mx-host": ["*.mail.a.test"],
                    },
                    "summary": {
                        "total-successful-session-count": 5326, "total-failure-session-count": 100,
                    },
                    "failure-details": [{
                        "result-type": "certificate-expired", "sending-mta-ip": "2001:db8::1",
                        "receiving-mx-hostname": "mx1.mail.a.test", "receiving-ip": "192.0.2.1",
                        "failed-session-count": 100, "failure-reason-code": "certificate has expired",
                    }],
                },
                {
                    "policy": { "policy-type": "no-policy-found", "policy-domain": "a.test" },
                    "summary": { "total-successful-session-count": 0, "total-failure-session-count": 2 },
                    "failure-details": [{
                        "result-type": "starttls-not-supported", "receiving-mx-hostname": "mx1.mail.a.test",
                        "receiving-ip": "192.0.2.1", "failed-session-count": 2,
                        "failure-reason-code": "certificate has expired",
                    }],
                },
            ],
        });
        assert_eq!(read, want);
    }
}
