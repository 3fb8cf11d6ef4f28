//! Parameters of cleanup(8) and pickup(8). Facts of postconf(5); sorted by name.

use super::{Param, int, text, yesno};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    yesno("always_add_missing_headers", "no").used(),
    text("always_bcc", "").used(),
    text("body_checks", "").used(),
    int("body_checks_size_limit", "51200").used(),
    text("canonical_classes", "envelope_sender, envelope_recipient, header_sender, header_recipient").used(),
    text("canonical_maps", "").used(),
    yesno("cleanup_replace_stray_cr_lf", "yes").used(),
    text("cleanup_service_name", "cleanup").used(),
    yesno("detect_8bit_encoding_header", "yes").used(),
    text("empty_address_recipient", "MAILER-DAEMON").used(),
    yesno("force_mime_input_conversion", "no").used(),
    text("full_name_encoding_charset", "utf-8"),
    int("header_address_token_limit", "10240").min(1).used(),
    text("header_checks", "").used(),
    text("header_from_format", "standard").used(),
    int("header_size_limit", "102400").min(1).used(),
    int("hopcount_limit", "50").used(),
    text("masquerade_classes", "envelope_sender, header_sender, header_recipient").used(),
    text("masquerade_domains", "").used(),
    text("masquerade_exceptions", "").used(),
    text("message_reject_characters", "").used(),
    text("message_strip_characters", "").used(),
    int("mime_boundary_length_limit", "2048").min(1).used(),
    text("mime_header_checks", "$header_checks").used(),
    int("mime_nesting_limit", "100").min(1).used(),
    text("nested_header_checks", "$header_checks").used(),
    int("queue_file_attribute_count_limit", "100"),
    text("recipient_bcc_maps", "").used(),
    text("recipient_canonical_classes", "envelope_recipient, header_recipient").used(),
    text("recipient_canonical_maps", "").used(),
    text("remote_header_rewrite_domain", "").used(),
    text("sender_bcc_maps", "").used(),
    text("sender_canonical_classes", "envelope_sender, header_sender").used(),
    text("sender_canonical_maps", "").used(),
    text("undisclosed_recipients_header", "").used(),
];
