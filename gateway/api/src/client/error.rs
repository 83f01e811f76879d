//! Why a call failed.

use crate::Problem;

/// Why a call failed. Each has an exit code of its own in `dfsctl`.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("cannot reach the gateway at {server}: {reason}; is it running? (dfs status)")]
    Unreachable {
        /// Where.
        server: String,
        /// What the network said.
        reason: String,
    },
    /// The token is missing, wrong or expired.
    #[error("not logged in, or the login has expired: run `dfsctl login`")]
    Unauthorized,
    /// The gateway refused.
    #[error("{0}")]
    Refused(Problem),
    /// The answer is not what this program understands.
    #[error("the gateway's answer is not understood: {0}")]
    BadAnswer(String),
    /// The client cannot be made: a certificate file that is none, for instance.
    #[error("{0}")]
    Unusable(String),
}

impl ClientError {
    /// Exit code: 2 unusable options, 3 unreachable, 4 not logged in, 5 refused, 6 not found, 7 not understood, 9 wrong user name
    /// or password, 10 conflict, 11 throttled or busy, 12 the gateway's disk is full.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            ClientError::Unusable(_) => 2,
            ClientError::Unreachable { .. } => 3,
            ClientError::Unauthorized => 4,
            ClientError::Refused(problem) => match problem.status {
                401 => 9,
                404 => 6,
                409 => 10,
                429 | 503 => 11,
                507 => 12,
                _ => 5,
            },
            ClientError::BadAnswer(_) => 7,
        }
    }

    /// The problem that the gateway told, if it did.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ClientError::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}
