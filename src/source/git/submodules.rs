//! `.gitmodules`, read with the few rules it needs. git's own configuration reader is not used: it would follow
//! `include.path` to files of this machine.

/// A submodule as the file names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Submodule {
    pub path: String,
    pub url: String,
}

/// The entries that have both a path and a URL. Lines that are none of the file's form are left out.
pub(super) fn parse(text: &str) -> Vec<Submodule> {
    let mut found: Vec<Submodule> = Vec::new();
    let mut is_submodule = false;
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            is_submodule = line
                .strip_prefix("[submodule")
                .is_some_and(|rest| rest.starts_with([' ', '\t', '"', '.']));
            if is_submodule {
                found.push(Submodule::default());
            }
            continue;
        }
        let (Some((key, value)), true, Some(last)) = (line.split_once('='), is_submodule, found.last_mut()) else {
            continue;
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "path" => last.path = unquoted(value.trim()),
            "url" => last.url = unquoted(value.trim()),
            _ => {}
        }
    }
    found.retain(|submodule| !submodule.path.is_empty() && !submodule.url.is_empty());
    found
}

/// A value without its quotes, its escapes worked in, its comment cut off.
fn unquoted(value: &str) -> String {
    let mut text = String::new();
    let mut is_quoted = false;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' => text.extend(chars.next()),
            '#' | ';' if !is_quoted => break,
            c => text.push(c),
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_and_urls_of_submodules_are_read() {
        let text = "[core]\n path = x\n url = y\n[include]\n\tpath = /etc/passwd\n[submodule \"a\"]\n\tpath = \"lib/a b\" ; c\n\
                    \turl = ../a.git # c\n\tupdate = !sh -c id\n[submodule \"half\"]\n path = p\n[Submodule]\n";
        assert_eq!(
            parse(text),
            [Submodule {
                path: "lib/a b".into(),
                url: "../a.git".into()
            }]
        );
    }
}
