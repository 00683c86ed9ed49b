//! Many cases at a time on a machine of few cores: stacks start one after the other, and what was heard is judged one
//! case after the other, while the others are on air.

use super::case::{Case, Ran};
use crate::felt::Pulse;
use anyhow::{Context, Result};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Runs all cases, at most `jobs` at a time, and judges each; the results stand in the order of the cases.
pub fn run<T: Send + 'static>(
    cases: Vec<Case>,
    jobs: usize,
    judge: impl Fn(&Ran) -> Result<T> + Send + Sync + 'static,
) -> Result<Vec<(String, Result<T>)>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let pulse = Pulse::start();
    let results = runtime.block_on(all(cases, jobs, judge));
    say(&format!(
        "longest stall of this machine: {:.0} ms",
        pulse.longest().ms
    ));
    Ok(results)
}

async fn all<T: Send + 'static>(
    cases: Vec<Case>,
    jobs: usize,
    judge: impl Fn(&Ran) -> Result<T> + Send + Sync + 'static,
) -> Vec<(String, Result<T>)> {
    let judge = Arc::new(judge);
    let (on_air, one) = (Arc::new(Semaphore::new(jobs.max(1))), Arc::new(Semaphore::new(1)));
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    let (count, begun) = (cases.len(), Instant::now());
    let mut running = JoinSet::new();
    for (index, case) in cases.into_iter().enumerate() {
        let (on_air, one, judge) = (Arc::clone(&on_air), Arc::clone(&one), Arc::clone(&judge));
        running.spawn(async move {
            let name = case.name.clone();
            let result = single(case, &on_air, &one, judge.as_ref()).await;
            let word = match &result {
                Ok(_) => "judged".to_owned(),
                Err(error) => format!("failed: {error:#}"),
            };
            say(&format!(
                "{:>4.0} s  {name}: {word}",
                begun.elapsed().as_secs_f64()
            ));
            (index, result)
        });
    }
    say(&format!("{count} cases, {jobs} at a time"));
    let mut results: Vec<Option<Result<T>>> = (0..count).map(|_| None).collect();
    while let Some(done) = running.join_next().await {
        // A case that panicked has no index: it stays without a result.
        if let Ok((index, result)) = done {
            results[index] = Some(result);
        }
    }
    let result =
        |it: Option<Result<T>>| it.unwrap_or_else(|| Err(anyhow::anyhow!("the case came to no end")));
    names.into_iter().zip(results.into_iter().map(result)).collect()
}

async fn single<T>(
    case: Case,
    on_air: &Semaphore,
    one: &Semaphore,
    judge: &(impl Fn(&Ran) -> Result<T> + Sync),
) -> Result<T> {
    let place = on_air.acquire().await?;
    let live = {
        let _alone = one.acquire().await?;
        case.start().await.context("starting the stack")?
    };
    let ran = case.run_on(live).await?;
    drop(place);
    let _alone = one.acquire().await?;
    tokio::task::block_in_place(|| judge(&ran))
}

/// A line of progress.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
