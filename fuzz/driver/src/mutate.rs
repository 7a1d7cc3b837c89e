//! Breaks valid inputs in the ways that decoders are broken by.

use crate::random::Random;

/// The longest input in bytes: what a decoder does with more it does with this much.
pub const LEN_MAX: usize = 4_096;

/// Lengths, counts and signs are read wrongly at the ends of their ranges.
const NUMBERS: [u64; 14] =
    [0, 1, 2, 125, 126, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF];

/// Makes one to eight changes.
pub fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&[u8]], random: &mut Random) {
    for _ in 0..=random.below(8) {
        change(input, seeds, words, random);
    }
    input.truncate(LEN_MAX);
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&[u8]], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(10) {
        0 => flip_bit(input, random),
        1 => overwrite(input, at, &[random.number().to_le_bytes()[0]]),
        2 => insert(input, at, &[random.number().to_le_bytes()[0]]),
        3 => drop(input.drain(span(input, random))),
        4 => {
            let piece = input[span(input, random)].to_vec();
            insert(input, at, &piece);
        }
        5 => write_number(input, at, random),
        6 => insert(input, at, random.pick(words).copied().unwrap_or_default()),
        7 => overwrite(input, at, random.pick(words).copied().unwrap_or_default()),
        8 => input.truncate(at),
        _ => {
            let Some(other) = random.pick(seeds) else { return };
            let piece = other[span(other, random)].to_vec();
            insert(input, at, &piece);
        }
    }
}

fn flip_bit(input: &mut [u8], random: &mut Random) {
    let at = random.below(input.len());
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

/// Some of the bytes; mostly a few.
fn span(input: &[u8], random: &mut Random) -> std::ops::Range<usize> {
    let from = random.below(input.len());
    let most = if random.below(4) == 0 { input.len() } else { 16 };
    from..(from + random.below(most)).min(input.len()).max(from)
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}

fn overwrite(input: &mut [u8], at: usize, piece: &[u8]) {
    for (byte, new) in input.iter_mut().skip(at).zip(piece) {
        *byte = *new;
    }
}

fn write_number(input: &mut [u8], at: usize, random: &mut Random) {
    let number = random.pick(&NUMBERS).copied().unwrap_or_default();
    let number = if random.below(4) == 0 { !number } else { number };
    let bytes = number.to_be_bytes();
    let width = [1, 2, 4, 8][random.below(4)];
    overwrite(input, at, &bytes[8 - width..]);
}
