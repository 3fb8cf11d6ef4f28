//! The certificate of `tls_acme_domains` (base/acme): the task that obtains and renews it, and the sockets of `tls_acme_listen`
//! where the authority looks at us. A new configuration replaces the task when it says something else.

use crate::Process;
use base_acme::{Acme, Answers, Settings};
use base_conf::{Config, Error};
use base_net::Listener;
use base_sys::opener::Opener;
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinHandle};

/// Connections at once on one socket. Whoever comes later waits.
const CLIENTS: usize = 16;

/// The task, if there is one, and what it lets the sockets answer.
#[derive(Default)]
pub struct Certificates {
    answers: Answers,
    running: Mutex<Option<(Settings, JoinHandle<()>)>>,
}

impl Certificates {
    /// Does what main.cf says now. A value that makes no sense is told of, and nobody asks for certificates.
    pub fn configure(&self, process: &Process) {
        let read =
            |cfg: Config| -> Result<_, Error> { Ok((Settings::from_config(&cfg)?, cfg.str("syslog_name")?)) };
        let (wanted, name) = match Config::load(&process.config_dir).and_then(read) {
            Ok(read) => read,
            Err(e) => {
                process.log.error(&process.source, e.to_string());
                (None, String::new())
            }
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().map(|(settings, _)| settings) == wanted.as_ref() {
            return;
        }
        if let Some((_, task)) = running.take() {
            task.abort();
        }
        *running = wanted.map(|settings| {
            let acme = Acme {
                settings: settings.clone(),
                answers: self.answers.clone(),
                files: Arc::clone(&process.opener) as Arc<dyn Opener>,
                log: process.log.clone(),
                source: process.log.session_source(format!("{name}/acme")),
            };
            (settings, tokio::spawn(acme.run()))
        });
    }

    /// Nobody asks for certificates any more.
    pub fn stop(&self) {
        if let Some((_, task)) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    /// Serves a socket for good.
    pub fn serve(&self, listener: Listener) -> impl Future<Output = ()> + Send + 'static {
        let (answers, clients) = (self.answers.clone(), Arc::new(Semaphore::new(CLIENTS)));
        async move {
            loop {
                let Ok(place) = Arc::clone(&clients).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((socket, _)) => {
                        let answers = answers.clone();
                        tokio::spawn(async move {
                            answers.serve(socket.boxed()).await;
                            drop(place);
                        });
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
                }
            }
        }
    }
}
