//! Experiments as one page of HTML that can be sent to somebody: results, curves, settings, and how to get them again.
//!
//! The page holds everything itself and runs no script. It says nothing of the day or the folder it was made in, so the
//! same results give the same bytes.
//!
//! `entry` collects what a folder tells, `html` writes what is the same for all parts of a page, and this file says
//! which parts there are.

mod entry;
mod html;

pub(crate) use entry::Entry;
pub(crate) use html::escape;

use anyhow::Result;

use self::html::{data_uri, facts, list, table};
use crate::comparison::Comparison;
use crate::machine::{Stay, Work};
use crate::plot::{self, Inset, Options, Palette};
use crate::runs::{Experiment, SeedRun};
use crate::stats::{self, Bootstrap};
use crate::summary::{Estimate, Summary, number};
use crate::text::{duration, thousands};

const STYLE: &str = include_str!("style.css");

/// The page of one experiment, or of several with a comparison first. `options` say what average is drawn; sizes and
/// colours are the page's own.
///
/// # Errors
/// If there is nothing to draw of an experiment.
pub(crate) fn page(entries: &[Entry], options: &Options) -> Result<String> {
    let mut page = Page {
        options,
        palette: Palette::default(),
        body: String::new(),
    };
    let title = match entries {
        [one] => one.experiment.name.clone(),
        several => format!("{} experiments", several.len()),
    };
    page.body += &format!("<h1>{}</h1>\n", escape(&title));
    match entries {
        [one] => page.entry(one, "h2")?,
        several => {
            page.comparison(several)?;
            for (index, entry) in several.iter().enumerate() {
                let name = escape(&entry.experiment.name);
                page.body += &format!(
                    "<section class=\"experiment\" id=\"{}\">\n<h2>{name}</h2>\n",
                    anchor(index)
                );
                page.entry(entry, "h3")?;
                page.body += "</section>\n";
            }
        }
    }
    let (title, colours, body) = (escape(&title), page.palette.css(), page.body);
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "<!DOCTYPE html>\n\
         <html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <meta name=\"generator\" content=\"Thorndike {version}\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}{colours}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n\
         <footer><p>Made by Thorndike {version} from the recorded events.</p></footer>\n</body>\n</html>\n"
    ))
}

/// Where the section of an experiment begins.
fn anchor(index: usize) -> String {
    format!("experiment-{}", index + 1)
}

struct Page<'a> {
    options: &'a Options,
    palette: Palette,
    body: String,
}

impl Page<'_> {
    /// A picture for a wide screen and one for a narrow screen, on which its text can still be read.
    fn figure(&mut self, draw: impl Fn(&Options, &mut Palette) -> Result<String>) -> Result<()> {
        let sizes = [("wide", 1200, 640, 1.0), ("narrow", 600, 560, 2.0)];
        let mut pictures = String::new();
        for (class, width, height, text) in sizes {
            let options = Options {
                width,
                height,
                text,
                ..self.options.clone()
            };
            let picture = draw(&options, &mut self.palette)?;
            pictures += &format!("<div class=\"{class}\">\n{picture}</div>\n");
        }
        self.body += &format!("<figure>\n{pictures}</figure>\n");
        Ok(())
    }

    fn comparison(&mut self, entries: &[Entry]) -> Result<()> {
        self.body += "<section>\n<h2>Comparison</h2>\n";
        let mut envs: Vec<&str> = entries
            .iter()
            .map(|entry| entry.experiment.env.as_str())
            .collect();
        envs.sort_unstable();
        envs.dedup();
        if envs.len() > 1 {
            let text = format!(
                "The experiments are on {} environments ({}): returns can be compared within one of them only.",
                envs.len(),
                envs.join(", ")
            );
            self.body += &list("warnings", &[text]);
        }
        let rows: Vec<Vec<String>> = entries.iter().map(compared).collect();
        let iqm = format!("IQM {}", interval_label(&entries[0].summary));
        let head = [
            "experiment",
            "environment",
            "agent",
            "seeds",
            "steps",
            &iqm,
            "mean",
            "median",
            "worst to best seed",
            "to compare with",
            "regret",
        ];
        self.body += &table("Comparison", &head, &rows);
        let experiments: Vec<Experiment> = entries
            .iter()
            .map(|entry| entry.experiment.clone())
            .collect();
        let drawn =
            self.figure(|options, palette| plot::compare_inline(&experiments, options, palette));
        if let Err(error) = drawn {
            // Such as more environments than fit one picture; each has its own below.
            self.body += &list("notes", &[error.to_string()]);
        }
        self.differences(&experiments);
        let links = entries.iter().enumerate().map(|(index, entry)| {
            format!(
                "<li><a href=\"#{}\">{}</a></li>\n",
                anchor(index),
                escape(&entry.experiment.name)
            )
        });
        self.body += &format!(
            "<nav aria-label=\"Experiments\">\n<ul>\n{}</ul>\n</nav>\n</section>\n",
            links.collect::<String>()
        );
        Ok(())
    }

    /// Which differences are there, as `compare` prints it.
    fn differences(&mut self, experiments: &[Experiment]) {
        let bootstrap = Bootstrap {
            resamples: 50_000,
            ..self.options.bootstrap.clone()
        };
        match Comparison::of(experiments, &bootstrap, self.options.window) {
            Ok(comparison) => {
                let text = escape(comparison.to_string().trim());
                if !text.is_empty() {
                    self.heading("h3", "Differences");
                    self.body += &format!("<pre tabindex=\"0\"><code>{text}</code></pre>\n");
                }
            }
            Err(error) => self.body += &list("notes", &[error.to_string()]),
        }
    }

    /// The parts of one experiment, with headings of the level `h`.
    fn entry(&mut self, entry: &Entry, h: &str) -> Result<()> {
        let Summary { agent, env, .. } = &entry.summary;
        self.body += &format!(
            "<p class=\"lead\">{} on {}</p>\n",
            escape(agent),
            escape(env)
        );
        self.body += &list("warnings", &entry.warnings);
        self.heading(h, "Result");
        self.body += &results(entry);
        self.heading(h, "Reward curve");
        self.figure(|options, palette| plot::curve_inline(&entry.experiment, options, palette))?;
        self.panels(&entry.experiment, h);
        self.heading(h, "Seeds");
        self.body += &seeds(entry);
        self.heading(h, "How to get it again");
        self.body += &reproduction(entry);
        self.heading(h, "Machine");
        self.body += &machines(&entry.stays);
        Ok(())
    }

    fn heading(&mut self, h: &str, text: &str) {
        self.body += &format!("<{h}>{text}</{h}>\n");
    }

    /// A small picture for each reported number. Without any there is no such part.
    fn panels(&mut self, experiment: &Experiment, h: &str) {
        let options = Options {
            width: 600,
            height: 400,
            text: 2.0,
            range: None,
            ..self.options.clone()
        };
        let Ok((panels, notes)) = plot::panels_inline(experiment, &options, &mut self.palette)
        else {
            return;
        };
        self.heading(h, "While learning");
        if experiment.seeds.len() > 1 {
            self.body += "<p>Thick: mean over seeds. Thin: single seeds.</p>\n";
        }
        self.body += "<div class=\"panels\">\n";
        for Inset { heading, svg } in panels {
            let heading = escape(&heading);
            self.body += &format!("<figure>\n<figcaption>{heading}</figcaption>\n{svg}</figure>\n");
        }
        self.body += "</div>\n";
        self.body += &list("notes", &notes);
    }
}

/// A row of the comparison.
fn compared(entry: &Entry) -> Vec<String> {
    let summary = &entry.summary;
    let lines = entry.experiment.lines.iter();
    let lines: Vec<String> = lines
        .map(|line| format!("{} {}", line.label, number(line.value)))
        .collect();
    vec![
        entry.experiment.name.clone(),
        summary.env.clone(),
        summary.agent.clone(),
        summary.seeds.to_string(),
        steps(summary),
        summary.iqm.to_string(),
        summary.mean.to_string(),
        summary.median.to_string(),
        format!("{} to {}", number(summary.worst), number(summary.best)),
        lines.join(", "),
        summary.regret.map_or_else(String::new, number),
    ]
}

fn steps(summary: &Summary) -> String {
    match summary.steps {
        (shortest, longest) if shortest == longest => thousands(longest),
        (shortest, longest) => format!("{} to {}", thousands(shortest), thousands(longest)),
    }
}

fn interval_label(summary: &Summary) -> String {
    format!("[{} % interval]", number(100.0 * summary.confidence))
}

fn results(entry: &Entry) -> String {
    let summary = &entry.summary;
    let kind = match summary.evaluated {
        true => "greedy evaluation at the end",
        false => "last episodes of learning",
    };
    let label = interval_label(summary);
    let estimate = |estimate: Estimate| match estimate.interval {
        Some(_) => format!("{estimate}"),
        None => format!("{estimate} (one seed, so no interval)"),
    };
    let mut rows = vec![
        ("Environment", summary.env.clone()),
        ("Agent", summary.agent.clone()),
        ("Seeds", summary.seeds.to_string()),
        ("Steps of each seed", steps(summary)),
        ("Episodes of learning", thousands(summary.episodes as u64)),
        ("Return", format!("{kind}; {label} over seeds")),
        ("IQM", estimate(summary.iqm)),
        ("Mean", estimate(summary.mean)),
        ("Median", estimate(summary.median)),
        (
            "Worst to best seed",
            format!("{} to {}", number(summary.worst), number(summary.best)),
        ),
    ];
    let lines = entry.compared_with.iter();
    rows.extend(lines.map(|text| ("To compare with", text.clone())));
    if let Some(regret) = summary.regret {
        rows.push(("Regret", format!("{} (optimum less mean)", number(regret))));
    }
    facts("Result", &rows)
}

fn seeds(entry: &Entry) -> String {
    const NOTHING: &str = "–";
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let row = |run: &SeedRun| {
        let left = entry.final_of(run.seed);
        let last = run.evaluations.last().map(|evaluation| &evaluation.returns);
        let mut end = last.map(|returns| number(stats::mean(returns)));
        if let (Some(end), Some(left)) = (&mut end, left) {
            *end += &format!(" ± {}", number(left.final_return_std));
        }
        vec![
            run.seed.to_string(),
            or_nothing(end),
            or_nothing(last.map(|returns| thousands(returns.len() as u64))),
            or_nothing(left.and_then(|left| left.exact_return).map(number)),
            or_nothing(left.and_then(|left| left.learning_return).map(number)),
            thousands(run.episodes.len() as u64),
            thousands(run.last_step),
            or_nothing(left.map(|left| duration(left.seconds))),
            if run.finished { "yes" } else { "no" }.to_owned(),
        ]
    };
    let head = [
        "seed",
        "final return",
        "of episodes",
        "exact return",
        "while learning",
        "episodes of learning",
        "steps",
        "time",
        "finished",
    ];
    let mut rows: Vec<Vec<String>> = entry.experiment.seeds.iter().map(row).collect();
    // A column that says nothing of any seed is left out.
    let told = |column: &usize| rows.iter().any(|row| row[*column] != NOTHING);
    let shown: Vec<usize> = (0..head.len()).filter(told).collect();
    let head: Vec<&str> = shown.iter().map(|&column| head[column]).collect();
    for row in &mut rows {
        *row = shown.iter().map(|&column| row[column].clone()).collect();
    }
    let mut said = String::new();
    if !entry.finals.is_empty() {
        said += "<p>± is the standard deviation over the episodes of the final evaluation.</p>\n";
    }
    if head.contains(&"exact return") {
        said += "<p>The exact return of the greedy policy is computed from the dynamics.</p>\n";
    }
    table("Seeds", &head, &rows) + &said
}

fn reproduction(entry: &Entry) -> String {
    let Some(config) = &entry.config else {
        return "<p>The configuration is not there, so it cannot be run again from this page.</p>\n".to_owned();
    };
    let file = format!("{}.toml", file_stem(&entry.experiment.name));
    let version = match entry.stays.first() {
        Some(stay) => format!("Thorndike {}", stay.machine.version),
        None => "Thorndike".to_owned(),
    };
    let exact = if config
        .parse::<toml::Table>()
        .is_ok_and(|table| table.contains_key("ahead"))
    {
        "It acts on a thread of its own while it learns (<code>ahead</code>), so another run differs in the last bits and \
         then in all of them."
    } else {
        "The same configuration and seeds give the same numbers on the same kind of processor."
    };
    let (version, text, uri) = (escape(&version), escape(config), escape(&data_uri(config)));
    format!(
        "<p>With {version}, save the configuration below as <code>{file}</code> \
         (<a download=\"{file}\" href=\"{uri}\">download it</a>) and run</p>\n\
         <pre class=\"command\"><code>thorndike train {file}</code></pre>\n\
         <p>or, in a checkout, <code>scripts/run train {file}</code>. {exact}</p>\n\
         <details>\n<summary>Configuration, with every default written out</summary>\n\
         <pre tabindex=\"0\"><code>{text}</code></pre>\n</details>\n"
    )
}

/// The name as part of a command that can be pasted into a shell.
fn file_stem(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let stem: String = name.chars().map(plain).collect();
    match stem.trim_start_matches(['-', '.']) {
        "" => "experiment".to_owned(),
        stem => stem.to_owned(),
    }
}

fn machines(stays: &[Stay]) -> String {
    if stays.is_empty() {
        return "<p>Not recorded.</p>\n".to_owned();
    }
    let several = stays.len() > 1 || stays[0].work == Work::Resumed;
    let told = stays.iter().map(|Stay { work, machine }| {
        let heading = match work {
            _ if !several => "",
            Work::Started => "<p>Started on</p>\n",
            Work::Resumed => "<p>Resumed on</p>\n",
        };
        let memory = machine.memory_gb.map(|gb| format!("{gb} GB"));
        let rows = [
            ("Processor", machine.processor.clone()),
            ("Cores", machine.cores.to_string()),
            ("Memory", memory.unwrap_or_else(|| "unknown".to_owned())),
            ("System", machine.system.clone()),
            ("Thorndike", machine.version.clone()),
        ];
        heading.to_owned() + &facts("Machine", &rows)
    });
    told.collect()
}
