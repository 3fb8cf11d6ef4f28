//! One smtpd service: everything its connections share.

use crate::{
    Anvil, SmtpConfig, client, config::Lists, connection::Connection, sasl::Sasl, screen::Screen, tls::Tls,
};
use base_cache::Caches;
use base_calls::{Fut, Route, Submit, Verify};
use base_dns::{Manner, Resolver, TableFilter};
use base_log::Log;
use base_net::{BoxIo, LineStream, PeerAddr};
use base_sys::opener::Opener;
use base_tables::Tables;
use mail_restrict::{BadArgument, Decisions, OpenRelay, Restrict};
use std::sync::Arc;

/// The answer to ETRN (`fast_flush_domains`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// The mail for the domain is being delivered.
    Started,
    /// The domain is not one that can be asked for.
    Unavailable,
}

/// Flushes the mail for a domain.
pub type FlushDomain = Arc<dyn Fn(&str) -> Fut<'static, Flush> + Send + Sync>;

/// What a server needs from the rest of the system.
#[derive(Clone)]
pub struct Deps {
    /// Cleanup.
    pub submit: Arc<dyn Submit>,
    /// Trivial-rewrite.
    pub route: Arc<dyn Route>,
    /// Shared tables.
    pub tables: Arc<Tables>,
    /// DNS.
    pub resolver: Resolver,
    /// Log.
    pub log: Log,
    /// Opens certificates and keys, which may be readable by root only.
    pub opener: Arc<dyn Opener>,
    /// Client counters of the whole server.
    pub anvil: Anvil,
    /// Counters of logins and senders.
    pub users: Anvil,
    /// The last decisions, for `postfix explain`.
    pub decisions: Arc<Decisions>,
    /// What outlives a restart.
    pub caches: Arc<Caches>,
    /// Address verification; without it nothing is verified.
    pub verify: Option<Arc<dyn Verify>>,
    /// Flushes the mail for a domain (ETRN); without it the service is not available.
    pub flush: Option<FlushDomain>,
}

/// Why a service cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// To be logged as `fatal:`; the service does not answer.
    #[error(transparent)]
    OpenRelay(#[from] OpenRelay),
    /// A restriction with an argument that makes no sense.
    #[error(transparent)]
    Argument(#[from] BadArgument),
    /// A parameter that makes no sense.
    #[error("{0}")]
    Parameter(String),
    /// `smtpd_sasl_*` parameters make no sense; the warnings that come before.
    #[error("SASL per-process initialization failed")]
    Sasl(Vec<String>),
}

impl StartError {
    /// What is to be logged before it.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::OpenRelay(_) | Self::Parameter(_) | Self::Argument(_) => &[],
            Self::Sasl(warnings) => warnings,
        }
    }
}

/// What the connections of a service share.
pub(crate) struct Shared {
    pub(crate) config: Arc<SmtpConfig>,
    pub(crate) lists: Lists,
    pub(crate) restrict: Restrict,
    pub(crate) sasl: Option<Arc<Sasl>>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) deps: Deps,
    pub(crate) service: Arc<str>,
    pub(crate) source_name: Arc<str>,
}

impl Shared {
    /// What is the same as in `like` (logins, TLS) is shared with it, and not complained of again.
    fn open(config: Arc<SmtpConfig>, deps: Deps, like: Option<&Self>) -> Result<Self, StartError> {
        let filter = config.dns_reply_filter(&deps.tables);
        let filter = TableFilter::open(filter, &deps.log, config.source_name.as_str());
        let restrict = Restrict::new(
            Arc::clone(&config.restrict),
            Arc::clone(&deps.tables),
            Arc::clone(&deps.route),
            deps.resolver.with(Manner { filter, ..Manner::default() }),
            deps.log.clone(),
        );
        let restrict = restrict.verifying(deps.verify.clone()).remembering(Arc::clone(&deps.caches));
        restrict.check_arguments()?;
        restrict.check_open_relay()?;
        let sasl = match like.filter(|s| s.config.sasl == config.sasl) {
            Some(like) => like.sasl.clone(),
            None => Sasl::open(&config.sasl, &deps.tables, Arc::clone(&deps.opener))?.map(Arc::new),
        };
        let source = deps.log.session_source(config.source_name.as_str());
        let warn = |text: &str| deps.log.warning(&source, text);
        let tls = match like.filter(|s| s.config.tls == config.tls) {
            Some(like) => like.tls.clone(),
            None => Tls::open(&config.tls, &deps.tables, Arc::clone(&deps.opener), &warn)?.map(Arc::new),
        };
        let lists = Lists::open(&config, &deps.tables);
        let service = config.service.as_str().into();
        let source_name = config.source_name.as_str().into();
        Ok(Self { config, lists, restrict, sasl, tls, deps, service, source_name })
    }
}

/// An SMTP server for one master.cf service. Cheap to clone; a reload makes a new one, and connections keep theirs.
#[derive(Clone)]
pub struct SmtpServer {
    shared: Arc<Shared>,
    /// For sessions under stress; mostly the same.
    stressed: Arc<Shared>,
    /// Stands before it.
    screen: Option<Arc<Screen>>,
    /// Sessions that the service may have at once; 0: any number.
    places: usize,
}

impl SmtpServer {
    /// Prepares the service. An open relay is refused.
    pub fn new(config: Arc<SmtpConfig>, deps: Deps) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::open(Arc::clone(&config), deps.clone(), None)?);
        let stressed = match &config.under_stress {
            Some(config) => Arc::new(Shared::open(Arc::clone(config), deps, Some(&shared))?),
            None => Arc::clone(&shared),
        };
        Ok(Self { shared, stressed, screen: None, places: 0 })
    }

    /// The same server behind postscreen(8).
    #[must_use]
    pub fn behind(self, screen: Arc<Screen>) -> Self {
        Self { screen: Some(screen), ..self }
    }

    /// The same server with so many places for sessions (maxproc); 0: any number. The caller sees to it that there are no more.
    #[must_use]
    pub fn with_places(self, places: usize) -> Self {
        Self { places, ..self }
    }

    fn under(&self, stress: bool) -> &Arc<Shared> {
        if stress { &self.stressed } else { &self.shared }
    }

    /// Serves one connection to its end.
    pub async fn serve(&self, io: BoxIo, peer: PeerAddr, local: PeerAddr) {
        self.serve_under(io, peer, local, false).await;
    }

    /// Like [`SmtpServer::serve`]; `stressed`: the service has reached its process limit, and the overload values of
    /// timeouts and limits apply (STRESS_README).
    pub async fn serve_under(&self, io: BoxIo, peer: PeerAddr, local: PeerAddr, stressed: bool) {
        let mut stream = LineStream::new(io, self.under(stressed).config.pressure(stressed).timeout);
        let (mut peer, mut local, mut stressed) = (peer, local, stressed);
        let mut _place = None;
        if let (Some(screen), PeerAddr::Inet(from), PeerAddr::Inet(to)) = (&self.screen, peer, local) {
            let Some(admitted) = Box::pin(screen.admits(&mut stream, from, to)).await else {
                let _ = stream.close().await;
                return;
            };
            (peer, local) = (PeerAddr::inet(admitted.client), PeerAddr::inet(admitted.server));
            stressed |= admitted.stressed;
            _place = Some(admitted.place);
            stream.set_time_limit(self.under(stressed).config.pressure(stressed).timeout);
        }
        let port = match peer {
            PeerAddr::Inet(a) => a.port(),
            PeerAddr::Unix => 0,
        };
        let peer = client::nameless(peer, local);
        let mut connection = Connection::new(Arc::clone(self.under(stressed)), stream, peer, port, stressed);
        connection.places = self.places;
        connection.screened = self.screen.is_some();
        if let PeerAddr::Inet(a) = local {
            connection.server_port = a.port();
        }
        connection.run().await;
    }
}
