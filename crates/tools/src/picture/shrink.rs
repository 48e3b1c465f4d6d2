//! Pixels of a smaller picture: each is the mean of those that it stands for, weighed by how much of them it covers. Whole numbers only, so the
//! result is the same on every machine.

use super::decode::Pixels;

/// The size of a picture whose longer side is at most this long; at least one pixel each way.
pub(crate) fn smaller(width: u32, height: u32, longest: u32) -> (u32, u32) {
    let side = width.max(height);
    if side <= longest {
        return (width, height);
    }
    let scaled = |one: u32| {
        let scaled = (u64::from(one) * u64::from(longest) + u64::from(side) / 2) / u64::from(side);
        u32::try_from(scaled).unwrap_or(longest).max(1)
    };
    (scaled(width), scaled(height))
}

/// The picture at this size, which is no larger than its own.
pub(crate) fn shrink(pixels: &Pixels, width: u32, height: u32) -> Pixels {
    let channels = usize::from(pixels.channels);
    let row = pixels.width as usize * channels;
    let columns = cover(pixels.width, width);
    let mut bytes = Vec::with_capacity(width as usize * height as usize * channels);
    let mut sums = vec![[0_u64; 5]; width as usize];
    for lines in cover(pixels.height, height) {
        sums.fill([0; 5]);
        for (line, part) in lines {
            let line = pixels.bytes.get(line * row..(line + 1) * row).unwrap_or_default();
            for (sum, places) in sums.iter_mut().zip(&columns) {
                for (place, share) in places {
                    let pixel = line.get(place * channels..(place + 1) * channels).unwrap_or_default();
                    add(sum, pixel, part * share);
                }
            }
        }
        sums.iter().for_each(|sum| put(&mut bytes, sum, channels));
    }
    Pixels { width, height, channels: pixels.channels, bytes }
}

/// For each pixel of a smaller side which ones of the larger it covers, and how much of each, in parts of the smaller side's length.
fn cover(large: u32, small: u32) -> Vec<Vec<(usize, u64)>> {
    let (large, small) = (u64::from(large), u64::from(small.max(1)));
    let covered = |number: u64| {
        let (from, to) = (number * large, (number + 1) * large);
        let places = from / small..to.div_ceil(small);
        places.map(move |place| {
            let (begins, ends) = (place * small, (place + 1) * small);
            (usize::try_from(place).unwrap_or(usize::MAX), to.min(ends) - from.max(begins))
        })
    };
    (0..small).map(|number| covered(number).collect()).collect()
}

/// Adds a pixel: its colours as far as it is opaque, how opaque it is, and its weight.
fn add(sum: &mut [u64; 5], pixel: &[u8], weight: u64) {
    let (colours, alpha) = match pixel {
        [grey] => (&[*grey, 0, 0], 255),
        [grey, alpha] => (&[*grey, 0, 0], *alpha),
        [red, green, blue] => (&[*red, *green, *blue], 255),
        [red, green, blue, alpha] => (&[*red, *green, *blue], *alpha),
        _ => return,
    };
    let opaque = weight * u64::from(alpha);
    for (sum, colour) in sum.iter_mut().zip(colours) {
        *sum += opaque * u64::from(*colour);
    }
    let [_, _, _, alphas, weights] = sum;
    *alphas += opaque;
    *weights += weight;
}

fn put(bytes: &mut Vec<u8>, sum: &[u64; 5], channels: usize) {
    let [red, green, blue, opaque, weight] = *sum;
    let mean = |sum: u64, of: u64| {
        // Where nothing is opaque there is no colour.
        let mean = (sum + of / 2).checked_div(of).unwrap_or_default();
        u8::try_from(mean).unwrap_or(u8::MAX)
    };
    let colours = [mean(red, opaque), mean(green, opaque), mean(blue, opaque)];
    let alpha = mean(opaque, weight);
    match channels {
        1 => bytes.extend(&colours[..1]),
        2 => bytes.extend([colours[0], alpha]),
        3 => bytes.extend(colours),
        _ => bytes.extend(colours.into_iter().chain([alpha])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_keep_their_proportion_and_are_never_nothing() {
        assert_eq!(smaller(100, 50, 200), (100, 50));
        assert_eq!(smaller(4000, 3000, 1568), (1568, 1176));
        assert_eq!(smaller(1, 20_000, 1568), (1, 1568));
    }

    #[test]
    fn a_pixel_is_the_mean_of_what_it_covers() {
        let grey = Pixels { width: 3, height: 2, channels: 1, bytes: vec![0, 90, 30, 60, 90, 30] };
        // Each covers one and a half of three, in both rows.
        assert_eq!(shrink(&grey, 2, 1).bytes, [50, 50]);
        assert_eq!(shrink(&grey, 3, 2), grey);
        assert_eq!(shrink(&grey, 1, 1).bytes, [50]);
    }

    #[test]
    fn what_cannot_be_seen_colours_nothing() {
        let pair = Pixels { width: 2, height: 1, channels: 4, bytes: vec![200, 100, 50, 255, 9, 9, 9, 0] };
        assert_eq!(shrink(&pair, 1, 1).bytes, [200, 100, 50, 128]);
        let nothing = Pixels { width: 2, height: 1, channels: 2, bytes: vec![7, 0, 9, 0] };
        assert_eq!(shrink(&nothing, 1, 1).bytes, [0, 0]);
    }
}
