//! A pipeline file with everything worked in that it only refers to.

use super::Kind;
use super::yaml::{self, Node};
use crate::diag::FileId;

/// The file as YAML without anchors, aliases, merge keys and comments. A native file also loses its `x-` keys, which
/// are places for anchors. None: `text` is no YAML file with one document, or what was written would be read otherwise.
pub fn expand(kind: Kind, text: &str) -> Option<String> {
    let root = only_document(text)?;
    let root = match kind {
        Kind::Native => root.only(|entry| !entry.key.starts_with("x-")),
        Kind::GitHub | Kind::GitLab => root,
    };
    let written = yaml::write(&root);
    yaml::same(&root, &only_document(&written)?).then_some(written)
}

fn only_document(text: &str) -> Option<Node> {
    let mut parsed = yaml::parse(FileId::default(), text);
    let is_one = parsed.diagnostics.is_empty() && parsed.documents.len() == 1;
    is_one.then(|| parsed.documents.pop()).flatten()
}
