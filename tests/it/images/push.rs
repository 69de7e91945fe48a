use drydock::executor::docker::Builder;
use drydock::executor::{Blame, Stream};
use drydock::registry::{AwsIdentity, Ecr, RegistryCredentials, RegistryEntry};
use drydock::secret::Secret;

use super::{Workshop, entry};
use crate::support::{Ecr as EcrStandIn, Fault, FaultyProxy, Registry};

/// A small image of the test's own.
async fn image(shop: &Workshop) -> String {
    shop.write(
        "Dockerfile",
        &format!("FROM drydock-test/busybox\nRUN echo {} > /made\n", shop.daemon.server),
    );
    shop.built(&shop.spec()).await.0.image
}

fn writes(proxy: &FaultyProxy) -> Vec<String> {
    let is_write = |line: &String| line.starts_with("PUT ") && line.contains("/manifests/");
    proxy.requests().into_iter().filter(is_write).collect()
}

#[tokio::test]
async fn a_push_moves_each_tag_once_and_tells_the_registrys_digest() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let proxy = FaultyProxy::in_front_of(registry.address()).await;
    let to = format!("{}/team/web", proxy.address());
    let Some(shop) = Workshop::new("push", Builder::Newest, vec![entry(&proxy.address())]).await else {
        return;
    };
    let image = image(&shop).await;
    let pushed = shop.push(&image, &to, &["v1", "latest"]).await.0.expect("it is pushed");
    let digest = registry.digest("team/web", "v1").await.expect("the tag is there");
    let seen: Vec<_> = pushed
        .iter()
        .map(|one| (one.reference.as_str(), one.digest.as_str(), one.moved))
        .collect();
    assert_eq!(
        seen,
        [
            (format!("{to}:v1").as_str(), digest.as_str(), true),
            (format!("{to}:latest").as_str(), digest.as_str(), true)
        ]
    );
    assert_eq!(registry.tags("team/web").await, ["latest", "v1"]);
    assert_eq!(writes(&proxy).len(), 2);

    // Again: nothing is written, whoever asks.
    let (again, log) = shop.push(&image, &to, &["v1"]).await;
    let again = again.expect("it is there");
    assert_eq!((again[0].digest.as_str(), again[0].moved), (digest.as_str(), false));
    assert!(
        log.of(Stream::System)
            .contains(&format!("already there: {to}:v1 {digest}")),
        "{}",
        log.text()
    );
    assert_eq!(writes(&proxy).len(), 2);
    // The names for the push are gone from the engine.
    assert_eq!(shop.docker(&["images", "-q", &to]), "");

    // Another image under the tag moves it.
    shop.write("Dockerfile", "FROM drydock-test/busybox\nRUN echo other > /made\n");
    let other = shop.built(&shop.spec()).await.0.image;
    let moved = shop.push(&other, &to, &["v1"]).await.0.expect("it is pushed");
    assert!(moved[0].moved && moved[0].digest != digest);
}

#[tokio::test]
async fn a_name_that_an_image_had_before_is_given_back() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let to = format!("{}/team/web", registry.address());
    let Some(shop) = Workshop::new("names", Builder::Newest, vec![entry(registry.address())]).await else {
        return;
    };
    let image = image(&shop).await;
    let reference = format!("{to}:v1");
    shop.docker(&["tag", "drydock-test/busybox", &reference]);
    shop.push(&image, &to, &["v1"]).await.0.expect("it is pushed");
    let id = |name: &str| shop.docker(&["inspect", "--format", "{{.Id}}", name]);
    assert_eq!(id(&reference), id("drydock-test/busybox"));
    shop.docker(&["rmi", &reference]);
}

#[tokio::test]
async fn a_registry_in_trouble_is_asked_again_until_it_works() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let proxy = FaultyProxy::in_front_of(registry.address()).await;
    let to = format!("{}/team/web", proxy.address());
    let Some(shop) = Workshop::new("trouble", Builder::Newest, vec![entry(&proxy.address())]).await else {
        return;
    };
    let image = image(&shop).await;
    let manifest = "PUT /v2/team/web/manifests/v1";
    proxy.inject(manifest, 1, Fault::Status(500));
    proxy.inject(manifest, 1, Fault::CutUpload { after_bytes: 10 });
    proxy.inject(manifest, 1, Fault::Status(429));
    proxy.inject("GET /v2/team/web/manifests/v1", 1, Fault::Status(503));
    let (pushed, log) = shop.push(&image, &to, &["v1"]).await;
    let pushed = pushed.unwrap_or_else(|error| panic!("{}\n{}", error.chain(), log.text()));
    assert_eq!(
        registry.digest("team/web", "v1").await.as_deref(),
        Some(pushed[0].digest.as_str())
    );
    assert!(log.text().contains("trying again in"), "{}", log.text());
    assert_eq!(writes(&proxy).len(), 4, "{:?}", proxy.requests());
}

#[tokio::test]
async fn refused_credentials_end_the_push_with_whose_they_are() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let mut wrong = entry(registry.address());
    wrong.credentials = RegistryCredentials::Password {
        username: "ci".into(),
        password: Secret::new("wr0ng-pass"),
    };
    let none = RegistryEntry {
        credentials: RegistryCredentials::Anonymous,
        ..wrong.clone()
    };
    for (entry, expected) in [
        (wrong, "its credentials do not allow it"),
        (none, "no credentials are configured for it"),
    ] {
        let Some(shop) = Workshop::new("refused", Builder::Newest, vec![entry]).await else {
            return;
        };
        let image = image(&shop).await;
        let error = shop
            .push(&image, &format!("{}/team/web", registry.address()), &["v1"])
            .await
            .0
            .expect_err("it is refused");
        assert_eq!(error.blame(), Blame::Pipeline);
        let said = error.chain();
        assert!(
            said.contains(expected) && said.contains("asked for at ci.yml:7:5") && !said.contains("wr0ng"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_pushed_is_said_at_once() {
    let Some(shop) = Workshop::new("unpushable", Builder::Newest, vec![]).await else {
        return;
    };
    let mut table = String::new();
    for (image, to, tags) in [
        ("drydock-test/busybox", "127.0.0.1:1/Team/web", vec!["v1"]),
        ("drydock-test/busybox", "127.0.0.1:1/team/web", vec!["v 1"]),
        ("drydock-test/busybox", "127.0.0.1:1/team/web:v1", vec!["v2"]),
        ("drydock-test/busybox", "127.0.0.1:1/team/web", vec![]),
        ("drydock-test/none:at-all", "127.0.0.1:1/team/web", vec!["v1"]),
    ] {
        let error = shop.push(image, to, &tags).await.0.expect_err("it cannot be pushed");
        table += &format!("{}\n", error.chain());
    }
    insta::assert_snapshot!(table, @"
    cannot push to `127.0.0.1:1/Team/web`, asked for at ci.yml:7:5: `127.0.0.1:1/Team/web` is no image reference: repository names are lower case: write `team/web`
    cannot push to `127.0.0.1:1/team/web`, asked for at ci.yml:7:5: `127.0.0.1:1/team/web:v 1` is no image reference: `v 1` is no tag: letters, digits, `_`, `.` and `-`, at most 128, not beginning with `.` or `-`
    cannot push to `127.0.0.1:1/team/web:v1`, asked for at ci.yml:7:5: `127.0.0.1:1/team/web:v1` is more than a repository's name; tags are listed apart
    cannot push to `127.0.0.1:1/team/web`, asked for at ci.yml:7:5: no tag is left to push: all of them are empty
    cannot push to `127.0.0.1:1/team/web`, asked for at ci.yml:7:5: the engine has no image `drydock-test/none:at-all`
    ");
}

#[tokio::test]
async fn ecr_gives_a_token_makes_the_repository_and_is_asked_again_after_a_401() {
    let Some(ecr) = EcrStandIn::start().await else { return };
    let proxy = FaultyProxy::in_front_of(ecr.registry.address()).await;
    let api = FaultyProxy::in_front_of(ecr.endpoint.trim_start_matches("http://")).await;
    let identity = AwsIdentity::Keys {
        access_key: ecr.access_key.clone(),
        secret_key: Secret::new(ecr.secret_key.clone()),
    };
    let with = |identity: AwsIdentity, create_repository: bool| RegistryEntry {
        registry: proxy.address(),
        credentials: RegistryCredentials::Ecr(Ecr {
            region: EcrStandIn::REGION.into(),
            endpoint: Some(format!("http://{}/", api.address())),
            create_repository,
            identity,
        }),
        plain_http: false,
        authorities_pem: None,
    };
    let Some(shop) = Workshop::new("ecr", Builder::Newest, vec![with(identity.clone(), true)]).await else {
        return;
    };
    let image = image(&shop).await;
    let to = format!("{}/team/web", proxy.address());
    proxy.inject("PUT /v2/team/web/manifests/", 1, Fault::Status(401));
    let (pushed, log) = shop.push(&image, &to, &["v1"]).await;
    let pushed = pushed.unwrap_or_else(|error| panic!("{}\n{}", error.chain(), log.text()));
    assert_eq!(
        ecr.registry.digest("team/web", "v1").await.as_deref(),
        Some(pushed[0].digest.as_str())
    );
    assert_eq!(ecr.repositories().await, ["team/web"]);
    assert!(log.text().contains("asking for new credentials"), "{}", log.text());
    // The repository is there now: nothing is created again.
    shop.push(&image, &to, &["v2"]).await.0.expect("it is pushed");

    // Without the wish nothing is created; with a wrong secret AWS says no, and so do we.
    let Some(plain) = Workshop::new("ecr", Builder::Newest, vec![with(identity, false)]).await else {
        return;
    };
    plain
        .push(&image, &format!("{}/team/other", proxy.address()), &["v1"])
        .await
        .0
        .expect("the registry itself takes it");
    assert_eq!(ecr.repositories().await, ["team/web"]);
    let wrong = AwsIdentity::Keys {
        access_key: ecr.access_key.clone(),
        secret_key: Secret::new("wr0ng-secret-key"),
    };
    let Some(stranger) = Workshop::new("ecr", Builder::Newest, vec![with(wrong, true)]).await else {
        return;
    };
    let error = stranger
        .push(&image, &format!("{}/team/web", proxy.address()), &["v3"])
        .await
        .0
        .expect_err("AWS refuses");
    let said = error.chain();
    assert!(said.contains("AWS refuses") && !said.contains("wr0ng"), "{said}");
}
