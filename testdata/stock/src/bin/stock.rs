//! A stock that answers over gRPC: what is left of each article. It knows nothing of meshproof.
//!
//! `PORT` is where it listens on loopback. With `CERT`, `KEY` and `CLIENTS` (PEM files) it speaks TLS and takes only clients whose
//! certificate the authority in `CLIENTS` has signed. The article `fragile` is answered like any other, and the stock complains a little
//! later; the list of what begins with `torn` breaks after its first article.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

mod acme {
    tonic::include_proto!("acme");
}

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stock.bin"));

use acme::stock_server::{Stock, StockServer};
use acme::{Article, Level, Prefix};

/// What there is.
const ARTICLES: &[(&str, i64)] = &[("A1", 7), ("A2", 0), ("B1", 9_007_199_254_740_993), (FRAGILE, 1)];

const FRAGILE: &str = "fragile";

const A_LITTLE: Duration = Duration::from_millis(200);

struct Shelf;

type Levels = Pin<Box<dyn Stream<Item = Result<Level, Status>> + Send>>;

fn level(sku: &str) -> Result<Level, Status> {
    let (sku, left) = ARTICLES.iter().find(|(known, _)| *known == sku).ok_or_else(|| {
        println!("unknown sku={sku}");
        Status::not_found(format!("there is no article {sku}"))
    })?;
    println!("asked sku={sku}");
    let tags = if *left == 0 { vec!["sold-out".to_owned()] } else { Vec::new() };
    Ok(Level { sku: (*sku).to_owned(), left: *left, tags })
}

#[tonic::async_trait]
impl Stock for Shelf {
    async fn get(&self, request: Request<Article>) -> Result<Response<Level>, Status> {
        let sku = request.into_inner().sku;
        if sku == FRAGILE {
            tokio::spawn(async {
                tokio::time::sleep(A_LITTLE).await;
                eprintln!("thread 'shelf' panicked: {FRAGILE} fell down");
            });
        }
        level(&sku).map(Response::new)
    }

    type ListStream = Levels;

    async fn list(&self, request: Request<Prefix>) -> Result<Response<Levels>, Status> {
        let prefix = request.into_inner().begins_with;
        if prefix == "torn" {
            let torn = [level("A1"), Err(Status::data_loss("the list broke half-way"))];
            return Ok(Response::new(Box::pin(tokio_stream::iter(torn))));
        }
        let fitting = ARTICLES.iter().filter(move |(sku, _)| sku.starts_with(&prefix));
        Ok(Response::new(Box::pin(tokio_stream::iter(fitting.map(|(sku, _)| level(sku))))))
    }

    async fn sum(&self, request: Request<Streaming<Article>>) -> Result<Response<Level>, Status> {
        let mut articles = request.into_inner();
        let mut sum = Level::default();
        while let Some(article) = articles.next().await {
            let level = level(&article?.sku)?;
            sum.left += level.left;
            sum.sku = level.sku;
        }
        Ok(Response::new(sum))
    }

    type WatchStream = Levels;

    async fn watch(&self, request: Request<Streaming<Article>>) -> Result<Response<Levels>, Status> {
        let levels = request.into_inner().map(|article| level(&article?.sku));
        Ok(Response::new(Box::pin(levels)))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setting = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, setting("PORT")?.parse()?));
    let reflection =
        tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS).build_v1()?;
    let mut server = Server::builder();
    if let Ok(cert) = setting("CERT") {
        let identity = Identity::from_pem(std::fs::read(cert)?, std::fs::read(setting("KEY")?)?);
        let clients = Certificate::from_pem(std::fs::read(setting("CLIENTS")?)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity).client_ca_root(clients))?;
    }
    let listener = TcpListener::bind(address).await?;
    println!("listening address={}", listener.local_addr()?);
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let server = server.add_service(reflection).add_service(StockServer::new(Shelf));
    server
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), async move {
            stop.recv().await;
        })
        .await?;
    Ok(())
}
