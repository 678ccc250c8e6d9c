//! `thorndike report`, from training to the page; and the page in a browser, where there is one.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use roxmltree::{Document, ParsingOptions};

const CONFIG: &str = "name = \"small\"\nsteps = 4000\nseeds = [1, 2, 3]\n[env]\nid = \"frozen-lake\"\n\
                      [agent]\nid = \"q-learning\"\n[eval]\nepisodes = 4\nfinal_episodes = 10\n";

/// Runs the program in `folder`; what it printed on both streams.
fn thorndike(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thorndike"));
    let output = command.current_dir(folder).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let both = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{args:?}: {both}");
    both
}

/// A folder with `results/small`, trained.
fn trained() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), CONFIG).unwrap();
    thorndike(folder.path(), &["train", "small.toml"]);
    folder
}

/// The page, after a check of what holds for every page: each tag is closed, nothing is loaded from elsewhere, no script
/// runs, ids are there once and links to them lead somewhere.
fn page(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(&text, options).unwrap();
    let ids: Vec<&str> = document
        .descendants()
        .filter_map(|node| node.attribute("id"))
        .collect();
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[..index].contains(id), "{id} is there twice");
    }
    for node in document.descendants().filter(|node| node.is_element()) {
        let tag = node.tag_name().name();
        assert!(
            ![
                "script", "link", "iframe", "img", "object", "embed", "base", "form"
            ]
            .contains(&tag),
            "<{tag}>"
        );
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(
                !name.starts_with("on") && name != "src" && name != "style",
                "{name}={value}"
            );
            if name == "href" {
                let inside = value.strip_prefix('#').is_some_and(|id| ids.contains(&id));
                assert!(
                    inside || value.starts_with("data:text/plain"),
                    "{name}={value}"
                );
            }
        }
        if tag == "style" {
            let style = node.text().unwrap();
            assert!(
                !style.contains("url(") && !style.contains("@import"),
                "{style}"
            );
        }
    }
    let elsewhere = text
        .replace("http://www.w3.org/2000/svg", "")
        .replace("http-equiv", "");
    assert!(!elsewhere.contains("http"), "an address in the page");
    text
}

/// What a reader sees of the elements called `tag`.
fn texts(page: &str, tag: &str) -> Vec<String> {
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(page, options).unwrap();
    let wanted = document
        .descendants()
        .filter(|node| node.tag_name().name() == tag);
    let text = |node: roxmltree::Node<'_, '_>| {
        node.descendants()
            .filter(|node| node.is_text())
            .filter_map(|node| node.text())
            .collect()
    };
    wanted.map(text).collect()
}

#[test]
fn a_report_holds_results_curves_seeds_settings_and_machine_and_is_the_same_twice() {
    let folder = trained();
    let said = thorndike(folder.path(), &["report", "results/small"]);
    assert_eq!(said, "results/small/report.html\n");
    let text = page(&folder.path().join("results/small/report.html"));
    assert_eq!(texts(&text, "title"), ["small"]);
    assert_eq!(
        texts(&text, "h2"),
        [
            "Result",
            "Reward curve",
            "While learning",
            "Seeds",
            "How to get it again",
            "Machine"
        ]
    );
    let config = fs::read_to_string(folder.path().join("results/small/config.toml")).unwrap();
    let shown = texts(&text, "code");
    assert!(
        shown.contains(&"thorndike train small.toml".to_owned()),
        "{shown:?}"
    );
    assert!(shown.contains(&config), "{shown:?}");
    let cells = texts(&text, "td").join("\n");
    for part in [
        "frozen-lake",
        "q-learning",
        "optimum 0.7442",
        "4,000",
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(cells.contains(part), "no {part} in\n{cells}");
    }
    assert_eq!(
        texts(&text, "th")
            .iter()
            .filter(|text| ["1", "2", "3"].contains(&text.as_str()))
            .count(),
        3
    );
    let drawn = texts(&text, "text").join("\n");
    for part in ["IQM of the seeds", "environment steps", "optimum 0.7442"] {
        assert!(drawn.contains(part), "no {part} in\n{drawn}");
    }
    let captions = texts(&text, "figcaption").join("\n");
    assert!(captions.contains("explore/epsilon"), "{captions}");

    // From another folder, by another path.
    let whole = folder.path().join("results/small");
    let other = tempfile::tempdir().unwrap();
    thorndike(
        other.path(),
        &["report", whole.to_str().unwrap(), "--out", "again.html"],
    );
    assert!(
        page(&other.path().join("again.html")) == text,
        "another page"
    );
    assert!(
        !text.contains(folder.path().to_str().unwrap()),
        "a folder of this machine"
    );
}

#[test]
fn the_configuration_in_a_page_trains_the_same_runs() {
    let folder = trained();
    thorndike(
        folder.path(),
        &["report", "results/small", "--out", "a.html"],
    );
    let text = page(&folder.path().join("a.html"));
    let config = texts(&text, "code")
        .into_iter()
        .find(|code| code.contains("[env]"))
        .unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("small.toml"), config).unwrap();
    thorndike(other.path(), &["train", "small.toml"]);
    let events =
        |folder: &Path| fs::read(folder.join("results/small/seed-2/events.jsonl")).unwrap();
    assert!(
        events(folder.path()) == events(other.path()),
        "other events"
    );
}

#[test]
fn several_folders_are_compared_first() {
    let folder = trained();
    let sarsa = [
        "train",
        "small.toml",
        "name=other",
        "agent.id=sarsa",
        "env.id=cliff-walking",
        "seeds=[7]",
    ];
    thorndike(folder.path(), &sarsa);
    let said = thorndike(
        folder.path(),
        &["report", "results/small", "results/other", "small.toml"],
    );
    assert!(said.contains("small.toml: passed over"), "{said}");
    let text = page(&folder.path().join("report.html"));
    assert_eq!(texts(&text, "h2"), ["Comparison", "small", "other"]);
    let differences = texts(&text, "pre").remove(0);
    assert!(
        differences.contains("Scores over 2 environments"),
        "{differences}"
    );
    let items = texts(&text, "li").join("\n");
    assert!(
        items.contains(
            "on 2 environments (cliff-walking, frozen-lake): returns can be compared within one"
        ),
        "{items}"
    );
    assert!(
        texts(&text, "td")
            .join("\n")
            .contains("(one seed, so no interval)")
    );
}

#[test]
fn what_is_missing_is_said() {
    let folder = trained();
    let small = folder.path().join("results/small");
    fs::remove_dir_all(small.join("seed-2")).unwrap();
    let events = small.join("seed-3/events.jsonl");
    let whole = fs::read_to_string(&events).unwrap();
    let half = whole.len() / 2;
    assert_ne!(whole.as_bytes()[half], b'\n', "in the middle of a line");
    fs::write(&events, &whole[..half]).unwrap();
    fs::write(small.join("seed-3/summary.json"), "{").unwrap();
    fs::remove_file(small.join("machine.json")).unwrap();
    thorndike(folder.path(), &["report", "results/small"]);
    let text = page(&small.join("report.html"));
    let items = texts(&text, "li").join("\n");
    for part in [
        "Seed 2 of config.toml has no run here.",
        "seed-3/events.jsonl:",
        "the last line is incomplete and was passed over",
        "Seed 3 is not finished: it is at step ",
        "seed-3/summary.json: ",
        "The machine that the experiment was started on was not recorded.",
        "Intervals come from 2 seeds: take them as a hint.",
    ] {
        assert!(items.contains(part), "no {part} in\n{items}");
    }
    assert!(!items.contains("results/small"), "{items}");
    assert!(text.contains("<p>Not recorded.</p>"));
}

#[test]
fn nothing_that_a_name_or_a_file_says_becomes_markup() {
    const EVIL: &str = "<script>alert('1')</script>&\"";
    let folder = trained();
    // A slash cannot be in a name.
    let name = EVIL.replace('/', "\\");
    let evil = folder.path().join("results").join(&name);
    fs::rename(folder.path().join("results/small"), &evil).unwrap();
    let quoted = serde_json::to_string(EVIL).unwrap();
    for seed in 1..=3 {
        let path = evil.join(format!("seed-{seed}/events.jsonl"));
        let text = fs::read_to_string(&path).unwrap();
        let text = text
            .replace("\"frozen-lake\"", &quoted)
            .replace("\"q-learning\"", &quoted);
        fs::write(&path, text.replace("\"explore/epsilon\"", &quoted)).unwrap();
    }
    let mut config = fs::read_to_string(evil.join("config.toml")).unwrap();
    config += "[[references]]\nlabel = \"</text><script>\"\nvalue = 0.5\n# </code></pre><script>alert(2)</script> ]]>\n";
    fs::write(evil.join("config.toml"), config).unwrap();
    let machine = fs::read_to_string(evil.join("machine.json")).unwrap();
    fs::write(
        evil.join("machine.json"),
        machine.replace("linux", "<script>"),
    )
    .unwrap();
    thorndike(
        folder.path(),
        &["report", evil.to_str().unwrap(), "--out", "evil.html"],
    );
    let text = page(&folder.path().join("evil.html"));
    assert!(!text.contains("<script"), "markup");
    assert_eq!(texts(&text, "title"), [name]);
    assert!(
        texts(&text, "figcaption")
            .iter()
            .any(|caption| caption == EVIL)
    );
    assert!(texts(&text, "td").iter().any(|cell| cell == EVIL));
    let commands: Vec<String> = texts(&text, "code")
        .into_iter()
        .filter(|code| code.starts_with("thorndike"))
        .collect();
    assert_eq!(
        commands,
        ["thorndike train script-alert--1----script---.toml"]
    );
}

/// Ten long runs with as many points as a picture can take.
fn long_runs(folder: &Path) {
    for seed in 1..=10_u64 {
        let dir = folder.join(format!("seed-{seed}"));
        fs::create_dir_all(&dir).unwrap();
        let mut text = format!(
            "{{\"event\":\"started\",\"env\":\"cart-pole\",\"agent\":\"dqn\",\"seed\":{seed}}}\n"
        );
        let mut noise = seed;
        let mut value = || {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (noise >> 40) as f64 / 1e3
        };
        for step in (100..=100_000_u64).step_by(100) {
            text += &format!(
                "{{\"event\":\"episode\",\"step\":{step},\"env\":0,\"episode_return\":{},\"length\":100,\
                 \"status\":\"terminated\"}}\n",
                value()
            );
            for name in [
                "explore/epsilon",
                "loss/td",
                "q/mean",
                "q/max",
                "time/steps_per_second",
                "replay/size",
            ] {
                text += &format!(
                    "{{\"event\":\"scalar\",\"step\":{step},\"name\":\"{name}\",\"value\":{}}}\n",
                    value()
                );
            }
            if step % 1000 == 0 {
                text += &format!(
                    "{{\"event\":\"evaluated\",\"step\":{step},\"returns\":[{},{}],\"lengths\":[1,1]}}\n",
                    value(),
                    value()
                );
            }
        }
        text += "{\"event\":\"finished\",\"step\":100000}\n";
        fs::write(dir.join("events.jsonl"), text).unwrap();
    }
}

#[test]
fn ten_long_runs_of_noise_stay_under_three_megabytes() {
    let folder = tempfile::tempdir().unwrap();
    long_runs(folder.path());
    thorndike(folder.path(), &["report", "."]);
    let text = page(&folder.path().join("report.html"));
    assert!(text.contains("so it cannot be run again from this page"));
    assert!(
        (100_000..3_000_000).contains(&text.len()),
        "{} bytes",
        text.len()
    );
}

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "chrome-headless-shell",
    ];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file())
}

#[test]
fn a_browser_shows_the_page_without_a_complaint_and_no_wider_than_a_telephone() {
    let Some(browser) = browser() else {
        println!("skipped: no chromium here");
        return;
    };
    let folder = trained();
    thorndike(
        folder.path(),
        &[
            "train",
            "small.toml",
            "name=a-name-that-is-long-and-has-no-place-to-break-it-anywhere",
            "agent.id=sarsa",
        ],
    );
    let long = "results/a-name-that-is-long-and-has-no-place-to-break-it-anywhere";
    thorndike(folder.path(), &["report", "results/small", long]);
    let text = page(&folder.path().join("report.html"));
    // A frame is as wide as we want; a window is not. The page itself lets no script run, so the copy in the frame has
    // its rule taken out.
    let rule = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>";
    assert!(text.contains(rule));
    let measure = "<script>onload = () => { const all = document.documentElement; \
                   const fits = all.scrollWidth <= all.clientWidth ? 'fits' : all.scrollWidth + ' do not fit'; \
                   parent.postMessage(fits + ' in ' + innerWidth, '*'); }</script></body>";
    let copy = text.replace(rule, "").replace("</body>", measure);
    fs::write(folder.path().join("copy.html"), copy).unwrap();
    let open = |file: &str| {
        let profile = tempfile::tempdir().unwrap();
        let output = Command::new(&browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--enable-logging=stderr",
                "--v=0",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--virtual-time-budget=5000",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args([
                "--dump-dom",
                &format!("file://{}", folder.path().join(file).display()),
            ])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    for width in [390, 1280] {
        let outer = format!(
            "<!DOCTYPE html><title>frame</title><p id=\"said\"></p><iframe width=\"{width}\" height=\"800\" style=\"border: 0\" \
             src=\"copy.html\"></iframe><script>onmessage = (event) => {{ said.textContent = event.data; }}</script>"
        );
        fs::write(folder.path().join("outer.html"), outer).unwrap();
        let (shown, _) = open("outer.html");
        assert!(
            shown.contains(&format!("<p id=\"said\">fits in {width}</p>")),
            "{width}: {shown:.400}"
        );
    }
    let (shown, said) = open("report.html");
    assert!(shown.contains("<h2>Comparison</h2>"), "{shown:.400}");
    // The browser's own pages have their complaints too.
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("CONSOLE") && !line.contains("source: chrome://"))
        .collect();
    assert_eq!(complaints, [""; 0]);
}
