//! Where the server is that a command asks: at an address that is given, or where a server in the
//! same environment would listen.

use std::io;
use std::path::PathBuf;

use base::error::Code;

use super::Environment;
use super::place::{config, refused};

/// Which server.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct At {
    /// The server: the path of its socket, HOST:PORT, http://HOST:PORT or https://HOST:PORT
    /// [default: the socket in the data directory]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    pub(super) connect: Option<String>,
    /// The server's data directory, for its socket [default: DOCDB_DATA_DIR, or ./docdb-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

impl At {
    /// The address, as the client takes it.
    pub(super) fn address(&self, environment: &Environment) -> io::Result<String> {
        if let Some(connect) = &self.connect {
            return Ok(address(connect));
        }
        let config = config(self.data_dir.as_deref(), environment)?;
        if let Some(socket) = &config.socket {
            let path = socket.path.to_str();
            let path =
                path.ok_or_else(|| refused("the socket's path is not UTF-8", Code::FileOpen));
            return Ok(socket_address(path?));
        }
        // One of both is configured, or the configuration had been refused.
        let http = config.http.as_ref();
        let http = http.ok_or_else(|| refused("the server listens nowhere", Code::FileOpen))?;
        let scheme = if http.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", http.listen))
    }
}

/// The path of a socket as an address: one without a slash says that it is a path.
fn socket_address(path: &str) -> String {
    if path.contains('/') { path.to_owned() } else { format!("unix:{path}") }
}

/// An address as people write it. A path without a slash is one all the same, and a host with a
/// port is HTTP: the client wants to be told.
fn address(connect: &str) -> String {
    let is_address = connect.contains('/') || connect.starts_with("unix:");
    if is_address {
        connect.to_owned()
    } else if is_host_and_port(connect) {
        format!("http://{connect}")
    } else {
        socket_address(connect)
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_one_host = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        !host.is_empty() && is_one_host && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (given, expected) in [
            ("docdb.sock", "unix:docdb.sock"),
            ("unix:docdb.sock", "unix:docdb.sock"),
            ("./docdb.sock", "./docdb.sock"),
            ("http://127.0.0.1:7717", "http://127.0.0.1:7717"),
            ("https://db.example:7717", "https://db.example:7717"),
            ("localhost:7717", "http://localhost:7717"),
            ("127.0.0.1:7717", "http://127.0.0.1:7717"),
            ("[::1]:7717", "http://[::1]:7717"),
            ("::1", "unix:::1"),
            ("docdb:sock", "unix:docdb:sock"),
            (":7717", "unix::7717"),
        ] {
            assert_eq!(address(given), expected);
        }
    }

    #[test]
    fn without_an_address_the_server_is_where_its_settings_say() {
        let at = |data_dir: Option<&str>, variables: &[(&str, &str)]| {
            let environment =
                variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            At { connect: None, data_dir: data_dir.map(PathBuf::from) }.address(&environment)
        };
        for (data_dir, variables, expected) in [
            (None, &[][..], "./docdb-data/docdb.sock"),
            (None, &[("DOCDB_DATA_DIR", "/srv/docdb")], "/srv/docdb/docdb.sock"),
            (Some("/other"), &[("DOCDB_DATA_DIR", "/srv/docdb")], "/other/docdb.sock"),
            (None, &[("DOCDB_IPC_SOCKET", "/run/docdb.sock")], "/run/docdb.sock"),
            (None, &[("DOCDB_IPC_SOCKET", "docdb:1")], "unix:docdb:1"),
            (None, &[("DOCDB_IPC_SOCKET", "off")], "http://127.0.0.1:7717"),
        ] {
            assert_eq!(at(data_dir, variables).unwrap(), expected);
        }
        let wrong = at(None, &[("DOCDB_DATADIR", "/srv/docdb")]).unwrap_err();
        assert!(wrong.to_string().contains("DOCDB_DATADIR"), "{wrong}");
    }
}
