//! TLS of a listener: a certificate and its key from PEM files, and reading them again.
//!
//! The two are read together and must fit each other. When they are read again and do not, the ones
//! in use stay and the failure is reported: a half-written renewal never takes the server down.
//! Connections that are open keep the certificate that they began with.
//!
//! TLS 1.2 and 1.3. For HTTP, HTTP/2 and HTTP/1.1 by ALPN and no certificates of clients: those who
//! may use the server have keys ([`crate::auth`]). For syslog, which has no keys, clients may have to
//! show a certificate of a given authority. Start with [`ServerTls::load`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::clock::WallMs;
use base::io::{DiskRef, Open, read_full_at};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Tls;

/// A certificate that is valid for less than this is warned about.
pub const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Largest file: many times a chain and a key.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// What clients may speak, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why TLS cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{setting} cannot be read, file={} error={error}", .path.display())]
    Read {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: Arc<io::Error>,
    },
    /// A file does not hold what it should.
    #[error("{setting} does not hold {wanted}, file={}", .path.display())]
    Content {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The key is not that of the certificate.
    #[error(
        "{setting} is not the key of {cert_setting}, key={} cert={}",
        .key.display(), .cert.display()
    )]
    WrongKey {
        /// The setting that names the key.
        setting: &'static str,
        /// The setting that names the certificate.
        cert_setting: &'static str,
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        cert: PathBuf,
    },
    /// The library takes neither.
    #[error("{setting}: certificate and key cannot be used, cert={} error={reason}", .cert.display())]
    Unusable {
        /// The setting that names the certificate.
        setting: &'static str,
        /// The file of the certificate.
        cert: PathBuf,
        /// What the library says.
        reason: String,
    },
}

/// What a listener speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// HTTP.
    Http,
    /// Syslog; with the file of an authority, clients need a certificate of it.
    Syslog {
        /// Certificates in PEM.
        client_ca: Option<PathBuf>,
    },
}

impl Purpose {
    /// The settings of certificate and key.
    const fn settings(&self) -> (&'static str, &'static str) {
        match self {
            Self::Http => ("tls.cert", "tls.key"),
            Self::Syslog { .. } => ("logs.syslog.tls_cert", "logs.syslog.tls_key"),
        }
    }

    fn protocols(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => PROTOCOLS.map(<[u8]>::to_vec).to_vec(),
            Self::Syslog { .. } => Vec::new(),
        }
    }
}

/// How long the certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// For so long.
    Good(Duration),
    /// For so long, less than [`SOON`].
    EndsSoon(Duration),
    /// It has ended: clients will refuse it.
    Expired,
    /// It has not begun: clients will refuse it, or a clock is wrong.
    NotYet,
}

/// TLS of a listener. Shared; a listener takes [`ServerTls::config`] for each connection.
#[derive(Debug)]
pub struct ServerTls {
    disk: DiskRef,
    files: Tls,
    purpose: Purpose,
    current: RwLock<Current>,
}

/// What was read last.
#[derive(Debug, Clone)]
struct Current {
    config: Arc<ServerConfig>,
    dates: Dates,
}

/// From when until when a certificate is valid, seconds since 1970; to the end of the last of them.
#[derive(Debug, Clone, Copy)]
struct Dates {
    from: i64,
    until: i64,
}

impl ServerTls {
    /// Reads certificate and key. A certificate that is not valid `now`, or not for long, is warned
    /// about and used all the same: clients decide.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(disk: &DiskRef, files: &Tls, now: WallMs) -> Result<Self, TlsError> {
        Self::load_for(Purpose::Http, disk, files, now)
    }

    /// The same for a listener of any purpose.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load_for(
        purpose: Purpose,
        disk: &DiskRef,
        files: &Tls,
        now: WallMs,
    ) -> Result<Self, TlsError> {
        let current = read(&purpose, disk, files, now)?;
        let (disk, files) = (DiskRef::clone(disk), files.clone());
        Ok(Self { disk, files, purpose, current: RwLock::new(current) })
    }

    /// What new connections use.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// How long the certificate in use is good for at `now`.
    #[must_use]
    pub fn validity(&self, now: WallMs) -> Validity {
        self.current.read().unwrap_or_else(PoisonError::into_inner).dates.at(now)
    }

    /// The file of the certificate.
    #[must_use]
    pub fn cert(&self) -> &Path {
        &self.files.cert
    }

    /// Reads certificate and key again, for new connections.
    ///
    /// # Errors
    /// [`TlsError`]; the ones in use stay.
    pub fn reload(&self, now: WallMs) -> Result<Validity, TlsError> {
        let current = read(&self.purpose, &self.disk, &self.files, now)?;
        let validity = current.dates.at(now);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        tracing::info!(cert = %self.files.cert.display(), "the TLS certificate was read");
        Ok(validity)
    }
}

fn read(purpose: &Purpose, disk: &DiskRef, files: &Tls, now: WallMs) -> Result<Current, TlsError> {
    let (cert_setting, key_setting) = purpose.settings();
    let cert = content(disk, cert_setting, &files.cert)?;
    let key = content(disk, key_setting, &files.key)?;
    let no_cert = || TlsError::Content {
        setting: cert_setting,
        path: files.cert.clone(),
        wanted: "a certificate in PEM",
    };
    let chain = CertificateDer::pem_slice_iter(&cert).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| no_cert())?;
    let dates = chain.first().and_then(Dates::of).ok_or_else(no_cert)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::Content {
        setting: key_setting,
        path: files.key.clone(),
        wanted: "a private key in PEM",
    })?;
    let verifier = verifier(purpose, disk)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            match verifier {
                Some(verifier) => builder.with_client_cert_verifier(verifier),
                None => builder.with_no_client_auth(),
            }
            .with_single_cert(chain, key)
        });
    let mut config = config.map_err(|error| {
        let (key, cert) = (files.key.clone(), files.cert.clone());
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            TlsError::WrongKey { setting: key_setting, cert_setting, key, cert }
        } else {
            TlsError::Unusable { setting: cert_setting, cert, reason: error.to_string() }
        }
    })?;
    config.alpn_protocols = purpose.protocols();
    warn(&files.cert, dates.at(now));
    Ok(Current { config: Arc::new(config), dates })
}

/// What looks at the certificates of clients, if they need one.
fn verifier(
    purpose: &Purpose,
    disk: &DiskRef,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    const SETTING: &str = "logs.syslog.tls_client_ca";
    let Purpose::Syslog { client_ca: Some(path) } = purpose else { return Ok(None) };
    let wrong = || TlsError::Content {
        setting: SETTING,
        path: path.clone(),
        wanted: "certificates of an authority in PEM",
    };
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(&content(disk, SETTING, path)?) {
        roots.add(cert.map_err(|_| wrong())?).map_err(|_| wrong())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(Some(built.map_err(|_| wrong())?))
}

fn content(disk: &DiskRef, setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let file = disk.open(path, Open::Read)?;
        let mut bytes = vec![0; FILE_BYTES_MAX + 1];
        let len = read_full_at(file.as_ref(), &mut bytes, 0)?;
        if len > FILE_BYTES_MAX {
            return Err(io::Error::other("it is larger than 1 MiB"));
        }
        bytes.truncate(len);
        Ok(bytes)
    };
    let path = || path.to_path_buf();
    read().map_err(|error| TlsError::Read { setting, path: path(), error: Arc::new(error) })
}

impl Dates {
    /// None when `cert` is no certificate.
    fn of(cert: &CertificateDer<'_>) -> Option<Self> {
        let (_, cert) = X509Certificate::from_der(cert).ok()?;
        let times = cert.validity();
        Some(Self { from: times.not_before.timestamp(), until: times.not_after.timestamp() })
    }

    fn at(self, now: WallMs) -> Validity {
        let now = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
        if now < self.from {
            return Validity::NotYet;
        }
        let Ok(left) = u64::try_from(self.until.saturating_sub(now)) else {
            return Validity::Expired;
        };
        let left = Duration::from_secs(left);
        if left < SOON { Validity::EndsSoon(left) } else { Validity::Good(left) }
    }
}

fn warn(cert: &Path, validity: Validity) {
    let cert = cert.display();
    match validity {
        Validity::Good(_) => {}
        Validity::EndsSoon(left) => {
            let days = left.as_secs() / (24 * 3600);
            tracing::warn!(%cert, days, "the TLS certificate expires soon");
        }
        Validity::Expired => tracing::warn!(%cert, "the TLS certificate has EXPIRED"),
        Validity::NotYet => tracing::warn!(%cert, "the TLS certificate is not valid yet"),
    }
}

#[cfg(test)]
mod tests;
