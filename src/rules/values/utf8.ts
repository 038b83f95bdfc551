/**
 * The text of a file, which must be UTF-8.
 */

/** A file is no UTF-8. The message names its encoding or its first wrong byte with line and column, and ends in what to do. */
export class EncodingError extends TypeError {
  constructor(message: string) {
    super(`${message} (save it as UTF-8)`)
  }
}

/**
 * The text of bytes in UTF-8, byte order mark included.
 * @throws {EncodingError} if they are something else
 */
export function utf8Text(bytes: Uint8Array): string {
  const other = otherEncoding(bytes)
  if (other !== null) throw new EncodingError(`saved as ${other}`)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw firstWrong(bytes)
  }
}

/** By the byte order mark, or by the zeros that a table would have in them. */
function otherEncoding(bytes: Uint8Array): string | null {
  const [a, b, c, d] = bytes
  if (a === undefined || b === undefined) return null
  const isMarked = (a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff)
  if (!isMarked && (a === 0) === (b === 0) && !(a === 0 && b === 0 && c === 0xfe)) return null
  return c === 0 && d === 0 && !(a === 0xfe && b === 0xff) ? 'UTF-32' : 'UTF-16'
}

function firstWrong(bytes: Uint8Array): EncodingError {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
  for (let at = text.indexOf('\ufffd'); at !== -1; at = text.indexOf('\ufffd', at + 1)) {
    const before = text.slice(0, at)
    const offset = Buffer.byteLength(before)
    // The character itself, as the file has it.
    if (bytes[offset] === 0xef && bytes[offset + 1] === 0xbf && bytes[offset + 2] === 0xbd) continue
    const lines = before.replace(/^\ufeff/, '').split(/\r\n|\n|\r/)
    const byte = (bytes[offset] as number).toString(16).toUpperCase().padStart(2, '0')
    const place = `line ${lines.length}, column ${(lines.at(-1) as string).length + 1}`
    return new EncodingError(`not valid UTF-8: byte 0x${byte} in ${place}`)
  }
  return new EncodingError('not valid UTF-8')
}
