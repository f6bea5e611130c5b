//! What a client wants captured: by names, which become slots where they are known.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::capture::{Filter, What};
use crate::config::{Config, instead_of};
use crate::manage::control::{Refusal, code};
use crate::packet::DropReason;
use crate::plan::Plan;

/// Every drop reason.
pub const ANY: &str = "any";

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// As received
    In,
    /// Copies as they are sent
    Out,
    /// Both
    Inout,
}

/// A request to capture; all that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Packets that this rule takes, and their copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Copies for this receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// Packets and copies that end early, for one of these reasons or [`ANY`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Vec<String>>,
    /// Packets received on this port, and copies for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Which way; where it is not said, out with a receiver, in with a rule, else both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// One in so many; 0 and 1 are all.
    pub sample: u32,
    /// Bytes kept of each; 0 is all.
    pub snap: u32,
    /// Ends after so many; 0 is never.
    pub count: u64,
    /// Ends after so many nanoseconds; 0 is never.
    pub for_ns: u64,
}

impl Wanted {
    /// The filter, by the slots of the configuration in force.
    ///
    /// # Errors
    /// Where a name is nobody's, or what is said cannot all hold.
    pub fn filter(&self, config: &Config, plan: &Plan) -> Result<Filter, Refusal> {
        let slot = |what: &str, name: &Option<String>, known: Vec<&str>| {
            let Some(name) = name else {
                return Ok(None);
            };
            match known.iter().position(|known| known == name) {
                Some(slot) => Ok(Some(slot)),
                None => Err(unknown(what, name, &known)),
            }
        };
        let rule = slot("rule", &self.rule, config.rules.iter().map(|r| &*r.name).collect())?;
        let receivers = config.receivers.iter().map(|r| &*r.name).collect();
        let receiver = slot("receiver", &self.receiver, receivers)?;
        let port = slot("port", &self.port, config.ports.iter().map(|p| &*p.name).collect())?;
        Ok(Filter {
            what: self.what()?,
            rule: rule.map(|rule| plan.rule_slots[rule]),
            receiver: receiver.map(|receiver| plan.receiver_slots[receiver]),
            port: port.map(|port| port as u32),
        })
    }

    fn what(&self) -> Result<What, Refusal> {
        let contradiction = |message: &str| Err(Refusal::new(code::FILTER, message));
        if let Some(names) = &self.dropped {
            if self.direction.is_some() {
                return contradiction(
                    "what is dropped goes neither in nor out: leave the direction out",
                );
            }
            return names
                .iter()
                .try_fold(0, |all, name| Ok(all | reasons(name)?))
                .map(What::Dropped);
        }
        let direction = self.direction.unwrap_or(match (&self.receiver, &self.rule) {
            (Some(_), _) => Direction::Out,
            (None, Some(_)) => Direction::In,
            (None, None) => Direction::Inout,
        });
        if self.receiver.is_some() && direction == Direction::In {
            return contradiction(
                "nothing that comes in is a receiver's yet: ask for its copies (out), or for the \
                 rule's packets (in)",
            );
        }
        Ok(What::Passing {
            received: direction != Direction::Out && self.receiver.is_none(),
            sent: direction != Direction::In,
        })
    }

    /// In words, as `show` and the log say it.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        match (&self.dropped, self.direction) {
            (Some(reasons), _) => words.push(format!("dropped {}", reasons.join(","))),
            (None, Some(Direction::In)) => words.push("in".into()),
            (None, Some(Direction::Out)) => words.push("out".into()),
            (None, _) => {}
        }
        let named = [("rule", &self.rule), ("receiver", &self.receiver), ("port", &self.port)];
        words.extend(
            named
                .iter()
                .filter_map(|(what, name)| name.as_ref().map(|name| format!("{what} {name}"))),
        );
        if words.is_empty() {
            words.push("everything".into());
        }
        if self.sample > 1 {
            words.push(format!("one in {}", self.sample));
        }
        words.join(", ")
    }
}

/// A bit for each reason of that name.
fn reasons(name: &str) -> Result<u64, Refusal> {
    if name == ANY {
        return Ok((1 << DropReason::COUNT) - 1);
    }
    let known: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
    match DropReason::ALL.iter().find(|reason| reason.name() == name) {
        Some(DropReason::Foreign) => Err(Refusal::new(
            code::FILTER,
            "a foreign buffer is freed unread: there is nothing to capture",
        )),
        Some(reason) => Ok(1 << reason.index()),
        None => Err(unknown("drop reason", name, &known)),
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Refusal {
    let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
    let message = format!("no {what} is named `{shown}`; {}", instead_of(name, known));
    Refusal::new(code::FILTER, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::fixture::Fixture;

    fn asked(json: serde_json::Value) -> Result<Filter, String> {
        let wanted: Wanted = serde_json::from_value(json).unwrap();
        let fixture = Fixture::new();
        wanted.filter(&fixture.config, &fixture.plan).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn names_become_slots_and_say_what_is_looked_at() {
        use serde_json::json;
        let passing = |received, sent| What::Passing { received, sent };
        let what = |json| asked(json).unwrap().what;
        assert_eq!(what(json!({})), passing(true, true));
        assert_eq!(what(json!({"port": "out"})), passing(true, true));
        assert_eq!(what(json!({"rule": "itch"})), passing(true, false));
        assert_eq!(what(json!({"rule": "itch", "direction": "inout"})), passing(true, true));
        assert_eq!(what(json!({"receiver": "desk-eq"})), passing(false, true));
        assert_eq!(
            what(json!({"receiver": "desk-eq", "direction": "inout"})),
            passing(false, true)
        );
        let late = 1 << DropReason::Late.index() | 1 << DropReason::Mtu.index();
        assert_eq!(what(json!({"dropped": ["late", "mtu"]})), What::Dropped(late));
        let What::Dropped(any) = what(json!({"dropped": ["any"]})) else { panic!() };
        assert_eq!(any.count_ones() as usize, DropReason::COUNT);
        let filter = asked(json!({"rule": "itch", "port": "out"})).unwrap();
        assert_eq!((filter.rule, filter.port, filter.receiver), (Some(0), Some(1), None));
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        use serde_json::json;
        let refused = |json| asked(json).unwrap_err();
        for (json, part) in [
            (json!({"rule": "itsch"}), "did you mean `itch`?"),
            (json!({"rule": "xyzzy-0"}), "there are: itch, "),
            (json!({"receiver": "desk-ex"}), "did you mean `desk-eq`?"),
            (json!({"port": "inn"}), "did you mean `in`?"),
            (json!({"dropped": ["late", "ip_chksum"]}), "did you mean `ip_checksum`?"),
            (json!({"dropped": ["foreign"]}), "nothing to capture"),
            (json!({"dropped": ["any"], "direction": "in"}), "leave the direction out"),
            (json!({"receiver": "desk-eq", "direction": "in"}), "ask for its copies"),
        ] {
            let said = refused(json);
            assert!(said.contains(part) && said.ends_with("(filter)"), "{said}");
        }
    }
}
