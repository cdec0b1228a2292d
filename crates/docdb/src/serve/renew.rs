//! What is read again while the server runs, without a restart: the API keys, whenever their file
//! has changed and on SIGHUP, and the certificate, on SIGHUP. What cannot be used changes nothing
//! and is reported.

use std::sync::Arc;

use base::clock::ClockRef;
use base::error::Code;
use tokio::signal::unix::Signal;

use crate::alerts::{Condition, Look, Subject};
use crate::auth::{Auth, LOOK_EVERY};
use crate::tls::{ServerTls, Validity};

/// Keys and certificate of the server.
#[derive(Debug, Clone)]
pub(super) struct Renewal {
    pub(super) auth: Arc<Auth>,
    /// None without TLS.
    pub(super) tls: Option<Arc<ServerTls>>,
    /// The same of the listener of syslog.
    pub(super) syslog_tls: Option<Arc<ServerTls>>,
    pub(super) clock: ClockRef,
}

impl Renewal {
    /// Reads again what there is to read, until the process ends.
    pub(super) async fn run(self, mut hangups: Signal) {
        loop {
            let (renewal, is_asked) = tokio::select! {
                came = hangups.recv() => match came {
                    Some(()) => (self.clone(), true),
                    None => return,
                },
                () = tokio::time::sleep(LOOK_EVERY) => (self.clone(), false),
            };
            let read = move || if is_asked { renewal.everything() } else { renewal.changed_keys() };
            if let Err(error) = tokio::task::spawn_blocking(read).await {
                tracing::error!(%error, "reading keys and certificate again panicked");
            }
        }
    }

    fn everything(&self) {
        tracing::info!("SIGHUP: reading keys and certificate again");
        self.changed_keys();
        for tls in self.tls.iter().chain(&self.syslog_tls) {
            if let Err(error) = tls.reload(self.clock.wall()) {
                tracing::error!(%error, "the TLS certificate stays as it was");
            }
        }
    }

    fn changed_keys(&self) {
        if let Err(error) = self.auth.reload_if_changed() {
            tracing::error!(%error, "the API keys stay as they were");
        }
    }

    /// What is wrong with them.
    pub(super) fn look(&self, look: &mut Look) {
        if let Some(trouble) = self.auth.trouble() {
            look.find(Subject::server(Condition::KeysUnreadable), Some(Code::FileRead), trouble);
        }
        if let Some(tls) = &self.tls {
            self.look_at(tls, Subject::server(Condition::CertificateEnds), look);
        }
        if let Some(tls) = &self.syslog_tls {
            self.look_at(tls, Subject::of(Condition::CertificateEnds, "syslog"), look);
        }
    }

    fn look_at(&self, tls: &ServerTls, subject: Subject, look: &mut Look) {
        let what = match tls.validity(self.clock.wall()) {
            Validity::Good(_) => return,
            Validity::EndsSoon(left) => {
                format!("the TLS certificate expires soon days={}", left.as_secs() / (24 * 3600))
            }
            Validity::Expired => "the TLS certificate has expired".to_owned(),
            Validity::NotYet => "the TLS certificate is not valid yet".to_owned(),
        };
        let what = format!("{what} cert={}", tls.cert().display());
        look.find(subject, None, what);
    }
}
