//! From pixels to the bytes of a picture: the same bytes for the same pixels.

use super::decode::Pixels;

/// What it is. One kind is enough: nothing is lost on sharp edges, of which most pictures here are full.
pub(crate) const MEDIA_TYPE: &str = "image/png";

/// The picture.
pub(crate) fn png(pixels: &Pixels) -> Result<Vec<u8>, String> {
    let colour = match pixels.channels {
        1 => png::ColorType::Grayscale,
        2 => png::ColorType::GrayscaleAlpha,
        3 => png::ColorType::Rgb,
        _ => png::ColorType::Rgba,
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width, pixels.height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&pixels.bytes)?;
        writer.finish()
    });
    written.map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The same picture without what says how opaque its pixels are, if all of them are.
pub(crate) fn opaque(pixels: Pixels) -> Pixels {
    let channels = usize::from(pixels.channels);
    let has_alpha = channels == 2 || channels == 4;
    if !has_alpha || !pixels.bytes.chunks_exact(channels).all(|pixel| pixel.last() == Some(&u8::MAX)) {
        return pixels;
    }
    let colours = |pixel: &[u8]| pixel.iter().take(channels - 1).copied().collect::<Vec<u8>>();
    let bytes = pixels.bytes.chunks_exact(channels).flat_map(colours).collect();
    Pixels { channels: pixels.channels - 1, bytes, ..pixels }
}
