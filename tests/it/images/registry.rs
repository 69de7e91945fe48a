use std::fs;

use drydock::registry::{Registries, Registry as _, RegistryConfig, RegistryCredentials, RegistryError};
use drydock::secret::Secret;
use tempfile::TempDir;

use super::entry;
use crate::support::{Authority, Daemon, Fault, FaultyProxy, Registry};

fn docker(config: &str, args: &[&str]) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    fs::write(folder.path().join("config.json"), config).expect("the folder can be written");
    let done = std::process::Command::new("docker")
        .arg("--config")
        .arg(folder.path())
        .args(args)
        .output()
        .expect("docker starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A registry that holds `team/web:1`.
async fn filled(registry: &Registry) {
    let image = format!("{}/team/web:1", registry.address());
    docker("{}", &["tag", "drydock-test/busybox", &image]);
    docker(&registry.docker_config(), &["push", &image]);
    docker("{}", &["rmi", &image]);
}

#[tokio::test]
async fn digests_are_read_with_and_without_tls_and_only_with_a_good_login() {
    let Some(_daemon) = Daemon::for_test("digest").await else {
        return;
    };
    let Some(authority) = Authority::new() else { return };
    let pem = fs::read_to_string(authority.certificate()).expect("the certificate can be read");
    for (registry, pem) in [
        (Registry::start().await, None),
        (Registry::start_tls(&authority).await, Some(pem)),
    ] {
        let Some(registry) = registry else { return };
        filled(&registry).await;
        let image = format!("{}/team/web:1", registry.address());
        let with = |change: &dyn Fn(&mut drydock::registry::RegistryEntry)| {
            let mut entry = entry(registry.address());
            entry.authorities_pem = pem.clone();
            change(&mut entry);
            Registries::new(RegistryConfig {
                entries: vec![entry],
                docker_config: None,
            })
        };
        let good = with(&|_| {});
        let digest = registry.digest("team/web", "1").await;
        assert_eq!(good.digest(&image).await.expect("it answers"), digest);
        let held = good.held(&image).await.expect("it answers").expect("it is there");
        assert_eq!(Some(held.digest.clone()), digest);
        assert!(held.config.is_some_and(|config| config.starts_with("sha256:")));
        assert_eq!(
            good.digest(&format!("{}@{}", image.trim_end_matches(":1"), held.digest))
                .await
                .expect("it answers"),
            digest
        );
        for missing in ["team/web:2", "team/none:1"] {
            assert_eq!(
                good.digest(&format!("{}/{missing}", registry.address()))
                    .await
                    .expect("it answers"),
                None
            );
        }
        let wrong = with(&|entry| {
            entry.credentials = RegistryCredentials::Password {
                username: "ci".into(),
                password: Secret::new("wr0ng-pass"),
            };
        });
        let error = wrong.digest(&image).await.expect_err("it is refused");
        assert!(
            matches!(error, RegistryError::Denied { .. }) && !error.to_string().contains("wr0ng"),
            "{error}"
        );
        let nobody = with(&|entry| entry.credentials = RegistryCredentials::Anonymous);
        let error = nobody.digest(&image).await.expect_err("it is refused").to_string();
        assert!(error.contains("needs a login and none is configured"), "{error}");
        if pem.is_some() {
            let strange = with(&|entry| entry.authorities_pem = None);
            let error = strange
                .digest(&image)
                .await
                .expect_err("its certificate is not trusted")
                .to_string();
            assert!(error.contains("certificate"), "{error}");
        }
    }
}

#[tokio::test]
async fn logins_come_from_the_docker_configuration_and_its_helpers() {
    let Some(_daemon) = Daemon::for_test("config").await else {
        return;
    };
    let Some(registry) = Registry::start().await else {
        return;
    };
    filled(&registry).await;
    let folder = TempDir::new().expect("a temporary folder can be made");
    let file = folder.path().join("config.json");
    let image = format!("{}/team/web:1", registry.address());
    let registries = || {
        Registries::new(RegistryConfig {
            entries: vec![],
            docker_config: Some(file.clone()),
        })
    };
    assert_eq!(
        registries().login(&image, false).await.expect("no file is no login"),
        None
    );
    fs::write(&file, registry.docker_config()).expect("the folder can be written");
    let login = registries()
        .login(&image, false)
        .await
        .expect("it is read")
        .expect("it is there");
    assert_eq!(
        (login.username.as_str(), login.password.reveal()),
        (Registry::USER, Registry::PASSWORD)
    );
    assert_eq!(login.registry, registry.address());
    assert!(registries().digest(&image).await.expect("it answers").is_some());
    assert_eq!(
        registries()
            .login("docker.io/library/x", false)
            .await
            .expect("it is read"),
        None
    );
    // Docker Hub under all its names.
    let hub = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6cHc="}}}"#;
    fs::write(&file, hub).expect("the folder can be written");
    for image in [
        "x",
        "docker.io/team/x",
        "registry-1.docker.io/any/image",
        "index.docker.io/team/x",
    ] {
        let login = registries()
            .login(image, false)
            .await
            .expect("it is read")
            .expect("it is there");
        assert_eq!(
            (login.username.as_str(), login.password.reveal()),
            ("me", "pw"),
            "{image}"
        );
    }
    fs::write(&file, r#"{"credsStore":"drydock-missing"}"#).expect("the folder can be written");
    let error = registries()
        .login(&image, false)
        .await
        .expect_err("the helper is missing")
        .to_string();
    assert!(error.contains("cannot be started"), "{error}");
    fs::write(&file, "{").expect("the folder can be written");
    let error = registries()
        .login(&image, false)
        .await
        .expect_err("the file is broken")
        .to_string();
    assert!(error.contains("config.json"), "{error}");
}

#[tokio::test]
async fn a_login_does_not_follow_a_redirect_to_another_host() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let elsewhere = FaultyProxy::in_front_of(registry.address()).await;
    let proxy = FaultyProxy::in_front_of(registry.address()).await;
    let registries = Registries::new(RegistryConfig {
        entries: vec![entry(&proxy.address())],
        docker_config: None,
    });
    let image = format!("{}/team/web:1", proxy.address());
    proxy.inject(
        "HEAD /v2/team/web/",
        1,
        Fault::Redirect(format!("http://{}/v2/team/web/manifests/1", elsewhere.address())),
    );
    let error = registries
        .digest(&image)
        .await
        .expect_err("it is not followed")
        .to_string();
    assert!(error.contains("redirects to another host"), "{error}");
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
    proxy.inject("", 9, Fault::Status(503));
    let error = registries.digest(&image).await.expect_err("it is in trouble");
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
}
