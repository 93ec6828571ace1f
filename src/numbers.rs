//! Numbers as people read them: six digits, and 0 where rounding alone has left something. JSON keeps all
//! digits.

/// Parts of the largest of several numbers that are what rounding left of 0.
const NOTHING: f64 = 1e-12;

/// A number in six significant digits, with an exponent where there would be many zeros.
///
/// ```
/// use gradus::numbers::number;
///
/// assert_eq!([3.0 / 13.0, 0.75, -2.0, 1e-20].map(number), ["0.230769", "0.75", "-2", "1e-20"]);
/// ```
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    // The exponent of the rounded number: 0.9999999 is 1.
    let scientific = format!("{value:.5e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..=6) => {
            let decimals = usize::try_from(5 - exponent).unwrap_or(0);
            without_zeros(&format!("{value:.decimals$}")).into()
        }
        _ => format!("{}e{exponent}", without_zeros(mantissa)),
    }
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A number beside others of this size: one that is nothing to them is 0.
///
/// ```
/// assert_eq!(gradus::numbers::beside(1.0, 1.0 - 0.1 * 10.0_f64.next_up()), 0.0);
/// ```
pub fn beside(size: f64, value: f64) -> f64 {
    if value.abs() < NOTHING * size { 0.0 } else { value }
}

/// A number in six digits, or in all that it has, where six would make it one of these that it is not.
///
/// ```
/// assert_eq!(gradus::numbers::apart(-1.000_000_1, &[-1.0, 1.0]), "-1.0000001");
/// ```
pub fn apart(value: f64, edges: &[f64]) -> String {
    let six = number(value);
    let looks_like = |edge: &f64| value != *edge && six == number(*edge);
    if edges.iter().any(looks_like) { value.to_string() } else { six }
}

/// A count with a comma before each three digits.
///
/// ```
/// assert_eq!(gradus::numbers::count(19_443_481), "19,443,481");
/// ```
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let comma = |i: usize| if i > 0 && (digits.len() - i).is_multiple_of(3) { "," } else { "" };
    digits.char_indices().map(|(i, digit)| format!("{}{digit}", comma(i))).collect()
}

/// One of a thing, or so many of it: "1 image", "2 images".
pub fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Numbers that belong together: one that is nothing beside the largest is 0.
pub fn numbers<const N: usize>(values: [f64; N]) -> [String; N] {
    let largest = values.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    values.map(|v| number(beside(largest, v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_digits_and_no_more() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-0.944_444_444_444_444_4, "-0.944444"),
            (0.999_999_99, "1"),
            (7.550_955_419_025_835e-7, "7.55096e-7"),
            (0.000_123_456_78, "0.000123457"),
            (0.000_012_3, "1.23e-5"),
            (1_234_567.0, "1234567"),
            (69_078.0, "69078"),
            (12_345_678.9, "1.23457e7"),
            (f64::MAX, "1.79769e308"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "NaN"),
            (100.0, "100"),
        ] {
            assert_eq!(number(value), text);
        }
        // Read again, a number is the same to half a unit of its sixth digit.
        for k in -300..300 {
            let value = 1.234_567_89 * 10_f64.powi(k);
            let read: f64 = number(value).parse().unwrap();
            assert!((read / value - 1.0).abs() <= 5e-6, "{value}");
        }
    }

    #[test]
    fn three_digits_and_a_comma() {
        assert_eq!(
            [0, 999, 1000, 69_078, 1_000_000].map(count),
            ["0", "999", "1,000", "69,078", "1,000,000"]
        );
    }

    #[test]
    fn what_rounding_left_is_nothing() {
        assert_eq!(numbers([-5.55e-17, 0.25, -0.1]), ["0", "0.25", "-0.1"]);
        assert_eq!(numbers([1e-17, 2e-17]), ["1e-17", "2e-17"]);
        assert_eq!(numbers([0.0, -0.0]), ["0", "0"]);
    }
}
