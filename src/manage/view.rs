//! What management shows of the instance at one moment: shared parts and what the drivers say.
//!
//! Management makes one in its tick; whoever it is handed to reads the counters at leisure.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alerts::Alert;
use super::breaker::Breakers;
use super::groups;
use super::neighbours;
use super::placement::Place;
use super::reload::Retired;
use super::report::{Distribution, Inputs, PoolStatus, PortStatus, Report, WorkerView};
use super::slow_path::Malformed;
use super::unmatched::Unmatched;
use crate::config::{Config, FlowKind, Late, canonical, rows};
use crate::ledger::Counters;
use crate::packet::Ticks;
use crate::plan::Plan;

/// All that a report is made of, owned.
#[derive(Clone, Debug)]
pub struct View {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The plan in force.
    pub plan: Arc<Plan>,
    /// Each worker's lcore and counters.
    pub workers: Vec<(u32, Arc<Counters>)>,
    /// Where they are.
    pub places: Arc<[Place]>,
    /// What the drivers say, by port slot.
    pub ports: Vec<PortStatus>,
    /// What was counted in slots that others have now.
    pub retired: Retired,
    /// The circuit breakers.
    pub breakers: Breakers,
    /// All pools.
    pub pools: Vec<PoolStatus>,
    /// What no rule takes.
    pub unmatched: Unmatched,
    /// The groups that are joined, and what was heard of groups.
    pub groups: groups::State,
    /// Whom unicast copies go to, and who says that they do not arrive.
    pub neighbours: neighbours::Shown,
    /// What came to the slow path and was not what its headers say.
    pub malformed: Malformed,
    /// The newest alerts.
    pub alerts: Vec<Alert>,
    /// The time by the workers' clock; none where it is the capture's.
    pub now: Option<Ticks>,
    /// Since the start.
    pub uptime: Duration,
    /// Whether DPDK's capture tools can attach, in words.
    pub dumpcap: String,
    /// The version of DPDK.
    pub dpdk: String,
}

impl View {
    /// The report; `at_rest` says that the workers have ended.
    pub fn report(&self, at_rest: bool) -> Report {
        let workers = self.workers.iter();
        let workers: Vec<_> =
            workers.map(|(lcore, counters)| WorkerView { lcore: *lcore, counters }).collect();
        Report::gather(&Inputs {
            config: &self.config,
            plan: &self.plan,
            workers: &workers,
            places: &self.places,
            ports: &self.ports,
            retired: &self.retired,
            breakers: &self.breakers,
            pools: &self.pools,
            unmatched: &self.unmatched,
            groups: &self.groups,
            neighbours: &self.neighbours,
            malformed: &self.malformed,
            alerts: &self.alerts,
            now: self.now,
            uptime: self.uptime,
            dpdk: &self.dpdk,
            at_rest,
        })
    }

    /// The residence times of each rule, in file order.
    pub fn latency(&self) -> Vec<RuleLatency> {
        let rules = self.config.rules.iter().zip(&self.plan.rule_slots);
        let latency = |(rule, &slot): (&crate::config::Rule, &u32)| {
            let each = self.workers.iter().map(|(_, all)| &all.rules[slot as usize].latency);
            RuleLatency {
                rule: rule.name.clone(),
                class: rule.class.name().into(),
                times: Distribution::of(each, self.plan.ticks_per_second),
            }
        };
        rules.map(latency).collect()
    }

    /// The plan in force and the settings that it was built from.
    pub fn plan(&self) -> PlanReport {
        let rules = self.config.rules.iter().map(|rule| PlannedRule {
            name: rule.name.clone(),
            class: rule.class.name().into(),
            budget_ns: u64::try_from(rule.budget.as_nanos()).unwrap_or(u64::MAX),
            late: match rule.late {
                Late::Send => "send".into(),
                Late::Drop => "drop".into(),
            },
            flow: match rule.flow {
                FlowKind::Rule => "rule".into(),
                FlowKind::Row => "row".into(),
                FlowKind::Source => "source".into(),
            },
            rows: rows(rule),
            outputs: rule.outputs.len() as u64,
        });
        PlanReport {
            generation: self.plan.generation,
            rows: self.plan.rows.len() as u64,
            outputs: self.config.rules.iter().map(|rule| rule.outputs.len() as u64).sum(),
            flows: self.plan.flows.total() as u64,
            rules: rules.collect(),
            dumpcap: self.dumpcap.clone(),
            settings: canonical(&self.config),
        }
    }
}

/// The residence times of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleLatency {
    /// Its name.
    pub rule: String,
    /// Its class.
    pub class: String,
    /// From the receive burst to the send burst, over all its outputs.
    pub times: Distribution,
}

/// The plan in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// Counted from 1.
    pub generation: u64,
    /// Rows to match.
    pub rows: u64,
    /// Outputs of all rules.
    pub outputs: u64,
    /// Flow slots.
    pub flows: u64,
    /// In file order.
    pub rules: Vec<PlannedRule>,
    /// Whether `dpdk-dumpcap` can attach: `yes: ` and how, or `no: ` and why.
    #[serde(default)]
    pub dumpcap: String,
    /// Every setting in force, as a configuration of its own.
    pub settings: String,
}

/// One rule of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRule {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// From arrival to deadline, in nanoseconds.
    pub budget_ns: u64,
    /// `send` or `drop`.
    pub late: String,
    /// `rule`, `row` or `source`.
    pub flow: String,
    /// Rows that it matches.
    pub rows: u64,
    /// Its outputs, counted.
    pub outputs: u64,
}
