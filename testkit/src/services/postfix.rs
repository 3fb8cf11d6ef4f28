//! Debian's Postfix as the other side: an instance of its own, from Debian's daemons whichever side is tested, that listens at the address
//! and logs as `peer/…` beside what is tested.
//!
//! The script is its main.cf. Without more it takes mail for `peer.example` into /mnt/out/peer (an mbox), knows no other destination than
//! the tested server, and talks from its own address. It ends with the namespace.

use super::{Kind, Service, Start};
use crate::world::{self, DEBIAN};
use anyhow::{Context, Result};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// The record.
pub const KIND: Kind =
    Kind { name: "postfix", start: Start::Own(|address, _, body| Ok(Box::new(Peer::start(address, body)?))) };

struct Peer {
    address: String,
}

const FOLDERS: &[&str] = &[
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid",
    "private", "public", "saved", "trace",
];

/// What is not about where it is.
const MAIN_CF: &str = "\
compatibility_level = 3.6
syslog_name = peer
myhostname = peer.example
mydestination =
mynetworks = 0.0.0.0/0
inet_protocols = ipv4
import_environment = MAIL_CONFIG LD_LIBRARY_PATH
alias_maps =
alias_database =
relayhost = [198.51.100.1]
virtual_mailbox_domains = peer.example
virtual_mailbox_base = /mnt/out
virtual_mailbox_maps = static:peer
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
";

impl Peer {
    fn start(address: &str, body: &[String]) -> Result<Self> {
        let (host, _) = address.split_once(':').context("no HOST:PORT")?;
        world::command("ip", &["addr", "add", &format!("{host}/24"), "dev", "lo"])?;
        let home = format!("/mnt/peer-{host}");
        for folder in FOLDERS {
            world::folder_of("postfix", &format!("{home}/queue/{folder}"), 0o755)?;
        }
        world::folder_of("postfix", &format!("{home}/data"), 0o700)?;
        // The process ids of what root starts.
        world::folder_of("root", &format!("{home}/queue/pid"), 0o755)?;
        let etc = Path::new(&home).join("etc");
        fs::create_dir_all(&etc)?;
        let usual = format!(
            "queue_directory = {home}/queue\ndata_directory = {home}/data\ndaemon_directory = {DEBIAN}/sbin\n\
             shlib_directory = {DEBIAN}\ninet_interfaces = {host}\n{MAIN_CF}"
        );
        let main = world::main_cf(&usual, body);
        fs::write(etc.join("main.cf"), main)?;
        fs::write(
            etc.join("master.cf"),
            format!("{address} inet n - n - - smtpd\n{}", include_str!("../../services.cf")),
        )?;
        Command::new(format!("{DEBIAN}/sbin/master"))
            .arg("-c")
            .arg(&etc)
            .arg("-d")
            .env("LD_LIBRARY_PATH", DEBIAN)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create("/mnt/sys/daemon.peer")?)
            .spawn()
            .context("Debian's Postfix")?;
        world::wait_for(address)?;
        Ok(Self { address: address.to_owned() })
    }
}

impl Service for Peer {
    fn address(&self) -> String {
        format!("postfix {}", self.address)
    }

    fn received(&self) -> Vec<String> {
        Vec::new()
    }
}
