//! Commands about a whole database or server: what they answer is a report.

use client::{ErrorCode, HealAction, Id, MetricsFormat, Value};
use serde_json::json;

use super::{Fault, Result, Session};
use crate::shell::command::Job;
use crate::shell::report::{lines, part};

impl Session<'_> {
    fn report(&mut self, report: &Value) -> Result {
        self.out.ok("")?;
        for line in lines(report) {
            self.out.line(&line)?;
        }
        Ok(())
    }

    /// One member of a report, under its own name.
    fn part_of(&mut self, report: &Value, name: &str) -> Result {
        let Some(part) = part(report, &[name]) else {
            let message = format!("the server's report has no part `{name}`");
            return Err(Fault::coded(ErrorCode::Unsupported, message).into());
        };
        self.report(part)
    }

    pub(super) fn job(&mut self, job: Job) -> Result {
        let report = match job {
            Job::Stats | Job::Log => self.database.stats()?,
            Job::HealAll => self.database.heal_all()?,
            Job::HealStats => self.database.heal_stats()?,
            Job::Validate => self.database.validate()?,
            Job::Checkpoint => self.database.checkpoint()?,
            Job::Compact => self.database.compact()?,
        };
        if job == Job::Log { self.part_of(&report, "log") } else { self.report(&report) }
    }

    pub(super) fn server_stats(&mut self) -> Result {
        let report = self.client.stats()?;
        self.report(&report)
    }

    pub(super) fn memory(&mut self) -> Result {
        let report = self.client.stats()?;
        self.part_of(&report, "memory")
    }

    pub(super) fn heal(&mut self, id: &Id, action: HealAction) -> Result {
        let report = self.database.heal(&self.collection, id.clone(), action)?;
        match part(&report, &["versions"]).and_then(Value::as_array) {
            Some(versions) => self.versions(versions),
            None => self.report(&report),
        }
    }

    /// The versions of a document, each with what it said.
    fn versions(&mut self, versions: &[Value]) -> Result {
        self.out.ok(&format!("versions={}", versions.len()))?;
        for version in versions {
            let (revision, document) = (&version["revision"], &version["document"]);
            self.out.entry(&format!("revision={revision}"), document.to_string().as_bytes())?;
        }
        Ok(())
    }

    pub(super) fn backup(&mut self, name: &str) -> Result {
        let report = self.database.backup(name)?;
        self.report(&report)
    }

    pub(super) fn logs(&mut self, asked: &[(&'static str, String)]) -> Result {
        let mut request = json!({ "op": "search" });
        for (name, value) in asked {
            request[*name] = value.as_str().into();
        }
        let page = self.client.logs(&request)?;
        let entries = page["entries"].as_array().map_or(&[][..], Vec::as_slice);
        let more = if page["next"].is_null() { "no" } else { "yes" };
        self.out.ok(&format!("entries={} more={more}", entries.len()))?;
        for entry in entries {
            self.out.line(&crate::log_search::line_of(entry))?;
        }
        Ok(())
    }

    pub(super) fn metrics(&mut self, format: MetricsFormat) -> Result {
        let text = self.client.metrics(format)?;
        self.out.ok("")?;
        Ok(self.out.text(&text)?)
    }
}
