//! The counters of `relay.status` as a page of OpenMetrics text.

use dunlin_net::DropReason as LinkDrop;
use dunlin_relay::DropReason;
use serde_json::Value;
use std::fmt::Write;

/// The type under which the page is answered.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct Gauge {
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    field: &'static str,
}

const GAUGES: &[Gauge] = &[
    gauge(
        "links",
        "",
        "Links that are up, but for those on which the relay hides.",
        "links",
    ),
    gauge(
        "carriers_known",
        "",
        "Other carriers in the address book.",
        "carriers_known",
    ),
    gauge("cache_packets", "", "Packets kept for others.", "packets"),
    gauge(
        "cache_bytes",
        "bytes",
        "Memory charged for them, index included.",
        "cache_bytes",
    ),
    gauge(
        "cache_limit_bytes",
        "bytes",
        "Memory that may be charged.",
        "cache_capacity",
    ),
    gauge(
        "cache_price_bits",
        "",
        "Work that the next packet would need, in bits.",
        "price_bits",
    ),
    gauge(
        "tombstones",
        "",
        "Packets remembered as delivered.",
        "tombstones",
    ),
    gauge(
        "bandwidth_limit_bytes_per_second",
        "",
        "What may be carried for others; absent without a limit.",
        "bandwidth",
    ),
];

const fn gauge(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    field: &'static str,
) -> Gauge {
    Gauge {
        name,
        unit,
        help,
        field,
    }
}

/// The page for one answer of `relay.status`. Each reason of a drop is there from the start, so that a rate can be taken of it.
#[must_use]
pub fn page(status: &Value) -> String {
    let mut page = Page::default();
    page.family("build", "info", "", "What runs.");
    let version = env!("CARGO_PKG_VERSION");
    page.line(&format!("build_info{{version=\"{version}\"}}"), 1);
    for gauge in GAUGES {
        if let Some(value) = status[gauge.field].as_u64() {
            page.family(gauge.name, "gauge", gauge.unit, gauge.help);
            page.line(gauge.name, value);
        }
    }
    let traffic = |field: &str| status["traffic"][field].as_u64().unwrap_or_default();
    page.family(
        "traffic_bytes",
        "counter",
        "bytes",
        "Payload of the links' datagrams.",
    );
    page.line("traffic_bytes_total{direction=\"in\"}", traffic("bytes_in"));
    page.line(
        "traffic_bytes_total{direction=\"out\"}",
        traffic("bytes_out"),
    );
    page.family("traffic_datagrams", "counter", "", "The links' datagrams.");
    page.line(
        "traffic_datagrams_total{direction=\"in\"}",
        traffic("datagrams_in"),
    );
    page.line(
        "traffic_datagrams_total{direction=\"out\"}",
        traffic("datagrams_out"),
    );
    page.family(
        "drops",
        "counter",
        "",
        "Packets and frames of the relay that led to nothing.",
    );
    for reason in DropReason::ALL {
        page.drops("drops", &status["drops"], reason.text());
    }
    page.family(
        "link_drops",
        "counter",
        "",
        "Datagrams and frames of links that led to nothing.",
    );
    for reason in LinkDrop::ALL {
        page.drops("link_drops", &status["link_drops"], &reason.text());
    }
    page.0 + "# EOF\n"
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        self.put(format_args!("# TYPE dunlin_{name} {kind}\n"));
        if !unit.is_empty() {
            self.put(format_args!("# UNIT dunlin_{name} {unit}\n"));
        }
        self.put(format_args!("# HELP dunlin_{name} {help}\n"));
    }

    fn line(&mut self, sample: &str, value: u64) {
        self.put(format_args!("dunlin_{sample} {value}\n"));
    }

    /// Reasons are our own words: letters and spaces, which need no escape.
    fn drops(&mut self, name: &str, counted: &Value, reason: &str) {
        let count = counted[reason].as_u64().unwrap_or_default();
        self.line(&format!("{name}_total{{reason=\"{reason}\"}}"), count);
    }

    fn put(&mut self, text: std::fmt::Arguments) {
        let _ = self.0.write_fmt(text); // A String takes everything.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_has_what_the_status_says_and_zero_for_what_never_happened() {
        let page = page(&json!({
            "links": 3, "packets": 2, "cache_bytes": 800, "cache_capacity": 16_000_000, "bandwidth": null,
            "traffic": { "bytes_in": 10, "bytes_out": 20, "datagrams_in": 1, "datagrams_out": 2 },
            "drops": { "bandwidth": 4 }, "link_drops": { "handshake rate": 5 },
        }));
        for line in [
            "# TYPE dunlin_links gauge",
            "dunlin_links 3",
            "# UNIT dunlin_cache_bytes bytes",
            "dunlin_cache_bytes 800",
            "dunlin_traffic_bytes_total{direction=\"in\"} 10",
            "dunlin_drops_total{reason=\"bandwidth\"} 4",
            "dunlin_drops_total{reason=\"over share\"} 0",
            "dunlin_link_drops_total{reason=\"handshake rate\"} 5",
            "dunlin_link_drops_total{reason=\"forged\"} 0",
        ] {
            assert!(page.lines().any(|there| there == line), "{line}: {page}");
        }
        assert!(!page.contains("bandwidth_limit"), "there is none");
        assert!(page.ends_with("\n# EOF\n"));
    }
}
