//! How large a display is, how large it is shown, and which place on the one is which on the other.

use crate::{picture::smaller, tool::Failure};

/// Pixels of the longer side of what is shown. What is larger, models see less well and providers scale down, and then nobody knows what is where.
const LONGEST: u32 = 1_280;
/// Pixels of what is shown: whatever is on it, that is never too many bytes for a model.
const MOST: u64 = 1_280 * 800;

/// The size of a display, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    width: u32,
    height: u32,
}

/// A place on a display, or on a picture of it: pixels from the left and from the top.
pub(super) type Point = (u32, u32);

impl Size {
    /// The least and the most pixels of a side.
    pub const SIDES: std::ops::RangeInclusive<u32> = 200..=3_840;

    /// A size; `None` if a display cannot have it.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Option<Self> {
        (Self::SIDES.contains(&width) && Self::SIDES.contains(&height)).then_some(Self { width, height })
    }

    /// From left to right.
    #[must_use]
    pub const fn width(self) -> u32 {
        self.width
    }

    /// From top to bottom.
    #[must_use]
    pub const fn height(self) -> u32 {
        self.height
    }

    /// How large the picture is that a model is shown: hangs on nothing but this size.
    pub(super) fn shown(self) -> (u32, u32) {
        let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        (1..=LONGEST)
            .rev()
            .map(|longest| smaller(self.width, self.height, longest))
            .find(|size| pixels(*size) <= MOST)
            .unwrap_or((1, 1))
    }

    /// The place on the display that stands at this one of the picture.
    pub(super) fn at(self, name: &str, (x, y): (u64, u64)) -> Result<Point, Failure> {
        let (width, height) = self.shown();
        if x >= u64::from(width) || y >= u64::from(height) {
            return Err(Failure(format!(
                "`{name}` [{x}, {y}] is not on the display: the picture goes from [0, 0] to [{}, {}].",
                width - 1,
                height - 1
            )));
        }
        // The middle of what the pixel stands for.
        let place = |one: u64, whole: u32, shown: u32| {
            let place = (2 * one + 1) * u64::from(whole) / (2 * u64::from(shown));
            u32::try_from(place).unwrap_or_default().min(whole - 1)
        };
        Ok((place(x, self.width, width), place(y, self.height, height)))
    }

    /// The place on the picture at which this one of the display stands.
    pub(super) fn back(self, (x, y): Point) -> Point {
        let (width, height) = self.shown();
        let place = |one: u32, whole: u32, shown: u32| {
            let place = (2 * u64::from(one.min(whole - 1)) + 1) * u64::from(shown) / (2 * u64::from(whole));
            u32::try_from(place).unwrap_or_default()
        };
        (place(x, self.width, width), place(y, self.height, height))
    }
}

impl Default for Size {
    fn default() -> Self {
        Self { width: LONGEST, height: 800 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_display_is_shown_as_it_is() {
        let usual = Size::default();
        assert_eq!(usual.shown(), (1280, 800));
        for point in [(0, 0), (77, 5), (1279, 799)] {
            let place = usual.at("coordinate", (u64::from(point.0), u64::from(point.1))).unwrap();
            assert_eq!((place, usual.back(place)), (point, point));
        }
        let outside = usual.at("coordinate", (1280, 3)).unwrap_err().0;
        assert!(
            outside.contains("[1280, 3] is not on the display") && outside.contains("[1279, 799]"),
            "{outside}"
        );
        assert!(usual.at("coordinate", (u64::MAX, u64::MAX)).is_err());
    }

    #[test]
    fn a_larger_one_is_shown_smaller_and_nothing_is_out_of_reach() {
        for (width, height) in
            [(1920, 1080), (3840, 2160), (3840, 200), (200, 3840), (1500, 1500), (200, 200)]
        {
            let size = Size::new(width, height).unwrap();
            let (wide, high) = size.shown();
            assert!(wide.max(high) <= LONGEST && u64::from(wide) * u64::from(high) <= MOST, "{size:?}");
            assert!(wide <= width && high <= height, "{size:?}");
            for x in 0..wide {
                let place = size.at("coordinate", (u64::from(x), 0)).unwrap();
                assert!(place.0 < width && size.back(place) == (x, 0), "{size:?} {x}");
            }
        }
        assert_eq!(Size::new(100, 800), None);
        assert_eq!(Size::new(800, 100_000), None);
    }
}
