//! Who asks: bearer tokens with scopes, stored as hashes.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::App;
use super::problem::Problem;
use crate::secret::Secret;
use crate::store::{NewToken, Scope, Store, StoreError, Token, TokenHash};

/// What every token begins with, so that scanners find leaked ones.
const PREFIX: &str = "drydock_";

/// Makes a token of 256 random bits. Only its hash is to be stored.
pub fn new_token() -> Result<Secret, String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("this machine gives no random bytes: {error}"))?;
    Ok(Secret::new(format!("{PREFIX}{}", hex::encode(bytes))))
}

/// The hash under which a token is stored. Random tokens need no salt and no slow hash.
pub(super) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// Stores a new token; the answer is the only time it is seen.
pub(super) async fn add_token(
    store: &dyn Store,
    name: &str,
    scope: Scope,
    expires_at: Option<jiff::Timestamp>,
) -> Result<(Secret, Token), Problem> {
    let secret = new_token().map_err(|why| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why))?;
    let new = NewToken {
        name: name.to_owned(),
        hash: hash(secret.reveal()),
        scope,
        expires_at,
    };
    let token = store.add_token(&new).await?;
    Ok((secret, token))
}

/// An administrator's token for a store that has no token at all; none when it has one.
pub async fn first_token(store: &dyn Store, token: &Secret, name: &str) -> Result<Token, StoreError> {
    let new = NewToken {
        name: name.to_owned(),
        hash: hash(token.reveal()),
        scope: Scope::Admin,
        expires_at: None,
    };
    store.add_token(&new).await
}

/// Whoever holds the token of the request.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub name: String,
}

/// How a client may ask to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `Authorization: Bearer`, of programs.
    Bearer,
    /// Also `Authorization: Basic` with the token as password: what a browser asks its user for. Only for pages, which change
    /// nothing, because a browser sends it by itself.
    Browser,
}

async fn caller(parts: &Parts, app: &App, needed: Scope, way: Way) -> Result<Caller, Problem> {
    let challenge = match way {
        Way::Bearer => "Bearer realm=\"drydock\"",
        Way::Browser => "Basic realm=\"Drydock: any user name, a token as password\", charset=\"UTF-8\"",
    };
    let refuse = |detail: &str| {
        Problem::new(StatusCode::UNAUTHORIZED, detail)
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    };
    let Some(given) = parts.headers.get(header::AUTHORIZATION) else {
        return Err(refuse("send a token: `Authorization: Bearer TOKEN`"));
    };
    let Some(token) = given.to_str().ok().and_then(|given| token_in(given, way)) else {
        return Err(refuse("the Authorization header must be `Bearer TOKEN`"));
    };
    let Some(token) = app.pipelines.store().token(&hash(&token)).await? else {
        return Err(refuse("this token is not valid, or not any more"));
    };
    if token.scope < needed {
        let detail = format!(
            "this needs a token with the scope `{}`; yours has `{}`",
            needed.word(),
            token.scope.word()
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(Caller { name: token.name })
}

fn token_in(given: &str, way: Way) -> Option<String> {
    let (scheme, value) = given.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") && value.starts_with(PREFIX) {
        return Some(value.to_owned());
    }
    if way == Way::Browser && scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

/// Proof, as an argument of a handler, that its caller may do what the name says.
macro_rules! proofs {
    ($($(#[$doc:meta])* $name:ident = $scope:ident by $way:ident;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl FromRequestParts<App> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
                caller(parts, app, Scope::$scope, Way::$way).await.map(|_| $name)
            }
        }
    )*};
}

proofs! {
    /// May look at everything but secrets.
    MayRead = Read by Bearer;
    /// May change repositories, secrets and tokens.
    MayAdminister = Admin by Bearer;
    /// May look, with a browser.
    MayBrowse = Read by Browser;
}

/// May start and stop pipelines; who it is, is recorded.
pub(super) struct MayRun(pub Caller);

impl FromRequestParts<App> for MayRun {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        caller(parts, app, Scope::Run, Way::Bearer).await.map(MayRun)
    }
}
