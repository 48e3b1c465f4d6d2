//! A picture as it can be shown to a model.

use cofferdam_domain::message::Image;

use super::{
    decode::decode,
    encode,
    shrink::{shrink, smaller},
};

/// Bytes of a picture that is looked at.
pub(crate) const MAX_FILE: u64 = 20 << 20;

/// What models take, and what is spent on making that of something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Pixels of the longer side of what is shown.
    pub(crate) longest: u32,
    /// Bytes of what is shown.
    pub(crate) bytes: usize,
    /// Pixels of a side of what is decoded.
    pub(crate) side: u32,
    /// Pixels of what is decoded.
    pub(crate) pixels: u64,
}

impl Limits {
    /// What is longer than this is scaled down by providers anyway, and some refuse more than 5 MB in base64.
    pub(crate) const OF_MODELS: Self =
        Self { longest: 1_568, bytes: 3 << 20, side: 30_000, pixels: 32 << 20 };

    /// Sees that a picture of this size may be decoded.
    pub(crate) fn check(&self, width: u32, height: u32) -> Result<(), String> {
        if width == 0 || height == 0 {
            return Err("it has no pixels".to_owned());
        }
        let pixels = u64::from(width) * u64::from(height);
        if width > self.side || height > self.side || pixels > self.pixels {
            return Err(format!(
                "it has {width} by {height} pixels, and what is shown has at most {} altogether and {} on a side: scale it down",
                self.pixels, self.side
            ));
        }
        Ok(())
    }

    /// Bytes that a decoder may use.
    pub(crate) fn memory(&self) -> usize {
        usize::try_from(self.pixels.saturating_mul(6)).unwrap_or(usize::MAX)
    }
}

/// A picture that models take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fitted {
    /// It is one as it came.
    AsItIs { media_type: &'static str },
    /// It was made smaller: in pixels, or only in bytes.
    Scaled { media_type: &'static str, bytes: Vec<u8>, from: (u32, u32), to: (u32, u32) },
}

/// A picture as it can be shown; why it cannot. The same for the same bytes.
pub(crate) fn fit(bytes: &[u8], limits: &Limits) -> Result<Fitted, String> {
    let Some(media_type) = Image::kind(bytes) else {
        return Err("it is no PNG, JPEG, GIF or WebP".to_owned());
    };
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it has more than {} MiB", MAX_FILE >> 20));
    }
    let pixels = decode(media_type, bytes, limits)?;
    let from = (pixels.width, pixels.height);
    if from.0.max(from.1) <= limits.longest && bytes.len() <= limits.bytes {
        return Ok(Fitted::AsItIs { media_type });
    }
    let mut longest = limits.longest.min(from.0.max(from.1));
    while longest > 0 {
        let to = smaller(from.0, from.1, longest);
        let small = if to == from { pixels.clone() } else { shrink(&pixels, to.0, to.1) };
        let bytes = encode::png(&encode::opaque(small))?;
        if bytes.len() <= limits.bytes {
            return Ok(Fitted::Scaled { media_type: encode::MEDIA_TYPE, bytes, from, to });
        }
        longest = longest * 3 / 4;
    }
    Err("it cannot be made small enough".to_owned())
}
