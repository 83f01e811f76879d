//! Why a command failed: one line for people, one exit code for programs.

use dfs_api::ClientError;

/// Exit codes, with what each means; the manual page prints this table.
pub(crate) const EXIT_CODES: [(u8, &str); 13] = [
    (0, "it worked"),
    (1, "anything else, for instance a file that cannot be written"),
    (2, "usage: an argument is missing or wrong, or an answer is needed and there is no terminal to ask"),
    (3, "the gateway cannot be reached"),
    (4, "not logged in, or the login has expired"),
    (5, "the gateway refused, with the reason"),
    (6, "there is no such thing"),
    (7, "the gateway's answer is not understood"),
    (8, "a job failed"),
    (9, "wrong user name or password"),
    (10, "a conflict; where clients would be cut, they are named and --force does it"),
    (11, "the gateway is busy or throttles: try again later"),
    (12, "the gateway's disk is full"),
];

/// A failure of one's own files or of the machine.
pub(crate) const OTHER: u8 = 1;
/// A mistake in the command line.
pub(crate) const USAGE: u8 = 2;
/// A login is needed.
pub(crate) const NO_LOGIN: u8 = 4;
/// There is no such thing.
pub(crate) const NOT_FOUND: u8 = 6;
/// The state of things forbids it.
pub(crate) const CONFLICT: u8 = 10;
/// A job of the gateway failed.
pub(crate) const JOB: u8 = 8;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code, of [`EXIT_CODES`].
    pub code: u8,
    /// One line: what is wrong and what to do next.
    pub message: String,
    /// The request that the gateway refused, as its log names it.
    pub request_id: Option<String>,
}

impl Failure {
    /// Makes one that no request led to.
    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), request_id: None }
    }

    /// A mistake in the command line.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(USAGE, message)
    }

    /// Something of this machine went wrong.
    pub fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Failure {
        Failure::new(OTHER, format!("{what}: {error}"))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let code = error.exit_code();
        match error {
            ClientError::Refused(problem) => {
                let mut message = one_line(&problem.to_string());
                if problem.kind == "would-cut-clients" {
                    let what = problem.detail.split(';').next().unwrap_or_default();
                    let clients = problem.clients.join(", ");
                    message =
                        one_line(&format!("{what}: {clients}; repeat with --force to do it all the same"));
                }
                if let Some(hint) = next_step(problem.status, &problem.kind) {
                    message = format!("{message}; {hint}");
                }
                Failure { code, message, request_id: problem.request_id }
            }
            error => Failure { code, message: one_line(&error.to_string()), request_id: None },
        }
    }
}

/// What to do about a refusal whose sentence does not say it.
fn next_step(status: u16, kind: &str) -> Option<&'static str> {
    match (status, kind) {
        (_, "must-change-password") => Some("run `dfsctl user change-password`"),
        (429 | 503, _) => Some("try again in a moment"),
        (507, _) => Some("make room on the gateway's disk; `dfs doctor` there tells more"),
        _ => None,
    }
}

/// The text without line breaks and other control characters: a hostile answer cannot fake further output.
pub(crate) fn one_line(text: &str) -> String {
    let clean = text.chars().map(|one| if one.is_control() { ' ' } else { one });
    clean.collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_with_control_characters_stays_one_harmless_line() {
        assert_eq!(one_line("a\nb\u{1b}[31mc\r\n"), "a b [31mc");
    }

    #[test]
    fn exit_codes_are_in_order_and_said() {
        for (at, (code, meaning)) in EXIT_CODES.iter().enumerate() {
            assert_eq!((usize::from(*code), meaning.is_empty()), (at, false));
        }
    }
}
