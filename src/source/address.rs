//! Addresses of repositories: what may be one, what of it decides where credentials go, and what people may see.

use std::fmt;

use url::Url;

/// How a repository is reached. `Http` and `File` only where the server's configuration says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Https,
    Ssh,
    Http,
    File,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Https => "https",
            Scheme::Ssh => "ssh",
            Scheme::Http => "http",
            Scheme::File => "file",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Scheme::Https => 443,
            Scheme::Ssh => 22,
            Scheme::Http => 80,
            Scheme::File => 0,
        }
    }
}

/// Who is asked: credentials are bound to exactly this. `host` is lower case, an IPv6 address without brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    pub scheme: Scheme,
    pub host: String,
    pub port: u16,
}

impl Authority {
    /// From `https://host[:port]` or `ssh://host[:port]`, as a configuration names it; a path after it is ignored.
    pub fn parse(text: &str) -> Result<Self, String> {
        Address::parse(&format!("{}/-", text.trim_end_matches('/'))).map(|address| address.authority)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Authority { scheme, host, port } = self;
        write!(out, "{}://", scheme.name())?;
        if host.contains(':') {
            write!(out, "[{host}]")?
        } else {
            out.write_str(host)?
        }
        if *port == scheme.default_port() {
            Ok(())
        } else {
            write!(out, ":{port}")
        }
    }
}

/// The address of one repository. `path` has no `.`, `..` or empty part, and begins with `/` except in the form
/// `user@host:path`, where it is relative to what the host makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub authority: Authority,
    /// For ssh; `git` where the address names none.
    pub user: String,
    pub path: String,
}

impl Address {
    /// Reads `https://`, `ssh://`, `http://` and `file://` URLs, `user@host:path` and absolute paths.
    /// What is no such address, or carries a password, an option or a control character, is refused with the reason.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > 2048 {
            return Err("it is longer than 2048 bytes".to_owned());
        }
        if let Some(bad) = text.chars().find(|c| c.is_control() || c.is_whitespace() || *c == '\\') {
            return Err(format!("it contains the character {bad:?}"));
        }
        if text.starts_with('-') {
            return Err("it begins with `-`, as an option does".to_owned());
        }
        if text.starts_with('/') {
            return Address::of_path(text);
        }
        if !text.contains("://") {
            return Address::of_scp(text);
        }
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "ssh" | "git+ssh" | "ssh+git" => Scheme::Ssh,
            "http" => Scheme::Http,
            "file" => Scheme::File,
            other => return Err(format!("`{other}://` is not supported; use https:// or ssh://")),
        };
        if url.password().is_some() {
            return Err("it carries a password; credentials belong into the configuration".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has a query or a fragment, which a repository's address has not".to_owned());
        }
        if scheme == Scheme::File {
            return match url.host_str() {
                None | Some("") => Address::of_path(url.path()),
                Some(_) => Err("a file:// address names no host: write file:///path".to_owned()),
            };
        }
        let host = url
            .host_str()
            .unwrap_or("")
            .trim_matches(['[', ']'])
            .to_ascii_lowercase();
        let port = url.port().unwrap_or(scheme.default_port());
        Address::checked(Authority { scheme, host, port }, url.username(), url.path())
    }

    fn of_path(path: &str) -> Result<Self, String> {
        let authority = Authority {
            scheme: Scheme::File,
            host: String::new(),
            port: 0,
        };
        let clean = clean_path(path)?;
        Ok(Address {
            authority,
            user: String::new(),
            path: clean,
        })
    }

    fn of_scp(text: &str) -> Result<Self, String> {
        let (place, path) = text.split_once(':').ok_or("it is neither a URL nor `user@host:path`")?;
        let (user, host) = place.split_once('@').unwrap_or(("", place));
        let authority = Authority {
            scheme: Scheme::Ssh,
            host: host.to_ascii_lowercase(),
            port: 22,
        };
        Address::checked(authority, user, path)
    }

    fn checked(authority: Authority, user: &str, path: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if authority.host.is_empty() || authority.host.starts_with('-') || !authority.host.chars().all(plain) {
            return Err(format!("`{}` is no host name", authority.host));
        }
        if user.starts_with('-') || !user.chars().all(plain) {
            return Err(format!("`{user}` is no user name"));
        }
        let user = if user.is_empty() { "git" } else { user };
        Ok(Address {
            path: clean_path(path)?,
            user: user.to_owned(),
            authority,
        })
    }

    /// The address of a submodule: absolute as it is, or `./`, `../` relative to this repository.
    pub fn join(&self, text: &str) -> Result<Self, String> {
        if !text.starts_with("./") && !text.starts_with("../") {
            return Address::parse(text);
        }
        let root = if self.path.starts_with('/') { "/" } else { "" };
        let mut parts: Vec<&str> = self.path.trim_start_matches('/').split('/').collect();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.pop().is_none() => return Err("it leads above the host's root".to_owned()),
                ".." => {}
                name => parts.push(name),
            }
        }
        Ok(Address {
            path: clean_path(&format!("{root}{}", parts.join("/")))?,
            ..self.clone()
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.authority.scheme {
            Scheme::File => write!(out, "file://{}", self.path),
            Scheme::Ssh => {
                let authority = self.authority.to_string();
                let place = authority.strip_prefix("ssh://").unwrap_or(&authority);
                let form = if self.path.starts_with('/') { "ssh://" } else { "" };
                let colon = if self.path.starts_with('/') { "" } else { ":" };
                write!(out, "{form}{}@{place}{colon}{}", self.user, self.path)
            }
            Scheme::Https | Scheme::Http => write!(out, "{}{}", self.authority, self.path),
        }
    }
}

fn clean_path(path: &str) -> Result<String, String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err("it names no repository, only a host".to_owned());
    }
    let lowered = path.to_ascii_lowercase();
    if parts.iter().any(|part| matches!(*part, "." | "..")) || lowered.contains("%2e%2e") || lowered.contains("%00") {
        return Err("its path leads upwards".to_owned());
    }
    if parts.iter().any(|part| part.starts_with('-') && *part != "-") {
        return Err("a part of its path begins with `-`, as an option does".to_owned());
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    Ok(format!("{root}{}", parts.join("/")))
}

/// An address as people may see it: without user, password and query, whether or not it may be fetched.
pub fn without_credentials(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.has_host() => {
            // Both refuse only URLs without a host.
            let _ = url.set_password(None);
            if url.scheme() != "ssh" {
                let _ = url.set_username("");
            }
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        Ok(_) | Err(_) => text.to_owned(),
    }
}

/// `owner/name` (with subgroups) as an address names it; none for a path on this machine.
pub fn repo_name(text: &str) -> Option<String> {
    let address = Address::parse(&without_credentials(text)).ok()?;
    if address.authority.scheme == Scheme::File {
        return None;
    }
    let path = address.path.trim_start_matches('/');
    Some(path.strip_suffix(".git").unwrap_or(path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_or_refused_with_its_reason() {
        let cases = [
            "https://GitHub.com/Owner/name.git",
            "https://git.example.com:8443/group/sub/name/",
            "https://user@host/a/b",
            "ssh://git@host:2222/a/b.git",
            "git@host:a/b.git",
            "host:a/b",
            "http://[::1]:3000/a/b",
            "file:///srv/a.git",
            "/srv/a.git",
            "https://user:token@host/a/b",
            "https://github.com@evil.example/a/b",
            "ext::sh -c id",
            "git://host/a/b",
            "ftp://host/a",
            "ssh://-oProxyCommand=id/a",
            "-uid:a/b",
            "--upload-pack=id",
            "git@-oProxyCommand:a",
            "ssh://git@host/-x",
            "file://host/srv",
            "https://host/",
            "https://host/../../etc",
            "https://host/a/%2e%2e/b",
            "../a",
            "https://host/a\nb",
            "https://host/a\0b",
            "https://host/a?x=1",
            "https://ho st/a",
            "",
        ];
        let table: String = cases
            .iter()
            .map(|text| match Address::parse(text) {
                Ok(address) => format!("{text:?} -> {address}\n"),
                Err(why) => format!("{text:?} refused: {why}\n"),
            })
            .collect();
        insta::assert_snapshot!(table, @r#"
        "https://GitHub.com/Owner/name.git" -> https://github.com/Owner/name.git
        "https://git.example.com:8443/group/sub/name/" -> https://git.example.com:8443/group/sub/name
        "https://user@host/a/b" -> https://host/a/b
        "ssh://git@host:2222/a/b.git" -> ssh://git@host:2222/a/b.git
        "git@host:a/b.git" -> git@host:a/b.git
        "host:a/b" -> git@host:a/b
        "http://[::1]:3000/a/b" -> http://[::1]:3000/a/b
        "file:///srv/a.git" -> file:///srv/a.git
        "/srv/a.git" -> file:///srv/a.git
        "https://user:token@host/a/b" refused: it carries a password; credentials belong into the configuration
        "https://github.com@evil.example/a/b" -> https://evil.example/a/b
        "ext::sh -c id" refused: it contains the character ' '
        "git://host/a/b" refused: `git://` is not supported; use https:// or ssh://
        "ftp://host/a" refused: `ftp://` is not supported; use https:// or ssh://
        "ssh://-oProxyCommand=id/a" refused: `-oproxycommand=id` is no host name
        "-uid:a/b" refused: it begins with `-`, as an option does
        "--upload-pack=id" refused: it begins with `-`, as an option does
        "git@-oProxyCommand:a" refused: `-oproxycommand` is no host name
        "ssh://git@host/-x" refused: a part of its path begins with `-`, as an option does
        "file://host/srv" refused: a file:// address names no host: write file:///path
        "https://host/" refused: it names no repository, only a host
        "https://host/../../etc" -> https://host/etc
        "https://host/a/%2e%2e/b" -> https://host/b
        "../a" refused: it is neither a URL nor `user@host:path`
        "https://host/a\nb" refused: it contains the character '\n'
        "https://host/a\0b" refused: it contains the character '\0'
        "https://host/a?x=1" refused: it has a query or a fragment, which a repository's address has not
        "https://ho st/a" refused: it contains the character ' '
        "" refused: it is neither a URL nor `user@host:path`
        "#);
    }

    #[test]
    fn a_relative_submodule_stays_on_its_host() {
        let parent = Address::parse("https://host/group/app.git").unwrap();
        let table: String = [
            "../lib.git",
            "./inner",
            "../../other/x",
            "../../../x",
            "https://elsewhere/x",
            "/srv/x",
        ]
        .iter()
        .map(|text| match parent.join(text) {
            Ok(address) => format!("{text} -> {address}\n"),
            Err(why) => format!("{text} refused: {why}\n"),
        })
        .collect();
        insta::assert_snapshot!(table, @"
        ../lib.git -> https://host/group/lib.git
        ./inner -> https://host/group/app.git/inner
        ../../other/x -> https://host/other/x
        ../../../x refused: it leads above the host's root
        https://elsewhere/x -> https://elsewhere/x
        /srv/x -> file:///srv/x
        ");
    }

    #[test]
    fn people_never_see_credentials() {
        let cases = [
            "https://me:t0ken@host/a/b.git",
            "https://t0ken@host/a?private_token=t0ken",
            "git@host:a/b",
            "/srv/a",
        ];
        for text in cases {
            assert!(!without_credentials(text).contains("t0ken"), "{text}");
        }
        assert_eq!(
            repo_name("git@host:group/sub/app.git").as_deref(),
            Some("group/sub/app")
        );
        assert_eq!(repo_name("https://x:y@host/o/n").as_deref(), Some("o/n"));
        assert_eq!(repo_name("/srv/app.git"), None);
    }
}
