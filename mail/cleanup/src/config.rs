//! The parameters of cleanup(8) as typed values. An immutable snapshot; a reload makes another.

use crate::{authentication::AuthenticationConfig, characters::ByteSet};
use base_conf::{Config, Error};
use std::{sync::Arc, time::Duration};

/// Where an address stands, for `canonical_classes` and its relatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Classes {
    /// `envelope_sender`
    pub envelope_sender: bool,
    /// `envelope_recipient`
    pub envelope_recipient: bool,
    /// `header_sender`
    pub header_sender: bool,
    /// `header_recipient`
    pub header_recipient: bool,
}

impl Classes {
    fn parse(config: &Config, name: &str) -> Result<Self, Error> {
        let words = config.list(name)?;
        let has = |w: &str| words.iter().any(|x| x.eq_ignore_ascii_case(w));
        Ok(Self {
            envelope_sender: has("envelope_sender"),
            envelope_recipient: has("envelope_recipient"),
            header_sender: has("header_sender"),
            header_recipient: has("header_recipient"),
        })
    }
}

/// Everything cleanup reads from main.cf.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named like the parameters of postconf(5)")]
pub struct CleanupConfig {
    pub log_name: String,
    pub myhostname: String,
    pub enable_long_queue_ids: bool,
    pub enable_original_recipient: bool,
    pub always_add_missing_headers: bool,
    pub remote_header_rewrite_domain: String,
    pub undisclosed_recipients_header: String,
    pub header_from_obsolete: bool,
    pub message_drop_headers: Vec<String>,
    pub hopcount_limit: u32,
    /// `in_flow_delay`: the pause before a message is taken while too many wait.
    pub in_flow_delay: Duration,
    pub message_size_limit: u64,
    pub cleanup_replace_stray_cr_lf: bool,
    pub header_size_limit: usize,
    pub line_length_limit: usize,
    pub header_address_token_limit: usize,
    pub duplicate_filter_limit: usize,
    pub virtual_alias_maps: String,
    pub virtual_alias_expansion_limit: usize,
    pub virtual_alias_recursion_limit: usize,
    pub virtual_alias_address_length_limit: usize,
    pub canonical_maps: String,
    pub sender_canonical_maps: String,
    pub recipient_canonical_maps: String,
    pub canonical_classes: Classes,
    pub sender_canonical_classes: Classes,
    pub recipient_canonical_classes: Classes,
    pub masquerade_domains: Vec<String>,
    pub masquerade_exceptions: String,
    pub masquerade_classes: Classes,
    pub propagate_canonical: bool,
    pub propagate_virtual: bool,
    pub recipient_delimiter: String,
    pub myorigin: String,
    pub mydestination: String,
    pub always_bcc: String,
    pub sender_bcc_maps: String,
    pub recipient_bcc_maps: String,
    /// `tls_required_enable`.
    pub tls_required: bool,
    /// `requiretls_enable` and `requiretls_esmtp_header`.
    pub requiretls_header: bool,
    pub smtputf8_autodetect_sendmail: bool,
    pub smtputf8_autodetect_smtpd: bool,
    pub smtputf8_autodetect_forward: bool,
    pub smtputf8_autodetect_internal: bool,
    pub header_checks: String,
    pub mime_header_checks: String,
    pub nested_header_checks: String,
    pub body_checks: String,
    pub body_checks_size_limit: u64,
    pub disable_mime_input_processing: bool,
    pub force_mime_input_conversion: bool,
    pub detect_8bit_encoding_header: bool,
    pub mime_nesting_limit: usize,
    pub mime_boundary_length_limit: usize,
    pub strict_7bit_headers: bool,
    pub strict_8bitmime_body: bool,
    pub strict_mime_encoding_domain: bool,
    pub message_strip_characters: Option<ByteSet>,
    pub message_reject_characters: Option<ByteSet>,
    pub milter_header_checks: String,
    /// `non_smtpd_milters`
    pub milters: Vec<base_milter::Settings>,
    pub milter_lists: Arc<base_milter::Lists>,
    pub authentication: AuthenticationConfig,
}

impl CleanupConfig {
    /// Reads the parameters.
    pub fn from_config(c: &Config) -> Result<Self, Error> {
        let propagate = c.list("propagate_unmatched_extensions")?;
        let propagates = |w: &str| propagate.iter().any(|x| x == w);
        let strict = c.bool("strict_8bitmime")?;
        let utf8 = c.bool("smtputf8_enable")?;
        let classes = c.list("smtputf8_autodetect_classes")?;
        let detects = |w: &str| classes.iter().any(|x| x == w || x == "all");
        Ok(Self {
            log_name: format!("{}/cleanup", c.str("syslog_name")?),
            myhostname: c.str("myhostname")?,
            enable_long_queue_ids: c.bool("enable_long_queue_ids")?,
            enable_original_recipient: c.bool("enable_original_recipient")?,
            always_add_missing_headers: c.bool("always_add_missing_headers")?,
            remote_header_rewrite_domain: c.str("remote_header_rewrite_domain")?,
            undisclosed_recipients_header: c.str("undisclosed_recipients_header")?,
            header_from_obsolete: c.str("header_from_format")?.eq_ignore_ascii_case("obsolete"),
            message_drop_headers: c.list("message_drop_headers")?,
            hopcount_limit: limit(c, "hopcount_limit")?,
            in_flow_delay: c.time("in_flow_delay")?.min(Duration::from_secs(10)),
            message_size_limit: limit(c, "message_size_limit")?,
            cleanup_replace_stray_cr_lf: c.bool("cleanup_replace_stray_cr_lf")?,
            header_size_limit: limit(c, "header_size_limit")?,
            line_length_limit: limit(c, "line_length_limit")?,
            header_address_token_limit: limit(c, "header_address_token_limit")?,
            duplicate_filter_limit: limit(c, "duplicate_filter_limit")?,
            virtual_alias_maps: c.str("virtual_alias_maps")?,
            virtual_alias_expansion_limit: limit(c, "virtual_alias_expansion_limit")?,
            virtual_alias_recursion_limit: limit(c, "virtual_alias_recursion_limit")?,
            virtual_alias_address_length_limit: limit(c, "virtual_alias_address_length_limit")?,
            canonical_maps: c.str("canonical_maps")?,
            sender_canonical_maps: c.str("sender_canonical_maps")?,
            recipient_canonical_maps: c.str("recipient_canonical_maps")?,
            canonical_classes: Classes::parse(c, "canonical_classes")?,
            sender_canonical_classes: Classes::parse(c, "sender_canonical_classes")?,
            recipient_canonical_classes: Classes::parse(c, "recipient_canonical_classes")?,
            masquerade_domains: c.list("masquerade_domains")?,
            masquerade_exceptions: c.str("masquerade_exceptions")?,
            masquerade_classes: Classes::parse(c, "masquerade_classes")?,
            propagate_canonical: propagates("canonical"),
            propagate_virtual: propagates("virtual"),
            recipient_delimiter: c.str("recipient_delimiter")?,
            myorigin: base_conf::computed::myorigin(c)?,
            mydestination: c.str("mydestination")?,
            always_bcc: c.str("always_bcc")?,
            sender_bcc_maps: c.str("sender_bcc_maps")?,
            recipient_bcc_maps: c.str("recipient_bcc_maps")?,
            tls_required: c.bool("tls_required_enable")?,
            requiretls_header: c.bool("requiretls_enable")? && c.bool("requiretls_esmtp_header")?,
            smtputf8_autodetect_sendmail: utf8 && detects("sendmail"),
            smtputf8_autodetect_smtpd: utf8 && detects("smtpd"),
            smtputf8_autodetect_forward: utf8 && detects("forward"),
            smtputf8_autodetect_internal: utf8 && (detects("bounce") || detects("notify")),
            header_checks: c.str("header_checks")?,
            mime_header_checks: c.str("mime_header_checks")?,
            nested_header_checks: c.str("nested_header_checks")?,
            body_checks: c.str("body_checks")?,
            body_checks_size_limit: limit(c, "body_checks_size_limit")?,
            disable_mime_input_processing: c.bool("disable_mime_input_processing")?,
            force_mime_input_conversion: c.bool("force_mime_input_conversion")?,
            detect_8bit_encoding_header: c.bool("detect_8bit_encoding_header")?,
            mime_nesting_limit: limit(c, "mime_nesting_limit")?,
            mime_boundary_length_limit: limit(c, "mime_boundary_length_limit")?,
            strict_7bit_headers: strict || c.bool("strict_7bit_headers")?,
            strict_8bitmime_body: strict || c.bool("strict_8bitmime_body")?,
            strict_mime_encoding_domain: c.bool("strict_mime_encoding_domain")?,
            message_strip_characters: ByteSet::parse(&c.str("message_strip_characters")?),
            message_reject_characters: ByteSet::parse(&c.str("message_reject_characters")?),
            milter_header_checks: c.str("milter_header_checks")?,
            milters: base_milter::Settings::list(c, &c.str("non_smtpd_milters")?)?,
            milter_lists: Arc::new(base_milter::Lists::from_config(c)?),
            authentication: AuthenticationConfig::from_config(c)?,
        })
    }

    /// No header address is mapped by a table.
    pub(crate) fn maps_no_header(&self) -> bool {
        self.canonical_maps.is_empty()
            && self.sender_canonical_maps.is_empty()
            && self.recipient_canonical_maps.is_empty()
            && self.masquerade_domains.is_empty()
    }
}

/// A number that is a bound: negative counts as zero, and what does not fit as the largest.
fn limit<T: TryFrom<i64> + Bounded>(c: &Config, name: &str) -> Result<T, Error> {
    Ok(T::try_from(c.int(name)?.max(0)).unwrap_or(T::MAX))
}

/// The largest value of a type.
trait Bounded {
    const MAX: Self;
}

impl Bounded for u32 {
    const MAX: Self = u32::MAX;
}

impl Bounded for u64 {
    const MAX: Self = u64::MAX;
}

impl Bounded for usize {
    const MAX: Self = usize::MAX;
}
