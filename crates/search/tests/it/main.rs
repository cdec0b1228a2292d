//! Tests of the crate as its users see it.

mod block_cache;
mod crash;
mod data;
mod files;
mod fixtures;
mod index;
mod local_store;
mod manifests;
mod remote_store;
mod s3;
mod stores;
mod text;
mod text_files;
mod vaswani;
mod vectors;
mod world;
