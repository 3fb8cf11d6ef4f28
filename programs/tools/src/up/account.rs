//! The account and the certificate of an instance: who may send mail through its submission ports, and over what.
//!
//! Made once, with the instance. The password stands in a file that only the caller can read; the server keeps what SCRAM
//! needs of it. The certificate is signed by itself.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Files in the configuration folder.
const USERS: &str = "users";
const CHAIN: &str = "chain.pem";
const PASSWORD: &str = "password";

/// What main.cf says of them.
pub const MAIN_CF: &str = "\n\
    # Submission, with login and TLS: the account is in the file \"password\" beside this one.\n\
    smtpd_tls_security_level = may\n\
    smtpd_tls_chain_files = $config_directory/chain.pem\n\
    smtpd_tls_auth_only = yes\n\
    smtpd_sasl_type = internal\n\
    smtpd_sasl_path = users\n";

/// The entries of master.cf for STARTTLS and for TLS from the start.
pub fn master_cf(submission: u16, submissions: u16) -> String {
    let common =
        "  -o smtpd_sasl_auth_enable=yes\n  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n";
    format!(
        "127.0.0.1:{submission} inet n - n - - smtpd\n  -o syslog_name=postfix/submission\n  \
         -o smtpd_tls_security_level=encrypt\n{common}\
         127.0.0.1:{submissions} inet n - n - - smtpd\n  -o syslog_name=postfix/submissions\n  \
         -o smtpd_tls_wrappermode=yes\n{common}"
    )
}

fn private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// Makes both for this user. The files belong to `owner` when root calls.
pub fn make(config: &Path, user: &str, host: &str, owner: Option<(u32, u32)>) -> io::Result<()> {
    let password = base_sasl::random_password();
    let made = rcgen::generate_simple_self_signed([host.to_owned(), "localhost".to_owned()])
        .map_err(io::Error::other)?;
    let chain = format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem());
    private(&config.join(PASSWORD), &format!("{password}\n"))?;
    for (name, text) in
        [(CHAIN, chain), (USERS, base_sasl::Internal::line(user, &password, base_sasl::Keep::Scram))]
    {
        private(&config.join(name), &text)?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(config.join(name), Some(uid), Some(gid))?;
        }
    }
    Ok(())
}

/// The password, while it is there.
pub fn password(config: &Path) -> Option<String> {
    Some(fs::read_to_string(config.join(PASSWORD)).ok()?.trim().to_owned())
}
