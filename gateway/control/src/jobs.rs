//! Work that goes on after the reply: a bounded list of what was asked and how it went.

use dfs_api::{Job, Problem};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Jobs remembered; finished ones are forgotten oldest first.
const KEPT: usize = 1000;

/// The list.
#[derive(Clone, Default)]
pub(crate) struct Jobs(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    last: u64,
    jobs: BTreeMap<u64, Job>,
}

impl Jobs {
    /// Starts a job in a task of its own. *Errors:* 503 when too many are under way.
    pub fn start<F>(&self, what: String, work: F) -> Result<Job, Problem>
    where
        F: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        let job = {
            let mut state = self.0.lock();
            if state.jobs.len() >= KEPT {
                let finished = state.jobs.iter().find(|(_, job)| job.state != "running").map(|(id, _)| *id);
                match finished {
                    Some(id) => state.jobs.remove(&id),
                    None => {
                        return Err(Problem::new(
                            503,
                            "busy",
                            "too many jobs are under way; wait for one to end",
                        ));
                    }
                };
            }
            state.last += 1;
            let job = Job { id: state.last, what, state: "running".to_owned(), error: None };
            state.jobs.insert(job.id, job.clone());
            job
        };
        let (jobs, id) = (self.clone(), job.id);
        tokio::spawn(async move {
            let result = work.await;
            if let Some(job) = jobs.0.lock().jobs.get_mut(&id) {
                job.state = if result.is_ok() { "done" } else { "failed" }.to_owned();
                job.error = result.err().map(|problem| problem.to_string());
            }
        });
        Ok(job)
    }

    /// Every job that is remembered.
    pub fn list(&self) -> Vec<Job> {
        self.0.lock().jobs.values().cloned().collect()
    }

    /// A job.
    pub fn get(&self, id: u64) -> Option<Job> {
        self.0.lock().jobs.get(&id).cloned()
    }
}
