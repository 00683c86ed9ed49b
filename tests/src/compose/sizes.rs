//! How large the images are.

use super::Bench;
use super::project::Setup;
use super::verdicts::Table;
use anyhow::Result;
use std::collections::BTreeMap;

/// Services with a bar, in megabytes of ten to the sixth.
const BARS: [(&str, u64); 4] = [
    ("media-edge", 1_100),
    ("media-edge slim", 350),
    ("orchestrator", 60),
    ("dubber", 60),
];

/// The drill.
pub fn run(bench: &mut Bench) -> Result<()> {
    let mut images = images_of(bench, &Setup::default().profile("demo"))?;
    let slim = images_of(bench, &Setup::default().variable("MEDIA_EDGE_VARIANT", "-slim"))?;
    if let Some(image) = slim.get("media-edge") {
        images.insert("media-edge slim".to_owned(), image.clone());
    }
    let mut table = Table::new("IMAGES", &["image", "of", "MB", "bar"]);
    for (service, image) in &images {
        let bar = BARS
            .iter()
            .find(|(of, _)| of == service)
            .map(|(_, megabytes)| *megabytes);
        let size = bench
            .project
            .docker
            .ask(&["image", "inspect", "--format", "{{.Size}}", image]);
        let size = size.ok().and_then(|text| text.trim().parse::<u64>().ok());
        let found = size.map_or("not there".to_owned(), |bytes| {
            format!("{:.1} MB", bytes as f64 / 1e6)
        });
        let limit = bar.map_or("-".to_owned(), |megabytes| format!("< {megabytes} MB"));
        match bar {
            Some(megabytes) => {
                let holds = size.is_some_and(|bytes| bytes < megabytes * 1_000_000);
                bench
                    .verdicts
                    .bar(&format!("size of {image}"), found.clone(), &limit, holds);
            }
            None => bench.verdicts.tell(&format!("size of {image}"), found.clone()),
        }
        table
            .rows
            .push(vec![image.clone(), service.clone(), found, limit]);
    }
    bench.verdicts.table(table);
    Ok(())
}

fn images_of(bench: &mut Bench, setup: &Setup) -> Result<BTreeMap<String, String>> {
    let config = bench.project.config_of(setup)?;
    let services = config["services"].as_object();
    Ok(services
        .into_iter()
        .flatten()
        .filter_map(|(name, service)| Some((name.clone(), service["image"].as_str()?.to_owned())))
        .collect())
}
