//! A strict reader of OpenMetrics text, for tests: what it takes, any scraper takes.

use std::collections::{BTreeMap, HashSet};

/// Names and values.
pub type Labels = Vec<(String, String)>;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With its suffix.
    pub name: String,
    /// As written, escapes undone, in their order.
    pub labels: Labels,
    /// Its value as written.
    pub value: String,
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The value as a number.
    ///
    /// # Panics
    /// Where it is none; [`parse`] has seen to that.
    pub fn number(&self) -> f64 {
        self.value.parse().expect("it was parsed before")
    }

    /// The labels but one.
    fn labels_but(&self, key: &str) -> Labels {
        self.labels.iter().filter(|(name, _)| name != key).cloned().collect()
    }
}

/// One family of metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    /// Without the suffixes of samples.
    pub name: String,
    /// As declared.
    pub kind: String,
    /// As declared.
    pub unit: String,
    /// As declared.
    pub help: String,
    /// In their order.
    pub samples: Vec<Sample>,
}

/// The suffixes of a kind's samples.
fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total"],
        "gauge" | "stateset" => &[""],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[],
    }
}

/// Reads a whole exposition.
///
/// # Errors
/// The first line that is not as it must be, and why.
pub fn parse(text: &str) -> Result<Vec<Family>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("it does not end in `# EOF` and a newline")?;
    let mut families: Vec<Family> = Vec::new();
    for (number, line) in (1..).zip(body.lines()) {
        read_line(&mut families, line).map_err(|why| format!("line {number}: {why}: {line}"))?;
    }
    let mut seen = HashSet::new();
    for family in &families {
        let name = &family.name;
        check(family).map_err(|why| format!("{name}: {why}"))?;
        let names = suffixes(&family.kind).iter().map(|suffix| format!("{name}{suffix}"));
        for name in names.chain([name.clone()]).collect::<HashSet<_>>() {
            if !seen.insert(name.clone()) {
                return Err(format!("`{name}` is told twice"));
            }
        }
    }
    Ok(families)
}

fn read_line(families: &mut Vec<Family>, line: &str) -> Result<(), String> {
    if let Some(comment) = line.strip_prefix("# ") {
        let mut words = comment.splitn(3, ' ');
        let (Some(what), Some(name), Some(rest)) = (words.next(), words.next(), words.next())
        else {
            return Err("a comment of fewer than three words".into());
        };
        if families.last().is_none_or(|family| family.name != name) {
            if !is_name(name, true) {
                return Err(format!("`{name}` is no name"));
            }
            families.push(Family { name: name.into(), ..Family::default() });
        }
        let family = families.last_mut().ok_or("unreachable")?;
        let field = match what {
            "TYPE" => &mut family.kind,
            "UNIT" => &mut family.unit,
            "HELP" => &mut family.help,
            _ => return Err("neither TYPE, UNIT, HELP nor EOF".into()),
        };
        if !field.is_empty() || rest.is_empty() || !family.samples.is_empty() {
            return Err("told twice, or empty, or behind its samples".into());
        }
        rest.clone_into(field);
        return Ok(());
    }
    let family = families.last_mut().ok_or("a sample without a family")?;
    let sample = read_sample(line)?;
    let suffix = sample.name.strip_prefix(&family.name).ok_or("not of its family")?;
    if !suffixes(&family.kind).contains(&suffix) {
        return Err(format!("a {} has no `{suffix}`", family.kind));
    }
    family.samples.push(sample);
    Ok(())
}

fn is_name(text: &str, colon: bool) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
    text.starts_with(is_letter) && text.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

fn read_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("a sample without a value")?;
    let (name, rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err(format!("`{name}` is no name"));
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.strip_prefix(' ').ok_or("no single space before the value")?;
    let is_number = value.starts_with(|c: char| c.is_ascii_digit())
        && value.parse::<f64>().is_ok_and(f64::is_finite);
    if !is_number {
        return Err(format!("`{value}` is no number"));
    }
    Ok(Sample { name: name.into(), labels, value: value.into() })
}

/// Reads `key="value",...}`; returns what follows.
fn read_labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (key, after) = rest.split_once("=\"").ok_or("a label without `=\"`")?;
        if !is_name(key, false) || labels.iter().any(|(other, _)| other == key) {
            return Err(format!("`{key}` is no label, or there twice"));
        }
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().ok_or("a label without an end")? {
                (at, '"') => break at,
                (_, '\\') => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => value.push(c),
                    _ => return Err("an escape that is none".into()),
                },
                (_, c) => value.push(c),
            }
        };
        labels.push((key.into(), value));
        match after[end + 1..].split_at_checked(1) {
            Some(("}", after)) => return Ok((labels, after)),
            Some((",", after)) => rest = after,
            _ => return Err("neither `,` nor `}` behind a label".into()),
        }
    }
}

fn check(family: &Family) -> Result<(), String> {
    let Family { name, kind, unit, help, samples } = family;
    if suffixes(kind).is_empty() || help.is_empty() {
        return Err(format!("no known TYPE (`{kind}`), or no HELP"));
    }
    if !unit.is_empty() && !name.ends_with(&format!("_{unit}")) {
        return Err(format!("its name does not end in its unit, {unit}"));
    }
    let mut seen = HashSet::new();
    for sample in samples {
        let mut labels = sample.labels.clone();
        labels.sort();
        if !seen.insert((&sample.name, labels)) {
            return Err(format!("a series twice: {sample:?}"));
        }
        let is_fine = match kind.as_str() {
            "info" => sample.value == "1",
            "stateset" => sample.label(name).is_some() && ["0", "1"].contains(&&*sample.value),
            _ => true,
        };
        if !is_fine {
            return Err(format!("not of a {kind}: {sample:?}"));
        }
    }
    if kind == "histogram" { check_histogram(samples) } else { Ok(()) }
}

/// Of each histogram: bounds and counts grow, the last bound is infinite and counts all.
fn check_histogram(samples: &[Sample]) -> Result<(), String> {
    let mut all: BTreeMap<_, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        all.entry(sample.labels_but("le")).or_default().push(sample);
    }
    for (labels, samples) in all {
        let n = samples.len();
        let name = |i: usize| samples[i].name.rsplit('_').next();
        if n < 3 || (name(n - 2), name(n - 1)) != (Some("sum"), Some("count")) {
            return Err(format!("no sum and count behind its buckets: {labels:?}"));
        }
        let mut before = (f64::NEG_INFINITY, 0.0);
        for sample in &samples[..n - 2] {
            let bound = match sample.label("le") {
                Some("+Inf") => f64::INFINITY,
                Some(text) => text.parse().map_err(|_| format!("`{text}` is no bound"))?,
                None => return Err("a bucket without `le`".into()),
            };
            if bound <= before.0 || sample.number() < before.1 {
                return Err(format!("bounds or counts do not grow: {sample:?}"));
            }
            before = (bound, sample.number());
        }
        if before != (f64::INFINITY, samples[n - 1].number()) {
            return Err(format!("the last bucket does not count all: {labels:?}"));
        }
    }
    Ok(())
}
