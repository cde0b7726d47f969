//! From the journal to ClickHouse, at least once, at the exporter's own pace.
//!
//! The exporter follows the journal from its cursor, inserts batches by rows and age, and moves the cursor when ClickHouse
//! has taken one. Rows are idempotent, so a batch whose fate is unknown is inserted again. An outage makes the journal
//! longer and nothing else.
//!
//! ClickHouse may lose what it took (a power cut, a part removed): at every start of ClickHouse, and before a segment may
//! be deleted, what it holds is compared with the journal by counting record numbers per stretch of [`STRETCH`]; stretches
//! that fall short are inserted again.
//!
//! Known gaps go the same way whenever they have changed; readers take the newest of each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Row;
use schema::health::{EXPORTER, HealthBoard};
use schema::{CollectorId, GapRow, Lsn, RecordRow};
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use usage::period::Calendar;

use crate::checkpoint::Checkpoints;
use crate::config::ExporterConfig;
use crate::journal::{Batch, Hole, Journal, JournalError, Reader};
use crate::ledger::Ledger;
use crate::nas::NasSettings;
use crate::pipeline::Ticket;

/// Record numbers compared at once.
const STRETCH: u64 = 65_536;
/// Longest wait between two attempts while ClickHouse does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// How long ClickHouse may take to accept a part of a batch, and to store the whole; then the batch is inserted again.
const SEND_PATIENCE: Duration = Duration::from_secs(30);
const END_PATIENCE: Duration = Duration::from_secs(180);
/// How long the end of the process waits for ClickHouse to take the rest; the next start goes on from the cursor.
const PATIENCE_AT_END: Duration = Duration::from_secs(5);

/// What goes wrong between the journal and ClickHouse.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// ClickHouse refused or did not answer.
    #[error("ClickHouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The cursor cannot be written.
    #[error("cursor: {0}")]
    Cursor(#[source] JournalError),
}

/// Carries records to ClickHouse.
pub struct Exporter {
    pub(crate) config: ExporterConfig,
    pub(crate) collector: CollectorId,
    pub(crate) calendar: Calendar,
    pub(crate) settings: NasSettings,
    pub(crate) clickhouse: clickhouse::Client,
    pub(crate) journal: Journal<Ticket>,
    pub(crate) cursor_file: Checkpoints,
    /// Checkpoints of the session state: segments after the oldest kept one are needed.
    pub(crate) state_checkpoints: Arc<Checkpoints>,
    pub(crate) ledger: Ledger,
    pub(crate) health: HealthBoard,
    /// Everything up to here has been taken by ClickHouse.
    pub(crate) cursor: Lsn,
}

/// How far the comparison with ClickHouse has come.
#[derive(Debug, Default)]
struct Verified {
    upto: Lsn,
    last_look: Option<Look>,
}

/// For how long ClickHouse had been up.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Whole seconds, rounded down.
    uptime: u32,
    at: Instant,
}

impl Look {
    /// Whether ClickHouse, of which this was known, was started again by the time that it told `uptime` when asked at `asked_at`.
    fn was_before_a_restart(self, uptime: u32, asked_at: Instant) -> bool {
        let went_on = u64::from(self.uptime) + asked_at.saturating_duration_since(self.at).as_secs();
        u64::from(uptime) + 1 < went_on
    }
}

#[derive(Row, Deserialize)]
struct Count {
    stretch: u64,
    records: u64,
}

impl Exporter {
    /// Exports until `shutdown`, then what can still be exported within a few seconds.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut reader = self.journal.reader(self.cursor.next());
        let mut verified = Verified::default();
        let mut verify_at = Instant::now();
        let mut durable = self.journal.subscribe();
        let mut gaps = self.ledger.gaps().subscribe();
        let mut told = 0;
        let mut wait = Duration::from_millis(250);
        self.ledger.exported(self.cursor);
        while !shutdown.is_cancelled() {
            let step = async {
                let more = self.export_batch(&mut reader, &shutdown).await?;
                self.export_gaps(&mut told).await?;
                if Instant::now() >= verify_at {
                    self.verify(&mut verified).await?;
                    verify_at = Instant::now() + Duration::from_secs(self.config.verify_interval);
                }
                Ok::<bool, ExportError>(more)
            };
            // A step that is cut short by the end is begun again, from the cursor.
            let Some(done) = shutdown.run_until_cancelled(step).await else { break };
            match done {
                Ok(more) => {
                    wait = Duration::from_millis(250);
                    self.health.up(EXPORTER);
                    if more {
                        continue;
                    }
                    // Ends too when the journal does.
                    let news = async {
                        tokio::select! { _ = durable.changed() => {}, _ = gaps.changed() => {} }
                    };
                    let until = tokio::time::timeout_at(verify_at, news);
                    _ = shutdown.run_until_cancelled(until).await;
                }
                Err(error) => {
                    self.fail(&error, wait);
                    // Columns that were read before the migrations had come are not those that there are now.
                    self.clickhouse.clear_cached_metadata().await;
                    reader = self.journal.reader(self.cursor.next());
                    _ = shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
        self.finish().await;
    }

    fn fail(&self, error: &ExportError, wait: Duration) {
        let pending = self.journal.durable().0.saturating_sub(self.cursor.0);
        self.health.degraded(EXPORTER, format!("{pending} records wait in the journal: {error}"));
        warn!(%error, pending, retry_in = ?wait, "records could not be exported; they stay in the journal");
    }

    async fn finish(&mut self) {
        let mut reader = self.journal.reader(self.cursor.next());
        let ending = CancellationToken::new();
        ending.cancel();
        let rest = async {
            while self.export_batch(&mut reader, &ending).await? {}
            Ok::<(), ExportError>(())
        };
        match tokio::time::timeout(PATIENCE_AT_END, rest).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => info!(%error, cursor = %self.cursor, "the rest is exported at the next start"),
            Err(_) => {
                info!(cursor = %self.cursor, "ClickHouse is slow; the rest is exported at the next start")
            }
        }
    }

    /// Exports a batch of what is durable; `false` where there was nothing. One at a time, so that a NAS that never pauses
    /// keeps neither health nor comparison waiting.
    async fn export_batch(
        &mut self,
        reader: &mut Reader,
        shutdown: &CancellationToken,
    ) -> Result<bool, ExportError> {
        let mut rows = Vec::new();
        let deadline = Instant::now() + Duration::from_millis(self.config.batch_age_ms);
        let mut last = self.cursor;
        while rows.len() < self.config.batch_rows {
            match reader.next_batch()? {
                Some(batch) => {
                    self.pass_over(last.next().max(self.journal.oldest()), &batch);
                    last = last.max(batch.last());
                    self.decode(&batch, &mut rows);
                }
                None if rows.is_empty() || shutdown.is_cancelled() || Instant::now() >= deadline => break,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        if last == self.cursor {
            return Ok(false);
        }
        self.insert(&rows).await?;
        self.cursor = last;
        self.cursor_file.write(self.cursor, &[]).map_err(ExportError::Cursor)?;
        self.ledger.exported(self.cursor);
        self.ledger.stored(rows.iter().map(|row| (Lsn(row.lsn), row.client.as_str(), row.nas.as_str())));
        Ok(true)
    }

    /// Notes what is missing between the records up to `expected` and `batch`: it will never be in ClickHouse.
    fn pass_over(&self, expected: Lsn, batch: &Batch) {
        let Some((first, _)) = batch.iter().next().filter(|(first, _)| *first > expected) else { return };
        let lost = Hole { first: expected, last: Lsn(first.0 - 1) };
        self.ledger.gaps().hole(lost.first, lost.records(), self.journal.time_of(lost));
    }

    /// Inserts the gaps that have changed since `told`.
    async fn export_gaps(&self, told: &mut u64) -> Result<(), ExportError> {
        let changed = self.ledger.gaps().since(*told);
        let Some(newest) = changed.iter().map(|gap| gap.version).max() else { return Ok(()) };
        let mut insert = self.clickhouse.insert::<GapRow>("known_gaps").await?;
        for gap in &changed {
            insert.write(&gap.to_row(self.collector.as_str())).await?;
        }
        insert.end().await?;
        *told = newest;
        Ok(())
    }

    fn decode(&self, batch: &Batch, rows: &mut Vec<RecordRow>) {
        let to_row =
            |(lsn, entry)| self.settings.decode(lsn, &entry).to_row(self.collector.as_str(), &self.calendar);
        rows.extend(batch.iter().map(to_row));
    }

    async fn insert(&self, rows: &[RecordRow]) -> Result<(), ExportError> {
        if rows.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        // Deduplication by block would skip the views of a batch that is inserted again.
        let client =
            self.clickhouse.clone().with_setting("insert_deduplicate", "0").with_setting("async_insert", "0");
        let insert = client.insert::<RecordRow>("accounting_records").await?;
        let mut insert = insert.with_timeouts(Some(SEND_PATIENCE), Some(END_PATIENCE));
        for row in rows {
            insert.write(row).await?;
        }
        insert.end().await?;
        metrics::counter!("radtally_collector_export_rows_total").increment(rows.len() as u64);
        metrics::histogram!("radtally_collector_export_insert_seconds")
            .record(started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Compares what ClickHouse holds with the journal, inserts what is missing, and deletes segments no longer needed.
    async fn verify(&mut self, verified: &mut Verified) -> Result<(), ExportError> {
        let asked_at = Instant::now();
        let uptime: u32 = self.clickhouse.query("SELECT toUInt32(uptime())").fetch_one().await?;
        if verified.last_look.is_some_and(|look| look.was_before_a_restart(uptime, asked_at)) {
            verified.upto = Lsn::ZERO;
        }
        verified.last_look = Some(Look { uptime, at: Instant::now() });
        let from = verified.upto.next().max(self.journal.oldest());
        let upto = self.cursor;
        if from <= upto {
            self.compare(from, upto).await?;
        }
        verified.upto = verified.upto.max(upto);
        let oldest_needed = self.state_checkpoints.oldest_kept().unwrap_or(Lsn::ZERO).min(verified.upto);
        self.journal.release(oldest_needed)?;
        Ok(())
    }

    async fn compare(&self, from: Lsn, upto: Lsn) -> Result<(), ExportError> {
        let held = self
            .clickhouse
            .query(
                "SELECT intDiv(lsn, ?) AS stretch, uniqExact(lsn) AS records FROM accounting_records \
                 WHERE collector = ? AND lsn BETWEEN ? AND ? GROUP BY stretch",
            )
            .bind(STRETCH)
            .bind(self.collector.as_str())
            .bind(from.0)
            .bind(upto.0)
            .fetch_all::<Count>()
            .await?;
        let held: HashMap<u64, u64> = held.into_iter().map(|count| (count.stretch, count.records)).collect();
        for stretch in from.0 / STRETCH..=upto.0 / STRETCH {
            let first = Lsn((stretch * STRETCH).max(from.0));
            let last = Lsn((stretch * STRETCH + STRETCH - 1).min(upto.0));
            let expected = last.0 - first.0 + 1;
            if held.get(&stretch).copied().unwrap_or(0) < expected {
                self.export_again(first, last).await?;
            }
        }
        Ok(())
    }

    /// Inserts what the journal holds of a stretch of which ClickHouse holds too little. Holes in the journal are holes
    /// in the stretch: they are compared each time and found empty.
    async fn export_again(&self, first: Lsn, last: Lsn) -> Result<(), ExportError> {
        let held: Vec<u64> = self
            .clickhouse
            .query("SELECT DISTINCT lsn FROM accounting_records WHERE collector = ? AND lsn BETWEEN ? AND ?")
            .bind(self.collector.as_str())
            .bind(first.0)
            .bind(last.0)
            .fetch_all()
            .await?;
        let held: std::collections::HashSet<u64> = held.into_iter().collect();
        let mut reader = self.journal.reader(first);
        let mut rows = Vec::new();
        while let Some(batch) = reader.next_batch()? {
            let past_end = batch.last() >= last;
            self.decode(&batch, &mut rows);
            if past_end {
                break;
            }
        }
        rows.retain(|row| (first.0..=last.0).contains(&row.lsn) && !held.contains(&row.lsn));
        if !rows.is_empty() {
            warn!(rows = rows.len(), %first, %last, "ClickHouse lost records that it had taken; they are exported again");
            metrics::counter!("radtally_collector_export_again_rows_total").increment(rows.len() as u64);
        }
        for chunk in rows.chunks(self.config.batch_rows.max(1)) {
            self.insert(chunk).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_of_clickhouse_is_noticed_however_long_ago_it_was() {
        let at = Instant::now();
        let look = Look { uptime: 1, at };
        let after = |seconds: u64| at + Duration::from_millis(seconds * 1_000 + 300);
        for (seconds, uptime, restarted) in
            [(60, 61, false), (60, 60, false), (60, 55, true), (60, 2, true), (0, 1, false), (5, 1, true)]
        {
            let noticed = look.was_before_a_restart(uptime, after(seconds));
            assert_eq!(noticed, restarted, "up for {uptime} s, {seconds} s after it was up for 1 s");
        }
    }
}
