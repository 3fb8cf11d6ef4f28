//! The stages of one configuration, wired together.

use crate::{
    Process,
    agents::AgentMap,
    fixed::Fixed,
    reports::{self, Reports},
    tables::TableSets,
};
use anyhow::{Context, Result};
use base_calls::{Arrivals, Notifier, Route, Submit, Verify};
use base_conf::{Config, MasterCf, Service};
use mail_bounce::{Bounce, BounceConfig};
use mail_cleanup::{Cleanup, CleanupConfig};
use mail_receive::{
    Flush, FlushDomain, Pickup, PickupConfig, Screen, ScreenConfig, SmtpConfig, SmtpServer, StartError,
};
use mail_restrict::Bounds;
use mail_route::{RouteConfig, Router};
use mail_schedule::{Agents, Parts, ScheduleConfig};
use mail_verify::{ProbeResults, Verifier, VerifyConfig};
use std::{collections::HashMap, path::Path, sync::Arc};

/// SMTP servers by listener service.
type Servers = HashMap<String, Result<SmtpServer, Refused>>;

/// Sessions of a service; zero: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// Beyond so many, clients wait: what the administrator has written as maxproc or default_process_limit.
    pub sessions: usize,
    /// From so many on, the values for overload hold (STRESS_README). The built-in 100 of default_process_limit is that
    /// much: a session here is no process, and idle ones must not keep others out.
    pub stress: usize,
}

/// Everything that a reload replaces.
pub struct Stages {
    /// SMTP servers by listener service (`smtp/inet`); one that must not run says why.
    servers: Servers,
    /// Takes in what `sendmail` left in the maildrop.
    pub pickup: Arc<Pickup>,
    /// The reports to other domains that are sent, one for each kind.
    pub reports: Vec<Arc<Reports>>,
    limits: HashMap<String, Limit>,
    /// What the scheduler needs of it.
    pub parts: Parts,
}

/// A service that must not run: each client finds the connection closed, and the log says why.
#[derive(Clone)]
pub struct Refused {
    /// `postfix/smtpd`.
    pub source_name: String,
    /// The reason.
    pub error: StartError,
}

/// Whether the value at fault is one of the SMTP server alone; a value that all parts read stops the start, as in Postfix.
fn concerns_service_only(cfg: &Config, error: &base_conf::Error) -> bool {
    let entries = &cfg.main_cf().entries;
    let named = entries.iter().find(|e| error.line > 0 && e.line == error.line);
    named.is_none_or(|e| e.name.starts_with("smtpd_"))
}

/// While stages are built.
struct Builder<'a> {
    cfg: Config,
    master: MasterCf,
    fixed: &'a Fixed,
    tables: TableSets,
    route: Arc<dyn Route>,
    cleanups: HashMap<String, Cleanup>,
    faults: Faults,
}

/// What a value that makes no sense means for the SMTP service that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    /// The service does not run, and all others do: when the server starts.
    StopService,
    /// Nothing changes: at a reload, where the last good configuration is there.
    Refuse,
}

impl Stages {
    /// Reads the configuration and builds all of it.
    pub fn build(process: &Process, fixed: &Fixed, faults: Faults) -> Result<Self> {
        let cfg = Config::load(&process.config_dir)?;
        let master = MasterCf::load(&process.config_dir)?;
        let tables = TableSets::new(process, &cfg)?;
        let rewrite = view(&cfg, &master, &cfg.str("rewrite_service_name")?, "trivial-rewrite");
        let asked = tables.of(&cfg.process("smtpd"))?;
        let router = Router::new(Arc::new(RouteConfig::from_config(&rewrite)?), tables.of(&rewrite)?, &asked);
        let mut b =
            Builder { cfg, master, fixed, tables, route: Arc::new(router), cleanups: HashMap::new(), faults };
        b.make_cleanups()?;
        let bounds = Bounds::from_config(&b.cfg)?;
        let stages = b.finish()?;
        fixed.decisions.set_bounds(bounds);
        Ok(stages)
    }

    /// The SMTP server of a listener.
    pub fn server(&self, service: &str) -> Option<Result<SmtpServer, Refused>> {
        self.servers.get(service).cloned()
    }

    /// How many sessions a service may have.
    pub fn limit(&self, service: &str) -> Limit {
        self.limits.get(service).copied().unwrap_or_default()
    }
}

/// The view of a Unix service, with its overrides when master.cf has it.
fn view(cfg: &Config, master: &MasterCf, service: &str, process: &str) -> Config {
    let entry = master.services.iter().find(|s| s.name == service && s.kind != base_conf::ServiceKind::Inet);
    let overrides = entry.map(|s| s.overrides.as_slice()).unwrap_or_default();
    cfg.service(service, overrides).process(process)
}

impl Builder<'_> {
    fn make_cleanups(&mut self) -> Result<()> {
        let named = self.master.services.iter().filter(|s| s.command == "cleanup").map(|s| s.name.clone());
        let names: Vec<String> = named.chain(["cleanup".to_owned()]).collect();
        for name in names {
            let cfg = view(&self.cfg, &self.master, &name, "cleanup");
            let config = CleanupConfig::from_config(&cfg)?;
            let cleanup = Cleanup::new(
                Arc::new(config),
                self.fixed.spool(),
                Arc::clone(&self.route),
                Arc::clone(&self.fixed.arrivals) as Arc<dyn Arrivals>,
                &self.tables.of(&cfg)?,
                self.fixed.log.clone(),
            );
            self.authenticate(&cleanup, &cfg)?;
            self.cleanups.insert(name, cleanup);
        }
        Ok(())
    }

    fn reports(&self) -> Result<Vec<Arc<Reports>>> {
        let (cfg, fixed) = (self.cfg.process("cleanup"), self.fixed);
        let around = reports::Around {
            caches: &fixed.caches,
            resolver: &fixed.resolver,
            submit: self.cleanup(&cfg)?,
            opener: self.tables.opener(),
            log: &fixed.log,
        };
        Ok(reports::from_config(&cfg, &around)?)
    }

    /// Gives a cleanup service what it needs to judge and sign mail.
    fn authenticate(&self, cleanup: &Cleanup, cfg: &Config) -> Result<()> {
        let (log, tables) = (&self.fixed.log, self.tables.of(cfg)?);
        let source = log.session_source(format!("{}/cleanup", cfg.str("syslog_name")?));
        cleanup.set_authentication(&mail_cleanup::Around {
            dns: Arc::new(self.fixed.resolver.clone()),
            opener: self.tables.opener().as_ref(),
            tables: &tables,
            caches: &self.fixed.caches,
            complain: &|text| log.error(&source, text),
        });
        Ok(())
    }

    /// The cleanup service that a service's parameters name.
    fn cleanup(&self, cfg: &Config) -> Result<Arc<dyn Submit>> {
        let name = cfg.str("cleanup_service_name")?;
        let found = self
            .cleanups
            .get(&name)
            .with_context(|| format!("cleanup_service_name: no service \"{name}\" in master.cf"))?;
        Ok(Arc::new(found.clone()))
    }

    fn finish(self) -> Result<Stages> {
        let bounce_view = view(&self.cfg, &self.master, &self.cfg.str("bounce_service_name")?, "bounce");
        let bounce = BounceConfig::from_config(&bounce_view, self.tables.opener().as_ref())?;
        let submit = self.cleanup(&bounce_view)?;
        let notifier: Arc<dyn Notifier> =
            Arc::new(Bounce::new(Arc::new(bounce), submit, self.fixed.log.clone()));
        let verifier = self.verifier()?;
        let verify = Arc::new(verifier.clone());
        let notifier: Arc<dyn Notifier> = Arc::new(ProbeResults::new(verifier, notifier));
        for cleanup in self.cleanups.values() {
            cleanup.set_notifier(Arc::clone(&notifier));
        }
        let schedule = view(&self.cfg, &self.master, &self.cfg.str("queue_service_name")?, "qmgr");
        let parts = Parts {
            config: Arc::new(ScheduleConfig::from_config(&schedule, &self.master)?),
            route: Arc::clone(&self.route),
            agents: self.agents()?,
            notifier,
        };
        let (servers, limits) = self.servers(&(verify as Arc<dyn Verify>))?;
        Ok(Stages { servers, pickup: self.pickup()?, reports: self.reports()?, limits, parts })
    }

    fn agents(&self) -> Result<Arc<dyn Agents>> {
        let mut map = AgentMap::default();
        let transports = Arc::<mail_deliver::Transports>::default();
        for service in self.master.services.iter().filter(|s| s.kind == base_conf::ServiceKind::Unix) {
            let cfg = self.view_of(service);
            let deps = mail_deliver::Deps {
                log: self.fixed.log.clone(),
                resolver: self.fixed.resolver.clone(),
                tables: self.tables.of(&cfg)?,
                route: Arc::clone(&self.route),
                submit: self.cleanup(&cfg)?,
                opener: self.tables.opener(),
                caches: Arc::clone(&self.fixed.caches),
                queue_directory: Path::new(&self.cfg.str("queue_directory")?).to_owned(),
                transports: Arc::clone(&transports),
            };
            if let Some(agent) = mail_deliver::agent(service, &cfg, &deps) {
                map.add(&service.name, agent);
            }
        }
        Ok(Arc::new(map))
    }

    fn verifier(&self) -> Result<Verifier> {
        let cfg = view(&self.cfg, &self.master, &self.cfg.str("address_verify_service_name")?, "verify");
        let (config, submit) = (VerifyConfig::from_config(&cfg)?, self.cleanup(&cfg)?);
        Ok(Verifier::new(config, Arc::clone(&self.fixed.caches), submit, self.fixed.log.clone()))
    }

    fn servers(&self, verify: &Arc<dyn Verify>) -> Result<(Servers, HashMap<String, Limit>)> {
        let (mut servers, mut limits) = (HashMap::new(), HashMap::new());
        for service in self.master.services.iter().filter(|s| s.command == "smtpd") {
            let kind = if service.kind == base_conf::ServiceKind::Inet { "inet" } else { "unix" };
            let key = format!("{}/{kind}", service.name);
            let limit = self.limit_of(Some(service))?;
            limits.insert(key.clone(), limit);
            let server = self.smtp_server(&self.view_of(service), verify)?;
            servers.insert(key, server.map(|s| s.with_places(limit.sessions)));
        }
        for service in self.master.services.iter().filter(|s| s.command == "postscreen") {
            let key = format!("{}/inet", service.name);
            let (server, limit) = self.screened(service, verify)?;
            limits.insert(key.clone(), limit);
            servers.insert(key, server);
        }
        Ok((servers, limits))
    }

    /// How many sessions a service may have (maxproc); `None`: one that master.cf has not.
    fn limit_of(&self, service: Option<&Service>) -> Result<Limit> {
        let default_limit = usize::try_from(self.cfg.int("default_process_limit")?).unwrap_or(0);
        let is_written = self.cfg.main_cf().names().any(|name| name == "default_process_limit");
        let own = service.and_then(|s| s.maxproc);
        let limit = own.map_or(default_limit, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let waits = is_written || own.is_some();
        Ok(Limit { sessions: if waits { limit } else { 0 }, stress: limit })
    }

    /// postscreen(8) and the smtpd service that it hands clients to (`smtpd_service_name`). Nobody waits to be accepted: it has
    /// limits of its own, and tells those that are too many.
    fn screened(
        &self,
        service: &base_conf::Service,
        verify: &Arc<dyn Verify>,
    ) -> Result<(Result<SmtpServer, Refused>, Limit)> {
        let view = self.view_of(service);
        let config = ScreenConfig::from_config(&view)?;
        let behind = view.str("smtpd_service_name")?;
        let pass = self.master.services.iter().find(|s| s.name == behind && s.command == "smtpd");
        let cfg = pass.map_or_else(|| view.process("smtpd"), |s| self.view_of(s));
        let server = self.smtp_server(&cfg, verify)?;
        let Limit { sessions, stress } = self.limit_of(pass)?;
        let screen = Arc::new(Screen::new(config, self.smtp_deps(&cfg, verify)?, sessions));
        Ok((server.map(|s| s.with_places(sessions).behind(screen)), Limit { sessions: 0, stress }))
    }

    fn smtp_deps(&self, cfg: &Config, verify: &Arc<dyn Verify>) -> Result<mail_receive::Deps> {
        Ok(mail_receive::Deps {
            submit: self.cleanup(cfg)?,
            route: Arc::clone(&self.route),
            tables: self.tables.of(cfg)?,
            resolver: self.fixed.resolver.clone(),
            log: self.fixed.log.clone(),
            opener: self.tables.opener(),
            anvil: self.fixed.anvil.clone(),
            users: self.fixed.users.clone(),
            decisions: Arc::clone(&self.fixed.decisions),
            caches: Arc::clone(&self.fixed.caches),
            verify: Some(Arc::clone(verify)),
            flush: Some(self.flush()),
        })
    }

    fn smtp_server(&self, cfg: &Config, verify: &Arc<dyn Verify>) -> Result<Result<SmtpServer, Refused>> {
        let deps = self.smtp_deps(cfg, verify)?;
        let source_name = format!("{}/smtpd", cfg.str("syslog_name")?);
        let config = match SmtpConfig::from_config(cfg) {
            Ok(config) => Arc::new(config),
            Err(e) if self.faults == Faults::StopService && concerns_service_only(cfg, &e) => {
                return Ok(Err(Refused { source_name, error: StartError::Parameter(e.text) }));
            }
            Err(e) => return Err(e.into()),
        };
        Ok(SmtpServer::new(config, deps).map_err(|error| Refused { source_name, error }))
    }

    /// ETRN: asks the scheduler, which knows what waits for a domain.
    fn flush(&self) -> FlushDomain {
        let arrivals = Arc::clone(&self.fixed.arrivals);
        Arc::new(move |domain| {
            if let Some(handle) = arrivals.get() {
                handle.flush_domain(domain);
            }
            Box::pin(std::future::ready(Flush::Started))
        })
    }

    fn pickup(&self) -> Result<Arc<Pickup>> {
        let service = self.master.services.iter().find(|s| s.command == "pickup");
        let cfg = service.map_or_else(|| self.cfg.process("pickup"), |s| self.view_of(s));
        let config = Arc::new(PickupConfig::from_config(&cfg)?);
        Ok(Arc::new(Pickup::new(
            config,
            self.cleanup(&cfg)?,
            self.fixed.log.clone(),
            Arc::clone(&self.fixed.scans),
        )))
    }

    fn view_of(&self, service: &Service) -> Config {
        self.cfg.service(&service.name, &service.overrides).process(&service.command)
    }
}
