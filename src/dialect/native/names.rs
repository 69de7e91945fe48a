//! What may stand as a name: job ids, secrets, host names, images, tags, paths.

/// Longest id of a job or step, in characters.
const ID_LENGTH_MAX: usize = 60;

/// Letters, digits, `-` and `_`, a letter or `_` first.
pub(super) fn is_id(text: &str) -> bool {
    text.len() <= ID_LENGTH_MAX
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// A name on the job's network.
pub(super) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= 63 && text.split('.').all(label)
}

/// A tag of an image.
pub(super) fn is_tag(text: &str) -> bool {
    let first = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let rest = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    first && rest && text.len() <= 128
}

/// What is wrong with an image reference, if anything. Source: the grammar of distribution's `reference` package.
pub(super) fn image_problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.chars().any(char::is_whitespace) {
        return Some("it holds a blank");
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    if let Some(digest) = digest
        && !digest
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Some("its digest is not `sha256:` and 64 hex digits");
    }
    let (name, tag) = split_tag(name);
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Some("its tag is not allowed");
    }
    repository_problem(name)
}

/// What is wrong with `registry/team/name`, if anything.
pub(super) fn repository_problem(name: &str) -> Option<&'static str> {
    if name.contains("://") {
        return Some("it is a web address; leave `https://` out");
    }
    let mut parts: Vec<&str> = name.split('/').collect();
    let is_host = |part: &str| {
        part == "localhost" || part.contains(['.', ':']) || part.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    if parts.len() > 1 && is_host(parts[0]) {
        let host = parts.remove(0);
        let (host, port) = host.split_once(':').unwrap_or((host, "0"));
        if host.is_empty() || port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some("its registry is no host with a port");
        }
    }
    let fine = |part: &&str| {
        let allowed = part
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-'));
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        allowed && edge(part.bytes().next()) && edge(part.bytes().last())
    };
    if parts
        .iter()
        .any(|part| part.bytes().any(|byte| byte.is_ascii_uppercase()))
    {
        return Some("names of images are lower case");
    }
    (!parts.iter().all(fine)).then_some("a part of its name is empty or holds a character that is not allowed")
}

/// `name:tag` in two; a registry's port is no tag. Expressions may stand in either.
pub(super) fn split_tag(text: &str) -> (&str, Option<&str>) {
    let mut depth = 0_u32;
    let mut colon = None;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'/' if depth == 0 => colon = None,
            b':' if depth == 0 => colon = Some(at),
            _ => {}
        }
    }
    match colon {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// Why a path does not stay inside of the repository, if it does not.
pub(super) fn path_problem(path: &str) -> Option<&'static str> {
    if path.trim().is_empty() {
        return Some("it is empty");
    }
    if path.starts_with(['/', '~']) || path.contains('\\') || path.contains("://") {
        return Some("it is no relative path with `/` between folders");
    }
    path.split('/')
        .any(|part| part == "..")
        .then_some("it leads out of the repository")
}

/// `./a//b/` as `a/b`; `.` stays.
pub(super) fn clean(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_from_what_is_none() {
        let fine = [
            "alpine",
            "alpine:3.20",
            "postgres:16-alpine",
            "team/web",
            "registry.example.com/team/web:v1",
            "localhost:5000/web",
            "127.0.0.1:5000/a/b_c/d--e:x",
            "ghcr.io/a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ];
        for image in fine {
            assert_eq!(image_problem(image), None, "{image}");
        }
        let wrong = [
            "",
            "Alpine",
            "a b",
            "https://x/y",
            "x:",
            "x:-v",
            "team//web",
            "x@sha256:12",
            "-x",
            "host:port/x",
            "x/",
        ];
        for image in wrong {
            assert!(image_problem(image).is_some(), "{image}");
        }
    }

    #[test]
    fn a_tag_is_split_off_and_a_port_is_not() {
        let cases = [
            ("web", ("web", None)),
            ("web:1", ("web", Some("1"))),
            ("localhost:5000/web", ("localhost:5000/web", None)),
            ("r.io/web:${{ a && 'x:y' }}", ("r.io/web", Some("${{ a && 'x:y' }}"))),
            ("${{ vars.R }}/web", ("${{ vars.R }}/web", None)),
        ];
        for (text, split) in cases {
            assert_eq!(split_tag(text), split);
        }
    }
}
