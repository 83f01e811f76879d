//! A proxy that can be told to fail, between a client and a server on loopback.
//!
//! `--raw` forwards bytes; otherwise it follows HTTP/1.1 requests, so that it can refuse one of them, damage the body of
//! an answer, or count what went through. It is told what to do by lines on standard input and answers each with one
//! line: `ok`, `error: ...`, or the counters. End of input ends the process. Its dice are seeded, but connections race for
//! them, so a seed gives the same rates, not the same victims.
//!
//! ```text
//! latency MS           each request (raw: each byte) is that late      rate BYTES        bytes a second, each connection
//! cut | mend           nothing moves, as with a pulled cable | again   reset             all connections are reset, once
//! fail PERCENT STATUS CODE [METHOD]   that share of requests (of that method) is answered so
//! corrupt PERCENT      one byte of a GET's body is flipped             partial PERCENT   a GET's body ends half-way
//! clear | stats        no faults | the counters
//! ```

mod faults;
mod http;
mod pump;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::sync::Arc;

use clap::Args;
use tokio::net::{TcpListener, TcpStream};

use faults::Control;

/// How the proxy listens and where it forwards to.
#[derive(Args, Clone)]
pub struct ProxyArgs {
    /// Where to listen; port 0 takes a free one. The first line of output is the address.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Where the real server is.
    #[arg(long)]
    to: String,
    /// Forward bytes without following HTTP.
    #[arg(long)]
    raw: bool,
    /// The seed of the dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the proxy until its standard input ends.
pub fn run(args: ProxyArgs) -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind(&args.listen))?;
    println!("{}", listener.local_addr()?);
    let control = Arc::new(Control::new(args.seed));
    runtime.spawn(accept(listener, args.to, args.raw, control.clone()));
    for line in io::stdin().lines() {
        println!("{}", control.obey(&line?));
    }
    Ok(true)
}

/// Accepts connections for ever, each served by a task of its own.
async fn accept(listener: TcpListener, to: String, raw: bool, control: Arc<Control>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let (control, to) = (control.clone(), to.clone());
        control.count(|counters| counters.connections += 1);
        tokio::spawn(async move {
            let _ = serve(client, &to, raw, &control).await;
        });
    }
}

/// Serves one connection to its end, or until `reset` is told.
async fn serve(client: TcpStream, to: &str, raw: bool, control: &Control) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut gate = control.gate();
    gate.open().await;
    let server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    let resets = control.resets();
    let work = async {
        if raw {
            pump::both_ways(&client, &server, control).await
        } else {
            http::follow(&client, &server, control).await
        }
    };
    tokio::select! {
        outcome = work => outcome,
        () = gate.reset_after(resets) => {
            // a zero linger makes the close a reset
            rustix::net::sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO))?;
            rustix::net::sockopt::set_socket_linger(&server, Some(std::time::Duration::ZERO))?;
            Ok(())
        }
    }
}
