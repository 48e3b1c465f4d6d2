//! From the file in which a virtual display keeps what it shows to the colours of its pixels: an X window dump, version 7 (`X11/XWDFile.h`).
//!
//! Programs beside the display can write to that file. So nothing in it says how much is read or kept: it has the one form that a display of the
//! size that was asked for has, or it is refused.

/// Bytes of the fixed part of its header.
const FIXED: usize = 100;
/// Bytes of a header with a name at its end.
const MOST_HEADER: usize = 1_024;
/// Colours of its table, which pixels of this form do not need.
const MOST_COLOURS: usize = 1_024;
/// Bytes of a colour of its table.
const COLOUR: usize = 12;
/// Bytes of a pixel: three colours, and one that is nothing.
const PIXEL: usize = 4;

/// Bytes of the longest file that a display of this size has.
pub(crate) const fn longest(width: u32, height: u32) -> u64 {
    let pixels = width as u64 * height as u64 * PIXEL as u64;
    (MOST_HEADER + MOST_COLOURS * COLOUR) as u64 + pixels
}

/// Red, green and blue of each pixel, row by row; what is wrong with the file otherwise.
pub(crate) fn colours(file: &[u8], width: u32, height: u32) -> Result<Vec<u8>, String> {
    let header = Header::of(file).ok_or("it is shorter than a header")?;
    header.check(width, height)?;
    let pixels = pixels(file, &header, width as usize * height as usize * PIXEL)
        .ok_or("it is not as long as its header says")?;
    let place = |[blue, green, red, _]: [u8; PIXEL]| [red, green, blue];
    let (whole, _) = pixels.as_chunks::<PIXEL>();
    Ok(match header.order {
        0 => whole.iter().flat_map(|pixel| place(*pixel)).collect(),
        _ => whole.iter().flat_map(|[none, red, green, blue]| place([*blue, *green, *red, *none])).collect(),
    })
}

/// What of the header matters.
struct Header {
    length: usize,
    version: u32,
    /// Two, where whole pixels stand one after another.
    format: u32,
    depth: u32,
    width: u32,
    height: u32,
    /// Of the bytes of a pixel: 0 where the lowest stands first.
    order: u32,
    bits: u32,
    row: u32,
    masks: [u32; 3],
    colours: usize,
}

impl Header {
    fn of(file: &[u8]) -> Option<Self> {
        let (words, _) = file.get(..FIXED)?.as_chunks::<4>();
        let word = |place: usize| words.get(place).map(|bytes| u32::from_be_bytes(*bytes));
        Some(Self {
            length: usize::try_from(word(0)?).ok()?,
            version: word(1)?,
            format: word(2)?,
            depth: word(3)?,
            width: word(4)?,
            height: word(5)?,
            order: word(7)?,
            bits: word(11)?,
            row: word(12)?,
            masks: [word(14)?, word(15)?, word(16)?],
            colours: usize::try_from(word(19)?).ok()?,
        })
    }

    fn check(&self, width: u32, height: u32) -> Result<(), String> {
        if (self.version, self.format) != (7, 2) {
            return Err("it is no window dump of version 7".to_owned());
        }
        if (self.width, self.height) != (width, height) {
            return Err(format!("it has {} by {} pixels, not {width} by {height}", self.width, self.height));
        }
        let plain = (self.depth, self.bits, self.masks) == (24, 32, [0x00ff_0000, 0xff00, 0xff]);
        if !plain || self.order > 1 || u64::from(self.row) != u64::from(width) * PIXEL as u64 {
            return Err("its pixels are not of the form that was asked for".to_owned());
        }
        if !(FIXED..=MOST_HEADER).contains(&self.length) || self.colours > MOST_COLOURS {
            return Err("its header is too long".to_owned());
        }
        Ok(())
    }
}

/// The bytes after header and colours, if they are all there and no more.
fn pixels<'a>(file: &'a [u8], header: &Header, wanted: usize) -> Option<&'a [u8]> {
    let rest = file.get(header.length + header.colours * COLOUR..)?;
    (rest.len() == wanted).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file like those of Xvfb, with pixels of ever other colours.
    fn file(width: u32, height: u32, order: u32) -> Vec<u8> {
        let words = [
            106,
            7,
            2,
            24,
            width,
            height,
            0,
            order,
            32,
            0,
            32,
            32,
            width * 4,
            4,
            0x00ff_0000,
            0xff00,
            0xff,
            8,
            256,
            2,
            width,
            height,
            0,
            0,
            0,
        ];
        let mut file: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
        file.extend(b"Xvfb \0");
        file.extend([7; 2 * COLOUR]);
        for number in 0..width * height {
            let number = u8::try_from(number).unwrap();
            let pixel = [number, 100, 200, 0];
            file.extend(if order == 0 { pixel } else { [0, 200, 100, number] });
        }
        file
    }

    #[test]
    fn what_a_display_writes_is_read_in_both_orders() {
        for order in [0, 1] {
            let file = file(3, 2, order);
            assert!(file.len() as u64 <= longest(3, 2));
            let colours = colours(&file, 3, 2).unwrap();
            assert_eq!(colours, (0..6).flat_map(|number| [200, 100, number]).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn whatever_is_not_as_it_was_asked_for_is_refused() {
        let whole = file(3, 2, 0);
        for (place, value, why) in [
            (0, 2_000, "header is too long"),
            (0, 0, "header is too long"),
            (0, u32::MAX, "header is too long"),
            (1, 6, "no window dump"),
            (2, 1, "no window dump"),
            (3, 8, "of the form"),
            (4, 60_000, "60000 by 2 pixels, not 3 by 2"),
            (5, u32::MAX, "not 3 by 2"),
            (7, 2, "of the form"),
            (11, 24, "of the form"),
            (12, 16, "of the form"),
            (14, 0xff, "of the form"),
            (19, u32::MAX, "header is too long"),
            (19, 3, "as long as its header says"),
        ] {
            let mut other = whole.clone();
            other[place * 4..place * 4 + 4].copy_from_slice(&u32::to_be_bytes(value));
            let refused = colours(&other, 3, 2).unwrap_err();
            assert!(refused.contains(why), "{place} {value}: {refused}");
        }
        for length in 0..whole.len() {
            assert!(colours(&whole[..length], 3, 2).is_err(), "{length}");
        }
        assert!(colours(&[whole.as_slice(), b"x"].concat(), 3, 2).is_err());
        assert!(colours(&whole, 2, 3).is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_has_the_size_that_was_asked_for(
            place in 0_usize..200, bytes in proptest::collection::vec(any::<u8>(), 0..8), cut in 0_usize..200,
        ) {
            let mut file = file(5, 4, 0);
            for (old, new) in file.iter_mut().skip(place).zip(&bytes) {
                *old = *new;
            }
            file.truncate(file.len() - cut.min(file.len()) / 8);
            if let Ok(colours) = colours(&file, 5, 4) {
                prop_assert_eq!(colours.len(), 5 * 4 * 3);
            }
        }
    }
}
