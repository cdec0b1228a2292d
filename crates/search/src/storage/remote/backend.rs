//! The library's client of a URL.

use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};

use super::RemoteOptions;
use crate::storage::{StoreError, StoreErrorKind};

/// What the library must be able to do.
pub(super) trait Backend: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Backend for T {}

/// The client for `url`, and what all paths begin with.
pub(super) fn open(
    url: &str,
    options: &RemoteOptions,
) -> Result<(Arc<dyn Backend>, Path), StoreError> {
    provide_cryptography();
    let unfit = |reason: String| StoreError::new(StoreErrorKind::Unfit, url, reason);
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(unfit("the URL names no bucket".to_owned()));
    }
    let root = Path::parse(prefix).map_err(|error| unfit(error.to_string()))?;
    let backend = match scheme {
        "s3" => s3(bucket, options),
        "gs" => google(bucket, options),
        "az" => azure(bucket, options),
        _ => return Err(unfit("the URL begins with none of s3://, gs://, az://".to_owned())),
    };
    backend.map(|backend| (backend, root)).map_err(|error| unfit(error.to_string()))
}

/// TLS by ring, unless the process has chosen already: the HTTP library brings none of its own.
fn provide_cryptography() {
    // An error says that there is a provider.
    _ = rustls::crypto::ring::default_provider().install_default();
}

/// The library tries nothing again by itself.
fn once() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, ..RetryConfig::default() }
}

/// What holds for every provider, by the keys that each has of its own. Whether plain HTTP and which proxies are used
/// is left to the environment.
fn client(options: &RemoteOptions) -> [(ClientConfigKey, String); 3] {
    [
        (ClientConfigKey::Timeout, format!("{}ms", options.request_timeout.as_millis())),
        (ClientConfigKey::ConnectTimeout, format!("{}ms", options.connect_timeout.as_millis())),
        (ClientConfigKey::UserAgent, "docdb".to_owned()),
    ]
}

/// The settings, by the keys of one provider. One that is of another provider is an error: it would do nothing.
fn settings<K: FromStr<Err = object_store::Error>>(
    options: &RemoteOptions,
) -> object_store::Result<Vec<(K, &str)>> {
    let each = options.settings.iter();
    each.map(|(key, value)| Ok((key.to_ascii_lowercase().parse()?, value.as_str()))).collect()
}

fn s3(bucket: &str, options: &RemoteOptions) -> object_store::Result<Arc<dyn Backend>> {
    let mut builder = AmazonS3Builder::from_env().with_retry(once()).with_bucket_name(bucket);
    for (key, value) in client(options) {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    for (key, value) in settings::<AmazonS3ConfigKey>(options)? {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build()?))
}

fn google(bucket: &str, options: &RemoteOptions) -> object_store::Result<Arc<dyn Backend>> {
    let mut builder =
        GoogleCloudStorageBuilder::from_env().with_retry(once()).with_bucket_name(bucket);
    for (key, value) in client(options) {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    for (key, value) in settings::<GoogleConfigKey>(options)? {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build()?))
}

fn azure(container: &str, options: &RemoteOptions) -> object_store::Result<Arc<dyn Backend>> {
    let mut builder =
        MicrosoftAzureBuilder::from_env().with_retry(once()).with_container_name(container);
    for (key, value) in client(options) {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    for (key, value) in settings::<AzureConfigKey>(options)? {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build()?))
}
