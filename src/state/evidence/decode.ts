/**
 * Takes content codings off bodies, within bounds: a small body may hold gigabytes of zeros.
 */
import zlib from 'node:zlib'
import type { Decode } from '../../rules/evidence/compare.ts'

/** A body that is larger than this without its coding is not compared. */
export const MOST_DECODED_BYTES = 1024 * 1024

type Decoder = (body: Uint8Array, options: { readonly maxOutputLength: number }) => Uint8Array

const DECODERS: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['gzip', zlib.gunzipSync],
  ['x-gzip', zlib.gunzipSync],
  ['deflate', inflate],
  ['br', zlib.brotliDecompressSync],
  ['zstd', zlib.zstdDecompressSync],
])

/** `deflate` is in a zlib wrapper (RFC 9110 section 8.4.1.2), but some servers send it bare. */
function inflate(...args: Parameters<Decoder>): Uint8Array {
  try {
    return zlib.inflateSync(...args)
  } catch (error) {
    if (isTooLarge(error)) throw error
    return zlib.inflateRawSync(...args)
  }
}

const isTooLarge = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'

/** Takes gzip, deflate, br or zstd off a body. */
export const decode: Decode = (coding, body) => {
  const decoder = DECODERS.get(coding)
  if (decoder === undefined) return 'unknown'
  try {
    return decoder(body, { maxOutputLength: MOST_DECODED_BYTES })
  } catch (error) {
    return isTooLarge(error) ? 'too large' : 'broken'
  }
}
