//! Deliveries recorded elsewhere: `DRYDOCK_DELIVERIES` names a folder with one folder a forge (`github`, `gitlab`, `gitea`,
//! `forgejo`, `gogs`) of files `{"headers":{},"payload":{},"meaning":{"kind":…,"run":…,…}}`, where null means "not stated".

use std::path::Path;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::event::ForgeKind;
use crate::forge::{Connection, Forge, forge};

#[test]
fn recorded_deliveries_mean_what_their_notes_say() {
    let Some(folder) = std::env::var_os("DRYDOCK_DELIVERIES") else {
        eprintln!("skipped: DRYDOCK_DELIVERIES names no folder of recorded deliveries");
        return;
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, kind) in [
        ("github", ForgeKind::GitHub),
        ("gitlab", ForgeKind::GitLab),
        ("gitea", ForgeKind::Gitea),
        ("forgejo", ForgeKind::Gitea),
        ("gogs", ForgeKind::Gitea),
    ] {
        let forge = forge(kind, Connection::new("http://forge.invalid", None).unwrap());
        for entry in std::fs::read_dir(Path::new(&folder).join(name)).unwrap() {
            let path = entry.unwrap().path();
            let recorded: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            count += 1;
            let said = answer(&*forge, &recorded);
            for (key, meant) in recorded["meaning"].as_object().unwrap() {
                // A note made from a payload without a number says `refs/…/None/head`: nothing that a forge would say.
                let is_note = key != "odd" && !meant.as_str().is_some_and(|text| text.contains("/None/"));
                if is_note && !meant.is_null() && said.as_ref().map(|said| &said[key]) != Ok(meant) {
                    wrong.push(format!("{}: {key} should be {meant}; said: {said:?}", path.display()));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} deliveries:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn answer(forge: &dyn Forge, recorded: &Value) -> Result<Value, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in recorded["headers"].as_object().unwrap() {
        let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
        headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    let body = serde_json::to_vec(&recorded["payload"]).unwrap();
    match forge.parse(&headers, &body) {
        Ok(understood) => {
            println!("{:?} {}", understood.kind, understood.reason);
            Ok(serde_json::to_value(understood.answer(None)).unwrap())
        }
        Err(error) => Err(error.to_string()),
    }
}
