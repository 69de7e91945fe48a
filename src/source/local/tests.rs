use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use git2::{Repository, Signature};
use tempfile::TempDir;

use super::*;
use crate::event::Changed;
use crate::tree::read_text;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn commit_all(repository: &Repository) -> git2::Oid {
    let mut index = repository.index().unwrap();
    index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = Signature::new("Ada", "ada@example.com", &git2::Time::new(1_700_000_000, 0)).unwrap();
    let parent = repository.head().ok().map(|head| head.peel_to_commit().unwrap());
    repository
        .commit(
            Some("HEAD"),
            &who,
            &who,
            "first\n",
            &tree,
            &parent.iter().collect::<Vec<_>>(),
        )
        .unwrap()
}

fn git() -> (TempDir, Repository) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = git2::RepositoryInitOptions::new();
    let repository = Repository::init_opts(folder.path(), options.initial_head("main")).unwrap();
    (folder, repository)
}

/// What a tar stream holds, a line an entry.
fn listed(tree: &dyn Tree) -> String {
    let mut bytes = Vec::new();
    tree.write_tar(&|_| true, &mut bytes).unwrap();
    let mut lines = String::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let link = entry
            .link_name_bytes()
            .map(|link| format!(" -> {}", String::from_utf8_lossy(&link)));
        let mut text = String::new();
        let _ = entry.read_to_string(&mut text);
        let who = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
        let link = link.unwrap_or_default();
        let line = format!("{:o} {who:?} {path}{link} {text}", header.mode().unwrap());
        lines += line.trim_end();
        lines.push('\n');
    }
    lines
}

#[test]
fn a_dirty_work_tree_is_tracked_and_untracked_but_not_ignored_files() {
    let (folder, repository) = git();
    let root = folder.path();
    write(root, ".gitignore", "target/\n*.log\n!keep.log\n");
    write(root, "src/.gitignore", "generated.rs\n");
    write(root, "src/main.rs", "old");
    write(root, "gone.txt", "");
    write(root, "run.sh", "#!/bin/sh");
    write(root, "tracked.log", "");
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("src/main.rs", root.join("link")).unwrap();
    commit_all(&repository);
    let mut index = repository.index().unwrap();
    index.add_path(Path::new("tracked.log")).unwrap();
    index.write().unwrap();
    write(root, "src/main.rs", "new");
    write(root, "src/generated.rs", "");
    write(root, "src/fresh.rs", "");
    write(root, "target/debug/x", "");
    write(root, "keep.log", "");
    write(root, "other.log", "");
    write(root, ".git/info/exclude", "mine.txt\n");
    write(root, "mine.txt", "");
    fs::remove_file(root.join("gone.txt")).unwrap();
    Repository::init(root.join("embedded")).unwrap();
    write(root, "embedded/x", "");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    insta::assert_snapshot!(listed(&LocalTree::open(root).unwrap()), @"
    644 (0, 0, 1700000000) .gitignore target/
    *.log
    !keep.log
    644 (0, 0, 1700000000) keep.log
    777 (0, 0, 1700000000) link -> src/main.rs
    755 (0, 0, 1700000000) run.sh #!/bin/sh
    755 (0, 0, 1700000000) src/
    644 (0, 0, 1700000000) src/.gitignore generated.rs
    644 (0, 0, 1700000000) src/fresh.rs
    644 (0, 0, 1700000000) src/main.rs new
    644 (0, 0, 1700000000) tracked.log
    ");
}

#[test]
fn a_folder_without_git_obeys_gitignore_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, ".gitignore", "*.o\n");
    write(root, "a/.gitignore", "secret\n");
    write(root, "a/secret", "");
    write(root, "a/b.c", "");
    write(root, "a/b.o", "");
    write(root, ".hidden/x", "");
    let tree = LocalTree::open(root).unwrap();
    assert_eq!(
        tree.paths().unwrap(),
        [".gitignore", ".hidden/x", "a/.gitignore", "a/b.c"]
    );
}

#[test]
fn a_part_of_a_repository_is_a_tree_of_its_own() {
    let (folder, repository) = git();
    let root = folder.path();
    write(root, ".gitignore", "*.o\n/ignored-project/\n");
    write(root, "app/Dockerfile", "FROM x");
    write(root, "lib/x", "");
    commit_all(&repository);
    write(root, "app/new.txt", "");
    write(root, "app/new.o", "");
    write(root, "ignored-project/main.c", "");
    let paths = |part: &str| LocalTree::open(&root.join(part)).unwrap().paths().unwrap();
    assert_eq!(paths("app"), ["Dockerfile", "new.txt"]);
    assert_eq!(paths("ignored-project"), ["main.c"]);
}

#[test]
fn a_checked_out_submodule_is_part_of_the_tree() {
    let (folder, repository) = git();
    let root = folder.path();
    let inner = Repository::init(root.join("vendor/lib")).unwrap();
    write(root, "vendor/lib/lib.c", "");
    let head = commit_all(&inner);
    let entry = git2::IndexEntry {
        ctime: git2::IndexTime::new(0, 0),
        mtime: git2::IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode: 0o160000,
        uid: 0,
        gid: 0,
        file_size: 0,
        id: head,
        flags: 0,
        flags_extended: 0,
        path: b"vendor/lib".to_vec(),
    };
    let mut index = repository.index().unwrap();
    index.add(&entry).unwrap();
    index.write().unwrap();
    write(root, "vendor/lib/fresh.c", "");
    assert_eq!(
        LocalTree::open(root).unwrap().paths().unwrap(),
        ["vendor/lib/fresh.c", "vendor/lib/lib.c"]
    );
}

#[test]
fn no_path_leads_out_of_the_tree_or_to_what_is_not_listed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "canary").unwrap();
    let (folder, repository) = git();
    let root = folder.path();
    write(root, ".gitignore", ".env\n");
    write(root, ".env", "canary");
    write(root, "docker/Dockerfile", "FROM x");
    symlink(outside.path().join("secret"), root.join("absolute")).unwrap();
    symlink(
        format!("../{}/secret", outside.path().file_name().unwrap().to_string_lossy()),
        root.join("upwards"),
    )
    .unwrap();
    symlink(outside.path(), root.join("folder")).unwrap();
    symlink(".env", root.join("ignored")).unwrap();
    symlink(".git/HEAD", root.join("internals")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("docker", root.join("inside")).unwrap();
    symlink("inside/../docker/./Dockerfile", root.join("Dockerfile")).unwrap();
    commit_all(&repository);
    let tree = LocalTree::open(root).unwrap();
    for path in [
        "absolute",
        "upwards",
        "folder/secret",
        "ignored",
        "internals",
        "loop",
        ".env",
        ".git/HEAD",
        "../x",
        "",
        ".",
        "/etc/passwd",
        "docker",
        "docker/Dockerfile/x",
        "none",
    ] {
        assert!(tree.open(path).unwrap().is_none(), "{path}");
    }
    for path in [
        "Dockerfile",
        "inside/Dockerfile",
        "docker/Dockerfile",
        "./docker//Dockerfile",
    ] {
        assert_eq!(
            read_text(&tree, path, 100).unwrap().as_deref(),
            Some("FROM x"),
            "{path}"
        );
    }
    // Swapped after the list was taken: still nothing from outside.
    fs::remove_dir_all(root.join("docker")).unwrap();
    symlink(outside.path(), root.join("docker")).unwrap();
    fs::write(outside.path().join("Dockerfile"), "canary").unwrap();
    assert!(tree.open("docker/Dockerfile").unwrap().is_none());
    assert!(!listed(&tree).contains("canary"));
}

#[test]
fn long_and_foreign_names_survive_the_tar_stream() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let long = "d".repeat(120);
    write(folder.path(), &format!("{long}/{long}"), "x");
    symlink("t".repeat(300), folder.path().join("link")).unwrap();
    fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"latin-\xe9")), "y").unwrap();
    let tree = LocalTree::open(folder.path()).unwrap();
    let mut bytes = Vec::new();
    tree.write_tar(&|_| true, &mut bytes).unwrap();
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        found.insert(
            entry.path_bytes().into_owned(),
            entry.link_name_bytes().map(|link| link.into_owned()),
        );
    }
    assert_eq!(found.get(b"link".as_slice()), Some(&Some("t".repeat(300).into_bytes())));
    assert!(found.contains_key(b"latin-\xe9".as_slice()));
    assert!(found.contains_key(format!("{long}/{long}").as_bytes()));
}

#[test]
fn equal_trees_give_equal_bytes_and_only_what_is_wanted() {
    let tar = |wanted: &dyn Fn(&str) -> bool| {
        let (folder, repository) = git();
        write(folder.path(), "b/c/one", "1");
        write(folder.path(), "b/two", "2");
        write(folder.path(), "b-a", "3");
        commit_all(&repository);
        let mut bytes = Vec::new();
        LocalTree::open(folder.path())
            .unwrap()
            .write_tar(wanted, &mut bytes)
            .unwrap();
        bytes
    };
    assert_eq!(tar(&|_| true), tar(&|_| true));
    let names = |bytes: Vec<u8>| -> Vec<String> {
        let mut archive = tar::Archive::new(bytes.as_slice());
        archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect()
    };
    assert_eq!(names(tar(&|_| true)), ["b-a", "b/", "b/c/", "b/c/one", "b/two"]);
    assert_eq!(names(tar(&|path| path == "b/two")), ["b/", "b/two"]);
    let (folder, repository) = git();
    write(folder.path(), "b/c/one", "1");
    write(folder.path(), "bc", "2");
    commit_all(&repository);
    let mut bytes = Vec::new();
    let tree = LocalTree::open(folder.path()).unwrap();
    tree.write_tar_of("b", &|path| path == "c/one", &mut bytes).unwrap();
    assert_eq!(names(bytes), ["c/", "c/one"]);
}

#[test]
fn facts_come_from_the_repository_where_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let bare = facts(folder.path()).unwrap();
    assert!(bare.sha.is_zero() && bare.branch.is_none() && bare.dirty);
    assert_eq!(bare.repo, folder.path().file_name().unwrap().to_string_lossy());

    let (folder, repository) = git();
    let unborn = facts(folder.path()).unwrap();
    assert_eq!((unborn.branch.as_deref(), unborn.sha.is_zero()), (Some("main"), true));
    write(folder.path(), "a/x", "1");
    let first = commit_all(&repository);
    repository
        .remote("origin", "https://me:t0ken@git.example.com/team/web.git")
        .unwrap();
    repository
        .tag_lightweight("v1", &repository.find_object(first, None).unwrap(), false)
        .unwrap();
    let seen = facts(folder.path()).unwrap();
    assert_eq!(seen.git_ref(), "refs/heads/main");
    assert_eq!(seen.sha.as_str(), first.to_string());
    assert_eq!((seen.tag.as_deref(), seen.dirty), (Some("v1"), false));
    assert_eq!(seen.remote.as_deref(), Some("https://git.example.com/team/web.git"));
    assert_eq!(
        (seen.repo.as_str(), seen.message.as_str(), seen.author.as_str()),
        ("team/web", "first", "Ada")
    );
    repository.set_head_detached(first).unwrap();
    assert_eq!(facts(folder.path()).unwrap().git_ref(), "refs/tags/v1");

    write(folder.path(), "a/y", "2");
    assert!(facts(folder.path()).unwrap().dirty);
    assert_eq!(
        changed(folder.path(), "v1").unwrap(),
        Changed::Paths(vec!["a/y".into()])
    );
    assert_eq!(
        changed(&folder.path().join("a"), "v1").unwrap(),
        Changed::Paths(vec!["y".into()])
    );
    assert_eq!(changed(folder.path(), "nowhere").unwrap(), Changed::Unknown);
}
