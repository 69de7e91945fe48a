use super::*;
use crate::forge::compose::{Hook, signed_headers};
use crate::secret::Secret;
use reqwest::header::HeaderMap;

const BODY: &[u8] = br#"{"ref":"refs/heads/main"}"#;
const SECRET: &str = "correct horse";
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A delivery, and what is done to it.
struct Case {
    headers: HeaderMap,
    body: Vec<u8>,
    secrets: Vec<&'static str>,
}

impl Case {
    fn signed(kind: ForgeKind, secret: &'static str) -> Self {
        let headers = signed_headers(kind, Hook::Push, BODY, &Secret::new(secret), "delivery-1", now()).unwrap();
        Case {
            headers,
            body: BODY.to_vec(),
            secrets: vec![secret],
        }
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.remove(name).unwrap();
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
        self
    }

    fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
        self
    }

    /// The header's value, changed.
    fn edit(self, name: &str, change: impl Fn(&str) -> String) -> Self {
        let value = change(self.headers[name].to_str().unwrap());
        self.with(name, &value)
    }

    fn body(mut self, change: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        self.body = change(&self.body);
        self
    }

    fn secrets(mut self, secrets: &[&'static str]) -> Self {
        self.secrets = secrets.to_vec();
        self
    }
}

fn table(kind: ForgeKind, cases: Vec<(&str, Case)>) -> String {
    let forge = forge_of(kind);
    let mut rows = String::new();
    for (name, case) in cases {
        let secrets: Vec<Secret> = case.secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let secrets: Vec<&Secret> = secrets.iter().collect();
        let said = match forge.verify(&case.headers, &case.body, &secrets, now()) {
            Ok(index) => format!("ok, secret {index}"),
            Err(error) => format!("{} {error}", error.status()),
        };
        rows.push_str(&format!("{name:<24} {said}\n"));
    }
    rows
}

fn flipped(value: &str) -> String {
    let last = if value.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &value[..value.len() - 1])
}

#[test]
fn github_takes_its_sha256_signature_and_nothing_else() {
    const NAME: &str = "x-hub-signature-256";
    let good = || Case::signed(ForgeKind::GitHub, SECRET);
    let sha1 = "sha1=0123456789012345678901234567890123456789";
    insta::assert_snapshot!(table(ForgeKind::GitHub, vec![
        ("as sent", good()),
        ("second of two secrets", good().secrets(&["other", SECRET])),
        ("with sha1 besides", good().with("x-hub-signature", sha1)),
        ("no signature", good().without(NAME)),
        ("sha1 only", good().without(NAME).with("x-hub-signature", sha1)),
        ("no secret configured", good().secrets(&[])),
        ("empty secret", Case::signed(ForgeKind::GitHub, "")),
        ("empty among others", Case::signed(ForgeKind::GitHub, "").secrets(&[SECRET, ""])),
        ("another secret", good().secrets(&["other"])),
        ("twice", good().and(NAME, "sha256=00")),
        ("twice the same", good().edit(NAME, str::to_owned).and(NAME, good().headers[NAME].to_str().unwrap())),
        ("cut", good().edit(NAME, |value| value[..value.len() - 2].to_owned())),
        ("longer", good().edit(NAME, |value| format!("{value}00"))),
        ("one digit off", good().edit(NAME, flipped)),
        ("without its prefix", good().edit(NAME, |value| value.replace("sha256=", ""))),
        ("not hex", good().with(NAME, &format!("sha256={}", "z".repeat(64)))),
        ("empty", good().with(NAME, "")),
        ("body with a newline", good().body(|body| [body, b"\n"].concat())),
        ("body re-encoded", good().body(|_| br#"{"ref": "refs/heads/main"}"#.to_vec())),
        ("body cut", good().body(|body| body[1..].to_vec())),
        ("body empty", good().body(|_| Vec::new())),
    ]), @"
    as sent                  ok, secret 0
    second of two secrets    ok, secret 1
    with sha1 besides        ok, secret 0
    no signature             401 the delivery is not signed: it has no X-Hub-Signature-256 header
    sha1 only                401 the delivery is signed with SHA-1 only (X-Hub-Signature), which is not accepted; X-Hub-Signature-256 is
    no secret configured     401 no webhook secret is configured for github: its endpoint is off
    empty secret             401 no webhook secret is configured for github: its endpoint is off
    empty among others       401 the signature in X-Hub-Signature-256 does not fit the body and any configured secret
    another secret           401 the signature in X-Hub-Signature-256 does not fit the body and any configured secret
    twice                    401 the header X-Hub-Signature-256 is there more than once
    twice the same           401 the header X-Hub-Signature-256 is there more than once
    cut                      401 the header X-Hub-Signature-256 cannot be read: it is not 64 hex digits
    longer                   401 the header X-Hub-Signature-256 cannot be read: it is not 64 hex digits
    one digit off            401 the signature in X-Hub-Signature-256 does not fit the body and any configured secret
    without its prefix       401 the header X-Hub-Signature-256 cannot be read: it does not begin with `sha256=`
    not hex                  401 the header X-Hub-Signature-256 cannot be read: it is not 64 hex digits
    empty                    401 the delivery is not signed: it has no X-Hub-Signature-256 header
    body with a newline      401 the signature in X-Hub-Signature-256 does not fit the body and any configured secret
    body re-encoded          401 the signature in X-Hub-Signature-256 does not fit the body and any configured secret
    body cut                 401 the signature in X-Hub-Signature-256 does not fit the body and any configured secret
    body empty               401 the signature in X-Hub-Signature-256 does not fit the body and any configured secret
    ");
}

#[test]
fn gitea_takes_the_signature_under_each_of_its_names_and_all_must_fit() {
    let good = || Case::signed(ForgeKind::Gitea, SECRET);
    let digest = good().headers["x-gitea-signature"].to_str().unwrap().to_owned();
    let bare = || good().without("x-gitea-signature").without("x-hub-signature-256");
    let wrong = "0".repeat(64);
    insta::assert_snapshot!(table(ForgeKind::Gitea, vec![
        ("as sent", good()),
        ("Gitea's name only", bare().with("x-gitea-signature", &digest)),
        ("Forgejo's name", bare().with("x-forgejo-signature", &digest)),
        ("Gogs' name", bare().with("x-gogs-signature", &digest)),
        ("GitHub's name", bare().with("x-hub-signature-256", &format!("sha256={digest}"))),
        ("none", bare()),
        ("sha1 only", bare().with("x-hub-signature", "sha1=00")),
        ("one right, one wrong", good().with("x-gogs-signature", &wrong)),
        ("one wrong, one right", good().with("x-gitea-signature", &wrong)),
        ("twice", good().and("x-gitea-signature", &digest)),
        ("prefix where none belongs", bare().with("x-gitea-signature", &format!("sha256={digest}"))),
        ("another secret", good().secrets(&["other"])),
        ("empty secret", good().secrets(&[""])),
        ("body with a newline", good().body(|body| [body, b"\n"].concat())),
    ]), @"
    as sent                  ok, secret 0
    Gitea's name only        ok, secret 0
    Forgejo's name           ok, secret 0
    Gogs' name               ok, secret 0
    GitHub's name            ok, secret 0
    none                     401 the delivery is not signed: it has no X-Gitea-Signature header
    sha1 only                401 the delivery is signed with SHA-1 only (X-Hub-Signature), which is not accepted; X-Gitea-Signature is
    one right, one wrong     401 the signature in X-Gogs-Signature does not fit the body and any configured secret
    one wrong, one right     401 the signature in X-Gitea-Signature does not fit the body and any configured secret
    twice                    401 the header X-Gitea-Signature is there more than once
    prefix where none belongs 401 the header X-Gitea-Signature cannot be read: it is not 64 hex digits
    another secret           401 the signature in X-Gitea-Signature does not fit the body and any configured secret
    empty secret             401 no webhook secret is configured for gitea: its endpoint is off
    body with a newline      401 the signature in X-Gitea-Signature does not fit the body and any configured secret
    ");
}

#[test]
fn gitlab_takes_its_token_or_a_fresh_signature() {
    let token = || Case::signed(ForgeKind::GitLab, SECRET);
    let signed = || Case::signed(ForgeKind::GitLab, SIGNING);
    let at = |offset_s: i64| {
        let when = Timestamp::from_second(now().as_second() + offset_s).unwrap();
        let secret = Secret::new(SIGNING);
        let headers = signed_headers(ForgeKind::GitLab, Hook::Push, BODY, &secret, "delivery-1", when).unwrap();
        Case {
            headers,
            body: BODY.to_vec(),
            secrets: vec![SIGNING],
        }
    };
    insta::assert_snapshot!(table(ForgeKind::GitLab, vec![
        ("token", token()),
        ("token, one letter off", token().with("x-gitlab-token", "correct horsf")),
        ("token, longer", token().with("x-gitlab-token", "correct horse battery")),
        ("token, empty", token().with("x-gitlab-token", "")),
        ("token, none", token().without("x-gitlab-token")),
        ("token, twice", token().and("x-gitlab-token", SECRET)),
        ("token, empty secret", token().secrets(&[""])),
        ("token is the signing one", token().with("x-gitlab-token", SIGNING).secrets(&[SIGNING])),
        ("signature", signed()),
        ("signature and token", signed().with("x-gitlab-token", SECRET).secrets(&[SIGNING, SECRET])),
        ("bad signature, good token", signed().with("x-gitlab-token", SECRET).secrets(&[SIGNING, SECRET]).body(|_| vec![])),
        ("signature, plain secret", signed().secrets(&[SECRET])),
        ("one of two signatures", signed().edit("webhook-signature", |value| format!("v1,AAAA {value}"))),
        ("another version", signed().edit("webhook-signature", |value| value.replace("v1,", "v2,"))),
        ("another id", signed().with("webhook-id", "delivery-2")),
        ("another time", signed().edit("webhook-timestamp", |value| format!("{}", value.parse::<u64>().unwrap() + 1))),
        ("no id", signed().without("webhook-id")),
        ("no time", signed().without("webhook-timestamp")),
        ("time in words", signed().with("webhook-timestamp", "+1")),
        ("body with a newline", signed().body(|body| [body, b"\n"].concat())),
        ("5 minutes old", at(-300)),
        ("older", at(-301)),
        ("5 minutes early", at(300)),
        ("earlier", at(301)),
        ("yesterday's", at(-86_400)),
    ]), @"
    token                    ok, secret 0
    token, one letter off    401 the signature in X-Gitlab-Token does not fit the body and any configured secret
    token, longer            401 the signature in X-Gitlab-Token does not fit the body and any configured secret
    token, empty             401 the delivery is not signed: it has no X-Gitlab-Token header
    token, none              401 the delivery is not signed: it has no X-Gitlab-Token header
    token, twice             401 the header X-Gitlab-Token is there more than once
    token, empty secret      401 no webhook secret is configured for gitlab: its endpoint is off
    token is the signing one 401 the signature in X-Gitlab-Token does not fit the body and any configured secret
    signature                ok, secret 0
    signature and token      ok, secret 0
    bad signature, good token 401 the signature in webhook-signature does not fit the body and any configured secret
    signature, plain secret  401 the signature in webhook-signature does not fit the body and any configured secret
    one of two signatures    ok, secret 0
    another version          401 the header webhook-signature cannot be read: it has no `v1,` signature of 32 bytes in base64
    another id               401 the signature in webhook-signature does not fit the body and any configured secret
    another time             401 the signature in webhook-signature does not fit the body and any configured secret
    no id                    401 the delivery is not signed: it has no webhook-id header
    no time                  401 the delivery is not signed: it has no webhook-timestamp header
    time in words            401 the header webhook-timestamp cannot be read: it is not a number of seconds
    body with a newline      401 the signature in webhook-signature does not fit the body and any configured secret
    5 minutes old            ok, secret 0
    older                    401 the delivery was signed 301 s away from this machine's time; at most 300 s are accepted
    5 minutes early          ok, secret 0
    earlier                  401 the delivery was signed 301 s away from this machine's time; at most 300 s are accepted
    yesterday's              401 the delivery was signed 86400 s away from this machine's time; at most 300 s are accepted
    ");
}

/// The examples that GitHub and Standard Webhooks print in their documentation.
#[test]
fn the_published_examples_verify() {
    let github = header_map(&[(
        "X-Hub-Signature-256",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    )]);
    let secret = Secret::new("It's a Secret to Everybody");
    assert!(
        forge_of(ForgeKind::GitHub)
            .verify(&github, b"Hello, World!", &[&secret], now())
            .is_ok()
    );

    let standard = header_map(&[
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]);
    let (secret, then) = (Secret::new(SIGNING), Timestamp::from_second(1_614_265_330).unwrap());
    let body = br#"{"test": 2432232314}"#;
    assert!(
        forge_of(ForgeKind::GitLab)
            .verify(&standard, body, &[&secret], then)
            .is_ok()
    );
}
