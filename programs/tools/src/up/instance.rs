//! The instance folder of `up`.

use super::account;
use base_conf::{Config, MasterCf, ServiceKind};
use base_sys::{Group, User};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// An instance on disk.
pub struct Instance {
    dir: PathBuf,
    user: String,
}

impl Instance {
    /// Opens the instance in `dir`, or makes one that listens on `port` of 127.0.0.1.
    pub fn open_or_make(dir: &Path, port: u16) -> Result<Self, String> {
        let uid = base_sys::privilege::effective_uid();
        let user = User::by_id(uid)
            .map_err(|e| format!("cannot look up the calling user: {e}"))?
            .ok_or_else(|| format!("user id {uid} has no name in the password database"))?;
        let group = Group::by_id(user.gid)
            .map_err(|e| format!("cannot look up the calling user's group: {e}"))?
            .ok_or_else(|| format!("group id {} has no name in the group database", user.gid))?;
        let me = Self { dir: dir.to_owned(), user: user.name.clone() };
        if !me.config_dir().join("main.cf").exists() {
            me.make(port, &group.name)
                .map_err(|e| format!("cannot make the instance folder {}: {e}", dir.display()))?;
        }
        Ok(me)
    }

    /// Its configuration folder.
    pub fn config_dir(&self) -> PathBuf {
        self.dir.join("etc")
    }

    fn mailbox(&self) -> PathBuf {
        self.dir.join("mail").join(&self.user)
    }

    fn make(&self, port: u16, group: &str) -> io::Result<()> {
        for (name, mode) in [("", 0o755), ("etc", 0o755), ("spool", 0o755), ("data", 0o700), ("mail", 0o755)]
        {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(mode).create(self.dir.join(name))?;
        }
        let (mut main, mut master) = (self.main_cf(group), master_cf(port));
        if let Some((submission, submissions)) = submission_ports(port) {
            account::make(&self.config_dir(), &self.user, "localhost.localdomain", self.mail_owner())?;
            main.push_str(account::MAIN_CF);
            master.push_str(&account::master_cf(submission, submissions));
        }
        fs::write(self.config_dir().join("main.cf"), main)?;
        fs::write(self.config_dir().join("master.cf"), master)
    }

    /// Who reads what only the server may, when it is not the caller.
    fn mail_owner(&self) -> Option<(u32, u32)> {
        let user = User::by_name(&root_owner().0).ok().flatten().filter(|_| self.user == "root")?;
        Some((user.uid, user.gid))
    }

    fn main_cf(&self, group: &str) -> String {
        let (dir, user) = (self.dir.display(), &self.user);
        let owner = if user == "root" { root_owner() } else { (user.clone(), group.to_owned()) };
        format!(
            "# An instance of Hikyaku for trying things out; every parameter of postconf(5) may stand here.\n\
             compatibility_level = 3.11\n\
             queue_directory = {dir}/spool\n\
             data_directory = {dir}/data\n\
             mail_owner = {}\n\
             setgid_group = {}\n\
             maillog_file = /dev/stdout\n\
             \n\
             myhostname = localhost.localdomain\n\
             mydestination = $myhostname, localhost.$mydomain, localhost\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\n\
             smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n\
             # Whole dialogues that somebody pipes to the port are taken here.\n\
             smtpd_forbid_unauth_pipelining = no\n\
             \n\
             # Mail for {user} and postmaster goes to a Maildir below this folder.\n\
             mail_spool_directory = {dir}/mail/\n\
             alias_maps =\n\
             alias_database =\n\
             virtual_alias_maps = inline:{{ {{ postmaster = {user} }} {{ abuse = {user} }} }}\n\
             local_recipient_maps = inline:{{ {user}={user} postmaster={user} abuse={user} }}\n\
             biff = no\n",
            owner.0, owner.1
        )
    }

    /// The address of the first smtpd listener in master.cf.
    pub fn listen(&self) -> Result<SocketAddr, String> {
        let master = MasterCf::load(&self.config_dir()).map_err(|e| e.to_string())?;
        Config::load(&self.config_dir()).map_err(|e| e.to_string())?;
        let smtpd = master.services.iter().find(|s| s.kind == ServiceKind::Inet && s.command == "smtpd");
        let name = smtpd.map(|s| s.name.as_str()).ok_or("master.cf has no smtpd service of type inet")?;
        let full =
            if name.contains(':') { name.to_owned() } else { format!("{}:{name}", Ipv4Addr::LOCALHOST) };
        full.parse()
            .map_err(|_| format!("cannot tell the address of the smtpd service {name:?} in master.cf"))
    }

    /// How to log in, if one can.
    fn account_text(&self) -> String {
        let Some(password) = account::password(&self.config_dir()) else { return String::new() };
        let Ok(master) = MasterCf::load(&self.config_dir()) else { return String::new() };
        let ports: Vec<&str> = master
            .services
            .iter()
            .filter(|s| {
                s.kind == ServiceKind::Inet && s.overrides.iter().any(|(n, _)| n == "smtpd_sasl_auth_enable")
            })
            .map(|s| s.name.as_str())
            .collect();
        let Some(first) = ports.first() else { return String::new() };
        format!(
            "Programs that log in: {} (user {}, password {password}), for example\n\
             \x20 swaks --server {first} -tls --auth-user {user} --auth-password {password} --to {user}@localhost\n",
            ports.join(" with STARTTLS, ") + " with TLS",
            self.user,
            user = self.user
        )
    }

    /// What `up` says when the server is ready.
    pub fn welcome(&self, listen: SocketAddr) -> String {
        let (ip, port) = (listen.ip(), listen.port());
        format!(
            "\nHikyaku is running: SMTP on {listen}, configuration in {}, mail for {} in {}\n\
             Send the first message:\n\
             \x20 printf 'EHLO me\\r\\nMAIL FROM:<{user}@localhost>\\r\\nRCPT TO:<{user}@localhost>\\r\\nDATA\\r\\nSubject: first\\r\\n\\r\\nHello!\\r\\n.\\r\\nQUIT\\r\\n' | nc {ip} {port}\n\
             {account}Ctrl-C stops it.\n",
            self.config_dir().display(),
            self.user,
            self.mailbox().join("new").display(),
            user = self.user,
            account = self.account_text()
        )
    }
}

/// 2587 and 2465 beside 2525; `None`: one of them is taken.
fn submission_ports(port: u16) -> Option<(u16, u16)> {
    let ports = (port.checked_add(62)?, port.checked_sub(60).filter(|&p| p > 0)?);
    let free = |p: u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, p)).is_ok();
    (free(ports.0) && free(ports.1)).then_some(ports)
}

/// Who owns the queue when root calls: the users that a Postfix package makes, if they are there.
fn root_owner() -> (String, String) {
    let has_user = |n: &str| matches!(User::by_name(n), Ok(Some(_)));
    let has_group = |n: &str| matches!(Group::by_name(n), Ok(Some(_)));
    let user = ["postfix", "nobody"].into_iter().find(|u| has_user(u)).unwrap_or("root");
    let group = ["postdrop", "nogroup", "nobody"].into_iter().find(|g| has_group(g)).unwrap_or("root");
    (user.to_owned(), group.to_owned())
}

fn master_cf(port: u16) -> String {
    let mut text = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
    for line in [
        "pickup unix n - n 60 1 pickup",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "flush unix n - n 1000? 0 flush",
        "proxymap unix - - n - - proxymap",
        "smtp unix - - n - - smtp",
        "relay unix - - n - - smtp",
        "showq unix n - n - - showq",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "discard unix - - n - - discard",
        "local unix - n n - - local",
        "virtual unix - n n - - virtual",
        "lmtp unix - - n - - lmtp",
        "anvil unix - - n - 1 anvil",
        "postlog unix-dgram n - n - 1 postlogd",
    ] {
        text.push_str(line);
        text.push('\n');
    }
    text
}
