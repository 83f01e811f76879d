//! Renewing a login whose access token has expired.

use super::Store;
use crate::failure::Failure;
use dfs_api::{Client, ClientError, ClientOptions, RefreshRequest, Renew, Tokens};
use std::sync::Arc;

/// A way to renew the login of a context; the options are those of a client without a login.
pub(crate) fn renewal(name: &str, server: &str, options: ClientOptions, quiet: bool) -> Renew {
    let (name, server) = (name.to_owned(), server.to_owned());
    Arc::new(move |old| {
        let (name, server, options) = (name.clone(), server.clone(), options.clone());
        Box::pin(async move {
            let renewed = renew(&name, &server, options, &old).await;
            renewed.unwrap_or_else(|failure| {
                if !quiet {
                    eprintln!("dfsctl: warning: the login was not renewed: {}", failure.message);
                }
                None
            })
        })
    })
}

/// Gets a new access token, unless another program has got one meanwhile: that is taken then. `None` where only a login helps.
///
/// *Guarantees:* of several programs one renews and the others take what it got; the file keeps the old login until the new one is on
/// disk. *Cancel:* safe; the gateway answers a renewal that is repeated at once with the same tokens.
async fn renew(
    name: &str,
    server: &str,
    options: ClientOptions,
    old: &str,
) -> Result<Option<String>, Failure> {
    let store = Store::of_user()?;
    let locked = store.lock().await?;
    let mut contexts = store.read()?;
    let Some(context) = contexts.contexts.get_mut(name).filter(|context| context.server == server) else {
        return Ok(None);
    };
    if context.access_token.as_deref() != Some(old) {
        return Ok(context.access_token.clone());
    }
    let Some(refresh_token) = context.refresh_token.clone() else { return Ok(None) };
    let client = Client::with(server, options)?;
    let tokens: Tokens = match client.post("/auth/refresh", &RefreshRequest { refresh_token }).await {
        Err(ClientError::Unauthorized) => return Ok(None),
        Err(ClientError::Refused(problem)) if problem.status == 401 => return Ok(None),
        answer => answer?,
    };
    context.remember(&tokens);
    if let Err(failure) = locked.write(&contexts) {
        // The new token works for this command; the next may find the login expired.
        eprintln!("dfsctl: warning: {}", failure.message);
    }
    Ok(Some(tokens.access_token))
}
