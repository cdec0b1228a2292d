//! Names that reach for files, and frames that are none.

use super::process::Process;
use super::raw::{Framed, ask};

#[test]
fn names_that_reach_for_files_are_refused_everywhere() {
    let server = Process::start();
    let before = files(&server);
    for name in ["..%2F..%2Fetc", "..", "a%00b", "a%2Fb", "%2Fetc%2Fpasswd", ".hidden", "%ff", ""] {
        for path in [
            format!("PUT /v1/databases/{name}"),
            format!("PUT /v1/databases/default/collections/{name}"),
            format!("PUT /v1/databases/{name}/collections/default/documents/1"),
            format!("POST /v1/databases/{name}/checkpoint"),
        ] {
            let (status, code) = ask(server.http, &path, b"{}");
            let is_nowhere = (status == 404 || status == 405) && code == "Unsupported";
            assert!(
                (status, code.as_str()) == (400, "InvalidName") || is_nowhere,
                "{path}: {code}"
            );
        }
    }
    let client = server.client();
    for name in ["../../etc", "..", "a\0b", "a/b", "/etc/passwd", ".hidden", ""] {
        let refused = |error: client::Error| {
            assert!(error.is(client::ErrorCode::InvalidName), "{name:?}: {error}");
        };
        refused(client.create_database(name).unwrap_err());
        refused(client.database("default").create_collection(name).unwrap_err());
        refused(client.database("default").collection(name).upsert(1, "1").unwrap_err());
        refused(client.database("default").backup(name).unwrap_err());
    }
    assert_eq!(files(&server), before);
    server.lives();
}

/// Names of everything in the directory of the test, two levels down.
fn files(server: &Process) -> Vec<String> {
    let mut names = Vec::new();
    for dir in [server.dir().to_path_buf(), server.dir().join("data")] {
        let entries = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        names.extend(entries.map(|path| path.display().to_string()));
    }
    names.sort();
    names
}

#[test]
fn frames_that_are_none_are_answered_and_half_a_frame_hurts_nobody() {
    let server = Process::start();
    let mut framed = Framed::to(&server.socket());
    let mut unknown = vec![0; 26];
    unknown[24] = 99;
    assert_eq!(framed.refused(&unknown), "Unsupported");
    unknown[24] = 3;
    assert_eq!(framed.refused(&unknown), "InvalidQuery");
    assert_eq!(framed.refused(&[99; 64]), "Unsupported");
    assert_eq!(framed.refused(&[1, 2, 3]), "InvalidRequestId");
    assert_eq!(framed.frame(), None, "without an id there is nobody to answer any more");
    // Half a frame, and then silence, for as long as the others work.
    let mut halves: Vec<Framed> = (0..50).map(|_| Framed::to(&server.socket())).collect();
    for half in &mut halves {
        std::io::Write::write_all(&mut half.stream, &[100, 0, 0, 0, 1, 2, 3]).unwrap();
    }
    server.lives();
}
