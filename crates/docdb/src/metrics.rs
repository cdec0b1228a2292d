//! Every metric of the server, of whatever part.

use base::metrics::Definition;

/// All definitions, by name.
#[must_use]
pub fn inventory() -> Vec<&'static Definition> {
    let parts = [
        crate::engine::metrics::ALL,
        logstore::metrics::ALL,
        search::metrics::ALL,
        crate::ingest::listen::METRICS,
        crate::http::METRICS,
        crate::ipc::METRICS,
        crate::alerts::METRICS,
    ];
    let mut all: Vec<_> = parts.into_iter().flatten().collect();
    all.sort_by_key(|definition| definition.name);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_metrics_have_one_name_and_all_are_well_formed() {
        let all = inventory();
        for pair in all.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} is there twice", pair[0].name);
        }
        for definition in all {
            definition.check().unwrap();
        }
    }
}
