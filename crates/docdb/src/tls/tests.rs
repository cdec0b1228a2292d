//! Good files, wrong files, files that change, and a handshake.

use rcgen::{CertificateParams, CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

use super::*;
use base::io::{MemDisk, write_all_at};

const NOW: WallMs = WallMs(1_800_000_000_000);

fn files() -> Tls {
    Tls { cert: "/cert.pem".into(), key: "/key.pem".into() }
}

fn put(disk: &DiskRef, path: &str, content: &str) {
    let _ = disk.remove_file(path.as_ref());
    let file = disk.open(path.as_ref(), Open::CreateNew).unwrap();
    write_all_at(file.as_ref(), content.as_bytes(), 0).unwrap();
}

fn pair() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

fn disk_with(pair: &CertifiedKey<KeyPair>) -> DiskRef {
    let disk = MemDisk::shared();
    put(&disk, "/cert.pem", &pair.cert.pem());
    put(&disk, "/key.pem", &pair.signing_key.serialize_pem());
    disk
}

/// What client and server agree on, when the client speaks `protocols`.
fn shake(tls: &ServerTls, cert: &CertificateDer<'static>, protocols: &[&[u8]]) -> Option<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(tls.config()).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().ok()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    server.alpn_protocol().map(<[u8]>::to_vec)
}

#[test]
fn a_client_that_trusts_the_certificate_gets_http_2_or_1() {
    let pair = pair();
    let tls = ServerTls::load(&disk_with(&pair), &files(), NOW).unwrap();
    let cert = pair.cert.der();
    assert_eq!(shake(&tls, cert, &[b"http/1.1", b"h2"]).as_deref(), Some(&b"h2"[..]));
    assert_eq!(shake(&tls, cert, &[b"http/1.1"]).as_deref(), Some(&b"http/1.1"[..]));
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let (good, other) = (pair(), pair());
    let disk = disk_with(&good);
    let said = |disk: &DiskRef| ServerTls::load(disk, &files(), NOW).unwrap_err().to_string();
    put(&disk, "/key.pem", &other.signing_key.serialize_pem());
    assert_eq!(said(&disk), "tls.key is not the key of tls.cert, key=/key.pem cert=/cert.pem");
    put(&disk, "/key.pem", &good.cert.pem());
    assert_eq!(said(&disk), "tls.key does not hold a private key in PEM, file=/key.pem");
    disk.remove_file("/key.pem".as_ref()).unwrap();
    assert!(said(&disk).starts_with("tls.key cannot be read, file=/key.pem error="));
    put(&disk, "/key.pem", &good.signing_key.serialize_pem());
    let wrong = ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"];
    for text in wrong {
        put(&disk, "/cert.pem", text);
        let expected = "tls.cert does not hold a certificate in PEM, file=/cert.pem";
        assert_eq!(said(&disk), expected, "{text:?}");
    }
    put(&disk, "/cert.pem", &"x".repeat(FILE_BYTES_MAX + 1));
    assert!(said(&disk).ends_with("error=it is larger than 1 MiB"), "{}", said(&disk));
    disk.remove_file("/cert.pem".as_ref()).unwrap();
    assert!(said(&disk).starts_with("tls.cert cannot be read, file=/cert.pem error="));
}

#[test]
fn no_error_shows_the_key() {
    let (good, other) = (pair(), pair());
    let disk = disk_with(&good);
    put(&disk, "/key.pem", &other.signing_key.serialize_pem());
    let error = ServerTls::load(&disk, &files(), NOW).unwrap_err();
    let pem = other.signing_key.serialize_pem();
    let secret = pem.lines().nth(1).unwrap();
    assert!(!format!("{error} {error:?}").contains(secret));
}

#[test]
fn a_renewal_is_used_by_new_connections_and_a_broken_one_changes_nothing() {
    let (old, new) = (pair(), pair());
    let disk = disk_with(&old);
    let tls = ServerTls::load(&disk, &files(), NOW).unwrap();
    put(&disk, "/cert.pem", &new.cert.pem());
    assert!(matches!(tls.reload(NOW), Err(TlsError::WrongKey { .. })), "half a renewal");
    assert!(shake(&tls, old.cert.der(), &[b"h2"]).is_some());
    put(&disk, "/key.pem", &new.signing_key.serialize_pem());
    tls.reload(NOW).unwrap();
    assert!(shake(&tls, new.cert.der(), &[b"h2"]).is_some());
    assert!(shake(&tls, old.cert.der(), &[b"h2"]).is_none(), "the old one is not trusted any more");
}

#[test]
fn the_time_that_a_certificate_has_left_is_told() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2027, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 3, 1);
    let cert = params.self_signed(&key).unwrap();
    let disk = MemDisk::shared();
    put(&disk, "/cert.pem", &cert.pem());
    put(&disk, "/key.pem", &key.serialize_pem());
    let day = |n: u64| WallMs((1_798_761_600 + n * 86_400) * 1000);
    let tls = ServerTls::load(&disk, &files(), day(0)).unwrap();
    let days = |n: u64| Duration::from_secs(n * 86_400);
    for (now, expected) in [
        (WallMs(day(0).0 - 1000), Validity::NotYet),
        (day(0), Validity::Good(days(59))),
        (day(46), Validity::EndsSoon(days(13))),
        (day(59), Validity::EndsSoon(days(0))),
        (WallMs(day(59).0 + 1000), Validity::Expired),
    ] {
        assert_eq!(tls.reload(now).unwrap(), expected, "{now:?}");
        assert_eq!(tls.validity(now), expected, "{now:?}");
    }
}
