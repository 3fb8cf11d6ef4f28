//! What local(8) gives to commands and files: `|command` and `/file/name` of aliases, .forward files and include lists, and
//! mailbox_command.
//!
//! They run with the [`Rights`] of the list that names them: the owner of a .forward file, `default_privs` for an alias
//! file of root, else the owner of the alias file; never root. A shell is started only for a command that needs one; what
//! comes from the message reaches the command in its environment alone, with `_` for every character that
//! `command_expansion_filter` does not have.

use super::{
    mailbox::MailboxConfig,
    names::{Names, filtered},
};
use crate::{
    job::{Action, CommandJob, Copying, Job},
    plan::{Step, Work},
    prefix::Prefix,
    status::{by_class, configuration_error},
};
use base_calls::{ClientInfo, courier::Verdict};
use base_conf::{Config, Error};
use base_sys::{
    User,
    privilege::{self, Identity},
};
use proto_address::{external, split_domain, split_extension};
use proto_dsn::Status;
use std::{path::Path, time::Duration};

/// Where a command or file is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An alias.
    Alias,
    /// A .forward file.
    Forward,
    /// An include list.
    Include,
}

/// With whose rights commands run and files are written.
#[derive(Debug, Clone)]
pub struct Rights {
    /// Where they are named.
    pub source: Source,
    /// The user and group.
    pub who: Identity,
    /// The user whose mail it is: for a .forward file, and mailbox_command.
    pub user: Option<User>,
}

impl Rights {
    /// Those of a user, for a .forward file or mailbox_command.
    pub fn of_user(user: User) -> Self {
        Self { source: Source::Forward, who: Identity::new(user.uid, user.gid), user: Some(user) }
    }
}

/// One delivery.
pub struct Item<'a> {
    /// The address of the log line.
    pub address: &'a str,
    /// Envelope sender, as of the request.
    pub sender: &'a str,
    /// The recipient before aliases.
    pub original: &'a str,
    /// `Delivered-To:`
    pub delivered_to: &'a str,
    /// The client.
    pub client: &'a ClientInfo,
}

/// The parameters.
pub struct External {
    commands: Vec<String>,
    files: Vec<String>,
    shell: String,
    filter: String,
    /// `command_execution_directory`, not expanded.
    directory: String,
    directory_filter: String,
    queue_directory: String,
    time_limit: Duration,
    delimiters: String,
    env: Vec<(String, String)>,
    delivered_to_command: bool,
    delivered_to_file: bool,
    original_to: bool,
    nobody: Identity,
}

impl External {
    /// Reads the parameters. `service` is the name in master.cf.
    pub fn from_config(service: &str, config: &Config) -> Result<Self, Error> {
        let directory = config.raw("command_execution_directory").unwrap_or_default().trim().to_owned();
        Names::check("command_execution_directory", &directory)?;
        let words = config.list("prepend_delivered_header")?;
        let has = |w: &str| words.iter().any(|x| x == w);
        Ok(Self {
            commands: config.list("allow_mail_to_commands")?,
            files: config.list("allow_mail_to_files")?,
            shell: config.str("local_command_shell")?,
            filter: config.str("command_expansion_filter")?,
            directory,
            directory_filter: config.str("execution_directory_expansion_filter")?,
            queue_directory: config.str("queue_directory")?,
            time_limit: config.transport_time(service, "time_limit")?,
            delimiters: config.str("recipient_delimiter")?,
            env: super::environment::exported(config)?,
            delivered_to_command: has("command"),
            delivered_to_file: has("file"),
            original_to: config.bool("enable_original_recipient")?,
            nobody: default_privileges(&config.str("default_privs")?)?,
        })
    }

    /// The rights of what an alias table names. `spec` is the table.
    pub fn of_table(&self, spec: &str) -> Rights {
        let who = owner(spec).filter(|uid| *uid != 0).and_then(|uid| User::by_id(uid).ok().flatten());
        let who = who.map_or_else(|| self.nobody.clone(), |u| Identity::new(u.uid, u.gid));
        Rights { source: Source::Alias, who, user: None }
    }

    /// A command of a list.
    pub fn command(&self, item: &Item<'_>, command: &str, rights: &Rights) -> Step {
        if !allows(&self.commands, rights.source) {
            return restricted(item, "command");
        }
        self.run(item, command, rights)
    }

    /// A command, wherever it comes from.
    pub fn run(&self, item: &Item<'_>, command: &str, rights: &Rights) -> Step {
        let prefix = Prefix {
            from_line: Some(base_calls::Timestamp::now()),
            ..prefix(item, self.original_to, self.delivered_to_command)
        };
        let job = CommandJob {
            argv: self.argv(command).into_iter().map(Into::into).collect(),
            env: self.environment(item, rights.user.as_ref()),
            directory: match self.directory(item, rights.user.as_ref()) {
                Ok(directory) => directory.into(),
                Err(_) => return misconfigured(item),
            },
            time_limit: self.time_limit,
            success: format!("delivered to command: {command}"),
            name: command.to_owned(),
            complaint: "local: fatal: execvp".to_owned(),
            tells_output: false,
        };
        let copying = Copying { prefix: prefix.lines(b"\n"), eol: b"\n".to_vec(), ..Copying::default() };
        let preview = format!("delivers to command: {command}");
        step(item, preview, rights, Job { copying, action: Action::Command(job) })
    }

    /// A file, or with a slash at the end a Maildir.
    pub fn file(&self, item: &Item<'_>, path: &str, rights: &Rights, mailbox: &MailboxConfig) -> Step {
        if !allows(&self.files, rights.source) {
            return restricted(item, "file");
        }
        let complaint = format!("cannot append message to file {path}: ");
        let mut job =
            mailbox.job(path, &prefix(item, self.original_to, self.delivered_to_file), &complaint, true);
        if let Action::Mbox(mbox) = &mut job.action {
            mbox.success = format!("delivered to file: {path}");
            mbox.strict_owner = false;
        }
        step(item, format!("delivers to file: {path}"), rights, job)
    }

    /// The words to execute.
    fn argv(&self, command: &str) -> Vec<String> {
        if !self.shell.is_empty() {
            let shell = self.shell.split_ascii_whitespace().map(str::to_owned);
            return shell.chain([command.to_owned()]).collect();
        }
        if needs_shell(command) {
            return ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
        }
        command.split_ascii_whitespace().map(str::to_owned).collect()
    }

    /// Where a command starts.
    fn directory(&self, item: &Item<'_>, user: Option<&User>) -> Result<String, String> {
        let names = Names { address: item.address, user, delimiters: &self.delimiters };
        let directory =
            names.expand(&self.directory, &|_, value| filtered(&value, &self.directory_filter))?;
        Ok(if directory.is_empty() { self.queue_directory.clone() } else { directory })
    }

    fn environment(&self, item: &Item<'_>, user: Option<&User>) -> Vec<(String, String)> {
        let (local, domain) = split_domain(item.address);
        let (_, extension) = split_extension(local, &self.delimiters, true);
        let login = Names { address: item.address, user, delimiters: &self.delimiters }.login().to_owned();
        let login = login.as_str();
        let (sender, recipient, original) =
            (external(item.sender), external(item.address), external(item.original));
        let home = user.map(|u| u.home.to_string_lossy().into_owned()).unwrap_or_default();
        let shell = user.map(|u| u.shell.to_string_lossy().into_owned()).unwrap_or_default();
        let c = item.client;
        let values = [
            ("HOME", home.as_str()),
            ("SHELL", &shell),
            ("LOGNAME", login),
            ("USER", login),
            ("SENDER", &sender),
            ("RECIPIENT", &recipient),
            ("ORIGINAL_RECIPIENT", &original),
            ("LOCAL", local),
            ("DOMAIN", domain.unwrap_or_default()),
            ("EXTENSION", extension.and_then(|e| e.get(1..)).unwrap_or_default()),
            ("CLIENT_ADDRESS", &c.addr),
            ("CLIENT_HELO", &c.helo),
            ("CLIENT_HOSTNAME", &c.name),
            ("CLIENT_PROTOCOL", &c.protocol),
            ("SASL_METHOD", &c.sasl_method),
            ("SASL_SENDER", &c.sasl_sender),
            ("SASL_USERNAME", &c.sasl_username),
        ];
        let own = values.into_iter().filter(|(name, value)| !value.is_empty() || *name == "SENDER");
        let own = own.map(|(name, value)| (name.to_owned(), filtered(value, &self.filter)));
        self.env.iter().cloned().chain(own).collect()
    }
}

/// `default_privs`: a user that is not root.
fn default_privileges(name: &str) -> Result<Identity, Error> {
    let user = User::by_name(name).map_err(|e| Error::new(e.to_string()))?;
    match user {
        None => Err(Error::new(format!("default_privs: unknown user: {name}"))),
        Some(u) if u.uid == 0 => Err(Error::new(format!("default_privs: user {name} has root privileges"))),
        Some(u) => Ok(Identity::new(u.uid, u.gid)),
    }
}

/// The owner of an indexed or plain file.
fn owner(spec: &str) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let path = spec.split_once(':').map_or(spec, |(_, path)| path);
    let names = [format!("{path}.db"), format!("{path}.lmdb"), path.to_owned()];
    names.iter().filter(|n| n.starts_with('/')).find_map(|n| std::fs::metadata(n).ok()).map(|m| m.uid())
}

fn allows(words: &[String], source: Source) -> bool {
    let word = match source {
        Source::Alias => "alias",
        Source::Forward => "forward",
        Source::Include => "include",
    };
    words.iter().any(|w| w.eq_ignore_ascii_case(word))
}

/// A value that cannot be understood: the mail waits.
fn misconfigured(item: &Item<'_>) -> Step {
    Step::Say { address: item.address.to_owned(), verdict: configuration_error() }
}

fn restricted(item: &Item<'_>, what: &str) -> Step {
    let verdict = by_class(Status::new(5, 7, 1), format!("mail to {what} is restricted"));
    Step::Say { address: item.address.to_owned(), verdict }
}

fn prefix<'a>(item: &Item<'a>, original_to: bool, delivered_to: bool) -> Prefix<'a> {
    Prefix {
        return_path: true,
        sender: item.sender,
        original_to: original_to.then_some(item.original),
        delivered_to: delivered_to.then_some(item.delivered_to),
        ..Prefix::default()
    }
}

fn step(item: &Item<'_>, preview: String, rights: &Rights, job: Job) -> Step {
    let (address, who) = (item.address.to_owned(), rights.who.clone());
    if who.uid == 0 || !privilege::is_root() && who.uid != privilege::effective_uid() {
        let text = format!("cannot act as user id {}", who.uid);
        let verdict: Verdict = by_class(Status::new(4, 3, 5), text);
        return Step::Say { address, verdict };
    }
    Step::Do(Box::new(Work { address, member: None, preview, who, make_first: None, job }))
}

/// Characters that mean something to a shell, or a first word that is no program.
fn needs_shell(command: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " \t!@%-_=+:,./".contains(c);
    let first = command.split_ascii_whitespace().next().unwrap_or_default();
    let is_program =
        first.contains('/') || ["/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(first).is_file());
    !command.chars().all(plain) || !is_program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells() {
        for (command, want) in [
            ("/usr/bin/cat -", false),
            ("cat", false),
            ("exit 1", true),
            ("cat > x", true),
            ("kill -9 $$", true),
            ("/no/such/command", false),
            ("no-such-program x", true),
        ] {
            assert_eq!(needs_shell(command), want, "{command}");
        }
    }

    #[test]
    fn environment_holds_nothing_for_a_shell() {
        let config = Config::from_text("recipient_delimiter = +\n");
        let e = External::from_config("local", &config).unwrap();
        let item = Item {
            address: "env+e;x@example.com",
            sender: "a`id`@b",
            original: "o@x",
            delivered_to: "o@x",
            client: &ClientInfo::default(),
        };
        let env = e.environment(&item, None);
        let get = |n: &str| env.iter().find(|(name, _)| name == n).map(|(_, v)| v.as_str());
        assert_eq!(
            (get("USER"), get("LOCAL"), get("EXTENSION")),
            (Some("env"), Some("env+e_x"), Some("e_x"))
        );
        assert_eq!((get("SENDER"), get("HOME"), get("CLIENT_HELO")), (Some("a_id_@b"), None, None));
    }

    #[test]
    fn rights_and_restrictions() {
        let e =
            External::from_config("local", &Config::from_text("allow_mail_to_commands = forward\n")).unwrap();
        let item = Item {
            address: "a@b",
            sender: "",
            original: "a@b",
            delivered_to: "a@b",
            client: &ClientInfo::default(),
        };
        let mut rights = e.of_table("hash:/no/such/table");
        assert_ne!(rights.who.uid, 0);
        assert!(matches!(e.command(&item, "cat", &rights), Step::Say { verdict: Verdict::Failed(_), .. }));
        rights.source = Source::Forward;
        rights.who = Identity::new(0, 0);
        assert!(matches!(e.command(&item, "cat", &rights), Step::Say { verdict: Verdict::Deferred(_), .. }));
    }
}
