//! BuildKit inside the engine, spoken to directly: a session that hands out the context, credentials and secrets
//! (from memory, never from a file), and the control service that solves and tells how it goes.
//!
//! The Dockerfile goes in as a part of the question, not with the context: what was looked at is what is built.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::health;
use bollard_buildkit_proto::moby::buildkit::secrets::v1 as secrets;
use bollard_buildkit_proto::moby::buildkit::v1 as control;
use bollard_buildkit_proto::moby::filesync::v1 as auth;
use bollard_buildkit_proto::moby::upload::v1 as upload;
use bollard_buildkit_proto::pb;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use prost::Message;
use sha2::{Digest, Sha256};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tower::service_fn;

use super::context::Context;
use super::dial::{self, Answer};
use super::pieces;
use super::progress::{FailedVertex, Line, Progress};
use crate::executor::LogSink;
use crate::registry::{Login, Registry};
use crate::secret::SecretSet;
use crate::stop::Stop;

/// Progress of a build with a chatty step comes in large messages.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// After the build has ended, its last progress may take so long to arrive.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(5);

/// The methods of the session that BuildKit may call.
const METHODS: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.upload.v1.Upload/Pull",
];

/// A build, resolved. `attrs` are the frontend's, beside those that say where context and Dockerfile are.
pub(super) struct Solve {
    pub attrs: HashMap<String, String>,
    pub tags: Vec<String>,
    pub context: Context,
    pub secrets: SecretSet,
    pub registry: Option<Arc<dyn Registry>>,
    pub keep_cache: bool,
}

/// How a build went wrong.
#[derive(Debug)]
pub(super) enum Trouble {
    /// This engine has no BuildKit; nothing was done.
    NotOffered,
    /// The build itself.
    Failed {
        said: String,
        vertex: Option<FailedVertex>,
    },
    /// The engine went away.
    Lost(String),
    Stopped,
}

/// Builds and gives the image's id. Dropping it, or a stop, cancels the build in the engine.
pub(super) async fn solve(
    endpoint: &super::connect::Endpoint,
    solve: Solve,
    logs: &dyn LogSink,
    stop: &Stop,
) -> Result<String, Trouble> {
    tokio::select! {
        built = run(endpoint, solve, logs) => built,
        () = stop.asked() => Err(Trouble::Stopped),
    }
}

async fn run(endpoint: &super::connect::Endpoint, solve: Solve, logs: &dyn LogSink) -> Result<String, Trouble> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let mut headers = vec![
        ("x-docker-expose-session-uuid", id.clone()),
        ("x-docker-expose-session-name", "drydock".to_owned()),
        ("x-docker-expose-session-sharedkey", id.clone()),
    ];
    headers.extend(METHODS.map(|method| ("x-docker-expose-session-grpc-method", method.to_owned())));
    let session = upgraded(endpoint, "/session", &headers).await?;
    let wire = upgraded(endpoint, "/grpc", &[]).await?;

    let request = request(&id, &solve);
    let upload_failed = Arc::new(std::sync::Mutex::new(None));
    let attachables = Attachables {
        context: solve.context,
        secrets: Arc::new(solve.secrets),
        registry: solve.registry,
        upload_failed: upload_failed.clone(),
    };
    // Served here and not on a task of its own, so that whatever ends this future ends the session.
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(session, TowerToHyperService::new(attachables.routes()));

    let mut wire = Some(wire);
    let connector = service_fn(move |_: tonic::transport::Uri| {
        let wire = wire
            .take()
            .ok_or_else(|| std::io::Error::other("the connection to BuildKit was lost"));
        async move { wire }
    });
    let channel = tonic::transport::Endpoint::from_static("http://buildkit")
        .connect_with_connector(connector)
        .await;
    let channel = channel.map_err(|error| Trouble::Lost(causes(&error)))?;
    let client = control::control_client::ControlClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);

    let building = build(client, request, logs);
    tokio::pin!(building, serving);
    let built = tokio::select! {
        built = &mut building => built,
        // The engine closes the session when it ends; the answer to the build comes then, too.
        _ = &mut serving => building.await,
    };
    let reading = upload_failed
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    match (built, reading) {
        (Err(Trouble::Failed { vertex, .. }), Some(said)) => Err(Trouble::Failed { said, vertex }),
        (built, _) => built,
    }
}

async fn upgraded(
    endpoint: &super::connect::Endpoint,
    path: &str,
    headers: &[(&str, String)],
) -> Result<hyper::upgrade::Upgraded, Trouble> {
    match dial::upgrade(endpoint, path, headers).await {
        Ok(Answer::Upgraded(stream)) => Ok(stream),
        // What engines say that have no BuildKit, or whose socket is a proxy that lets it not through.
        Ok(Answer::Refused(status)) if matches!(status.as_u16(), 400 | 403 | 404 | 405 | 426 | 501) => {
            Err(Trouble::NotOffered)
        }
        Ok(Answer::Refused(status)) => Err(Trouble::Lost(format!("the engine answered {status} to {path}"))),
        Err(error) => Err(Trouble::Lost(causes(&error))),
    }
}

fn request(id: &str, solve: &Solve) -> control::SolveRequest {
    let mut attrs = solve.attrs.clone();
    attrs.insert("filename".into(), "Dockerfile".into());
    let mut exporter = HashMap::new();
    if !solve.tags.is_empty() {
        exporter.insert("name".to_owned(), solve.tags.join(","));
    }
    let inline = control::CacheOptionsEntry {
        r#type: "inline".into(),
        attrs: HashMap::new(),
    };
    let cache = control::CacheOptions {
        exports: vec![inline],
        ..control::CacheOptions::default()
    };
    control::SolveRequest {
        r#ref: uuid::Uuid::new_v4().simple().to_string(),
        session: id.to_owned(),
        exporter_deprecated: "moby".into(),
        exporter_attrs_deprecated: exporter,
        frontend: "dockerfile.v0".into(),
        frontend_attrs: attrs,
        frontend_inputs: HashMap::from([
            ("dockerfile".to_owned(), one_file("/Dockerfile", &solve.context.text)),
            ("context".to_owned(), unpacked(&format!("http://buildkit-session/{id}"))),
        ]),
        cache: solve.keep_cache.then_some(cache),
        ..control::SolveRequest::default()
    }
}

/// A definition of a file system with one file.
fn one_file(path: &str, text: &str) -> pb::Definition {
    let file = pb::FileActionMkFile {
        path: path.to_owned(),
        mode: 0o644,
        data: text.as_bytes().to_vec(),
        owner: None,
        timestamp: -1,
    };
    let mut graph = Graph::default();
    graph.file(
        None,
        pb::file_action::Action::Mkfile(file),
        "[internal] read the Dockerfile",
    );
    graph.finish()
}

/// A definition of what a tar holds that the session hands out.
fn unpacked(url: &str) -> pb::Definition {
    let source = pb::SourceOp {
        identifier: url.to_owned(),
        attrs: BTreeMap::from([("http.filename".to_owned(), "context".to_owned())]),
    };
    let copy = pb::FileActionCopy {
        src: "/context".into(),
        dest: "/".into(),
        mode: -1,
        attempt_unpack_docker_compatibility: true,
        timestamp: -1,
        ..pb::FileActionCopy::default()
    };
    let mut graph = Graph::default();
    let tar = graph.add(
        vec![],
        pb::op::Op::Source(source),
        "source.http",
        "[internal] receive the build context",
    );
    graph.file(
        Some(tar),
        pb::file_action::Action::Copy(copy),
        "[internal] unpack the build context",
    );
    graph.finish()
}

/// A chain of operations as BuildKit's low-level builder reads it: each by its digest, the last one is the result.
#[derive(Default)]
struct Graph {
    operations: Vec<Vec<u8>>,
    metadata: BTreeMap<String, pb::OpMetadata>,
    last: String,
}

impl Graph {
    /// * `need`: what the engine must be able to do. * `name`: as its progress calls it.
    fn add(&mut self, inputs: Vec<pb::Input>, operation: pb::op::Op, need: &str, name: &str) -> pb::Input {
        let made = pb::Op {
            inputs,
            op: Some(operation),
            ..pb::Op::default()
        }
        .encode_to_vec();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&made)));
        let metadata = pb::OpMetadata {
            caps: BTreeMap::from([(need.to_owned(), true)]),
            description: [("llb.customname".to_owned(), name.to_owned())].into(),
            ..pb::OpMetadata::default()
        };
        self.metadata.insert(digest.clone(), metadata);
        self.operations.push(made);
        self.last = digest.clone();
        pb::Input { digest, index: 0 }
    }

    /// One action on an empty file system, possibly reading from another operation's result.
    fn file(&mut self, from: Option<pb::Input>, action: pb::file_action::Action, name: &str) {
        let action = pb::FileAction {
            input: -1,
            secondary_input: if from.is_some() { 0 } else { -1 },
            output: 0,
            action: Some(action),
        };
        let operation = pb::op::Op::File(pb::FileOp { actions: vec![action] });
        self.add(from.into_iter().collect(), operation, "file.base", name);
    }

    fn finish(mut self) -> pb::Definition {
        let inputs = vec![pb::Input {
            digest: self.last.clone(),
            index: 0,
        }];
        self.operations.push(
            pb::Op {
                inputs,
                ..pb::Op::default()
            }
            .encode_to_vec(),
        );
        pb::Definition {
            def: self.operations,
            metadata: self.metadata,
            source: None,
        }
    }
}

type Client = control::control_client::ControlClient<tonic::transport::Channel>;

/// Solves and tells how it goes, until both have ended.
async fn build(client: Client, request: control::SolveRequest, logs: &dyn LogSink) -> Result<String, Trouble> {
    let mut progress = Progress::default();
    let solved = {
        let watching = watch(client.clone(), request.r#ref.clone(), &mut progress, logs);
        let mut client = client;
        let solving = client.solve(request);
        tokio::pin!(watching, solving);
        tokio::select! {
            solved = &mut solving => {
                // Whatever is late beyond this is lost, not waited for.
                let _ = tokio::time::timeout(LAST_WORDS_WITHIN, &mut watching).await;
                solved
            }
            () = &mut watching => solving.await,
        }
    };
    let response = match solved {
        Ok(response) => response.into_inner().exporter_response,
        Err(status) if is_lost(&status) => return Err(Trouble::Lost(causes(&status))),
        Err(status) => {
            return Err(Trouble::Failed {
                said: status.message().to_owned(),
                vertex: progress.failed().cloned(),
            });
        }
    };
    // With containerd's image store the first is the manifest, under which the engine knows the image, too.
    let id = response
        .get("containerimage.digest")
        .or_else(|| response.get("containerimage.config.digest"));
    id.cloned().ok_or_else(|| Trouble::Failed {
        said: "BuildKit names no image for what it built".into(),
        vertex: None,
    })
}

async fn watch(mut client: Client, reference: String, progress: &mut Progress, logs: &dyn LogSink) {
    // Without progress there is still a result.
    let Ok(stream) = client.status(control::StatusRequest { r#ref: reference }).await else {
        return;
    };
    let mut stream: Streaming<control::StatusResponse> = stream.into_inner();
    while let Some(Ok(response)) = stream.next().await {
        write(progress.take(response), logs).await;
    }
    write(progress.finish(), logs).await;
}

async fn write(lines: Vec<Line>, logs: &dyn LogSink) {
    for mut line in lines {
        line.text.push(b'\n');
        logs.write(line.stream, line.text.into()).await;
    }
}

/// Whether the connection broke, as opposed to the build.
fn is_lost(status: &Status) -> bool {
    let source = std::error::Error::source(status).is_some();
    source
        && matches!(
            status.code(),
            tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::Cancelled
        )
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// What the session hands out.
#[derive(Clone)]
struct Attachables {
    context: Context,
    secrets: Arc<SecretSet>,
    registry: Option<Arc<dyn Registry>>,
    /// Why the context could not be read to its end, which BuildKit only sees as a broken stream.
    upload_failed: Arc<std::sync::Mutex<Option<String>>>,
}

impl Attachables {
    fn routes(self) -> tonic::service::Routes {
        tonic::service::Routes::new(health::health_server::HealthServer::new(self.clone()))
            .add_service(auth::auth_server::AuthServer::new(self.clone()))
            .add_service(secrets::secrets_server::SecretsServer::new(self.clone()))
            .add_service(upload::upload_server::UploadServer::new(self))
    }
}

#[tonic::async_trait]
impl health::health_server::Health for Attachables {
    async fn check(
        &self,
        _: Request<health::HealthCheckRequest>,
    ) -> Result<Response<health::HealthCheckResponse>, Status> {
        let status = health::health_check_response::ServingStatus::Serving.into();
        Ok(Response::new(health::HealthCheckResponse { status }))
    }

    async fn list(
        &self,
        _: Request<health::HealthListRequest>,
    ) -> Result<Response<health::HealthListResponse>, Status> {
        Err(Status::unimplemented("the list of services"))
    }

    type WatchStream = BoxStream<'static, Result<health::HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<health::HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watching"))
    }
}

#[tonic::async_trait]
impl auth::auth_server::Auth for Attachables {
    async fn credentials(
        &self,
        request: Request<auth::CredentialsRequest>,
    ) -> Result<Response<auth::CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let Some(registry) = &self.registry else {
            return Ok(Response::new(auth::CredentialsResponse::default()));
        };
        let login = registry.login(&format!("{host}/any/image"), false).await;
        let answer = match login.map_err(|error| Status::unavailable(error.to_string()))? {
            None => auth::CredentialsResponse::default(),
            // Without a name BuildKit takes the secret for an identity token.
            Some(login) if login.username == Login::IDENTITY_TOKEN => auth::CredentialsResponse {
                username: String::new(),
                secret: login.password.reveal().to_owned(),
            },
            Some(login) => auth::CredentialsResponse {
                username: login.username,
                secret: login.password.reveal().to_owned(),
            },
        };
        Ok(Response::new(answer))
    }

    async fn fetch_token(
        &self,
        _: Request<auth::FetchTokenRequest>,
    ) -> Result<Response<auth::FetchTokenResponse>, Status> {
        Err(Status::unimplemented("tokens are BuildKit's own matter"))
    }

    async fn get_token_authority(
        &self,
        _: Request<auth::GetTokenAuthorityRequest>,
    ) -> Result<Response<auth::GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("tokens are BuildKit's own matter"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<auth::VerifyTokenAuthorityRequest>,
    ) -> Result<Response<auth::VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("tokens are BuildKit's own matter"))
    }
}

#[tonic::async_trait]
impl secrets::secrets_server::Secrets for Attachables {
    async fn get_secret(
        &self,
        request: Request<secrets::GetSecretRequest>,
    ) -> Result<Response<secrets::GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        match self.secrets.get(&id) {
            Some(secret) => Ok(Response::new(secrets::GetSecretResponse {
                data: secret.reveal().as_bytes().to_vec(),
            })),
            None => Err(Status::not_found(format!("no secret `{id}` is given to this build"))),
        }
    }
}

#[tonic::async_trait]
impl upload::upload_server::Upload for Attachables {
    type PullStream = BoxStream<'static, Result<upload::BytesMessage, Status>>;

    async fn pull(&self, _: Request<Streaming<upload::BytesMessage>>) -> Result<Response<Self::PullStream>, Status> {
        let context = self.context.clone();
        let (pieces, _writing) = pieces::written(move |out| context.write_tar(&[], &[], out));
        Ok(Response::new(Box::pin(uploaded(
            ReceiverStream::new(pieces),
            self.upload_failed.clone(),
        ))))
    }
}

fn uploaded(
    pieces: impl Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static,
    failed: Arc<std::sync::Mutex<Option<String>>>,
) -> impl Stream<Item = Result<upload::BytesMessage, Status>> + Send + 'static {
    pieces.map(move |piece| match piece {
        Ok(piece) => Ok(upload::BytesMessage { data: piece.to_vec() }),
        Err(error) => {
            let said = format!("the build context cannot be read: {error}");
            *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(said.clone());
            Err(Status::data_loss(said))
        }
    })
}
