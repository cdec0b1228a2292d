//! One alert as JSON, posted to the webhook until it is taken or there is no more sense in it.

use std::time::Duration;

use base::error::{Code, Coded};
use base::retry::{self, InterruptibleWaiter, Policy};
use base::rng::Rng;
use serde_json::json;

use super::ledger::{Event, Notice};
use crate::config::Secret;
use crate::logging::Rfc3339;

/// Why a post failed. Says nothing of where it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PostError {
    #[error("the webhook cannot be reached")]
    Unreachable,
    #[error("the webhook answered status={0}")]
    Status(u16),
}

impl Coded for PostError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable | Self::Status(429 | 500..=599) => Code::Timeout,
            Self::Status(_) => Code::Unsupported,
        }
    }
}

/// Posts to one address.
pub(super) struct Poster {
    url: Secret,
    server: String,
    agent: ureq::Agent,
    policy: Policy,
}

impl Poster {
    pub(super) fn new(url: &Secret, server: &str, timeout: Duration, policy: Policy) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(timeout))
            .user_agent(concat!("docdb/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { url: url.clone(), server: server.to_owned(), agent: agent.into(), policy }
    }

    /// Posts an alert, again and again while that may help.
    pub(super) fn post(
        &self,
        notice: &Notice,
        waiter: &InterruptibleWaiter,
    ) -> Result<(), PostError> {
        let body = self.body(notice);
        retry::run(&self.policy, Rng::new(notice.at.0), waiter, |_| self.try_once(&body))
    }

    fn body(&self, notice: &Notice) -> String {
        let event = match notice.event {
            Event::Raised => "raised",
            Event::Resolved => "resolved",
        };
        let body = json!({
            "source": "docdb",
            "server": self.server,
            "version": env!("CARGO_PKG_VERSION"),
            "at": Rfc3339(notice.at).to_string(),
            "event": event,
            "condition": notice.subject.condition.name(),
            "subject": notice.subject.of,
            "code": notice.code.map(Code::name),
            "times": notice.times,
            "message": notice.message,
        });
        body.to_string()
    }

    fn try_once(&self, body: &str) -> Result<(), PostError> {
        let request = self.agent.post(self.url.reveal()).content_type("application/json");
        // The library's errors may quote the address.
        let answer = request.send(body).map_err(|_| PostError::Unreachable)?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(PostError::Status(status.as_u16())) }
    }
}
