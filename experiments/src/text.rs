//! Numbers as people read them.

/// `1234567` as `1,234,567`.
///
/// ```
/// assert_eq!(thorndike::text::thousands(1_234_567), "1,234,567");
/// assert_eq!(thorndike::text::thousands(12), "12");
/// ```
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Seconds as `12.3 s`, `4 min 05 s` or `2 h 03 min`.
///
/// ```
/// use thorndike::text::duration;
/// assert_eq!([duration(12.34), duration(245.0), duration(7400.0)], ["12.3 s", "4 min 05 s", "2 h 03 min"]);
/// ```
pub fn duration(seconds: f64) -> String {
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}
