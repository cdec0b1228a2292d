//! The stage `senders`: programs of others send log entries to a real server, as they are.
//!
//! util-linux's logger, rsyslog, syslog-ng, and the handlers and exporters of Python, in pinned versions in a virtual
//! environment below the target directory. What each has sent must be found, once each. A sender that is not
//! installed is named; without Python or a registry to install from the whole stage is skipped.

use std::path::{Path, PathBuf};

use crate::clients::python::Python;
use crate::clients::server::Server;
use crate::process::{Failure, Process, Result, has_package};
use crate::stage::Outcome;
use crate::{stores, workspace};

/// The script and what it needs, below the root of the repository.
const SCRIPTS: &str = "crates/docdb/tests/senders";
/// rsyslog, and what it needs for TLS, as packages of the system.
const PACKAGES: [&str; 2] = ["rsyslog", "rsyslog-gnutls"];

/// syslog-ng. Its package and rsyslog's exclude each other, so it is unpacked and not installed.
const SYSLOG_NG: &str = "syslog-ng-core";
/// The libraries that it needs and that few other packages do.
const LIBRARIES: [&str; 4] = ["libivykis0", "libnet1", "libpcre3", "libwrap0"];

/// The stage.
pub(crate) fn check() -> Result<Outcome> {
    let home = workspace::target_dir().join("senders");
    let scripts = workspace::root().join(SCRIPTS);
    let python = match Python::ready(&home, &scripts.join("requirements.txt"))? {
        Ok(python) => python,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    let Some((certificate, key)) = certificate(&home) else {
        return Ok(Outcome::Skipped("openssl, which makes a certificate, is not here".to_owned()));
    };
    if !PACKAGES.into_iter().all(has_package) {
        let install = ["120", "apt-get", "install", "--yes"];
        // Without them the script names what it has to leave out.
        _ = Process::new("timeout").args(install).args(PACKAGES).succeeds_quietly();
    }
    let [tcp, udp, tls] = [stores::free_port()?, stores::free_port()?, stores::free_port()?]
        .map(|port| format!("127.0.0.1:{port}"));
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let options = [
        ("--logs.syslog.tcp", &tcp),
        ("--logs.syslog.udp", &udp),
        ("--logs.syslog.tls", &tls),
        ("--logs.syslog.tls_cert", &certificate),
        ("--logs.syslog.tls_key", &key),
    ];
    let options: Vec<&str> = options.into_iter().flat_map(|(name, value)| [name, value]).collect();
    let server = Server::start(&home, &options)?;
    let skipped = home.join("skipped.txt");
    let sent = python
        .program("python")
        .env("SYSLOG_NG", syslog_ng(&home))
        .args([scripts.join("send.py").as_os_str()])
        .args([&server.url(""), &tcp, &udp, &tls, &certificate])
        .args([skipped.as_os_str()])
        .run();
    // Also when something failed: its log is what says why.
    server.end().and(sent)?;
    let skipped =
        std::fs::read_to_string(&skipped).map_err(|e| Failure::io("read", &skipped, &e))?;
    Ok(Outcome::Passed(if skipped.is_empty() {
        "logger, rsyslog, syslog-ng, Python's".to_owned()
    } else {
        format!("SKIPPED: {skipped}")
    }))
}

/// The root below which syslog-ng is: that of the system when it is installed, else a directory into which
/// its package is unpacked. When there is neither, the script finds none there and says so.
fn syslog_ng(home: &Path) -> PathBuf {
    let root = home.join("syslog-ng");
    if has_package(SYSLOG_NG) {
        return PathBuf::from("/");
    }
    if root.join("usr/sbin/syslog-ng").exists() || std::fs::create_dir_all(&root).is_err() {
        return root;
    }
    let install = ["120", "apt-get", "install", "--yes", "--no-install-recommends"];
    _ = Process::new("timeout").args(install).args(LIBRARIES).succeeds_quietly();
    let download = ["120", "apt-get", "download", SYSLOG_NG];
    if Process::new("timeout").args(download).current_dir(&root).succeeds_quietly() {
        let packages = std::fs::read_dir(&root).into_iter().flatten().flatten();
        let unpack = |package: &Path| {
            Process::new("dpkg-deb").args([
                "--extract".as_ref(),
                package.as_os_str(),
                root.as_os_str(),
            ])
        };
        for package in packages.map(|entry| entry.path()) {
            _ = package.extension().is_some_and(|of| of == "deb")
                && unpack(&package).succeeds_quietly();
        }
    }
    root
}

/// A certificate of `localhost` that is its own authority, and its key; none without openssl.
fn certificate(home: &Path) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (home.join("certificate.pem"), home.join("key.pem"));
    let made = Process::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "365", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
        .succeeds_quietly();
    made.then_some((certificate, key))
}
