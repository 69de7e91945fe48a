//! Image references, read as Docker reads them.

use std::fmt;

use super::RegistryError;

/// Docker Hub, as references name it.
pub const HUB: &str = "docker.io";

/// `[registry/]repository[:tag][@digest]`, made whole: `nginx` is `docker.io/library/nginx`.
/// * `registry`: `host[:port]`. * `repository`: without the registry. Without tag and digest, `latest` is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl Reference {
    /// Errors: [`RegistryError::Reference`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        parse(text).map_err(|why| RegistryError::Reference {
            reference: text.to_owned(),
            why,
        })
    }

    /// What the registry's API is asked for: the digest, else the tag, else `latest`.
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(out, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(out, "@{digest}"),
            None => Ok(()),
        }
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("it is an image's id, not a name".to_owned());
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(checked_digest(digest)?)),
        None => (text, None),
    };
    // A colon after the last slash begins a tag; before it, a port.
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match name[slash..].find(':') {
        Some(colon) => (&name[..slash + colon], Some(checked_tag(&name[slash + colon + 1..])?)),
        None => (name, None),
    };
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest),
        _ => (HUB, name),
    };
    let registry = match registry {
        "index.docker.io" | "registry-1.docker.io" => HUB,
        other => other,
    };
    let repository = match (registry, repository.contains('/')) {
        (HUB, false) => format!("library/{repository}"),
        _ => repository.to_owned(),
    };
    checked_registry(registry)?;
    checked_repository(&repository)?;
    Ok(Reference {
        registry: registry.to_owned(),
        repository,
        tag,
        digest,
    })
}

fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn checked_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => rest
            .split_once(']')
            .ok_or("its registry's address does not end in `]`")?,
        None => registry
            .split_once(':')
            .map_or((registry, ""), |(host, _)| (host, &registry[host.len()..])),
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    let is_plain = !host.is_empty() && host.chars().all(is_host) && !host.starts_with('-');
    if is_plain && is_port {
        Ok(())
    } else {
        Err(format!("`{registry}` is no registry's host"))
    }
}

fn checked_repository(repository: &str) -> Result<(), String> {
    if repository.len() > 255 {
        return Err("its name is longer than 255 bytes".to_owned());
    }
    for part in repository.split('/') {
        if part.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let written = repository.strip_prefix("library/").unwrap_or(repository);
            return Err(format!(
                "repository names are lower case: write `{}`",
                written.to_lowercase()
            ));
        }
        if !is_component(part) {
            return Err(format!("`{part}` may not be a part of a repository's name"));
        }
    }
    Ok(())
}

/// Letters and digits, with single `.`, one or two `_`, or any number of `-` between them.
fn is_component(part: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let good =
        |separator: &str| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-');
    part.bytes().next().is_some_and(is_letter)
        && part.bytes().last().is_some_and(is_letter)
        && separators.into_iter().all(good)
}

fn checked_tag(tag: &str) -> Result<String, String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let good = tag.len() <= 128
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
    if good { Ok(tag.to_owned()) } else { Err(tag_fault(tag)) }
}

fn tag_fault(tag: &str) -> String {
    let shown: String = tag.chars().take(140).collect();
    format!("`{shown}` is no tag: letters, digits, `_`, `.` and `-`, at most 128, not beginning with `.` or `-`")
}

fn checked_digest(digest: &str) -> Result<String, String> {
    let good = digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return false,
        };
        hex.len() == length && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    if good {
        Ok(digest.to_owned())
    } else {
        Err(format!("`{digest}` is no digest, such as `sha256:` and 64 hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let table: String = [
            "nginx",
            "nginx:1.27",
            "team/web",
            "index.docker.io/team/web",
            "localhost/web",
            "localhost:5000/web:v1",
            "registry.example.com/team/sub/web",
            "registry.example.com:5000/web",
            "[::1]:5000/web",
            "HOST/web",
            &format!("web@{digest}"),
            &format!("127.0.0.1:5000/a/b:t@{digest}"),
            "a__b/c-d--e.f",
            "",
            "Web",
            "team/Web",
            "web:",
            "web:-x",
            "a..b",
            "a/b/",
            "/a",
            "-a",
            "a___b",
            "host:port/web",
            "web@sha256:abc",
            "we b",
            "host.com/../x",
        ]
        .iter()
        .map(|text| match parse(text) {
            Ok(reference) => format!("{text} -> {reference}\n"),
            Err(why) => format!("{text} refused: {why}\n"),
        })
        .collect();
        insta::assert_snapshot!(table.replace(&"a".repeat(64), "A64"), @"
        nginx -> docker.io/library/nginx
        nginx:1.27 -> docker.io/library/nginx:1.27
        team/web -> docker.io/team/web
        index.docker.io/team/web -> docker.io/team/web
        localhost/web -> localhost/web
        localhost:5000/web:v1 -> localhost:5000/web:v1
        registry.example.com/team/sub/web -> registry.example.com/team/sub/web
        registry.example.com:5000/web -> registry.example.com:5000/web
        [::1]:5000/web -> [::1]:5000/web
        HOST/web -> HOST/web
        web@sha256:A64 -> docker.io/library/web@sha256:A64
        127.0.0.1:5000/a/b:t@sha256:A64 -> 127.0.0.1:5000/a/b:t@sha256:A64
        a__b/c-d--e.f -> docker.io/a__b/c-d--e.f
         refused: `` may not be a part of a repository's name
        Web refused: repository names are lower case: write `web`
        team/Web refused: repository names are lower case: write `team/web`
        web: refused: `` is no tag: letters, digits, `_`, `.` and `-`, at most 128, not beginning with `.` or `-`
        web:-x refused: `-x` is no tag: letters, digits, `_`, `.` and `-`, at most 128, not beginning with `.` or `-`
        a..b refused: `a..b` may not be a part of a repository's name
        a/b/ refused: `` may not be a part of a repository's name
        /a refused: `` may not be a part of a repository's name
        -a refused: `-a` may not be a part of a repository's name
        a___b refused: `a___b` may not be a part of a repository's name
        host:port/web refused: `host:port` is no registry's host
        web@sha256:abc refused: `sha256:abc` is no digest, such as `sha256:` and 64 hex digits
        we b refused: `we b` may not be a part of a repository's name
        host.com/../x refused: `..` may not be a part of a repository's name
        ");
    }
}
