//! What the running service tells Prometheus, beside docs/metrics.md, the alerts and the dashboard in `ops/`.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::Path;

use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde::Deserialize;
use serde_json::Value;

use crate::api::SOON;
use crate::client::{Nas, Said};
use crate::service::Service;
use crate::until::until;

/// Names of metrics with their type and labels.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

/// Labels that Prometheus adds itself.
const ADDED: [&str; 2] = ["instance", "job"];

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The tables of docs/metrics.md.
fn documented() -> Metrics {
    let text = file("docs/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `radtally_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [name, kind, labels, unit, meaning, ""] = cells[..] else { panic!("{row}") };
        assert!(!unit.is_empty() && !meaning.is_empty(), "{row}");
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        (format!("radtally_{}", name.trim_matches('`')), (kind.to_owned(), labels))
    })
    .collect()
}

/// What a service exports.
fn exported(text: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            metrics.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (name, labels) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
            let labels = labels.split("\",").filter_map(|label| label.split_once("=\""));
            let labels = labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le");
            metrics.get_mut(base(name)).unwrap_or_else(|| panic!("{line}")).1.extend(labels);
        }
    }
    metrics
}

/// The metric that a histogram's series belong to.
fn base(series: &str) -> &str {
    let suffixes =
        ["_seconds", "_records"].map(|unit| ["_bucket", "_sum", "_count"].map(|part| (unit, part)));
    suffixes
        .as_flattened()
        .iter()
        .find_map(|(unit, part)| series.strip_suffix(part).filter(|name| name.ends_with(unit)))
        .unwrap_or(series)
}

/// Checks that a query asks for nothing that is not exported.
struct Known<'a> {
    metrics: &'a Metrics,
    query: &'a str,
    asked: &'a mut BTreeSet<String>,
}

impl Known<'_> {
    fn check(&mut self, selector: &VectorSelector) {
        let (query, name) = (self.query, selector.name.as_deref().expect("a name"));
        let (kind, labels) =
            self.metrics.get(base(name)).unwrap_or_else(|| panic!("{name} is not exported: {query}"));
        assert_eq!(kind == "histogram", base(name) != name, "{query}");
        for matcher in &selector.matchers.matchers {
            let known = labels.contains(&matcher.name) || ADDED.contains(&matcher.name.as_str());
            assert!(known, "{name} has no label {}: {query}", matcher.name);
        }
        self.asked.insert(base(name).to_owned());
    }
}

impl ExprVisitor for Known<'_> {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        match expr {
            Expr::VectorSelector(selector) => self.check(selector),
            Expr::MatrixSelector(matrix) => self.check(&matrix.vs),
            _ => {}
        }
        Ok(true)
    }
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Alert>,
}

/// A rule, whole: what else it says is not of Prometheus's form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alert {
    alert: String,
    expr: String,
    r#for: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn alerts() -> Vec<Alert> {
    let rules: Rules = serde_norway::from_str(&file("ops/alerts.yml")).unwrap();
    rules.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// Every query of the dashboard, with intervals in place of Grafana's.
fn dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&file("ops/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "5m"));
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables = variables.filter_map(|variable| {
        let metric = variable["definition"].as_str()?.strip_prefix("label_values(")?.strip_suffix(')')?;
        let (metric, label) = metric.split_once(", ")?;
        Some(format!("count by ({label}) ({metric})"))
    });
    queries.chain(variables).collect()
}

/// A service in whose metrics everything has occurred that is told of from its first occurrence.
async fn busy() -> Service {
    let mut service = Service::start().await;
    let mut nas = Nas::new(service.accounting).await;
    let start = chrono::Utc::now().timestamp() - 600;
    // Counters that fall: the session is irregular.
    for (seconds, octets) in [(100, 1_000), (200, 5_000), (300, 2_000)] {
        nas.say(&Said::interim("anna", seconds, octets, octets).at(start + i64::from(seconds))).await;
    }
    service.all_stored().await;
    // Irregular sessions are counted at a start, and then once a minute.
    service.stop().await;
    service.run().await;
    let mut nas = Nas::new(service.accounting).await;
    nas.say(&Said::interim("anna", 400, 6_000, 6_000).at(start + 400)).await;
    service.all_stored().await;
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_documented_and_every_alert_and_panel_asks_for_what_is_exported() {
    let service = busy().await;
    let documented = documented();
    let mut found = Metrics::new();
    until("every documented metric to be exported", 2 * SOON, async || {
        found = exported(&service.metrics().await);
        documented.keys().all(|name| found.contains_key(name)).then_some(())
    })
    .await;
    for (name, what) in &found {
        assert_eq!(documented.get(name), Some(what), "{name} as docs/metrics.md has it, and as it is");
    }

    let mut asked = BTreeSet::new();
    let alerts = alerts();
    let queries = alerts.iter().map(|alert| alert.expr.clone()).chain(dashboard());
    for query in queries {
        let expr = parser::parse(&query).unwrap_or_else(|error| panic!("{error}: {query}"));
        let mut known = Known { metrics: &found, query: &query, asked: &mut asked };
        let Ok(_) = walk_expr(&mut known, &expr);
    }
    assert!(asked.len() > 30, "{asked:?}");

    let operating = file("docs/operating.md");
    let headings = operating.lines().filter_map(|line| line.strip_prefix("### "));
    let sections: BTreeSet<_> = headings
        .map(|heading| format!("docs/operating.md#{}", heading.to_lowercase().replace(' ', "-")))
        .collect();
    for alert in alerts {
        let name = &alert.alert;
        assert!(["critical", "warning"].contains(&alert.labels["severity"].as_str()), "{name}");
        assert!(alert.r#for.ends_with('m'), "{name}");
        assert!(
            !alert.annotations["summary"].is_empty() && !alert.annotations["action"].is_empty(),
            "{name}"
        );
        assert!(sections.contains(&alert.annotations["runbook"]), "{name}: {}", alert.annotations["runbook"]);
    }
}
