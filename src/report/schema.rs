//! The published JSON schema of the event stream, generated from the types.

use crate::engine::PipelineEvent;

/// Each line of `-o json` and of `GET /api/v1/pipelines/N/events` is valid against it.
pub fn events() -> serde_json::Value {
    schemars::schema_for!(PipelineEvent).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_that_of_the_types() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/events.schema.json");
        let now = serde_json::to_string_pretty(&events()).expect("a schema is JSON") + "\n";
        let published = std::fs::read_to_string(file).unwrap_or_default();
        if std::env::var_os("DRYDOCK_WRITE_SCHEMAS").is_some() {
            std::fs::write(file, &now).expect("the source tree is writable");
        } else {
            assert_eq!(published, now, "write it anew with DRYDOCK_WRITE_SCHEMAS=1");
        }
    }
}
