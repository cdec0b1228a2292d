//! Values as users write them: `64MiB`, `1m30s`, `127.0.0.1:7717`, `orders=4,audit=2`.
//!
//! A number is decimal digits. Units of bytes are those of 1024, written in full: what `64MB` means
//! differs between programs, so it is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use base::words::Name;

use crate::config::Network;
use crate::config::table::{Kind, Setting};

/// What turns a listener off.
pub(super) const OFF: &str = "off";
/// The longest path of a Unix socket: what the system's address has room for, less its end.
pub(super) const SOCKET_BYTES_MAX: usize = 107;
/// The largest weight of a database.
pub(super) const WEIGHT_MAX: u32 = 1000;
/// The longest path and URL.
const TEXT_BYTES_MAX: usize = 4096;
/// Most origins, and most databases with a weight.
const ITEMS_MAX: usize = 10_000;

/// Units of bytes, the largest first.
const BYTES: &[(&str, u64)] =
    &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Units of time in milliseconds, the largest first.
const TIMES: &[(&str, u64)] =
    &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A whole number without a sign.
pub(super) fn number(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// Digits at the beginning, and what follows them.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((number(digits)?, rest))
}

/// A number of bytes; `plain` is what a number without a unit counts.
pub(super) fn bytes(text: &str, plain: u64) -> Option<u64> {
    let (n, unit) = split(text)?;
    let unit = match unit.trim_start() {
        "" => plain,
        unit => BYTES.iter().find(|(name, _)| *name == unit)?.1,
    };
    n.checked_mul(unit)
}

/// The shortest way to write a number of bytes where a plain number counts `plain`.
pub(super) fn show_bytes(n: u64, plain: u64) -> String {
    if n == 0 || (plain > 1 && n.is_multiple_of(plain)) {
        return (n / plain).to_string();
    }
    let exact = BYTES.iter().find(|(_, unit)| n.is_multiple_of(*unit));
    exact.map_or_else(|| n.to_string(), |(name, unit)| format!("{}{name}", n / unit))
}

/// A length of time: one number with a unit or several in falling order, or a plain number.
pub(in crate::config) fn time(text: &str, plain: Duration) -> Option<Duration> {
    if let Some(n) = number(text) {
        return plain.checked_mul(u32::try_from(n).ok()?);
    }
    let mut rest = text;
    let mut units = TIMES;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (n, after) = split(rest)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end)?;
        let at = units.iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(n.checked_mul(units.get(at)?.1)?)?;
        units = units.get(at + 1..)?;
        rest = next;
    }
    if text.is_empty() { None } else { Some(Duration::from_millis(total)) }
}

/// The way to write a length of time where a plain number counts `plain`: milliseconds stay plain
/// where the name says so.
pub(super) fn show_time(time: Duration, plain: Duration) -> String {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if plain < Duration::from_secs(1) || ms == 0 {
        return ms.to_string();
    }
    let mut left = ms;
    let mut shown = String::new();
    for (name, unit) in TIMES {
        if left >= *unit {
            let _ = write!(shown, "{}{name}", left / unit);
            left %= unit;
        }
    }
    shown
}

/// Whether `text` can be a path of `setting`.
pub(super) fn is_path(text: &str, setting: &Setting) -> bool {
    let is_socket = matches!(setting.kind, Kind::Socket);
    let longest = if is_socket { SOCKET_BYTES_MAX } else { TEXT_BYTES_MAX };
    let may_be_empty = setting.default.is_empty();
    text.len() <= longest && !text.contains(char::is_control) && (may_be_empty || !text.is_empty())
}

/// An address, or none for `off`.
pub(in crate::config) fn address(text: &str) -> Option<Option<SocketAddr>> {
    if text == OFF { Some(None) } else { text.parse().ok().map(Some) }
}

/// Whether `text` is nothing or can be the URL of a webhook.
pub(super) fn is_url(text: &str) -> bool {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_clean = text.len() <= TEXT_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic());
    let has_host = host.is_some_and(|rest| rest.starts_with(|c: char| !"/?#:@".contains(c)));
    text.is_empty() || (is_clean && has_host)
}

/// Origins of web pages: a scheme, a host and perhaps a port, without a path.
pub(in crate::config) fn origins(text: &str) -> Option<Vec<String>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
    let is_one = |item: &str| {
        let host = item.strip_prefix("http://").or_else(|| item.strip_prefix("https://"));
        host.is_some_and(|host| {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
        })
    };
    let is_any = items.len() == 1 && items.iter().all(|item| item == "*");
    let are_all = items.len() <= ITEMS_MAX && items.iter().all(|item| is_one(item));
    (is_any || are_all).then_some(items)
}

/// Names of programs, in order and each once; `*` alone for all.
pub(in crate::config) fn streams(text: &str) -> Option<Vec<String>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let mut items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
    items.sort();
    items.dedup();
    let is_name = |item: &String| {
        let fits = (1..=logstore::FIELD_BYTES_MAX).contains(&item.len());
        fits && item != "*" && !item.contains(char::is_control)
    };
    let is_all = items.len() == 1 && items.iter().all(|item| item == "*");
    let are_names = items.len() <= ITEMS_MAX && items.iter().all(is_name);
    (is_all || are_names).then_some(items)
}

/// Blocks of IP addresses, in order and each once.
pub(in crate::config) fn networks(text: &str) -> Option<Vec<Network>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let items = text.split(',').map(|item| item.trim().parse().ok());
    let mut items: Vec<Network> = items.collect::<Option<_>>()?;
    items.sort();
    items.dedup();
    (items.len() <= ITEMS_MAX).then_some(items)
}

/// Blocks as they are read.
pub(super) fn show_networks(networks: &[Network]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Databases with their weights.
pub(in crate::config) fn weights(text: &str) -> Option<BTreeMap<Name, u32>> {
    let mut found = BTreeMap::new();
    for item in text.split(',').filter(|_| !text.is_empty()) {
        let (name, weight) = item.trim().split_once('=')?;
        let weight = u32::try_from(number(weight.trim())?).ok()?;
        let is_new = found.insert(Name::new(name.trim()).ok()?, weight).is_none();
        if !is_new || !(1..=WEIGHT_MAX).contains(&weight) || found.len() > ITEMS_MAX {
            return None;
        }
    }
    Some(found)
}

/// Weights as they are read.
pub(super) fn show_weights(weights: &BTreeMap<Name, u32>) -> String {
    let items: Vec<String> =
        weights.iter().map(|(name, n)| format!("{}={n}", name.as_str())).collect();
    items.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_are_read_in_units_of_1024() {
        let cases = [
            ("64", 1 << 20, Some(64 << 20)),
            ("64MiB", 1 << 20, Some(64 << 20)),
            ("64 MiB", 1, Some(64 << 20)),
            ("1GiB", 1 << 20, Some(1 << 30)),
            ("512B", 1 << 20, Some(512)),
            ("0", 1 << 20, Some(0)),
            ("64MB", 1, None),
            ("64mib", 1, None),
            ("1.5GiB", 1, None),
            ("-1", 1, None),
            ("+1", 1, None),
            ("", 1, None),
            ("MiB", 1, None),
            ("64MiBs", 1, None),
            ("18446744073709551616", 1, None),
            ("18446744073709551615", 2, None),
        ];
        for (text, plain, expected) in cases {
            assert_eq!(bytes(text, plain), expected, "{text}");
        }
    }

    #[test]
    fn times_are_read_in_falling_units() {
        let cases = [
            ("5", Some(5000)),
            ("5ms", Some(5)),
            ("1m30s", Some(90_000)),
            ("1d2h3m4s5ms", Some(93_784_005)),
            ("0", Some(0)),
            ("30s1m", None),
            ("1m1m", None),
            ("1m30", None),
            ("m", None),
            ("", None),
            ("1.5s", None),
            ("5 s", None),
            ("-5s", None),
            ("1w", None),
            ("18446744073709551615d", None),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text, SECOND), expected.map(Duration::from_millis), "{text}");
        }
        assert_eq!(time("5", Duration::from_millis(1)), Some(Duration::from_millis(5)));
    }

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for n in [0, 1, 512, 1023, 1024, 65 * 1024, 1 << 20, (1 << 20) + 1, 3 << 40, u64::MAX] {
            for plain in [1, 1 << 20] {
                assert_eq!(bytes(&show_bytes(n, plain), plain), Some(n), "{n}");
            }
        }
        for ms in [0, 1, 999, 1000, 1001, 60_000, 90_061_001, 86_400_000 * 365] {
            for plain in [SECOND, Duration::from_millis(1)] {
                let shown = show_time(Duration::from_millis(ms), plain);
                let read = time(&shown, plain).map(|read| read.as_millis());
                let fits = u32::try_from(ms).is_ok() || plain == SECOND;
                assert!(!fits || read == Some(u128::from(ms)), "{ms}: {shown}");
            }
        }
    }

    #[test]
    fn addresses_urls_origins_and_weights_are_read_strictly() {
        assert_eq!(address("off"), Some(None));
        assert!(address("[::1]:80").is_some() && address("0.0.0.0:0").is_some());
        for bad in ["", "localhost:80", "127.0.0.1", ":80", "1.2.3.4:99999", "OFF"] {
            assert_eq!(address(bad), None, "{bad}");
        }
        for good in ["", "https://example.com/hook?x=1", "http://127.0.0.1:9/"] {
            assert!(is_url(good), "{good}");
        }
        for bad in ["example.com", "ftp://x", "http://", "http:///x", "http://a b", "http://@x"] {
            assert!(!is_url(bad), "{bad}");
        }
        assert_eq!(origins("*"), Some(vec!["*".to_owned()]));
        assert_eq!(origins("http://a, https://b:8").map(|found| found.len()), Some(2));
        for bad in ["a", "http://a/", "http://", "*,http://a", "http://a,", "null"] {
            assert_eq!(origins(bad), None, "{bad}");
        }
        assert_eq!(streams("nginx, caddy,nginx").unwrap(), ["caddy", "nginx"]);
        assert_eq!((streams("*").unwrap().len(), streams("").unwrap().len()), (1, 0));
        for bad in [",", "a,", "*,a", "a\u{0}"] {
            assert_eq!(streams(bad), None, "{bad}");
        }
        assert_eq!(show_networks(&networks("::1, 10.0.0.0/8").unwrap()), "10.0.0.0/8,::1/128");
        for bad in [",", "10.0.0.1/8", "localhost"] {
            assert_eq!(networks(bad), None, "{bad}");
        }
        assert_eq!(weights("b=2, a=1000").map(|found| show_weights(&found)).unwrap(), "a=1000,b=2");
        for bad in ["a", "a=", "a=0", "a=1001", "a=1,a=2", "..=1", "a=1,", "a=-1"] {
            assert_eq!(weights(bad), None, "{bad}");
        }
    }
}
