//! Every folder of `examples/` is a repository that Drydock understands.

use std::path::{Path, PathBuf};

use drydock::dialect;
use drydock::source::local::LocalTree;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder)
        .expect("there are examples")
        .map(|entry| entry.expect("it can be read").path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn every_example_is_free_of_mistakes() {
    for folder in examples() {
        let tree = LocalTree::open(&folder).expect("the folder can be read");
        let detected = dialect::detect(&tree, None).expect("the folder can be read");
        let detected = detected.unwrap_or_else(|| panic!("there is nothing to run in {}", folder.display()));
        let compiled = dialect::compile(&detected, &tree).expect("the folder can be read");
        assert!(
            compiled.diagnostics.is_empty(),
            "{}:\n{}",
            folder.display(),
            compiled.render(false)
        );
        assert_eq!(compiled.plans.len(), 1, "{}", folder.display());
    }
}
