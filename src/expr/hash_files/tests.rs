use super::*;

/// Files by path.
pub(in crate::expr) struct InMemory {
    files: Vec<(String, Vec<u8>)>,
}

impl InMemory {
    pub fn new(files: &[(&str, &str)]) -> Self {
        InMemory {
            files: files
                .iter()
                .map(|(path, text)| ((*path).to_string(), text.as_bytes().to_vec()))
                .collect(),
        }
    }
}

impl Files for InMemory {
    fn paths(&self) -> io::Result<Vec<String>> {
        Ok(self.files.iter().map(|(path, _)| path.clone()).collect())
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        match self.files.iter().find(|(known, _)| known == path) {
            Some((_, contents)) if contents != b"unreadable" => Ok(Box::new(contents.as_slice())),
            Some(_) | None => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn root(&self) -> Option<&str> {
        Some("/work/space")
    }
}

/// Each file holds its own path.
fn workspace() -> InMemory {
    let paths = [
        "web/package.json",
        "Cargo.lock",
        "web/node_modules/x/package.json",
        "a/b.txt",
        "a-b.txt",
        "a.txt",
        ".hidden/x.txt",
        "deep/er/est/c.txt",
        "odd/[x].txt",
        "odd/a*b",
    ];
    InMemory::new(&paths.map(|path| (path, path)))
}

/// The digest of files in this order, made the plain way.
fn digest(paths: &[&str]) -> String {
    let each = paths.iter().flat_map(|path| Sha256::digest(path.as_bytes()).to_vec());
    hex::encode(Sha256::digest(each.collect::<Vec<u8>>()))
}

#[test]
fn it_is_the_digest_of_the_files_digests() {
    // sha256sum of the 32 bytes that sha256sum gives for `abc`.
    let files = InMemory::new(&[("one", "abc")]);
    assert_eq!(
        hash_files(&files, &["one"]).as_deref(),
        Ok("4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358")
    );
}

#[test]
fn patterns_choose_files_in_the_order_of_the_walk() {
    for (patterns, expected) in [
        (vec!["Cargo.lock"], vec!["Cargo.lock"]),
        (vec!["./Cargo.lock"], vec!["Cargo.lock"]),
        (vec!["/work/space/Cargo.lock"], vec!["Cargo.lock"]),
        (
            vec!["**/package.json"],
            vec!["web/node_modules/x/package.json", "web/package.json"],
        ),
        (vec!["**/package.json", "!**/node_modules/**"], vec!["web/package.json"]),
        (vec!["**/package.json", "!web/node_modules"], vec!["web/package.json"]),
        (
            vec!["!**/node_modules/**", "**/package.json"],
            vec!["web/node_modules/x/package.json", "web/package.json"],
        ),
        // Names of a directory are ordered, not whole paths: `a` comes before `a-b.txt`.
        (
            vec!["**/*.txt"],
            vec![
                ".hidden/x.txt",
                "a/b.txt",
                "a-b.txt",
                "a.txt",
                "deep/er/est/c.txt",
                "odd/[x].txt",
            ],
        ),
        (vec!["*.txt"], vec!["a-b.txt", "a.txt"]),
        (vec!["a?txt"], vec!["a.txt"]),
        (vec!["a[.-]*"], vec!["a-b.txt", "a.txt"]),
        (vec!["a[!.]*"], vec!["a-b.txt"]),
        (vec!["odd/[[]*"], vec!["odd/[x].txt"]),
        (vec!["odd/[]x[]*"], vec!["odd/[x].txt"]),
        (vec!["odd/[x*"], vec!["odd/[x].txt"]),
        (vec!["deep/", "a.txt/"], vec!["deep/er/est/c.txt"]),
        (vec!["deep"], vec!["deep/er/est/c.txt"]),
        (vec!["deep/**"], vec!["deep/er/est/c.txt"]),
        (vec!["deep/**/c.txt"], vec!["deep/er/est/c.txt"]),
        (vec!["*/*/*/c.txt"], vec!["deep/er/est/c.txt"]),
        (vec!["odd/\\[x\\].txt", "odd/a\\*b"], vec!["odd/[x].txt", "odd/a*b"]),
        // Each fixed beginning is walked in the order of the patterns.
        (
            vec!["web/package.json", "Cargo.lock"],
            vec!["web/package.json", "Cargo.lock"],
        ),
        (
            vec!["Cargo.lock\n# comment\n\n  a.txt", "Cargo.lock"],
            vec!["Cargo.lock", "a.txt"],
        ),
        (
            vec!["web/package.json", "**/Cargo.lock"],
            vec!["Cargo.lock", "web/package.json"],
        ),
    ] {
        assert_eq!(
            hash_files(&workspace(), &patterns),
            Ok(digest(&expected)),
            "{patterns:?}"
        );
    }
}

#[test]
fn nothing_found_is_the_empty_text() {
    for patterns in [
        vec!["missing"],
        vec!["**/*.zip"],
        vec!["!Cargo.lock"],
        vec![""],
        vec![],
        vec!["Cargo.lock/x"],
        vec!["cargo.lock"],
        vec!["/etc/passwd"],
        vec!["~/x"],
        vec!["a[b-a]*"],
        vec!["a\\"],
    ] {
        assert_eq!(hash_files(&workspace(), &patterns).as_deref(), Ok(""), "{patterns:?}");
    }
}

#[test]
fn what_cannot_be_hashed_is_told() {
    let told: Vec<String> = ["../x", "a/./b", &"a".repeat(5000)]
        .iter()
        .map(|pattern| hash_files(&workspace(), &[pattern]).unwrap_or_else(|error| error))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    the pattern `../x` may not hold `.` or `..` as a segment
    the pattern `a/./b` may not hold `.` or `..` as a segment
    a pattern is longer than 4096 bytes
    ");
    let files = InMemory::new(&[("secret", "unreadable")]);
    assert_eq!(
        hash_files(&files, &["*"]),
        Err("`secret` cannot be read: permission denied".to_string())
    );
}
