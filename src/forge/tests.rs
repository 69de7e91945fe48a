//! What the three forges' deliveries prove and mean, and what becomes of a status, as tables.

mod decisions;
mod hostile;
mod meaning;
mod recorded;
mod statuses;
mod verify;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::compose::{Happened, What};
use super::{Connection, Forge, forge};
use crate::event::{Changed, CommitSha, ForgeKind};

const NOW: &str = "2026-11-22T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn forge_of(kind: ForgeKind) -> Box<dyn Forge> {
    forge(kind, Connection::new("http://forge.invalid", None).unwrap())
}

fn sha(digit: char) -> CommitSha {
    CommitSha::try_from(digit.to_string().repeat(40)).unwrap()
}

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    map
}

fn happened(what: What) -> Happened {
    Happened {
        repo: "team/web".into(),
        clone_url: "https://forge.example/team/web.git".into(),
        default_branch: "main".into(),
        commit: sha('a'),
        message: "add a page\n".into(),
        actor: "maria".into(),
        changed: Changed::Paths(vec!["src/page.rs".into()]),
        what,
    }
}

fn push() -> Happened {
    happened(What::Push {
        branch: "main".into(),
        before: Some(sha('b')),
    })
}

fn tag() -> Happened {
    happened(What::Tag { tag: "v1.2".into() })
}

fn pull_request() -> Happened {
    happened(What::PullRequest {
        number: 7,
        title: "A page".into(),
        source_repo: "team/web".into(),
        source_branch: "page".into(),
        target_branch: "main".into(),
    })
}
