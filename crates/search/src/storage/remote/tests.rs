//! Tests that need no network: what a URL means. Requests are tried on servers in `tests/it/remote_store.rs`.

use super::*;

fn open(url: &str, settings: &[(&str, &str)]) -> Result<RemoteStore, StoreError> {
    let settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    RemoteStore::open(url, &RemoteOptions { settings: settings.collect(), ..Default::default() })
}

const S3: [(&str, &str); 3] =
    [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];

#[test]
fn names_are_below_the_prefix_of_the_url() {
    for (url, expect) in [
        ("s3://bucket", "a/b"),
        ("s3://bucket/", "a/b"),
        ("s3://bucket/docdb", "docdb/a/b"),
        ("s3://bucket/docdb/one/", "docdb/one/a/b"),
    ] {
        let store = open(url, &S3).unwrap();
        let name = Name::new("a/b").unwrap();
        let path = store.path(&name);
        assert_eq!(path.as_ref(), expect, "{url}");
        assert_eq!(name_of(&store.root, &path), Some(name));
    }
    let store = open("s3://bucket/docdb", &S3).unwrap();
    for other in ["elsewhere/a", "docdb/.hidden", "docdb/a b"] {
        let path = Path::from(other);
        assert_eq!(name_of(&store.root, &path), None, "{other}");
    }
}

#[test]
fn a_url_or_setting_that_means_nothing_is_refused_with_the_reason() {
    for (url, settings, expect) in [
        ("bucket", &S3[..], "names no bucket"),
        ("s3://", &S3[..], "names no bucket"),
        ("ftp://bucket", &S3[..], "none of s3://"),
        ("s3://bucket/a//b", &S3[..], "empty"),
        ("s3://bucket", &[("AWS_REGIONN", "x")][..], "not valid"),
        ("s3://bucket", &[("AZURE_STORAGE_ACCOUNT_KEY", "x")][..], "not valid"),
    ] {
        let error = open(url, settings).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unfit, "{error}");
        assert!(error.to_string().contains(expect), "{error}");
    }
}

#[test]
fn no_secret_is_shown() {
    let store = open("s3://bucket/docdb", &S3).unwrap();
    assert_eq!(format!("{store:?}"), "RemoteStore { url: \"s3://bucket/docdb\", .. }");
}
