//! Each named volume is deleted, and the stack dubs again.

use super::Bench;
use super::air::OnAir;
use super::project::Setup;
use anyhow::Result;
use serde_json::Value;

/// A named volume of the compose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name in the file.
    pub name: String,
    /// Its name at the engine.
    pub full_name: String,
    /// Services that mount it.
    pub services: Vec<String>,
}

/// The volumes of a compose file that a service mounts.
pub fn of_config(config: &Value) -> Vec<Volume> {
    let all = config["volumes"].as_object();
    let volume = |(name, value): (&String, &Value)| Volume {
        name: name.clone(),
        full_name: value["name"].as_str().unwrap_or(name).to_owned(),
        services: mounting(config, name),
    };
    all.into_iter()
        .flatten()
        .map(volume)
        .filter(|volume| !volume.services.is_empty())
        .collect()
}

fn mounting(config: &Value, volume: &str) -> Vec<String> {
    let mounts = |service: &Value| {
        let mounts = service["volumes"].as_array().cloned().unwrap_or_default();
        mounts
            .iter()
            .any(|mount| mount["type"] == "volume" && mount["source"] == volume)
    };
    let services = config["services"].as_object();
    services
        .into_iter()
        .flatten()
        .filter(|(_, service)| mounts(service))
        .map(|(name, _)| name.clone())
        .collect()
}

/// The drill.
pub async fn run(bench: &mut Bench) -> Result<()> {
    let setup = Setup::coded();
    bench.up(&setup)?;
    let volumes = of_config(&bench.project.config()?);
    let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    bench.verdicts.bar(
        "named volumes",
        names.join(", "),
        "models, recordings, runs, logs, state",
        ["models", "recordings", "runs", "logs", "state"]
            .iter()
            .all(|name| names.contains(name)),
    );
    for volume in &volumes {
        let what = format!("volume {} deleted", volume.name);
        bench
            .verdicts
            .step(&format!("{what}, mounted by {}", volume.services.join(", ")));
        let survived = without(bench, &setup, volume).await;
        let found = survived
            .as_ref()
            .map_or_else(|error| format!("{error:#}"), String::clone);
        bench.verdicts.bar(
            &what,
            found,
            "healthy again, and a stream is dubbed",
            survived.is_ok(),
        );
    }
    Ok(())
}

async fn without(bench: &mut Bench, setup: &Setup, volume: &Volume) -> Result<String> {
    let services: Vec<&str> = volume.services.iter().map(String::as_str).collect();
    bench.project.remove(&services)?;
    bench.project.docker.ask(&["volume", "rm", &volume.full_name])?;
    let took = bench.project.up(setup)?;
    let on_air = OnAir::start(bench, &format!("without-{}", volume.name), 60).await?;
    on_air.end(bench).await?;
    Ok(format!("healthy after {:.1} s, dubbed", took.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_volume_knows_who_mounts_it_and_its_name_at_the_engine() {
        let config = json!({
            "volumes": {"logs": {"name": "p_logs"}, "unused": {"name": "p_unused"}},
            "services": {
                "a": {"volumes": [{"type": "volume", "source": "logs"}]},
                "b": {"volumes": [{"type": "bind", "source": "logs"}]},
                "c": {}
            }
        });
        let found = of_config(&config);
        assert_eq!(
            found,
            [Volume {
                name: "logs".to_owned(),
                full_name: "p_logs".to_owned(),
                services: vec!["a".to_owned()],
            }]
        );
    }
}
