//! Places as CAP draws them: polygons and circles in WGS 84.

/// The most points of a polygon: a coast line drawn to the kilometre.
const POINTS_MAX: usize = 2_000;
/// Half of the equator in kilometres: no circle is larger.
const RADIUS_MAX: f64 = 20_038.0;

/// Whether this is a polygon: `latitude,longitude` pairs, at least four, the last one equal to the first.
pub fn is_polygon(text: &str) -> bool {
    let points: Vec<_> = text.split_ascii_whitespace().take(POINTS_MAX + 1).map(point).collect();
    points.len() >= 4
        && points.len() <= POINTS_MAX
        && points.iter().all(Option::is_some)
        && points.first() == points.last()
}

/// Whether this is a circle: `latitude,longitude radius`.
pub fn is_circle(text: &str) -> bool {
    let mut parts = text.split_ascii_whitespace();
    let is_good = parts.next().and_then(point).is_some()
        && parts.next().and_then(number).is_some_and(|radius| (0.0..=RADIUS_MAX).contains(&radius));
    is_good && parts.next().is_none()
}

fn point(text: &str) -> Option<(f64, f64)> {
    let (latitude, longitude) = text.split_once(',')?;
    let (latitude, longitude) = (number(latitude)?, number(longitude)?);
    ((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude)).then_some((latitude, longitude))
}

/// Digits with a point and a sign; not what else Rust reads as a number (`inf`, `1e5`).
fn number(text: &str) -> Option<f64> {
    text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+')).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polygons_are_closed_and_on_this_planet() {
        assert!(is_polygon("38.47,-120.14 38.34,-119.95 38.52,-119.74 38.47,-120.14"));
        for text in [
            "",
            "1,1 2,2 1,1",
            "1,1 2,2 3,3 4,4",
            "1,1 2,2 3,3 1",
            "91,0 1,1 2,2 91,0",
            "1,181 2,2 3,3 1,181",
            "1,1 2,inf 3,3 1,1",
            "1,1 2,1e1 3,3 1,1",
        ] {
            assert!(!is_polygon(text), "{text}");
        }
        assert!(!is_polygon(&"1,1 ".repeat(POINTS_MAX + 1)));
    }

    #[test]
    fn circles_have_a_centre_and_a_radius() {
        assert!(is_circle("32.9525,-115.5527 0") && is_circle("0,0 1.5"));
        for text in ["", "1,1", "1,1 -1", "1,1 30000", "1,1 1 1", "1 1", "1,1 NaN"] {
            assert!(!is_circle(text), "{text}");
        }
    }
}
