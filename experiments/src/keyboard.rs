//! Playing by keyboard in a terminal.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use thorndike_core::{EnvSpec, Space};

/// A terminal that hands over every key at once; set back when dropped, and before a panic says anything.
#[derive(Debug)]
pub(crate) struct Keyboard {
    keys: Vec<(KeyCode, Choice)>,
    /// What is done when no key was pressed in time.
    idle: Choice,
    help: String,
}

/// An action that a key stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Choice {
    Number(usize),
    /// Of an action that is one scalar.
    Force(f32),
}

/// What the player wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wish {
    Act(Choice),
    Quit,
}

impl Keyboard {
    /// # Errors
    /// If the actions are not ones that keys can stand for, or the terminal cannot be set.
    pub(crate) fn new(spec: &EnvSpec) -> Result<Self> {
        let (keys, idle, help) = bindings(spec)?;
        restore_before_a_panic();
        enable_raw_mode().context("cannot read single keys from this terminal")?;
        Ok(Self { keys, idle, help })
    }

    /// Which key does what, in one line.
    pub(crate) fn help(&self) -> &str {
        &self.help
    }

    /// The next key that means something. With a deadline: the last one before it, or the action for "nothing". Quits
    /// when `stop` is set: a terminal that was closed sends no key.
    ///
    /// # Errors
    /// If the terminal cannot be read.
    pub(crate) fn wish(&mut self, deadline: Option<Instant>, stop: &AtomicBool) -> Result<Wish> {
        /// How long a signal may wait.
        const LOOK: Duration = Duration::from_millis(100);
        let mut chosen = self.idle;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(Wish::Quit);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if !poll(left.unwrap_or(LOOK).min(LOOK))? {
                if left.is_some_and(|left| left <= LOOK) {
                    return Ok(Wish::Act(chosen));
                }
                continue;
            }
            let Event::Key(key) = read()? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            if matches!(key.code, KeyCode::Esc | KeyCode::Char('q'))
                || (control && key.code == KeyCode::Char('c'))
            {
                return Ok(Wish::Quit);
            }
            if let Some(&(_, choice)) = self.keys.iter().find(|(code, _)| *code == key.code) {
                chosen = choice;
                if deadline.is_none() {
                    return Ok(Wish::Act(choice));
                }
            }
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        restore();
    }
}

/// Sets the terminal back, if a [`Keyboard`] has changed it; for ways out that drop nothing.
pub(crate) fn restore() {
    // Nothing can be done where it fails: the terminal is gone.
    let _ = disable_raw_mode();
}

/// Lets a panic speak on a terminal that goes back to the left margin, and leave it as it was found.
fn restore_before_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            hook(panic);
        }));
    });
}

type Bindings = (Vec<(KeyCode, Choice)>, Choice, String);

fn bindings(spec: &EnvSpec) -> Result<Bindings> {
    match &spec.action_space {
        Space::Discrete(n) => Ok(discrete(*n, &spec.action_names)),
        Space::Box { low, high, .. } if spec.action_space.len() == 1 => {
            let keys = vec![
                (KeyCode::Left, Choice::Force(*low)),
                (KeyCode::Right, Choice::Force(*high)),
                (KeyCode::Down, Choice::Force((low + high) / 2.0)),
            ];
            let help = format!(
                "keys: left {low}, down {}, right {high}; q quits",
                (low + high) / 2.0
            );
            Ok((keys, Choice::Force((low + high) / 2.0), help))
        }
        other => bail!(
            "actions {other} cannot be given by key; give --random, or a trained agent's folder"
        ),
    }
}

/// Arrow keys for directions, the first free letter of every other name, and digits for all.
fn discrete(n: usize, names: &[String]) -> Bindings {
    let mut keys: Vec<(KeyCode, Choice)> = Vec::new();
    let mut help = Vec::new();
    let mut idle = None;
    for number in 0..n {
        let choice = Choice::Number(number);
        let mut labels = Vec::new();
        if let Some(name) = names.get(number) {
            let free = |code: &KeyCode| !keys.iter().any(|(taken, _)| taken == code);
            let arrow = match name.as_str() {
                "left" | "west" => Some((KeyCode::Left, "left")),
                "right" | "east" => Some((KeyCode::Right, "right")),
                "up" | "north" | "forward" => Some((KeyCode::Up, "up")),
                "down" | "south" => Some((KeyCode::Down, "down")),
                _ => None,
            };
            if let Some((code, label)) = arrow.filter(|(code, _)| free(code)) {
                labels.push(label.to_owned());
                keys.push((code, choice));
            } else {
                let letter = name
                    .chars()
                    .filter(char::is_ascii_lowercase)
                    .find(|&letter| letter != 'q' && free(&KeyCode::Char(letter)));
                if let Some(letter) = letter {
                    labels.push(letter.to_string());
                    keys.push((KeyCode::Char(letter), choice));
                }
            }
            if matches!(
                name.as_str(),
                "noop" | "nothing" | "stay" | "coast" | "none"
            ) {
                idle = Some(choice);
            }
        }
        if let Some(digit) = char::from_digit(number as u32, 10) {
            keys.push((KeyCode::Char(digit), choice));
            labels.push(digit.to_string());
        }
        let name = names.get(number).cloned().unwrap_or_default();
        help.push(format!("{} {name}", labels.join("/")).trim().to_owned());
    }
    let help = format!("keys: {}; q quits", help.join(", "));
    (keys, idle.unwrap_or(Choice::Number(0)), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn directions_are_arrows_and_other_actions_their_first_free_letter() {
        let names = names(&["left", "right", "forward", "pickup", "push", "noop"]);
        let (keys, idle, help) = discrete(6, &names);
        let bound = |code| {
            keys.iter()
                .find(|(key, _)| *key == code)
                .map(|(_, choice)| *choice)
        };
        assert_eq!(bound(KeyCode::Left), Some(Choice::Number(0)));
        assert_eq!(bound(KeyCode::Up), Some(Choice::Number(2)));
        assert_eq!(bound(KeyCode::Char('p')), Some(Choice::Number(3)));
        assert_eq!(bound(KeyCode::Char('u')), Some(Choice::Number(4)));
        assert_eq!(bound(KeyCode::Char('4')), Some(Choice::Number(4)));
        assert_eq!(bound(KeyCode::Char('q')), None, "q quits");
        assert_eq!(idle, Choice::Number(5));
        assert_eq!(
            help,
            "keys: left/0 left, right/1 right, up/2 forward, p/3 pickup, u/4 push, n/5 noop; q quits"
        );
    }

    #[test]
    fn actions_without_names_are_digits() {
        let (keys, idle, _) = discrete(12, &[]);
        assert_eq!(keys.len(), 10, "there are ten digits");
        assert_eq!(idle, Choice::Number(0));
    }
}
