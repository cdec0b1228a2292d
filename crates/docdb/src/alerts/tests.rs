//! Alerts against a webhook on this machine that answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use base::clock::SystemClock;
use base::error::{Category, Code};
use serde_json::json;

use super::post::PostError;
use super::*;

/// As long as any test waits for something that will happen.
const PATIENCE: Duration = Duration::from_secs(60);
const QUICK: Policy = Policy {
    first: Duration::from_millis(1),
    longest: Duration::from_millis(1),
    tries: 3,
    jitter_percent: 0,
};

/// What the webhook does with a request.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Status(u16),
    Hangup,
    /// Reads it and says nothing until the test ends.
    Silence,
}

/// A webhook: its address, and the requests that it got.
struct Webhook {
    url: Secret,
    got: Receiver<(String, serde_json::Value)>,
    /// What is silent is closed with it.
    _hold: SyncSender<()>,
    _thread: JoinHandle<()>,
}

impl Webhook {
    fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook/s3cr3t", listener.local_addr().unwrap());
        let (sender, got) = sync_channel(100);
        let (hold, released) = sync_channel(0);
        let thread = base::workers::spawn("webhook", move || {
            let mut silent = Vec::new();
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let request = read(&stream);
                // Told before it is answered, as a test that has seen the answer's effect counts what came.
                if sender.send(request).is_err() {
                    return;
                }
                if let Answer::Status(status) = answer {
                    let text = format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\
                         location: http://127.0.0.1:1/\r\n\r\n"
                    );
                    // Whoever asked may have gone when the test has ended.
                    _ = (&stream).write_all(text.as_bytes());
                } else if matches!(answer, Answer::Silence) {
                    silent.push(stream);
                }
            }
            _ = released.recv();
        });
        Self { url: Secret::new(url), got, _hold: hold, _thread: thread.unwrap() }
    }
}

/// The head of a request and its body.
fn read(stream: &TcpStream) -> (String, serde_json::Value) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap()];
    reader.read_exact(&mut body).unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

/// What is wrong, as tests set it.
type Wrong = Arc<Mutex<Look>>;

fn source(tracker: &Arc<Tracker>, wrong: &Wrong) -> Source {
    let (tracker, wrong) = (Arc::clone(tracker), Arc::clone(wrong));
    let look = Box::new(move || wrong.lock().unwrap().clone());
    Source { tracker, look, clock: SystemClock::shared(), server: "/data".to_owned() }
}

fn pace(queue_max: usize) -> Pace {
    let look_every = Duration::from_millis(1);
    Pace { policy: QUICK, timeout: PATIENCE, queue_max, look_every }
}

fn start(webhook: &Webhook, queue_max: usize) -> (Arc<Tracker>, Alerts, Registry) {
    let tracker = Arc::new(Tracker::new(SystemClock::shared()));
    let registry = Registry::new();
    let source = source(&tracker, &Wrong::default());
    let alerts = Alerts::start_with(source, Some(&webhook.url), &registry, pace(queue_max));
    (tracker, alerts.unwrap(), registry)
}

fn critical(tracker: &Tracker, message: &str) {
    tracker.record(Code::FileSync, Category::Critical, message);
}

#[track_caller]
fn check(answers: Vec<Answer>, requests: usize, expected: AlertCounts) {
    let webhook = Webhook::start(answers);
    let (tracker, alerts, _) = start(&webhook, 10);
    critical(&tracker, "one");
    assert_eq!(alerts.stop(PATIENCE), expected);
    assert_eq!(webhook.got.try_iter().count(), requests);
}

const SENT: AlertCounts = AlertCounts { sent: 1, failed: 0, dropped: 0 };
const FAILED: AlertCounts = AlertCounts { sent: 0, failed: 1, dropped: 0 };

#[test]
fn a_critical_error_is_posted_as_json_and_others_are_not() {
    let webhook = Webhook::start(vec![Answer::Status(204)]);
    let (tracker, alerts, registry) = start(&webhook, 10);
    tracker.record(Code::Timeout, Category::Transient, "not this");
    critical(&tracker, "the \"disk\" is gone");
    let (head, body) = webhook.got.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("POST /hook/s3cr3t HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
    assert_eq!(body["code"], Code::FileSync.name());
    assert_eq!((&body["event"], &body["condition"]), (&json!("raised"), &json!("critical_error")));
    assert_eq!((&body["subject"], &body["times"]), (&json!(Code::FileSync.name()), &json!(1)));
    assert_eq!(body["message"], "the \"disk\" is gone");
    assert_eq!((&body["source"], &body["server"]), (&json!("docdb"), &json!("/data")));
    assert_eq!(body["at"].as_str().map(str::len), Some("2027-01-15T08:00:00.000Z".len()));
    assert_eq!(alerts.stop(PATIENCE), SENT);
    let sent = registry.counter(&ALERTS, &["sent"]).unwrap();
    assert_eq!(sent.get(), 1, "the metric counts what the alerts do");
}

#[test]
fn what_may_pass_is_tried_again_and_what_is_refused_is_not() {
    use Answer::{Hangup, Status};
    check(vec![Status(500), Status(429), Status(200)], 3, SENT);
    check(vec![Hangup, Status(200)], 2, SENT);
    check(vec![Status(503); 3], 3, FAILED);
    check(vec![Status(400)], 1, FAILED);
    check(vec![Status(302)], 1, FAILED);
}

#[test]
fn a_webhook_that_nobody_answers_at_fails_and_holds_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let tracker = Arc::new(Tracker::new(SystemClock::shared()));
    let (registry, url) = (Registry::new(), Secret::new(url));
    let source = source(&tracker, &Wrong::default());
    let alerts = Alerts::start_with(source, Some(&url), &registry, pace(10)).unwrap();
    critical(&tracker, "one");
    assert_eq!(alerts.stop(PATIENCE), FAILED);
}

#[test]
fn what_does_not_fit_the_queue_is_counted_as_dropped() {
    let webhook = Webhook::start(vec![Answer::Silence]);
    let (tracker, alerts, _) = start(&webhook, 2);
    critical(&tracker, "on its way");
    webhook.got.recv_timeout(PATIENCE).unwrap();
    for _ in 0..5 {
        critical(&tracker, "waits or is dropped");
    }
    assert_eq!(tracker.unheard(), 3);
    drop(webhook);
    // The webhook hangs up and its port is closed: it fails, and what waits is no news.
    let counts = alerts.stop(PATIENCE);
    assert_eq!(counts, AlertCounts { sent: 0, failed: 1, dropped: 3 });
}

#[test]
fn a_silent_webhook_does_not_hold_up_the_end() {
    let webhook = Webhook::start(vec![Answer::Silence, Answer::Silence]);
    let (tracker, alerts, _) = start(&webhook, 10);
    critical(&tracker, "one");
    webhook.got.recv_timeout(PATIENCE).unwrap();
    assert_eq!(alerts.stop(Duration::ZERO).sent, 0);
}

#[test]
fn a_condition_is_posted_when_it_begins_and_when_it_ends() {
    let webhook = Webhook::start(vec![Answer::Status(200); 2]);
    let tracker = Arc::new(Tracker::new(SystemClock::shared()));
    let (registry, wrong) = (Registry::new(), Wrong::default());
    let source = source(&tracker, &wrong);
    let alerts = Alerts::start_with(source, Some(&webhook.url), &registry, pace(10)).unwrap();
    let standing = registry.gauge(&STANDING, &["log_poisoned"]).unwrap();
    let subject = Subject::of(Condition::LogPoisoned, "orders");
    wrong.lock().unwrap().find(subject, Some(Code::FileSync), "no disk".to_owned());
    let (_, body) = webhook.got.recv_timeout(PATIENCE).unwrap();
    assert_eq!((&body["event"], &body["condition"]), (&json!("raised"), &json!("log_poisoned")));
    assert_eq!((&body["subject"], &body["message"]), (&json!("orders"), &json!("no disk")));
    *wrong.lock().unwrap() = Look::default();
    let (_, body) = webhook.got.recv_timeout(PATIENCE).unwrap();
    assert_eq!((&body["event"], &body["subject"]), (&json!("resolved"), &json!("orders")));
    assert_eq!(alerts.stop(PATIENCE).sent, 2);
    assert!(standing.get().abs() < 0.5, "nothing stands any more");
}

#[test]
fn without_a_webhook_it_is_seen_what_stands_and_nothing_is_posted() {
    let tracker = Arc::new(Tracker::new(SystemClock::shared()));
    let registry = Registry::new();
    let source = source(&tracker, &Wrong::default());
    let alerts = Alerts::start_with(source, None, &registry, pace(10)).unwrap();
    critical(&tracker, "one");
    assert_eq!(alerts.stop(PATIENCE), AlertCounts { sent: 0, failed: 0, dropped: 0 });
    let standing = registry.gauge(&STANDING, &["critical_error"]).unwrap();
    assert!((standing.get() - 1.0).abs() < 0.5);
}

#[test]
fn the_address_is_shown_by_nothing() {
    let webhook = Webhook::start(vec![Answer::Status(400)]);
    let (_, alerts, _) = start(&webhook, 1);
    let shown = format!("{alerts:?} {} {}", PostError::Unreachable, PostError::Status(500));
    assert!(!shown.contains("s3cr3t"), "{shown}");
}
