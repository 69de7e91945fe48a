use std::collections::HashMap;

use super::*;

/// Paths that exist are those with a text.
fn found(variables: &[(&str, &str)], files: &[(&str, &str)]) -> String {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let files: HashMap<PathBuf, &str> = files.iter().map(|(path, text)| (PathBuf::from(path), *text)).collect();
    let around = Surroundings {
        variable: &|name| variables.get(name).map(|value| value.to_string()),
        user_id: 1000,
        exists: &|path| files.contains_key(path),
        read: &|path| files.get(path).map(|text| text.to_string()),
    };
    match find(&around, None) {
        Ok(endpoints) => {
            let line = |endpoint: &Endpoint| {
                let tls = endpoint
                    .tls
                    .as_ref()
                    .map_or(String::new(), |tls| format!(", TLS from {}", tls.display()));
                format!("{} ({}{tls})", endpoint.address, endpoint.found_in)
            };
            endpoints.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.chain(),
    }
}

const HOME: (&str, &str) = ("HOME", "/home/ada");

fn context_files(name: &str, meta: &'static str) -> Vec<(String, &'static str)> {
    let folder = hex::encode(Sha256::digest(name.as_bytes()));
    vec![
        (format!("/home/ada/.docker/contexts/meta/{folder}/meta.json"), meta),
        (format!("/home/ada/.docker/contexts/tls/{folder}/docker/ca.pem"), ""),
        ("/var/run/docker.sock".to_owned(), ""),
    ]
}

#[test]
fn docker_host_is_the_only_one_tried() {
    let files = [
        ("/var/run/docker.sock", ""),
        ("/home/ada/.docker/config.json", r#"{"currentContext": "far"}"#),
    ];
    let variables = [HOME, ("DOCKER_HOST", "tcp://10.0.0.1:2375"), ("DOCKER_CONTEXT", "far")];
    insta::assert_snapshot!(found(&variables, &files), @"tcp://10.0.0.1:2375 (DOCKER_HOST)");
}

#[test]
fn tls_certificates_come_from_the_named_folder_or_dockers_own() {
    let verify = ("DOCKER_TLS_VERIFY", "1");
    let host = ("DOCKER_HOST", "tcp://10.0.0.1:2376");
    insta::assert_snapshot!(found(&[HOME, host, verify], &[]), @"tcp://10.0.0.1:2376 (DOCKER_HOST, TLS from /home/ada/.docker)");
    insta::assert_snapshot!(found(&[HOME, host, verify, ("DOCKER_CERT_PATH", "/certs")], &[]), @"tcp://10.0.0.1:2376 (DOCKER_HOST, TLS from /certs)");
    insta::assert_snapshot!(found(&[HOME, ("DOCKER_HOST", "unix:///d.sock"), verify], &[]), @"unix:///d.sock (DOCKER_HOST)");
}

#[test]
fn the_current_context_is_taken_from_the_variable_then_from_the_file() {
    let meta = r#"{"Name": "far", "Endpoints": {"docker": {"Host": "tcp://far:2376", "SkipTLSVerify": false}}}"#;
    let files = context_files("far", meta);
    let mut files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    insta::assert_snapshot!(found(&[HOME, ("DOCKER_CONTEXT", "far")], &files), @"tcp://far:2376 (docker context `far`, TLS from /home/ada/.docker/contexts/tls/512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868/docker)");
    files.push((
        "/home/ada/.docker/config.json",
        r#"{"auths": {}, "currentContext": "far"}"#,
    ));
    insta::assert_snapshot!(found(&[HOME], &files), @"tcp://far:2376 (docker context `far`, TLS from /home/ada/.docker/contexts/tls/512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868/docker)");
    insta::assert_snapshot!(found(&[HOME, ("DOCKER_CONTEXT", "default")], &files), @"unix:///var/run/docker.sock (the usual socket of Docker)");
}

#[test]
fn a_context_that_is_not_there_or_broken_is_an_error_and_no_other_engine_is_taken() {
    let socket = ("/var/run/docker.sock", "");
    let away = found(&[HOME, ("DOCKER_CONTEXT", "gone")], &[socket]);
    insta::assert_snapshot!(away, @"cannot reach the Docker daemon at docker context `gone`: /home/ada/.docker/contexts/meta/283bb9deef02e6843abfb538efa1eca70801bd8a701c3f98191e123496339247/meta.json does not exist; `docker context ls` lists the contexts there are");
    let files = context_files("odd", "{}");
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    insta::assert_snapshot!(found(&[HOME, ("DOCKER_CONTEXT", "odd")], &files), @"cannot reach the Docker daemon at docker context `odd`: /home/ada/.docker/contexts/meta/990cb8ebd0afb7150da453a213036a92f2c05e091df0d803e62d257ea7796c27/meta.json is not as Docker writes it: missing field `Endpoints` at line 1 column 2");
}

#[test]
fn a_config_file_that_is_no_json_leaves_the_usual_sockets() {
    let files = [
        ("/home/ada/.docker/config.json", "{nonsense"),
        ("/var/run/docker.sock", ""),
    ];
    insta::assert_snapshot!(found(&[HOME], &files), @"unix:///var/run/docker.sock (the usual socket of Docker)");
}

#[test]
fn the_usual_sockets_stand_in_order() {
    let sockets = [
        "/run/podman/podman.sock",
        "/run/user/7/podman/podman.sock",
        "/home/ada/.colima/default/docker.sock",
        "/run/user/7/docker.sock",
        "/var/run/docker.sock",
        "/home/ada/.docker/run/docker.sock",
    ];
    let files: Vec<(&str, &str)> = sockets.iter().map(|path| (*path, "")).collect();
    insta::assert_snapshot!(found(&[HOME, ("XDG_RUNTIME_DIR", "/run/user/7")], &files), @"
    unix:///var/run/docker.sock (the usual socket of Docker)
    unix:///run/user/7/docker.sock (the usual socket of rootless Docker)
    unix:///home/ada/.docker/run/docker.sock (the usual socket of Docker Desktop)
    unix:///home/ada/.colima/default/docker.sock (the usual socket of Colima)
    unix:///run/user/7/podman/podman.sock (the usual socket of rootless Podman)
    unix:///run/podman/podman.sock (the usual socket of Podman)
    ");
    insta::assert_snapshot!(found(&[], &[("/run/user/1000/docker.sock", "")]), @"unix:///run/user/1000/docker.sock (the usual socket of rootless Docker)");
    insta::assert_snapshot!(found(&[HOME], &[]), @"");
}

#[tokio::test]
async fn an_address_that_cannot_be_spoken_to_says_what_to_do() {
    let mut said = Vec::new();
    for address in [
        "ssh://host",
        "https://host",
        "npipe:////./pipe/docker",
        "unix:///no/such.sock",
        "tcp://127.0.0.1:1",
    ] {
        let endpoint = Endpoint {
            address: address.into(),
            found_in: FoundIn::DockerHost,
            tls: None,
        };
        let Err(error) = connect_to(endpoint).await else {
            panic!("{address} answered")
        };
        said.push(error.chain());
    }
    insta::assert_snapshot!(said.join("\n"), @"
    cannot reach the Docker daemon at ssh://host (from DOCKER_HOST): Drydock does not speak ssh:// to an engine; forward its socket (`ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST`) and set DOCKER_HOST=unix:///tmp/docker.sock
    cannot reach the Docker daemon at https://host (from DOCKER_HOST): https needs certificates: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH
    cannot reach the Docker daemon at npipe:////./pipe/docker (from DOCKER_HOST): an address must begin with unix://, tcp:// or http://
    cannot reach the Docker daemon at unix:///no/such.sock (from DOCKER_HOST): Socket not found: /no/such.sock; nothing listens there: is the engine started, and is DOCKER_HOST right?
    cannot reach the Docker daemon at tcp://127.0.0.1:1 (from DOCKER_HOST): Error in the hyper legacy client: client error (Connect): tcp connect error: Connection refused (os error 111); the socket is there but nobody answers: is the engine started?
    ");
}
