//! Tests of the crate as its users see it.

mod attributes;
mod block_cache;
mod crash;
mod data;
mod documents;
mod files;
mod fixtures;
mod index;
mod local_store;
mod manifests;
mod remote_store;
mod rows;
mod s3;
mod stores;
mod text;
mod text_files;
mod vaswani;
mod vectors;
mod world;
