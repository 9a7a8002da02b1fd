//! What the owner lets a node use for others, and may change while it runs: the call `relay.limits`.

use crate::cache::Cache;
use crate::drops::{DropReason, Drops};
use crate::messages::PacketGone;
use crate::nodes::{NodeName, Nodes, failed};
use crate::settings::{RelaySettings, Section};
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_engine::{Answer, Call, CallError, Config, ConfigError, Now, Params};
use dunlin_net::Bandwidth;
use serde::{Deserialize, Deserializer, Serialize};

/// Memory and bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Allowance {
    /// What is kept for others, in bytes, index included.
    pub cache_bytes: u64,
    /// Packets taken in and given out for others, in bytes a second; 0 carries nothing, none is no limit.
    pub bandwidth: Option<u64>,
}

impl Allowance {
    /// What the section `[relay]` of these settings says, and, where it says nothing, what the program said.
    ///
    /// # Errors
    /// An unknown key of the section, or a value of the wrong shape.
    pub fn read(config: &mut Config, program: Allowance) -> Result<Allowance, ConfigError> {
        let section: Section = config.section("relay")?;
        let program = RelaySettings {
            cache_bytes: program.cache_bytes,
            bandwidth: program.bandwidth,
            ..RelaySettings::default()
        };
        Ok(Allowance::of(&section.over(program)))
    }

    pub(crate) fn of(settings: &RelaySettings) -> Allowance {
        Allowance {
            cache_bytes: settings.cache_bytes,
            bandwidth: settings.bandwidth,
        }
    }
}

/// What `relay.limits` takes: what is to be changed. What is absent stays; a `bandwidth` of null lifts that limit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsParams {
    cache_bytes: Option<u64>,
    #[serde(default, deserialize_with = "null_or_number")]
    bandwidth: Option<Option<u64>>,
    #[serde(default)]
    node: NodeName,
}

impl Params for LimitsParams {}

/// Tells null, which is an answer, from a field that is not there.
fn null_or_number<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(field).map(Some)
}

type Parts<'a> = (
    &'a mut RelaySettings,
    &'a mut Cache,
    &'a mut Bandwidth,
    &'a mut Drops,
);

pub(crate) fn call_limits(
    In(call): In<Call<LimitsParams>>,
    names: Nodes,
    mut nodes: Query<Parts>,
    now: Res<Now>,
    mut gone: MessageWriter<PacketGone>,
) -> Result<Answer, CallError> {
    let LimitsParams {
        cache_bytes,
        bandwidth: limit,
        node,
    } = call.params;
    let node = names.find(&node)?;
    let parts = nodes.get_mut(node).map_err(|error| failed(&error))?;
    let (mut settings, mut cache, mut bandwidth, mut drops) = parts;
    if !settings.carry && (cache_bytes.is_some() || limit.is_some()) {
        return Err(CallError::new(
            "carry",
            "this node carries nothing for others: start it with carry = true in [relay] to set what it may use",
        ));
    }
    if let Some(cache_bytes) = cache_bytes {
        settings.cache_bytes = cache_bytes;
        for id in cache.set_capacity(cache_bytes) {
            drops.count(DropReason::Evicted);
            gone.write(PacketGone { node, id });
        }
    }
    if let Some(limit) = limit {
        settings.bandwidth = limit;
        bandwidth.set_limit(limit, now.time);
    }
    Answer::of(Allowance::of(&settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_before_the_program_and_null_is_not_absent() {
        let program = Allowance {
            cache_bytes: 5,
            bandwidth: Some(7),
        };
        let read = |text: &str| {
            let mut config = Config::parse(text, "dunlin.toml").unwrap();
            Allowance::read(&mut config, program).map_err(|error| error.to_string())
        };
        assert_eq!(read(""), Ok(program));
        let both = "[relay]\ncache_bytes = 1\nbandwidth = 0\n";
        let allowance = read(both).unwrap();
        assert_eq!((allowance.cache_bytes, allowance.bandwidth), (1, Some(0)));
        let error = read("[relay]\nbandwith = 1\n").unwrap_err();
        assert!(error.ends_with("did you mean \"bandwidth\"?"), "{error}");

        let limit = |text: &str| {
            serde_json::from_str::<LimitsParams>(text)
                .unwrap()
                .bandwidth
        };
        assert_eq!(limit("{}"), None);
        assert_eq!(limit(r#"{"bandwidth":null}"#), Some(None));
        assert_eq!(limit(r#"{"bandwidth":3}"#), Some(Some(3)));
    }
}
