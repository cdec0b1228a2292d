//! Tests of the crate as its users see it.
#![expect(clippy::print_stdout, reason = "what a run did, for those who ask for it")]

mod attributes;
mod block_cache;
mod crash;
mod crash_remote;
mod damage;
mod data;
mod differential;
mod documents;
mod faults;
mod files;
mod fixtures;
mod index;
mod local_store;
mod manifests;
mod planted;
mod relevance;
mod remote_store;
mod rows;
mod s3;
mod select;
mod shapes;
mod stores;
mod text;
mod text_files;
mod threads;
mod vaswani;
mod vector_merges;
mod vectors;
mod world;
