//! `/metrics` for Prometheus, on a listener of its own.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

/// Serves until its task is ended.
pub(crate) async fn serve(listener: TcpListener, prometheus: PrometheusHandle) {
    let render = move || {
        let prometheus = prometheus.clone();
        async move {
            prometheus.run_upkeep();
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], prometheus.render())
        }
    };
    let app = Router::new().route("/metrics", get(render));
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the metrics listener ended");
    }
}
