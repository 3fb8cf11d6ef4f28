//! What equal sessions have in common, and its text form.

/// Between the fields of a row, and between the lines of a policy; they stand in none.
const SEPARATOR: char = '\t';
const LINE: char = '|';
/// The longest field, and the most text of a policy; lines that come after are left out.
const MAX_FIELD: usize = 255;
const MAX_POLICY: usize = 2048;

/// Which kind of policy a session was held to (RFC 8460 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyType {
    /// MTA-STS.
    Sts,
    /// DANE.
    Tlsa,
    /// None of them.
    NotFound,
}

impl PolicyType {
    /// As in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sts => "sts",
            Self::Tlsa => "tlsa",
            Self::NotFound => "no-policy-found",
        }
    }

    fn named(word: &str) -> Option<Self> {
        [Self::Sts, Self::Tlsa, Self::NotFound].into_iter().find(|k| k.word() == word)
    }
}

/// What went wrong (RFC 8460 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The host has no STARTTLS.
    StarttlsNotSupported,
    /// The certificate is for another name.
    CertificateHostMismatch,
    /// It has expired.
    CertificateExpired,
    /// It leads to nobody who is trusted.
    CertificateNotTrusted,
    /// Anything else.
    ValidationFailure,
    /// The TLSA records are of no use.
    TlsaInvalid,
    /// DNS gave no valid answer.
    DnssecInvalid,
    /// We demand DANE, and there is none.
    DaneRequired,
    /// The MTA-STS policy cannot be had.
    StsPolicyFetchError,
    /// It makes no sense.
    StsPolicyInvalid,
    /// The certificate of its server is not trusted.
    StsWebpkiInvalid,
}

impl Fault {
    const ALL: [Self; 11] = [
        Self::StarttlsNotSupported,
        Self::CertificateHostMismatch,
        Self::CertificateExpired,
        Self::CertificateNotTrusted,
        Self::ValidationFailure,
        Self::TlsaInvalid,
        Self::DnssecInvalid,
        Self::DaneRequired,
        Self::StsPolicyFetchError,
        Self::StsPolicyInvalid,
        Self::StsWebpkiInvalid,
    ];

    /// As in reports (`result-type`).
    pub const fn word(self) -> &'static str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::DaneRequired => "dane-required",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }

    /// The kind of policy that it is about, where it is about one only.
    pub const fn policy_type(self) -> Option<PolicyType> {
        match self {
            Self::TlsaInvalid | Self::DnssecInvalid | Self::DaneRequired => Some(PolicyType::Tlsa),
            Self::StsPolicyFetchError | Self::StsPolicyInvalid | Self::StsWebpkiInvalid => {
                Some(PolicyType::Sts)
            }
            _ => None,
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.word() == word)
    }
}

/// A session that is not as the policy says. What is not known is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub fault: Fault,
    /// In words.
    pub reason: String,
    /// The mail exchanger's name.
    pub mx: String,
    /// Its address.
    pub receiving_ip: String,
    /// Ours.
    pub sending_ip: String,
}

/// What equal sessions have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The domain whose mail it is, in ASCII: whom the report is for.
    pub domain: String,
    /// Its policy.
    pub policy_type: PolicyType,
    /// The policy's lines, or its TLSA records.
    pub policy: Vec<String>,
    /// `None`: all was well.
    pub failure: Option<Failure>,
}

impl Row {
    /// As the key of a counter; fields that are too long are cut.
    pub fn key(&self) -> String {
        let clean = |text: &str, more: &[char]| -> String {
            text.chars().filter(|c| !c.is_control() && !more.contains(c)).take(MAX_FIELD).collect()
        };
        let mut policy = String::new();
        for line in self.policy.iter().map(|line| clean(line, &[LINE])) {
            if policy.len() + line.len() >= MAX_POLICY {
                break;
            }
            if !policy.is_empty() {
                policy.push(LINE);
            }
            policy.push_str(&line);
        }
        let mut fields = vec![clean(&self.domain, &[]), self.policy_type.word().to_owned(), policy];
        if let Some(f) = &self.failure {
            let more = [f.fault.word(), &f.reason, &f.mx, &f.receiving_ip, &f.sending_ip];
            fields.extend(more.iter().map(|text| clean(text, &[])));
        }
        fields.join("\t")
    }

    /// From the key of a counter.
    pub fn parse(key: &str) -> Option<Self> {
        let fields: Vec<&str> = key.split(SEPARATOR).collect();
        let (domain, policy_type, policy, failure) = match fields[..] {
            [domain, kind, policy] => (domain, kind, policy, None),
            [domain, kind, policy, fault, reason, mx, receiving_ip, sending_ip] => {
                let failure = Failure {
                    fault: Fault::named(fault)?,
                    reason: reason.to_owned(),
                    mx: mx.to_owned(),
                    receiving_ip: receiving_ip.to_owned(),
                    sending_ip: sending_ip.to_owned(),
                };
                (domain, kind, policy, Some(failure))
            }
            _ => return None,
        };
        Some(Self {
            domain: domain.to_owned(),
            policy_type: PolicyType::named(policy_type)?,
            policy: policy.split(LINE).filter(|l| !l.is_empty()).map(str::to_owned).collect(),
            failure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let success = Row {
            domain: "a.test".into(),
            policy_type: PolicyType::Sts,
            policy: vec!["version: STSv1".into(), "mode: enforce".into()],
            failure: None,
        };
        assert_eq!(success.key(), "a.test\tsts\tversion: STSv1|mode: enforce");
        assert_eq!(Row::parse(&success.key()), Some(success.clone()));
        for fault in Fault::ALL {
            let failure = Failure {
                fault,
                reason: "why".into(),
                mx: "mx.a.test".into(),
                receiving_ip: "192.0.2.1".into(),
                sending_ip: String::new(),
            };
            let row = Row { failure: Some(failure), ..success.clone() };
            assert_eq!(Row::parse(&row.key()), Some(row));
        }
        for key in ["", "since", "a.test\tsts", "a.test\tother\t", "a.test\tsts\t\tnothing\t\t\t\t"] {
            assert_eq!(Row::parse(key), None, "{key}");
        }
    }

    #[test]
    fn whatever_others_say_is_bounded() {
        let row = Row {
            domain: "a.test".into(),
            policy_type: PolicyType::Tlsa,
            policy: vec![format!("3 1 1\t|{}", "A".repeat(5000)); 100],
            failure: Some(Failure {
                fault: Fault::ValidationFailure,
                reason: "x\r\ny\t".repeat(1000),
                mx: String::new(),
                receiving_ip: String::new(),
                sending_ip: String::new(),
            }),
        };
        let key = row.key();
        assert!(key.len() < 4096, "{}", key.len());
        let read = Row::parse(&key).expect("a row");
        assert_eq!((read.policy.len(), read.policy[0].len()), (8, MAX_FIELD));
        assert_eq!(read.key(), key);
    }
}
