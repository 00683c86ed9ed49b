//! Publishers: from a hook or a listing to a fact for the lifecycle, and the settings that come with them.
use super::calls::Done;
use super::{StreamTask, new_run_id};
use crate::hooks::Hook;
use crate::query;
use dub_proto::convert::settings_from_wire;
use media_types::{RunId, StreamSettings, Tick};
use stream_lifecycle::Source;

impl StreamTask {
    /// A hook knows no tracks: they are asked for before the lifecycle hears of the publisher.
    pub(super) fn ready(&mut self, hook: Hook) {
        let source = Source {
            source_id: hook.source_id.clone(),
            source_type: hook.source_type.clone(),
            tracks: Vec::new(),
        };
        self.request_id.clone_from(&hook.request_id);
        self.query = Some((hook.source_id.clone(), hook.query.clone()));
        let mediamtx = self.shared.mediamtx.clone();
        self.jobs.spawn(async move {
            let source = mediamtx.describe(&hook.path, source).await;
            Done::Described {
                source,
                hook: Box::new(hook),
            }
        });
    }

    pub(super) fn described(&mut self, now: Tick, source: Source, hook: Hook) {
        self.request_id = hook.request_id;
        self.trace = Some(hook.trace);
        self.lifecycle
            .handle_publisher_appeared(now, source, new_run_id(&self.id));
    }

    pub(super) fn observed(&mut self, now: Tick, asked_at: Tick, seen: Option<Source>) {
        if seen.is_none() {
            self.unexplained = None;
        }
        let unknown = seen
            .as_ref()
            .filter(|seen| !self.is_current(seen) && !self.has_query(seen));
        let Some(source) = unknown.cloned() else {
            self.lifecycle
                .handle_observed(now, asked_at, seen, new_run_id(&self.id));
            return;
        };
        // Its hook was missed or is still to come: the query that the hook would have told is asked for first.
        if self.asking.as_ref() != Some(&source.source_id) {
            self.asking = Some(source.source_id.clone());
            let mediamtx = self.shared.mediamtx.clone();
            self.jobs.spawn(async move {
                let query = mediamtx.query_of(&source).await;
                Done::Asked {
                    asked_at,
                    source,
                    query,
                }
            });
        }
    }

    pub(super) fn asked(&mut self, now: Tick, asked_at: Tick, source: Source, query: Option<String>) {
        self.asking = None;
        let is_told = self.is_current(&source) || self.has_query(&source);
        if query.is_none() && !is_told && self.unexplained.as_ref() != Some(&source.source_id) {
            self.unexplained = Some(source.source_id);
            return;
        }
        // A hook that came meanwhile has told the query itself.
        if !is_told {
            self.query = Some((source.source_id.clone(), query.unwrap_or_default()));
        }
        self.lifecycle
            .handle_observed(now, asked_at, Some(source), new_run_id(&self.id));
    }

    fn is_current(&self, source: &Source) -> bool {
        self.lifecycle
            .source()
            .is_some_and(|known| known.source_id == source.source_id)
    }

    fn has_query(&self, source: &Source) -> bool {
        self.query
            .as_ref()
            .is_some_and(|(source_id, _)| *source_id == source.source_id)
    }

    /// The settings of a run: configured, then from the publisher's query, then from the operator.
    pub(super) fn settings_of(&mut self, run: &RunId, source: &Source) -> StreamSettings {
        if let Some((known, settings)) = &self.run_settings
            && known == run
        {
            return settings.clone();
        }
        let query = self
            .query
            .as_ref()
            .filter(|(source_id, _)| *source_id == source.source_id);
        let (mut settings, rejected) = query::apply(
            query.map_or("", |(_, query)| query.as_str()),
            &self.shared.settings,
        );
        for query::Rejected { key, value, problem } in rejected {
            self.shared.metrics.settings_rejected.inc();
            tracing::warn!(
                stream_id = %self.id, run_id = %run, request_id = self.request_id, key, value, problem,
                "setting in the query ignored"
            );
        }
        if let Some(ordered) = self.ordered.take() {
            match settings_from_wire(Some(&ordered), &settings) {
                Ok(merged) => settings = merged,
                Err(error) => {
                    self.shared.metrics.settings_rejected.inc();
                    tracing::warn!(stream_id = %self.id, run_id = %run, %error, "operator's settings ignored");
                }
            }
        }
        self.run_settings = Some((run.clone(), settings.clone()));
        settings
    }
}
